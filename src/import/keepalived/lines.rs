//! A text as statements: words, opening and closing braces, each with its place. Conditions (`@id`), definitions (`$NAME=`) and includes are
//! resolved here, with an end to each.

use std::collections::{BTreeMap, VecDeque};

use crate::text::{Place, Source, Wrong, shown};

/// Opens what `include PATTERN` names; the second argument is the file in which it stands. No file at all is no error, as for keepalived.
pub type Open<'a> = dyn FnMut(&str, &str) -> Result<Vec<Source>, Wrong> + 'a;

/// What a text is made of.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Words(Vec<String>, Place),
    Open(Place),
    Close(Place),
}

/// The most files, the deepest include, the most bytes and lines after substitution.
const MOST_FILES: usize = 64;
const DEEPEST: usize = 8;
const MOST_TEXT: usize = 4 * 1024 * 1024;
const MOST_LINES: usize = 100_000;
const MOST_ROUNDS: usize = 64;

struct Reader<'a, 'b> {
    id: Option<&'a str>,
    open: &'a mut Open<'b>,
    wrong: &'a mut Vec<Wrong>,
    definitions: BTreeMap<String, Vec<String>>,
    tokens: Vec<Token>,
    files: usize,
    bytes: usize,
    lines: usize,
    /// Conditions met without an id to compare them with.
    unknown_ids: Vec<(String, Place)>,
}

/// Reads a file as a node with this configuration id reads it.
pub(super) fn read(source: &Source, id: Option<&str>, open: &mut Open<'_>, wrong: &mut Vec<Wrong>) -> Vec<Token> {
    let mut reader = Reader {
        id,
        open,
        wrong,
        definitions: BTreeMap::new(),
        tokens: Vec::new(),
        files: 0,
        bytes: 0,
        lines: 0,
        unknown_ids: Vec::new(),
    };
    reader.file(source, 0);
    if let Some((_, place)) = reader.unknown_ids.first().cloned() {
        let mut ids: Vec<String> = reader.unknown_ids.iter().map(|(id, _)| format!("@{}", shown(id))).collect();
        ids.sort();
        ids.dedup();
        ids.truncate(8);
        let words = format!(
            "lines depend on the configuration id ({}): --id NAME, once for each node, says which (keepalived -i)",
            ids.join(", ")
        );
        reader.wrong.push(Wrong::new(place, words));
    }
    reader.tokens
}

impl Reader<'_, '_> {
    fn wrong(&mut self, place: &Place, words: impl AsRef<str>) {
        if self.wrong.len() < 200 {
            self.wrong.push(Wrong::new(place.clone(), words));
        }
    }

    fn file(&mut self, source: &Source, depth: usize) {
        self.files = self.files.saturating_add(1);
        let mut work: VecDeque<(String, Place)> = VecDeque::new();
        let mut lines = (1..).zip(source.text.lines()).peekable();
        while let Some((n, line)) = lines.next() {
            let place = source.at(n);
            let mut whole = line.trim().to_owned();
            // A definition of many lines keeps them apart; any other continued line is one.
            if let Some((name, first)) = definition(&whole).filter(|(_, first)| *first == "\\") {
                let (name, mut value, mut more) = (name.to_owned(), Vec::new(), !first.is_empty());
                while let Some((_, next)) = lines.next_if(|_| more) {
                    let next = next.trim();
                    more = next.ends_with('\\');
                    value.push(next.trim_end_matches('\\').trim().to_owned());
                }
                self.definitions.insert(name, value);
                continue;
            }
            while whole.ends_with('\\') {
                let Some((_, next)) = lines.next() else { break };
                whole.pop();
                whole.push(' ');
                whole.push_str(next.trim());
            }
            work.push_back((whole, place));
            while let Some((line, place)) = work.pop_front() {
                if !self.line(line, &place, source, depth, &mut work) {
                    return;
                }
            }
        }
    }

