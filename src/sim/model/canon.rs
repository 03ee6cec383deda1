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
use twinbeat_core::heartbeat::{Grant, Heartbeat};
use twinbeat_core::id::Attempt;
use twinbeat_core::io::Output;
use twinbeat_core::meaning::{IN_A_ROW, Meaning};
use twinbeat_core::ready::Unfit;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::Mono;

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

/// Whether this is the name by which a type of the core is serialized: its own.
fn is<T>(name: &str) -> bool {
    type_name::<T>().rsplit("::").next() == Some(name)
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
    /// How a bare number is meant; as it is where nothing is said.
    meaning: Option<Meaning>,
}

/// Appends the canonical form of a value of side `speaker`; heartbeats inside it are `beats_of`'s.
pub fn write<T: Serialize>(out: &mut Vec<u8>, bases: &Bases, speaker: usize, beats_of: usize, value: &T) {
    let mut canon = Canon { out, bases, speaker, beats_of, grant: false, meaning: None };
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
        let (me, other) = (self.speaker, 1 - self.speaker);
        let beat = |side: usize| n.wrapping_sub(self.bases.beats[side]);
        let n = match self.meaning {
            None | Some(Meaning::Nothing) => n,
            Some(Meaning::Row) => n.min(IN_A_ROW),
            Some(Meaning::Own) => n.wrapping_sub(self.bases.numbers[me]),
            // Zero means none yet.
            Some(Meaning::Beat | Meaning::PeerBeat) if n == 0 => u64::MAX / 2,
            Some(Meaning::Beat | Meaning::Sent) => beat(me),
            Some(Meaning::PeerBeat) => beat(other),
        };
        self.out.extend_from_slice(&n.to_le_bytes());
        Ok(())
    }

    /// Writes a field, unless it is none of the state; what a number in it means is written on it ([`Meaning`]).
    fn field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        if is_no_state::<T>() {
            return Ok(());
        }
        self.as_meant(None, value)
    }

    /// Writes a value whose numbers are meant so.
    fn as_meant<T: Serialize + ?Sized>(&mut self, meaning: Option<Meaning>, value: &T) -> Done {
        let before = std::mem::replace(&mut self.meaning, meaning);
        value.serialize(&mut *self)?;
        self.meaning = before;
        Ok(())
    }
}

/// A list, tuple, struct or variant under way.
pub struct Compound<'b, 'a> {
    canon: &'b mut Canon<'a>,
    /// Where its bytes begin.
    begin: usize,
    /// The meaning, speaker and grant to go back to.
    before: (Option<Meaning>, usize, bool),
}

impl<'b, 'a> Compound<'b, 'a> {
    fn new(canon: &'b mut Canon<'a>) -> Self {
        let (begin, before) = (canon.out.len(), (canon.meaning, canon.speaker, canon.grant));
        Compound { canon, begin, before }
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
        if self.canon.meaning == Some(Meaning::Sent) {
            let side = self.canon.speaker;
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
    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Done {
        self.canon.field(value)
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
    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Done {
        self.canon.field(value)
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
        if let Some(meaning) = Meaning::of(name) {
            return if meaning == Meaning::Nothing { Ok(()) } else { self.as_meant(Some(meaning), value) };
        }
        if is::<Mono>(name) {
            let begin = self.out.len();
            self.as_meant(None, value)?;
            if let Some(bytes) = self.out[begin..].first_chunk_mut::<8>() {
                let age = self.bases.now[self.speaker].wrapping_sub(u64::from_le_bytes(*bytes));
                *bytes = age.to_le_bytes();
            }
            Ok(())
        } else if is::<Attempt>(name) {
            let speaker = self.speaker;
            if self.grant {
                self.speaker = 1 - speaker;
            }
            self.as_meant(Some(Meaning::Own), value)?;
            self.speaker = speaker;
            Ok(())
        } else {
            self.as_meant(None, value)
        }
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: &'static str, index: u32, _: &'static str, value: &T) -> Done {
        self.out.push(index as u8);
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Never> {
        Ok(Compound::new(self))
    }
    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Never> {
        Ok(Compound::new(self))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Never> {
        Ok(Compound::new(self))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Never> {
        self.out.push(index as u8);
        Ok(Compound::new(self))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Never> {
        Ok(Compound::new(self))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self::SerializeStruct, Never> {
        let beats_of = self.beats_of;
        let compound = Compound::new(self);
        if is::<Heartbeat>(name) {
            compound.canon.speaker = beats_of;
        }
        compound.canon.grant |= is::<Grant>(name);
        Ok(compound)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Never> {
        self.out.push(index as u8);
        Ok(Compound::new(self))
    }
}
