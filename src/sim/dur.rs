//! Lengths of time as scenarios write them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use twinbeat_config::duration;
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
        duration::parse(text).map(Dur)
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
        f.write_str(&duration::write(self.0))
    }
}
