//! The shape of a parameter of an agent, OCF or fencing: a text, a whole number, or true or false.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A parameter as the agent is told.
#[derive(Debug)]
pub struct RawParameter(pub String);

impl<'de> Deserialize<'de> for RawParameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = RawParameter;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number, true or false")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RawParameter, E> {
                Ok(RawParameter(text.to_owned()))
            }
            fn visit_i64<E: Error>(self, n: i64) -> Result<RawParameter, E> {
                Ok(RawParameter(n.to_string()))
            }
            fn visit_bool<E: Error>(self, b: bool) -> Result<RawParameter, E> {
                Ok(RawParameter(b.to_string()))
            }
        }
        deserializer.deserialize_any(Words)
    }
}