    /// One line; what a definition of many lines stands for is put in front of the rest. False when reading must end.
    fn line(&mut self, line: String, place: &Place, source: &Source, depth: usize, work: &mut VecDeque<(String, Place)>) -> bool {
        self.lines = self.lines.saturating_add(1);
        if self.lines > MOST_LINES {
            self.wrong(place, "more lines than any configuration has (definitions that name one another?); not read on");
            return false;
        }
        let mut line = line;
        for _ in 0..MOST_ROUNDS {
            line = line.trim().to_owned();
            if let Some(rest) = line.strip_prefix('@') {
                let (condition, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                if !self.holds(condition, place) {
                    return true;
                }
                line = rest.to_owned();
                continue;
            }
            if let Some((name, value)) = definition(&line) {
                let value = without_comment(value).trim().to_owned();
                self.definitions.insert(name.to_owned(), vec![value]);
                return true;
            }
            let many =
                line.strip_prefix('$').map(|name| name.trim_matches(['{', '}'])).and_then(|name| self.definitions.get(name));
            if let Some(lines) = many.filter(|lines| lines.len() != 1).cloned() {
                let bytes: usize = lines.iter().map(String::len).sum();
                self.bytes = self.bytes.saturating_add(bytes);
                if self.bytes > MOST_TEXT || work.len().saturating_add(lines.len()) > MOST_LINES {
                    self.wrong(place, "definitions grow without end; not read on");
                    return false;
                }
                for line in lines.iter().rev() {
                    work.push_front((line.clone(), place.clone()));
                }
                return true;
            }
            match self.substituted(&line) {
                None => {
                    self.words(&line, place, source, depth);
                    return true;
                }
                Some(next) => {
                    self.bytes = self.bytes.saturating_add(next.len());
                    if self.bytes > MOST_TEXT {
                        self.wrong(place, "definitions grow without end; not read on");
                        return false;
                    }
                    line = next;
                }
            }
        }
        self.wrong(place, "definitions that name one another");
        true
    }

    fn holds(&mut self, condition: &str, place: &Place) -> bool {
        let (wanted, name) = condition.strip_prefix('^').map_or((true, condition), |name| (false, name));
        match self.id {
            Some(id) => (id == name) == wanted,
            None => {
                if self.unknown_ids.len() < 100 {
                    self.unknown_ids.push((name.to_owned(), place.clone()));
                }
                false
            }
        }
    }

    /// The first `$NAME` or `${NAME}` of a known one replaced; none when there is none.
    fn substituted(&self, line: &str) -> Option<String> {
        for (at, _) in line.match_indices('$') {
            let behind = line.get(at.saturating_add(1)..)?;
            let (name, rest) = match behind.strip_prefix('{') {
                Some(inner) => match inner.split_once('}') {
                    Some(found) => found,
                    None => continue,
                },
                None => {
                    let end = behind.find(|c: char| !is_part(c)).unwrap_or(behind.len());
                    let (name, rest) = (behind.get(..end)?, behind.get(end..)?);
                    if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
                        continue;
                    }
                    (name, rest)
                }
            };
            if let Some([value]) = self.definitions.get(name).map(Vec::as_slice) {
                return Some(format!("{}{value}{rest}", line.get(..at)?));
            }
        }
        None
    }

    fn words(&mut self, line: &str, place: &Place, source: &Source, depth: usize) {
        if without_comment(line).contains("~SEQ(") || without_comment(line).contains("~LST(") {
            self.wrong(place, "~SEQ and ~LST are not read by the import: write out what they stand for");
            return;
        }
        let parts = match split(line) {
            Ok(parts) => parts,
            Err(words) => return self.wrong(place, words),
        };
        let mut words = Vec::new();
        for part in parts {
            match part {
                Part::Word(word) => words.push(word),
                brace => {
                    self.end(std::mem::take(&mut words), place, source, depth);
                    let open = matches!(brace, Part::Open);
                    self.tokens.push(if open { Token::Open(place.clone()) } else { Token::Close(place.clone()) });
                }
            }
        }
        self.end(words, place, source, depth);
    }

    fn end(&mut self, words: Vec<String>, place: &Place, source: &Source, depth: usize) {
        let Some(first) = words.first() else { return };
        if !matches!(first.as_str(), "include" | "includer" | "includem" | "includew" | "includeb" | "includea") {
            self.tokens.push(Token::Words(words, place.clone()));
            return;
        }
        let Some(pattern) = words.get(1) else { return self.wrong(place, format!("`{first}` without a file")) };
        if depth >= DEEPEST {
            return self.wrong(place, format!("more than {DEEPEST} includes in one another (a file that includes itself?)"));
        }
        match (self.open)(pattern, &source.name) {
            Err(wrong) => self.wrong(place, format!("include {}: {wrong}", shown(pattern))),
            Ok(sources) => {
                for source in sources {
                    if self.files >= MOST_FILES {
                        return self.wrong(place, format!("more than {MOST_FILES} files; not read on"));
                    }
                    self.file(&source, depth.saturating_add(1));
                }
            }
        }
    }
}

/// `$NAME=VALUE`.
fn definition(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix('$')?.split_once('=')?;
    let good = name.chars().all(is_part) && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    good.then(|| (name, value.trim()))
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The line up to its comment; quotes are minded.
fn without_comment(line: &str) -> &str {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (_, '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#' | '!') => return line.get(..at).unwrap_or_default(),
            _ => {}
        }
    }
    line
}

enum Part {
    Word(String),
    Open,
    Close,
}

/// Words and braces. `a"b c"d` is one word without its quotes, as keepalived has it.
fn split(line: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let (mut word, mut begun, mut quote): (String, bool, Option<char>) = (String::new(), false, None);
    let mut chars = without_comment(line).chars().peekable();
    let end = |word: &mut String, begun: &mut bool, parts: &mut Vec<Part>| {
        if std::mem::take(begun) {
            parts.push(Part::Word(std::mem::take(word)));
        }
    };
    while let Some(c) = chars.next() {
        match (quote, c) {
            (_, '\\') => {
                word.extend(chars.next());
                begun = true;
            }
            (Some(open), c) if open == c => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => {
                quote = Some(c);
                begun = true;
            }
            (None, '$') if chars.peek() == Some(&'{') => {
                word.push(c);
                begun = true;
                for c in chars.by_ref() {
                    word.push(c);
                    if c == '}' {
                        break;
                    }
                }
            }
            (None, '{' | '}') => {
                end(&mut word, &mut begun, &mut parts);
                parts.push(if c == '{' { Part::Open } else { Part::Close });
            }
            (None, c) if c.is_whitespace() => end(&mut word, &mut begun, &mut parts),
            (None, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    end(&mut word, &mut begun, &mut parts);
    if quote.is_some() { Err("a quote is not closed") } else { Ok(parts) }
}
