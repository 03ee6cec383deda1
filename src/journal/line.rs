//! One line: an input with its time, the outputs that it led to, or a hole. JSON arrays, short for what is frequent.
//!
//! ```text
//! [T,"."]                              time has passed (T: nanoseconds of the node's clock)
//! [T,"h",LINK,BEAT]                    a heartbeat over a link
//! [T,"b",GROUP,BEAT]                   one that the witness's table delivered
//! [T,"e",WITNESS,"KIND",NUMBER]        an echo came back; kinds: o own, v VIP, c challenge, n negative control, the last three with the group
//! [T,"g",GROUP,GENERATION]             a gate was renewed
//! [T,"i",INPUT]                        any other input, as serde writes it; in old files {"PortRefused":…} too, which moved nothing but the time
//! ["o",OUTPUT,...]                     what the input before it led to, in order; no line: nothing
//!      ["s",[LINK,...],BEAT]               a heartbeat is sent
//!      ["e",WITNESS,"KIND",NUMBER]         an echo is sent
//!      ["g",GROUP,GENERATION,T]            a gate is renewed until T
//!      {...}                               any other output, as serde writes it
//! ["gap",N]                            N lines were lost here
//! ```
//!
//! BEAT is left out when it is the one before it of its stream (heard, sent), `[number, ask, answered, [[number, held],...]]`
//! when only these differ from that, and the whole heartbeat otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use twinbeat_core::heartbeat::{Heartbeat, Verified};
use twinbeat_core::id::GroupId;
use twinbeat_core::io::{EchoKind, GateOrder, GateReport, Input, Output};
use twinbeat_core::time::{Mono, Span};
use twinbeat_say::plain;

/// What a line says.
#[derive(Clone, PartialEq, Debug)]
pub enum Line {
    /// An input, and when.
    Input(Mono, Input),
    /// What the input before it led to.
    Outputs(Vec<Output>),
    /// So many lines were lost here.
    Gap(u64),
}

/// Writes and reads the lines of one file. Both directions keep the newest heartbeat of each stream.
#[derive(Debug, Default)]
pub struct Coder {
    heard: Newest<Verified<Heartbeat>>,
    sent: Newest<Heartbeat>,
}

/// The newest heartbeat, each of its parts by its place, and which came last.
#[derive(Debug)]
struct Newest<B> {
    parts: BTreeMap<u8, Arc<B>>,
    now: u8,
}

impl<B> Default for Newest<B> {
    fn default() -> Newest<B> {
        Newest { parts: BTreeMap::new(), now: 0 }
    }
}

impl<B> Clone for Newest<B> {
    fn clone(&self) -> Newest<B> {
        Newest { parts: self.parts.clone(), now: self.now }
    }
}

impl<B> Newest<B> {
    fn last(&self) -> Option<&Arc<B>> {
        self.parts.get(&self.now)
    }

    fn part(&self, index: u8) -> Option<&B> {
        self.parts.get(&index).map(|beat| &**beat)
    }

    fn keep(&mut self, index: u8, beat: &Arc<B>) {
        self.now = index;
        self.parts.insert(index, Arc::clone(beat));
    }
}

