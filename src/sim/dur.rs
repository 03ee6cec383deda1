//! Lengths of time as scenarios write them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use twinbeat_core::time::Span;

/// A length of time as a person writes it: `150ms`, `2s`, `1.5s`, `30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Dur(pub Span);

impl Dur {
    /// Reads one.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Dur, String> {
        let wrong = || format!("{text:?} is not a length of time; allowed: a number with us, ms, s, m, h or d, as in \"150ms\"");
        twinbeat_config::any_duration(text).map(Dur).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(input)?;
        Dur::parse(&text).map_err(de::Error::custom)
    }
}

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.0;
        match () {
            () if ns.is_multiple_of(1_000_000_000) => write!(f, "{}s", ns / 1_000_000_000),
            () if ns.is_multiple_of(1_000_000) => write!(f, "{}ms", ns / 1_000_000),
            () => write!(f, "{}us", ns / 1_000),
        }
    }
}
