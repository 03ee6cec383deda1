//! The shape of an interface that is no link's: one name for both nodes, or one for each.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

/// `"eth4.120"`, or `{ master1 = "eth4.120", master2 = "eth5.120" }`.
#[derive(Debug)]
pub enum RawInterface {
    /// The same on both nodes.
    Both(String),
    /// By the nodes' names.
    Each(BTreeMap<Spanned<String>, Spanned<String>>),
}

impl<'de> Deserialize<'de> for RawInterface {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = RawInterface;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an interface's name, or a table with one for each node")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RawInterface, E> {
                Ok(RawInterface::Both(text.to_owned()))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<RawInterface, M::Error> {
                BTreeMap::deserialize(MapAccessDeserializer::new(map)).map(RawInterface::Each)
            }
        }
        deserializer.deserialize_any(Words)
    }
}
