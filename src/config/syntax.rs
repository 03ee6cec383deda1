//! A text that is not TOML: where the mistake is, what it is, and the text without it.

use toml::de::DeTable;

use super::place::{At, line_of, one_line};

/// Counted from 1.
pub(super) type Lines = std::ops::RangeInclusive<usize>;

/// Where a mistake is, and what: the parser says where it noticed.
pub(super) fn explain(text: &str, at: At, message: &str) -> (At, String) {
    let message = one_line(message);
    if is_ha_cf(text) {
        let words = "this is an ha.cf of heartbeat; `twinbeat import heartbeat DIR` makes twinbeat.toml of it: docs/MIGRATING-FROM-HEARTBEAT.md";
        return (0..0, words.to_owned());
    }
    if message.contains(DUPLICATE) {
        let key = text.get(at.clone()).unwrap_or_default().trim_matches(['[', ']', ' ']);
        let first = first_of(text, at.start, key).map(|line| format!(" `{key}`: the first one is in line {line}"));
        return (at, format!("{message}{}", first.unwrap_or_default()));
    }
    if let Some(open) = open_quote(text, &at) {
        return (open..open.saturating_add(1), format!("this quote is not closed ({message})"));
    }
    match unclosed(text, &at) {
        Some((open, _)) => (open..open.saturating_add(1), format!("this bracket is not closed ({message})")),
        None => (at, message),
    }
}

const DUPLICATE: &str = "duplicate key";

/// Whether the lines are those of heartbeat's ha.cf.
fn is_ha_cf(text: &str) -> bool {
    let words: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    HA_CF.iter().filter(|word| words.contains(word)).count() >= 2 && !text.lines().any(|line| is_key(line.trim()))
}

/// Directives that stand alone in each ha.cf.
const HA_CF: [&str; 8] = ["keepalive", "deadtime", "warntime", "initdead", "ucast", "bcast", "node", "auto_failback"];

/// The line, counted from 1, of the first one of two equal keys or headers: the last one before it that says the same in the same table.
fn first_of(text: &str, second: usize, key: &str) -> Option<usize> {
    let all = items(text);
    let at = all.iter().position(|item| item.all.contains(&second))?;
    let header = |item: &Item| item.header;
    let says = |item: &Item| {
        let words = text.get(item.all.clone()).unwrap_or_default().trim_start_matches([' ', '\t', '[']);
        !key.is_empty() && words.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with(['=', ']']))
    };
    let (before, this) = (all.get(..at)?, all.get(at)?);
    let first = if this.header {
        let whole = |item: &Item| text.get(item.all.clone()).map(|words| words.trim_matches(['[', ']', ' ', '\t', '\r', '\n']));
        before.iter().find(|item| item.header && whole(item) == whole(this)).or_else(|| before.iter().find(|item| says(item)))
    } else {
        let table = before.iter().rposition(header).unwrap_or_default();
        before.get(table..)?.iter().find(|item| !item.header && says(item))
    };
    first.map(|item| line_of(text, item.all.start))
}

/// A header, or a key and its value over as many lines as it takes.
struct Item {
    all: At,
    header: bool,
    /// Brackets that stay open, the outermost first.
    open: Vec<(usize, char)>,
    /// The first bracket that is closed by one of the other kind.
    crossed: Option<usize>,
    /// Behind the last character that is no space and no comment.
    end: usize,
    /// The first quote that stays open to the end of its line: from there on brackets cannot be told from text.
    quote: Option<usize>,
}

/// The text, item by item. A value goes on while a bracket is open and the line does not look like the next key or header.
fn items(text: &str) -> Vec<Item> {
    let mut all: Vec<Item> = Vec::new();
    let mut start = 0_usize;
    for line in text.split_inclusive('\n') {
        let end = start.saturating_add(line.len());
        let words = line.trim();
        let goes_on = all
            .last()
            .is_some_and(|item| !item.open.is_empty() && !is_header(words) && (!is_key(words) || item.awaits_key(text, words)));
        if words.is_empty() || words.starts_with('#') {
        } else if let Some(item) = all.last_mut().filter(|_| goes_on) {
            item.all.end = end;
            item.scan(start, line);
        } else {
            let header = words.starts_with('[') || (words.ends_with(']') && !words.contains(['=', ',', '"']));
            let mut item = Item { all: start..end, header, open: Vec::new(), crossed: None, end: start, quote: None };
            if !header {
                item.scan(start, line);
            }
            all.push(item);
        }
        start = end;
    }
    all
}

