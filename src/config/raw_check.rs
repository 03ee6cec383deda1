//! The shape of a service's `check`: one table, or a list of them.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::raw_duration::RawDuration;

/// All checks of a service.
#[derive(Debug)]
pub struct RawChecks(pub Vec<Spanned<RawCheck>>);

/// One check: exactly one of the kinds.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCheck {
    /// A URL.
    pub http: Option<Spanned<String>>,
    /// An address with its port.
    pub tcp: Option<Spanned<String>>,
    /// A program with its arguments.
    pub command: Option<Spanned<Vec<String>>>,
    /// What the answer's status has to be.
    pub status: Option<Spanned<RawStatus>>,
    /// What its body has to contain.
    pub contains: Option<Spanned<String>>,
    /// The Host field and the name in the TLS handshake.
    pub name: Option<Spanned<String>>,
    /// Between two questions.
    pub interval: Option<Spanned<RawDuration>>,
    /// What takes longer has failed.
    pub timeout: Option<Spanned<RawDuration>>,
    /// Failures in a row.
    pub fall: Option<Spanned<i64>>,
    /// Good answers in a row.
    pub rise: Option<Spanned<i64>>,
}

/// `200`, or `"200-299"`.
#[derive(Debug)]
pub struct RawStatus(pub String);

impl<'de> Deserialize<'de> for RawStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = RawStatus;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status, or \"200-299\"")
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<RawStatus, E> {
                Ok(RawStatus(n.to_string()))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RawStatus, E> {
                Ok(RawStatus(text.to_owned()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

impl<'de> Deserialize<'de> for RawChecks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = RawChecks;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{ http = \"http://127.0.0.1/\" }, { tcp = \"127.0.0.1:80\" }, { command = [\"PROGRAM\", …] }, or a list of them")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawChecks, A::Error> {
                // The place of the one table is that of its own keys.
                RawCheck::deserialize(MapAccessDeserializer::new(map)).map(|check| RawChecks(vec![Spanned::new(0..0, check)]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawChecks, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(RawChecks)
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}
