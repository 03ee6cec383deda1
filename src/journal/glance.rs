//! A quick look at a line: when an input came, or those of its outputs that are written in full. Heartbeats, echoes and renewals, which are
//! nearly all of a file, are passed over unread.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use twinbeat_core::io::Output;
use twinbeat_core::time::Mono;

/// What a line shows at a glance.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Glance {
    /// An input came at this instant.
    Input(Mono),
    /// Outputs of the input before it, without those that have a short form.
    Outputs(Vec<Output>),
    /// Lines were lost.
    Gap,
}

impl Glance {
    /// Of a line; none of one that cannot be read, about which the replay says more.
    pub fn of(line: &str) -> Option<Glance> {
        serde_json::from_str(line).ok()
    }
}

impl<'de> Deserialize<'de> for Glance {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_seq(Line)
    }
}

struct Line;

impl<'de> Visitor<'de> for Line {
    type Value = Glance;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line of a journal")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Glance, A::Error> {
        match parts.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))? {
            First::Outputs => {
                let mut all = Vec::new();
                while let Some(Written(output)) = parts.next_element()? {
                    all.extend(output);
                }
                Ok(Glance::Outputs(all))
            }
            First::Time(at) => rest(parts).map(|()| Glance::Input(Mono(at))),
            First::Gap => rest(parts).map(|()| Glance::Gap),
        }
    }
}

/// What a line begins with.
enum First {
    Time(u64),
    Outputs,
    Gap,
}

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Begin;
        impl Visitor<'_> for Begin {
            type Value = First;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time, \"o\" or \"gap\"")
            }
            fn visit_u64<E: de::Error>(self, at: u64) -> Result<First, E> {
                Ok(First::Time(at))
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<First, E> {
                match word {
                    "o" => Ok(First::Outputs),
                    "gap" => Ok(First::Gap),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        input.deserialize_any(Begin)
    }
}

/// An output that is written in full, or none.
struct Written(Option<Output>);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Written;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an output")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Written, A::Error> {
                rest(parts).map(|()| Written(None))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
                Output::deserialize(MapAccessDeserializer::new(map)).map(|output| Written(Some(output)))
            }
        }
        input.deserialize_any(Form)
    }
}

fn rest<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<(), A::Error> {
    while parts.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::line::Coder;
    use super::*;
    use twinbeat_core::event::{Event, Kind, Level};
    use twinbeat_core::id::{Epoch, GroupId};
    use twinbeat_core::io::{Answer, EchoKind, GateOrder, Input};

    #[test]
    fn a_glance_sees_the_time_and_what_is_written_in_full() {
        let (mut coder, mut line) = (Coder::default(), Vec::new());
        coder.input(&mut line, Mono(7), &Input::Tick);
        let note = Event { level: Level::Info, group: None, kind: Kind::Owner(GroupId(0), Epoch(2)), text: "{\"Left\"".into() };
        let full = [Output::Note(note), Output::Reply { id: 1, answer: Answer::Refused("no".into()) }];
        let renews = Output::Gate { group: GroupId(0), generation: 3, order: GateOrder::Renew(Mono(9)) };
        let echo = Output::Echo { witness: Default::default(), kind: EchoKind::Own, number: 4 };
        let [note, reply] = full.clone();
        coder.outputs(&mut line, &[echo, note, renews, reply]);
        Coder::gap(&mut line, 3);
        let text = String::from_utf8(line).unwrap_or_default();
        let seen: Vec<Option<Glance>> = text.lines().map(Glance::of).collect();
        assert_eq!(seen, [Some(Glance::Input(Mono(7))), Some(Glance::Outputs(full.into())), Some(Glance::Gap)]);
        for bad in ["", "[", "[]", "{}", "[-1]", "[\"p\"]", "[\"o\",{\"Nothing\":1}]", "[\"o\",1]", "[1,\".\""] {
            assert_eq!(Glance::of(bad), None, "{bad}");
        }
    }
}
