//! Statements as blocks.

use super::lines::Token;
use crate::text::{Place, Wrong, enough};

/// A statement, and what is in its braces.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    pub words: Vec<String>,
    pub place: Place,
    pub inner: Option<Vec<Block>>,
}

impl Block {
    /// Its first word.
    pub fn word(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The word behind it.
    pub fn value(&self) -> Option<&str> {
        self.words.get(1).map(String::as_str)
    }

    /// What is in its braces.
    pub fn inner(&self) -> &[Block] {
        self.inner.as_deref().unwrap_or_default()
    }
}

/// The deepest nesting; keepalived's own is five.
const DEEPEST: usize = 16;

/// Makes blocks of statements; braces that do not match go into `wrong`.
pub(super) fn build(tokens: Vec<Token>, wrong: &mut Vec<Wrong>) -> Vec<Block> {
    let mut stack: Vec<(Vec<Block>, Place)> = Vec::new();
    let mut here: Vec<Block> = Vec::new();
    let mut may_open = false;
    for token in tokens {
        if enough(wrong) {
            return Vec::new();
        }
        match token {
            Token::Words(words, place) => {
                here.push(Block { words, place, inner: None });
                may_open = true;
            }
            Token::Open(place) => {
                if !may_open {
                    wrong.push(Wrong::new(place.clone(), "`{` without a name before it"));
                    here.push(Block { words: Vec::new(), place: place.clone(), inner: None });
                }
                if stack.len() >= DEEPEST {
                    wrong.push(Wrong::new(place, format!("more than {DEEPEST} braces in one another; not read on")));
                    return Vec::new();
                }
                stack.push((std::mem::take(&mut here), place));
                may_open = false;
            }
            Token::Close(place) => {
                match stack.pop() {
                    Some((mut outer, _)) => {
                        let inner = std::mem::take(&mut here);
                        if let Some(last) = outer.last_mut() {
                            last.inner = Some(inner);
                        }
                        here = outer;
                    }
                    None => wrong.push(Wrong::new(place, "`}` without a `{` before it")),
                }
                may_open = false;
            }
        }
    }
    for (_, place) in &stack {
        wrong.push(Wrong::new(place.clone(), "this `{` is not closed"));
    }
    match stack.into_iter().next() {
        Some((outer, _)) => outer,
        None => here,
    }
}
