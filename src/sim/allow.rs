//! What a scenario excuses: limits that SAFETY.md names, for so long and in that time.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::dur::Dur;

/// What is excused.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, expecting = "what is excused, as in {\"two_owners\": \"200ms\"}")]
pub struct Allow {
    /// Two nodes may answer for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_owners: Option<TwoOwners>,
    /// What SAFETY.md names as limits (a), (e) and (l), as long as they last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limits: bool,
    /// Nobody need serve although somebody could: the story is about something that forbids it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nobody: bool,
}

/// For how long two may answer, and when.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum TwoOwners {
    /// For so long, at any time.
    Ever(Dur),
    /// For so long, and only within a time of the story.
    Within(Window),
}

/// For so long, and only within a time of the story.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// For how long at the most.
    pub r#for: Dur,
    /// From when.
    pub from: Dur,
    /// Until when.
    pub to: Dur,
}

impl TwoOwners {
    /// For how long at the most, from when and until when.
    pub fn window(self) -> (Dur, Dur, Option<Dur>) {
        match self {
            TwoOwners::Ever(most) => (most, Dur::default(), None),
            TwoOwners::Within(Window { r#for, from, to }) => (r#for, from, Some(to)),
        }
    }
}

impl<'de> Deserialize<'de> for TwoOwners {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = TwoOwners;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time, or {\"for\": \"200ms\", \"from\": \"20s\", \"to\": \"30s\"}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<TwoOwners, E> {
                Dur::parse(text).map(TwoOwners::Ever).map_err(de::Error::custom)
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<TwoOwners, M::Error> {
                Window::deserialize(de::value::MapAccessDeserializer::new(map)).map(TwoOwners::Within)
            }
        }
        input.deserialize_any(Reader)
    }
}
