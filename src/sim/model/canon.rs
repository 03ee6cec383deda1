//! The canonical form of a state: two states that no future can tell apart give the same bytes.
//!
//! Serde walks the real core. Instants are written as ages, and numbers that only count (heartbeats, attempts, echoes) as
//! distances from the newest, for the core compares and subtracts them and nothing else; what is text for people is left out.
//! Send times that no echo can name any more are left out as well.

use std::any::type_name;
use std::collections::VecDeque;
use std::fmt;

use serde::ser::{self, Serialize};

use twinbeat_core::data::{ForPeople, LastChange};
use twinbeat_core::io::Output;
use twinbeat_core::ready::Unfit;
use twinbeat_core::settings::Settings;

/// A value of this type tells no two futures apart: what is for people, what never changes, what was taken already.
fn is_no_state<T: ?Sized>() -> bool {
    let name = type_name::<T>();
    [
        type_name::<ForPeople>(),
        type_name::<Option<LastChange>>(),
        type_name::<Option<Unfit>>(),
        type_name::<Settings>(),
        type_name::<VecDeque<Output>>(),
    ]
    .contains(&name)
}

/// What the numbers of both sides are counted from.
#[derive(Clone, Copy, Default, Debug)]
pub struct Bases {
    /// Each side's newest heartbeat.
    pub beats: [u64; 2],
    /// Each side's newest attempt, generation, ticket or echo.
    pub numbers: [u64; 2],
    /// The oldest heartbeat of each side that an echo can still name.
    pub oldest: [u64; 2],
    /// Each side's clock.
    pub now: [u64; 2],
}

/// How a bare number is meant.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Meaning {
    Raw,
    /// An attempt, generation, ticket or echo of the speaker.
    Own,
    /// A heartbeat of this side.
    Beat(usize),
    /// The same, and an entry of the list of send times.
    Sent(usize),
    /// Counts on, and is looked at up to here.
    UpTo(u64),
}

/// Writes one value.
pub struct Canon<'a> {
    out: &'a mut Vec<u8>,
    bases: &'a Bases,
    /// Whose numbers they are.
    speaker: usize,
    /// Whose they are inside a heartbeat.
    beats_of: usize,
    /// Inside a grant, which names an attempt of the other side.
    grant: bool,
    meaning: Meaning,
}

/// Appends the canonical form of a value of side `speaker`; heartbeats inside it are `beats_of`'s.
pub fn write<T: Serialize>(out: &mut Vec<u8>, bases: &Bases, speaker: usize, beats_of: usize, value: &T) {
    let mut canon = Canon { out, bases, speaker, beats_of, grant: false, meaning: Meaning::Raw };
    // It writes into memory and cannot fail.
    let _ = value.serialize(&mut canon);
}

/// Never made.
#[derive(Debug)]
pub struct Never;

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory cannot be written")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Never
    }
}

type Done = Result<(), Never>;

impl Canon<'_> {
    fn number(&mut self, n: u64) -> Done {
        let n = match self.meaning {
            Meaning::Raw => n,
            Meaning::UpTo(most) => n.min(most),
            Meaning::Own => n.wrapping_sub(self.bases.numbers[self.speaker]),
            // Zero means none yet.
            Meaning::Beat(_) if n == 0 => u64::MAX / 2,
            Meaning::Beat(side) | Meaning::Sent(side) => n.wrapping_sub(self.bases.beats[side]),
        };
        self.out.extend_from_slice(&n.to_le_bytes());
        Ok(())
    }

    /// Writes a field as what it means; `name` is the struct or variant that it stands in.
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, key: &str, value: &T) -> Done {
        let (me, other) = (self.speaker, 1 - self.speaker);
        let meaning = match (name, key) {
            _ if is_no_state::<T>() => return Ok(()),
            ("Shared", "numbers") | ("Sent", "last") => return Ok(()),
            ("GroupRecord", "peer_serves") | ("Opening", "evidence" | "closed_for") => return Ok(()),
            ("Link", "rtt" | "got") | ("Series", "rtt") | ("LinkEcho", "h") | ("GroupBeat", "shut") => return Ok(()),
            ("Link", "steady") | ("Target", "streak") | ("Owner", "burst") => Meaning::UpTo(8),
            ("Sent", "numbers") => Meaning::Sent(me),
            ("Peer", "newest") | ("Link", "number") | ("LinkEcho", "n") => Meaning::Beat(other),
            ("Heartbeat", "n") => Meaning::Beat(me),
            ("Series", "pending") | ("Target", "control") | ("Node", "writing") => Meaning::Own,
            ("Opening" | "Leaving" | "Gate", "generation") => Meaning::Own,
            ("EchoReply", "number") | ("Persisted" | "PersistFailed", "ticket") => Meaning::Own,
            _ => Meaning::Raw,
        };
        let before = std::mem::replace(&mut self.meaning, meaning);
        value.serialize(&mut *self)?;
        self.meaning = before;
        Ok(())
    }
}

/// A list, tuple, struct or variant under way.
pub struct Compound<'b, 'a> {
    canon: &'b mut Canon<'a>,
    name: &'static str,
    /// Where its bytes begin.
    begin: usize,
    /// The meaning, speaker and grant to go back to.
    before: (Meaning, usize, bool),
}