/// The little that differs between two heartbeats while nothing changes; then which part it is, where it is not the first.
#[derive(Serialize, Deserialize)]
struct Delta(u64, u8, Option<Span>, Vec<(u64, Span)>, #[serde(default, skip_serializing_if = "is_first")] u8);

fn is_first(index: &u8) -> bool {
    *index == 0
}

impl Coder {
    /// Appends an input's line.
    pub fn input(&mut self, to: &mut Vec<u8>, now: Mono, input: &Input) {
        to.push(b'[');
        put(to, &now);
        match input {
            Input::Tick => to.extend_from_slice(br#",".""#),
            Input::Heard { link, beat } => {
                to.extend_from_slice(br#","h","#);
                put(to, link);
                self.heard(to, beat);
            }
            Input::HeardByTable { group, beat } => {
                to.extend_from_slice(br#","b","#);
                put(to, group);
                self.heard(to, beat);
            }
            Input::EchoReply { witness, kind, number } => {
                to.push(b',');
                echo(to, witness.0, *kind, *number);
            }
            Input::Gate { group, generation, report: GateReport::Renewed } => {
                to.extend_from_slice(br#","g","#);
                put(to, group);
                to.push(b',');
                put(to, generation);
            }
            other => {
                to.extend_from_slice(br#","i","#);
                put(to, other);
            }
        }
        to.extend_from_slice(b"]\n");
    }

    /// Begins a line of outputs.
    pub fn begin_outputs(to: &mut Vec<u8>) {
        to.extend_from_slice(br#"["o""#);
    }

    /// Appends one output to it.
    pub fn output(&mut self, to: &mut Vec<u8>, output: &Output) {
        to.push(b',');
        match output {
            Output::Send { beat, links } => {
                to.extend_from_slice(br#"["s","#);
                put(to, links);
                let last = self.sent.last().map(|last| &**last);
                beat_line(to, last, self.sent.part(beat.part.index), beat);
                self.sent.keep(beat.part.index, beat);
                to.push(b']');
            }
            Output::Echo { witness, kind, number } => {
                to.push(b'[');
                echo(to, witness.0, *kind, *number);
                to.push(b']');
            }
            Output::Gate { group, generation, order: GateOrder::Renew(until) } => {
                to.extend_from_slice(br#"["g","#);
                put(to, group);
                to.push(b',');
                put(to, generation);
                to.push(b',');
                put(to, until);
                to.push(b']');
            }
            other => put(to, other),
        }
    }

    /// Ends it.
    pub fn end_outputs(to: &mut Vec<u8>) {
        to.extend_from_slice(b"]\n");
    }

    /// A whole line of outputs; nothing where there are none.
    pub fn outputs(&mut self, to: &mut Vec<u8>, outputs: &[Output]) {
        if outputs.is_empty() {
            return;
        }
        Coder::begin_outputs(to);
        outputs.iter().for_each(|output| self.output(to, output));
        Coder::end_outputs(to);
    }

    /// A hole.
    pub fn gap(to: &mut Vec<u8>, lost: u64) {
        to.extend_from_slice(format!("[\"gap\",{lost}]\n").as_bytes());
    }

    /// A coder that reads outputs as this one would write them next.
    pub fn leaning(&self) -> Coder {
        Coder { heard: Newest::default(), sent: self.sent.clone() }
    }

    fn heard(&mut self, to: &mut Vec<u8>, beat: &Arc<Verified<Heartbeat>>) {
        let index = beat.get().part.index;
        let last = self.heard.last();
        // As a rule the very same: copies over other links are not verified anew.
        if !last.is_some_and(|last| Arc::ptr_eq(last, beat)) {
            let last = last.map(|last| last.get());
            beat_line(to, last, self.heard.part(index).map(Verified::get), beat.get());
        }
        self.heard.keep(index, beat);
    }

    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn read(&mut self, line: &str) -> Result<Line, String> {
        let mut parts: Vec<Value> =
            serde_json::from_str(line).map_err(|wrong| format!("not a line of a journal: {}", plain(&wrong.to_string())))?;
        let short = || "not a line of a journal: something is missing in it".to_string();
        let first = parts.first_mut().map(Value::take).ok_or_else(short)?;
        if let Some(word) = first.as_str() {
            return match word {
                "o" => parts.drain(1..).map(|part| self.read_output(part)).collect::<Result<_, _>>().map(Line::Outputs),
                "gap" => parts.get(1).and_then(Value::as_u64).map(Line::Gap).ok_or_else(short),
                other => Err(format!("not a line of a journal: it begins with {other:?}; allowed: a time, \"o\", \"gap\"")),
            };
        }
        let at = Mono(first.as_u64().ok_or("not a line of a journal: its time is no number of nanoseconds")?);
        if at >= LATEST {
            return Err(format!("not a line of a journal: its time, {} ns after a boot, is none that a machine comes to", at.0));
        }
        let mut take = |place: usize| parts.get_mut(place).map(Value::take).ok_or_else(short);
        let tag = take(1)?;
        let input = match tag.as_str() {
            Some(".") => Input::Tick,
            Some("h") => Input::Heard { link: typed(take(2)?)?, beat: self.read_heard(take(3).ok())? },
            Some("b") => Input::HeardByTable { group: typed(take(2)?)?, beat: self.read_heard(take(3).ok())? },
            Some("e") => {
                let (kind, number) = (read_kind(&take(3)?)?, typed(take(4)?)?);
                Input::EchoReply { witness: typed(take(2)?)?, kind, number }
            }
            Some("g") => Input::Gate { group: typed(take(2)?)?, generation: typed(take(3)?)?, report: GateReport::Renewed },
            Some("i") => read_input(take(2)?)?,
            _ => {
                return Err(format!(
                    "not a line of a journal: an input of the kind {tag}; allowed: \".\", \"h\", \"b\", \"e\", \"g\", \"i\""
                ));
            }
        };
        Ok(Line::Input(at, input))
    }

    fn read_heard(&mut self, part: Option<Value>) -> Result<Arc<Verified<Heartbeat>>, String> {
        let part_of = |index| self.heard.part(index).map(Verified::get);
        let beat = match part {
            // The recorder vouches: the core had it from `wire::open`.
            Some(part) => Arc::new(Verified::vouch(read_beat(part, part_of)?)),
            None => Arc::clone(self.heard.last().ok_or("a heartbeat like the one before it, and there is none")?),
        };
        self.heard.keep(beat.get().part.index, &beat);
        Ok(beat)
    }

    fn read_output(&mut self, mut part: Value) -> Result<Output, String> {
        let Some(list) = part.as_array_mut() else { return typed(part) };
        let mut take = |place: usize| list.get_mut(place).map(Value::take).ok_or("an output is too short");
        match take(0)?.as_str() {
            Some("s") => {
                let links = typed(take(1)?)?;
                let beat = match take(2) {
                    Ok(part) => Arc::new(read_beat(part, |index| self.sent.part(index))?),
                    Err(_) => Arc::clone(self.sent.last().ok_or("a heartbeat like the one before it, and there is none")?),
                };
                self.sent.keep(beat.part.index, &beat);
                Ok(Output::Send { beat, links })
            }
            Some("e") => Ok(Output::Echo { witness: typed(take(1)?)?, kind: read_kind(&take(2)?)?, number: typed(take(3)?)? }),
            Some("g") => {
                let order = GateOrder::Renew(typed(take(3)?)?);
                Ok(Output::Gate { group: typed(take(1)?)?, generation: typed(take(2)?)?, order })
            }
            _ => Err("an output of an unknown kind; allowed: \"s\", \"e\", \"g\"".into()),
        }
    }
}

/// No machine is up for so long (146 years). Near the end of what a [`Mono`] holds nothing lies ahead any more, and a world in which
/// whatever is to come is due at once never ends.
pub(super) const LATEST: Mono = Mono(1 << 62);

/// `,BEAT`, or nothing when it is the last one once more; `same` is the last one with its part.
fn beat_line(to: &mut Vec<u8>, last: Option<&Heartbeat>, same: Option<&Heartbeat>, beat: &Heartbeat) {
    if last == Some(beat) {
        return;
    }
    to.push(b',');
    match same.filter(|last| little_differs(last, beat)) {
        Some(_) => {
            let echoes = beat.echoes.iter().map(|e| (e.number, e.held)).collect();
            put(to, &Delta(beat.number, u8::from(beat.answer), beat.answered, echoes, beat.part.index));
        }
        None => put(to, beat),
    }
}

/// Whether nothing differs but what [`Delta`] holds. Destructured: a new field must be thought of here.
fn little_differs(last: &Heartbeat, beat: &Heartbeat) -> bool {
    let Heartbeat {
        version,
        from,
        incarnation,
        number: _,
        digest,
        lease,
        witnesses,
        echo_of,
        echoes,
        answer: _,
        reachable,
        answered: _,
        carrier,
        fencing,
        part,
        groups,
    } = beat;
    let head = (
        last.version,
        last.from,
        last.incarnation,
        last.digest,
        last.lease,
        last.witnesses,
        last.echo_of,
        last.reachable,
        last.carrier,
        last.fencing,
        last.part,
    ) == (*version, *from, *incarnation, *digest, *lease, *witnesses, *echo_of, *reachable, *carrier, *fencing, *part);
    let links = last.echoes.iter().map(|e| &e.link).eq(echoes.iter().map(|e| &e.link));
    head && links && last.groups == *groups
}

fn read_beat<'l>(part: Value, last: impl Fn(u8) -> Option<&'l Heartbeat>) -> Result<Heartbeat, String> {
    if part.is_object() {
        return typed(part);
    }
    let Delta(number, answer, answered, echoes, index) = typed(part)?;
    let mut beat = last(index).ok_or("a heartbeat like the one before it, and there is none")?.clone();
    if beat.echoes.len() != echoes.len() {
        return Err(format!("a heartbeat with {} echoes behind one with {}", echoes.len(), beat.echoes.len()));
    }
    (beat.number, beat.answer, beat.answered) = (number, answer != 0, answered);
    for (echo, (number, held)) in beat.echoes.iter_mut().zip(echoes) {
        (echo.number, echo.held) = (number, held);
    }
    Ok(beat)
}

/// `"e",WITNESS,"KIND",NUMBER`
fn echo(to: &mut Vec<u8>, witness: u8, kind: EchoKind, number: u64) {
    let (letter, group) = match kind {
        EchoKind::Own => (b'o', None),
        EchoKind::Inquiry => (b'i', None),
        EchoKind::Vip(g) => (b'v', Some(g)),
        EchoKind::Challenge(g) => (b'c', Some(g)),
        EchoKind::Control(g) => (b'n', Some(g)),
    };
    to.extend_from_slice(br#""e","#);
    put(to, &witness);
    to.extend_from_slice(&[b',', b'"', letter]);
    if let Some(group) = group {
        put(to, &group);
    }
    to.extend_from_slice(br#"","#);
    put(to, &number);
}

/// An input as serde writes it. What a port's refusal was to a decision until it was told of none, it is in an old journal: time that has passed.
fn read_input(part: Value) -> Result<Input, String> {
    if part.get("PortRefused").is_some() { Ok(Input::Tick) } else { typed(part) }
}

fn read_kind(part: &Value) -> Result<EchoKind, String> {
    let wrong = || format!("an echo of the kind {part}; allowed: \"o\", \"i\", \"v0\", \"c0\", \"n0\" and so on");
    let text = part.as_str().ok_or_else(wrong)?;
    if text == "o" {
        return Ok(EchoKind::Own);
    }
    if text == "i" {
        return Ok(EchoKind::Inquiry);
    }
    let (letter, group) = text.split_at_checked(1).ok_or_else(wrong)?;
    let group = GroupId(group.parse().map_err(|_| wrong())?);
    match letter {
        "v" => Ok(EchoKind::Vip(group)),
        "c" => Ok(EchoKind::Challenge(group)),
        "n" => Ok(EchoKind::Control(group)),
        _ => Err(wrong()),
    }
}

/// Appends a value. What the core holds has no maps with odd keys and no way to fail; should it, the line is unreadable and said so.
fn put(to: &mut Vec<u8>, value: &impl Serialize) {
    if serde_json::to_writer(&mut *to, value).is_err() {
        to.extend_from_slice(b"null");
    }
}

fn typed<T: serde::de::DeserializeOwned>(part: Value) -> Result<T, String> {
    serde_json::from_value(part).map_err(|wrong| plain(&wrong.to_string()))
}
