//! The shape of a scenario's JSON before its meaning is read: serde takes a list for an object and `null` for a key that is left out, and
//! the published schema does not. Read first, so that both refuse the same.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::step;

/// A scenario's text, lists and objects where they belong, and no `null`.
pub struct Shape;

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Place { depth: 0, list: false }.deserialize(input).map(|()| Shape)
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    /// A list may stand here.
    list: bool,
}

impl Place {
    /// The place of the value of a key: `timeline` and `expect` are lists, and so are several nodes' names.
    fn below(self, key: &str) -> Place {
        let names = || step::TABLE.iter().any(|(name, takes, _)| *name == key && *takes == "NODES");
        let list = match self.depth {
            0 => key == "timeline" || key == "expect",
            2 => names(),
            _ => false,
        };
        Place { depth: self.depth + 1, list }
    }
}

impl<'de> DeserializeSeed<'de> for Place {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<(), S::Error> {
        if !self.list {
            return Err(de::Error::custom("a list has no place here; allowed: an object, or a plain value"));
        }
        while items.next_element_seed(Place { depth: self.depth + 1, list: false })?.is_some() {}
        Ok(())
    }
    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(key) = map.next_key::<String>()? {
            map.next_value_seed(self.below(&key))?;
        }
        Ok(())
    }
}