impl Item {
    /// Whether the innermost open bracket is a table that a person goes on with in the next line: it began with nothing, or a comma stands last.
    fn awaits_key(&self, text: &str, words: &str) -> bool {
        let table = matches!(self.open.last(), Some((_, '{')));
        let dotted = words.split_once('=').is_some_and(|(key, _)| key.contains('.'));
        table && !dotted && text.get(..self.end).is_some_and(|before| before.ends_with(['{', ',']))
    }

    fn scan(&mut self, start: usize, line: &str) {
        let (mut quote, mut escaped, mut opened) = (None, false, start);
        for (at, c) in line.char_indices() {
            let at = start.saturating_add(at);
            match (quote, c) {
                (Some('"'), '\\') if !escaped => {
                    escaped = true;
                    continue;
                }
                (Some(q), c) if c == q && !escaped => quote = None,
                (Some(_), _) => {}
                (None, '#') => break,
                (None, '"' | '\'') => (quote, opened) = (Some(c), at),
                (None, '[' | '{') => self.open.push((at, c)),
                (None, ']' | '}') => match self.open.pop() {
                    Some((opened, o)) if (o == '[') != (c == ']') => self.crossed = self.crossed.or(Some(opened)),
                    _ => {}
                },
                _ => {}
            }
            escaped = false;
            if !c.is_whitespace() {
                self.end = at.saturating_add(c.len_utf8());
            }
        }
        self.quote = self.quote.or(quote.map(|_| opened));
    }
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.".contains(c)
}

fn is_key(words: &str) -> bool {
    words.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty() && key.trim().chars().all(is_bare))
}

fn is_header(words: &str) -> bool {
    let name = words.trim_matches(['[', ']']);
    words.starts_with('[') && words.ends_with(']') && name.chars().all(is_bare) && name.contains(char::is_alphabetic)
}

/// The quote that is not closed, if it is before what the parser noticed at `at`.
fn open_quote(text: &str, at: &At) -> Option<usize> {
    let all = items(text);
    let item = all.iter().find(|item| item.quote.is_some())?;
    let many = text.get(item.all.clone()).is_none_or(|words| words.contains("\"\"\"") || words.contains("'''"));
    item.quote.filter(|open| *open <= at.start && !many)
}

/// The bracket that is not closed, if that is the mistake noticed at `at`, and the text with it closed.
fn unclosed(text: &str, at: &At) -> Option<(usize, String)> {
    // The parser notices at the next key or header, at the earliest in the item itself.
    let item =
        items(text).into_iter().rfind(|item| item.all.start <= at.start && (!item.open.is_empty() || item.crossed.is_some()))?;
    let (None, Some((first, _))) = (item.quote, item.open.first().copied().or(item.crossed.map(|at| (at, '{')))) else {
        return None;
    };
    if let Some(crossed) = item.crossed {
        return Some((crossed, String::new()));
    }
    let close: String = item.open.iter().rev().map(|(_, c)| if *c == '[' { ']' } else { '}' }).collect();
    let closed = format!("{}{close}{}", text.get(..item.end)?, text.get(item.end..)?);
    // That it was this one shows when the parser gets further with it closed, or without it.
    let last = line_of(text, item.all.end.saturating_sub(1));
    if further(&closed, last) {
        return Some((first, closed));
    }
    without_value(text, &item.all).is_some_and(|text| further(&text, last)).then_some((first, String::new()))
}

/// Whether a text has no mistake up to the end of this line.
fn further(text: &str, line: usize) -> bool {
    match DeTable::parse(text) {
        Ok(_) => true,
        Err(error) => error.span().is_some_and(|at| line_of(text, at.start) > line),
    }
}

