//! A duration in the file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A duration as written. A bare number is taken here so that the refusal can speak of units rather than of types.
#[derive(Debug)]
pub struct RawDuration(pub String);

impl<'de> Deserialize<'de> for RawDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = RawDuration;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, as in \"200ms\"")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RawDuration, E> {
                Ok(RawDuration(text.to_owned()))
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<RawDuration, E> {
                Ok(RawDuration(n.to_string()))
            }
            fn visit_f64<E: Error>(self, n: f64) -> Result<RawDuration, E> {
                Ok(RawDuration(n.to_string()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