impl<'b, 'a> Compound<'b, 'a> {
    fn new(canon: &'b mut Canon<'a>, name: &'static str) -> Self {
        let (begin, before) = (canon.out.len(), (canon.meaning, canon.speaker, canon.grant));
        Compound { canon, name, begin, before }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(&mut *self.canon)
    }

    fn close(self) -> Done {
        (self.canon.meaning, self.canon.speaker, self.canon.grant) = self.before;
        // Told apart from what follows.
        self.canon.out.push(0xfe);
        Ok(())
    }
}

impl ser::SerializeSeq for Compound<'_, '_> {
    type Ok = ();
    type Error = Never;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.element(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeTuple for Compound<'_, '_> {
    type Ok = ();
    type Error = Never;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.element(value)
    }
    fn end(self) -> Done {
        if let Meaning::Sent(side) = self.canon.meaning {
            let number: [u8; 8] = self.canon.out[self.begin..].first_chunk().copied().unwrap_or_default();
            let number = u64::from_le_bytes(number).wrapping_add(self.canon.bases.beats[side]);
            if number < self.canon.bases.oldest[side] {
                self.canon.out.truncate(self.begin); // nobody can name it any more
                return Ok(());
            }
        }
        self.close()
    }
}

impl ser::SerializeTupleStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.element(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Compound<'_, '_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.element(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeMap for Compound<'_, '_> {
    type Ok = ();
    type Error = Never;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.element(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.element(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeStruct for Compound<'_, '_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        self.canon.field(self.name, key, value)
    }
    fn skip_field(&mut self, _: &'static str) -> Done {
        self.canon.out.push(0xfd);
        Ok(())
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeStructVariant for Compound<'_, '_> {
    type Ok = ();
    type Error = Never;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        self.canon.field(self.name, key, value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl<'b, 'a> ser::Serializer for &'b mut Canon<'a> {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Compound<'b, 'a>;
    type SerializeTuple = Compound<'b, 'a>;
    type SerializeTupleStruct = Compound<'b, 'a>;
    type SerializeTupleVariant = Compound<'b, 'a>;
    type SerializeMap = Compound<'b, 'a>;
    type SerializeStruct = Compound<'b, 'a>;
    type SerializeStructVariant = Compound<'b, 'a>;

    fn serialize_bool(self, v: bool) -> Done {
        self.out.push(u8::from(v));
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Done {
        self.serialize_i64(i64::from(v))
    }
    fn serialize_i16(self, v: i16) -> Done {
        self.serialize_i64(i64::from(v))
    }
    fn serialize_i32(self, v: i32) -> Done {
        self.serialize_i64(i64::from(v))
    }
    fn serialize_i64(self, v: i64) -> Done {
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_u8(self, v: u8) -> Done {
        self.out.push(v);
        Ok(())
    }
    fn serialize_u16(self, v: u16) -> Done {
        self.number(u64::from(v))
    }
    fn serialize_u32(self, v: u32) -> Done {
        self.number(u64::from(v))
    }
    fn serialize_u64(self, v: u64) -> Done {
        self.number(v)
    }
    fn serialize_f32(self, v: f32) -> Done {
        self.serialize_f64(f64::from(v))
    }
    fn serialize_f64(self, v: f64) -> Done {
        self.out.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_char(self, v: char) -> Done {
        self.out.extend_from_slice(&u32::from(v).to_le_bytes());
        Ok(())
    }
    fn serialize_str(self, v: &str) -> Done {
        self.out.extend_from_slice(v.as_bytes());
        self.out.push(0xff);
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Done {
        self.out.extend_from_slice(v);
        self.out.push(0xff);
        Ok(())
    }
    fn serialize_none(self) -> Done {
        self.out.push(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.out.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Done {
        self.out.push(index as u8);
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Done {
        let before = self.meaning;
        match name {
            "Mono" => {
                let begin = self.out.len();
                self.meaning = Meaning::Raw;
                value.serialize(&mut *self)?;
                if let Some(bytes) = self.out[begin..].first_chunk_mut::<8>() {
                    let age = self.bases.now[self.speaker].wrapping_sub(u64::from_le_bytes(*bytes));
                    *bytes = age.to_le_bytes();
                }
            }
            "Attempt" => {
                let speaker = self.speaker;
                if self.grant {
                    self.speaker = 1 - speaker;
                }
                self.meaning = Meaning::Own;
                value.serialize(&mut *self)?;
                self.speaker = speaker;
            }
            "Verified" => value.serialize(&mut *self)?,
            _ => {
                self.meaning = Meaning::Raw;
                value.serialize(&mut *self)?;
            }
        }
        self.meaning = before;
        Ok(())
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: &'static str, index: u32, _: &'static str, value: &T) -> Done {
        self.out.push(index as u8);
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Never> {
        Ok(Compound::new(self, ""))
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Never> {
        Ok(Compound::new(self, ""))
    }
    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Never> {
        Ok(Compound::new(self, name))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Never> {
        self.out.push(index as u8);
        Ok(Compound::new(self, variant))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Never> {
        Ok(Compound::new(self, ""))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeStruct, Never> {
        let beats_of = self.beats_of;
        let compound = Compound::new(self, name);
        match name {
            "Heartbeat" => compound.canon.speaker = beats_of,
            "Grant" => compound.canon.grant = true,
            _ => {}
        }
        Ok(compound)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Never> {
        self.out.push(index as u8);
        Ok(Compound::new(self, variant))
    }
}