/// The text as it reads on behind its first mistake, and the lines whose words are gone, if they are; `None` where reading on would mean guessing.
pub(super) fn without(text: &str) -> Option<(String, Option<Lines>)> {
    let error = DeTable::parse(text).err()?;
    if is_ha_cf(text) {
        return None;
    }
    let at = error.span()?;
    let all = items(text);
    let quote = open_quote(text, &at);
    let bracket = unclosed(text, &at).filter(|_| quote.is_none());
    let start = quote.or(bracket.as_ref().map(|(open, _)| *open)).unwrap_or(at.start).min(text.len().saturating_sub(1));
    let item = all.iter().position(|item| item.all.contains(&start))?;
    let (item, next) = (all.get(item)?, all.get(item.saturating_add(1)..)?);
    let words = text.get(item.all.clone())?.trim();
    // A text over several lines: where it ends is a guess.
    if words.contains("\"\"\"") || words.contains("'''") {
        return None;
    }
    // Perhaps a header: its keys would be taken for those of the table before it.
    let keyless = !words.starts_with(is_bare) || !words.contains('=');
    let inside = words.split('[').skip(1).any(|rest| TABLES.iter().any(|table| rest.trim_start().starts_with(table)));
    if !item.header && (inside || (keyless && (words.contains(['[', ']']) || TABLES.contains(&words)))) {
        return None;
    }
    let duplicate = error.message().contains(DUPLICATE);
    let mut gone = item.all.clone();
    if item.header {
        gone.end = next.iter().find(|item| item.header).map_or(text.len(), |item| item.all.start);
    }
    let lines = |at: &At| line_of(text, at.start)..=line_of(text, at.end.saturating_sub(1));
    let last = *lines(if duplicate { &gone } else { &item.all }).end();
    // What is in a header's table is still there to be judged; where a bracket was meant to close is a guess.
    let header = (item.header && !duplicate).then(|| mended_header(text, &item.all)).flatten();
    if let Some(rest) = header.filter(|text| further(text, last)) {
        return Some((rest, None));
    }
    let closed = bracket.map(|(_, closed)| closed).filter(|closed| !closed.is_empty() && further(closed, last));
    if let Some(rest) = closed {
        return Some((rest, Some(lines(&item.all))));
    }
    let ways = [
        (!item.header && !duplicate).then(|| without_value(text, &item.all)).flatten(),
        (!item.header || duplicate).then(|| replaced(text, &gone, "")).flatten(),
    ];
    let rest = ways.into_iter().flatten().find(|text| further(text, last))?;
    Some((rest, Some(lines(&gone))))
}

/// A header with the brackets that it lacks; none when the table is not known, since its keys would then be looked for elsewhere.
fn mended_header(text: &str, at: &At) -> Option<String> {
    let words = text.get(at.clone())?.split(" #").next()?.trim();
    let name = words.trim_matches(['[', ']', ' ']);
    if !TABLES.contains(&name.split('.').next()?) {
        return None;
    }
    let count = |c: char| words.chars().filter(|other| *other == c).count();
    let many = count('[').max(count(']')).clamp(1, 2);
    let header = format!("{}{name}{}", "[".repeat(many), "]".repeat(many));
    is_header(&header).then(|| replaced(text, at, &header))?
}

/// The tables of a configuration.
const TABLES: [&str; 9] = ["nodes", "witness", "timing", "groups", "log", "journal", "realtime", "metrics", "hooks"];

/// A key with a value that is right nowhere in the place of its own.
fn without_value(text: &str, at: &At) -> Option<String> {
    let key: String = text.get(at.clone())?.trim_start().chars().take_while(|c| is_bare(*c)).collect();
    (!key.is_empty()).then(|| replaced(text, at, &format!("{key} = \"?\"")))?
}

/// Other words in the place of some lines, as many lines as before.
fn replaced(text: &str, at: &At, words: &str) -> Option<String> {
    let breaks = text.get(at.clone())?.matches('\n').count();
    Some(format!("{}{words}{}{}", text.get(..at.start)?, "\n".repeat(breaks), text.get(at.end..)?))
}

#[cfg(test)]
#[path = "syntax_tests.rs"]
mod tests;
