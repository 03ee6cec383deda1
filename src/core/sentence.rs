//! What a person is told in a sentence, and beside it what a program may go by: what it is about, and whether it is still the same.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::words::About;
use crate::prelude::*;

/// One sentence for people, with its matter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentence {
    /// What a program may go by.
    pub matter: Matter,
    /// For people; it may be put otherwise in the next version.
    pub text: String,
}

/// What a sentence is about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Matter {
    /// The kind of thing.
    pub about: About,
    /// Which of its kind, where figures in the text pass: the same as long as only these do. None: the text itself says it.
    pub which: Option<String>,
}

impl Sentence {
    /// One that stays as it is while nothing changes.
    pub fn lasting(about: About, text: impl Into<String>) -> Sentence {
        Sentence { matter: Matter { about, which: None }, text: text.into() }
    }

    /// One whose text has figures in it that pass (`14 s`); `which` tells it from others of its kind.
    pub fn passing(about: About, which: impl Into<String>, text: impl Into<String>) -> Sentence {
        Sentence { matter: Matter { about, which: Some(which.into()) }, text: text.into() }
    }

    /// Which of its kind: what stays while figures pass.
    pub fn which(&self) -> &str {
        self.matter.which.as_deref().unwrap_or(&self.text)
    }

    /// Whether both say the same, whatever the figures that passed between them.
    pub fn same(&self, other: &Sentence) -> bool {
        self.matter.about == other.matter.about && self.which() == other.which()
    }
}

/// The texts alone, in their order.
pub fn texts(sentences: &[Sentence]) -> Vec<String> {
    sentences.iter().map(|sentence| sentence.text.clone()).collect()
}

/// The texts in one line.
pub fn joined(sentences: &[Sentence]) -> String {
    texts(sentences).join("; ")
}

/// A list of sentences within an object: the texts under one name, and their matters, in the same order, under another one. A text
/// without a matter (an earlier version wrote it) is about something else.
macro_rules! lists {
    ($(#[$about:meta])* $module:ident: $texts:literal, $matters:literal) => {
        $(#[$about])*
        pub mod $module {
            use super::*;

            #[derive(Serialize, Deserialize)]
            struct Both {
                #[serde(rename = $texts)]
                texts: Vec<String>,
                #[serde(rename = $matters, default)]
                matters: Vec<Matter>,
            }

            /// Writes both lists.
            pub fn serialize<S: Serializer>(sentences: &[Sentence], out: S) -> Result<S::Ok, S::Error> {
                let matters = sentences.iter().map(|sentence| sentence.matter.clone()).collect();
                Both { texts: texts(sentences), matters }.serialize(out)
            }

            /// Reads both lists.
            pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Sentence>, D::Error> {
                let Both { texts, matters } = Both::deserialize(input)?;
                let matters = matters.into_iter().chain(core::iter::repeat(Matter { about: About::Other, which: None }));
                Ok(texts.into_iter().zip(matters).map(|(text, matter)| Sentence { matter, text }).collect())
            }
        }
    };
}

lists! {
    /// `problems` of a view.
    problems: "problems", "problem_matters"
}

lists! {
    /// `reasons` against a takeover.
    reasons: "reasons", "reason_matters"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_looks_saw_the_same_while_only_figures_pass() {
        let away = |name: &str, s: u64| Sentence::passing(About::ReturnPath, name, format!("{name}: for {s} s"));
        assert!(away("web", 1).same(&away("web", 2)) && !away("web", 1).same(&away("mail", 1)));
        let slaves = |up: u8| Sentence::lasting(About::Bond, format!("{up} of 2 slaves"));
        assert!(slaves(1).same(&slaves(1)) && !slaves(1).same(&slaves(2)));
        assert!(!Sentence::lasting(About::Link, "late").same(&Sentence::lasting(About::Bond, "late")));
    }
}
