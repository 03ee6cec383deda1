//! Gives a recorded node its inputs again: the same outputs, byte for byte, or the first that differ.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use super::file::{Begins, Fault, File, Head};
use super::line::{Coder, Line};
use twinbeat_core::io::{Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::Mono;
use twinbeat_say::Stamp;

/// Who looks on while a journal is played.
pub trait Watch {
    /// A file begins; `goes_on` tells whether it is the one before it that goes on.
    fn begin(&mut self, _head: &Head, _goes_on: bool) {}
    /// An input is about to be given to the node.
    fn before(&mut self, _node: &Node, _at: Mono, _input: &Input) {}
    /// It was, and led to these outputs.
    fn after(&mut self, _node: &Node, _at: Mono, _input: &Input, _outputs: &[Output]) {}
}

/// Nobody.
pub struct Nobody;

impl Watch for Nobody {}

/// Why a journal was not played to its end.
#[derive(Debug)]
pub enum Trouble {
    /// It cannot be read.
    Fault(Fault),
    /// The outputs are others than the recorded ones.
    Difference(Box<Difference>),
}

/// The first outputs that differ.
#[derive(Debug)]
pub struct Difference {
    /// The file.
    pub file: PathBuf,
    /// The line of the input that led to them; of the head, where the whole state differs.
    pub line: usize,
    /// When, by the wall clock.
    pub wall: Stamp,
    /// When, by the node's.
    pub at: Mono,
    /// The input.
    pub input: String,
    /// What was recorded.
    pub recorded: String,
    /// What comes out now.
    pub replayed: String,
    /// Where exactly they part.
    pub part: String,
    /// The version that recorded it, when it is another than this.
    pub version: Option<String>,
}

/// What was played.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Played {
    /// How many files.
    pub files: usize,
    /// How many inputs.
    pub inputs: u64,
    /// How many outputs.
    pub outputs: u64,
    /// From when to when.
    pub from: Option<String>,
    /// To when.
    pub to: Option<String>,
    /// Lives of the daemon that begin in it.
    pub starts: u32,
    /// What is to be said: holes, cut lines, files that do not follow each other.
    pub remarks: Vec<String>,
}

/// A player, file by file.
#[derive(Default)]
pub struct Player {
    node: Option<Node>,
    number: Option<u64>,
    /// The newest input, whose outputs no line has confirmed yet.
    open: Option<Open>,
    /// What was played so far.
    pub played: Played,
}

struct Open {
    line: usize,
    at: Mono,
    input: Input,
    outputs: Vec<Output>,
    /// The heartbeat that was sent before it: the recorded line may lean on it.
    leans: Coder,
    text: Vec<u8>,
}

/// Plays all of these files.
///
/// # Errors
/// The first that cannot be read, or whose outputs differ.
pub fn play(paths: &[PathBuf], watch: &mut dyn Watch) -> Result<Played, Trouble> {
    let mut player = Player::default();
    for path in paths {
        match File::read(path).map_err(Trouble::Fault)? {
            Some(file) => player.file(&file, watch)?,
            None => player.played.remarks.push(format!("{}: not even its head is whole (power loss?): left out", path.display())),
        }
    }
    player.end();
    Ok(player.played)
}

impl Player {
    /// The node as the last line left it.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// Plays one file.
    ///
    /// # Errors
    /// When it cannot be read, or its outputs differ.
    pub fn file(&mut self, file: &File, watch: &mut dyn Watch) -> Result<(), Trouble> {
        let goes_on = self.begin(file)?;
        watch.begin(&file.head, goes_on);
        let mut node = self.node.take().unwrap_or_else(|| file.head.state.clone());
        let (mut reader, mut writer) = (Coder::default(), Coder::default());
        let mut last = file.head.at;
        for (number, text) in file.lines() {
            if let Some(open) = &self.open
                && text.starts_with("[\"o\"")
            {
                self.played.outputs = self.played.outputs.saturating_add(open.outputs.len() as u64);
                if open.text != text.as_bytes() {
                    return Err(self.difference(file, Some(text)));
                }
                self.open = None;
                continue;
            }
            if text.starts_with("[\"gap\"") {
                // What the last input led to may be among what is missing.
                self.open = None;
            }
            if self.open.as_ref().is_some_and(|open| !open.outputs.is_empty()) {
                return Err(self.difference(file, None));
            }
            match reader.read(text).map_err(|what| Trouble::Fault(file.fault(number, what)))? {
                Line::Input(at, input) => {
                    if at < last {
                        let what =
                            format!("its time, {} ns after the boot, lies before that of the line before it, {}", at.0, last.0);
                        return Err(Trouble::Fault(file.fault(number, what)));
                    }
                    last = at;
                    watch.before(&node, at, &input);
                    node.handle(at, input.clone());
                    let outputs: Vec<Output> = std::iter::from_fn(|| node.poll()).collect();
                    watch.after(&node, at, &input, &outputs);
                    let leans = writer.leaning();
                    let mut text = Vec::new();
                    writer.outputs(&mut text, &outputs);
                    text.pop(); // the end of the line
                    self.played.inputs = self.played.inputs.saturating_add(1);
                    self.open = Some(Open { line: number, at, input, outputs, leans, text });
                }
                Line::Outputs(outputs) if outputs.is_empty() => {}
                Line::Outputs(_) => {
                    return Err(Trouble::Fault(file.fault(number, "outputs without an input before them")));
                }
                Line::Gap(lost) => {
                    self.played.remarks.push(format!("{}:{number}: {lost} lines were lost here", file.path.display()))
                }
            }
        }
        self.played.to = Some(file.head.wall(last).to_string());
        self.node = Some(node);
        Ok(())
    }

    /// Whether this file goes on where the last one ended.
    fn begin(&mut self, file: &File) -> Result<bool, Trouble> {
        self.played.files = self.played.files.saturating_add(1);
        let name = file.path.file_stem().and_then(|stem| stem.to_str());
        let number = name.and_then(|stem| stem.parse::<u64>().ok());
        let follows = self.number.zip(number).is_some_and(|(last, this)| last.checked_add(1) == Some(this));
        self.number = number;
        let shown = file.path.display();
        if file.cut {
            self.played.remarks.push(format!("{shown}: the last line is not whole (killed, or power loss): left out"));
        }
        if file.head.lost > 0 {
            let lost = file.head.lost;
            self.played.remarks.push(format!("{shown}: {lost} lines are missing before it; begins anew from its own state"));
        }
        self.played.from.get_or_insert_with(|| file.head.wall(file.head.at).to_string());
        if file.head.begins == Begins::Start {
            self.played.starts = self.played.starts.saturating_add(1);
        }
        let goes_on = follows && file.head.begins == Begins::Rotation && self.node.is_some();
        if !goes_on {
            if self.node.is_some() && file.head.begins == Begins::Rotation {
                self.played.remarks.push(format!("{shown}: does not follow the file before it; begins anew from its own state"));
            }
            self.end();
            self.node = None;
            return Ok(false);
        }
        if self.open.as_ref().is_some_and(|open| !open.outputs.is_empty()) {
            return Err(self.difference(file, None));
        }
        self.open = None;
        let json = |node: &Node| serde_json::to_value(node).unwrap_or_default();
        let (recorded, replayed) = (json(&file.head.state), self.node.as_ref().map(json).unwrap_or_default());
        if let Some(part) = parts("state", &recorded, &replayed) {
            return Err(Trouble::Difference(Box::new(Difference {
                file: file.path.clone(),
                line: 1,
                wall: file.head.wall(file.head.at),
                at: file.head.at,
                input: "a new file: its state must be the one that the file before it led to".into(),
                recorded: String::new(),
                replayed: String::new(),
                part,
                version: other_version(&file.head),
            })));
        }
        Ok(true)
    }

    /// What the very last input led to may not have been written any more.
    fn end(&mut self) {
        if let Some(open) = self.open.take()
            && !open.outputs.is_empty()
        {
            self.played
                .remarks
                .push(format!("what the last input, at {}, led to was not written any more: not compared", open.at));
        }
    }

    fn difference(&mut self, file: &File, recorded: Option<&str>) -> Trouble {
        let Some(mut open) = self.open.take() else { return Trouble::Fault(file.fault(0, "outputs without an input")) };
        let recorded = match recorded.map(|text| open.leans.read(text)) {
            None => Vec::new(),
            Some(Ok(Line::Outputs(outputs))) => outputs,
            Some(Ok(_)) => return Trouble::Fault(file.fault(open.line.saturating_add(1), "not a line of outputs")),
            Some(Err(what)) => return Trouble::Fault(file.fault(open.line.saturating_add(1), what)),
        };
        let shown = |outputs: &[Output]| match outputs {
            [] => "nothing".to_string(),
            all => all.iter().map(|o| format!("{o:?}")).collect::<Vec<_>>().join("\n             "),
        };
        let json = |outputs: &[Output]| serde_json::to_value(outputs).unwrap_or_default();
        let part = parts("outputs", &json(&recorded), &json(&open.outputs));
        Trouble::Difference(Box::new(Difference {
            file: file.path.clone(),
            line: open.line,
            wall: file.head.wall(open.at),
            at: open.at,
            input: words(&open.input, &file.head.settings),
            recorded: shown(&recorded),
            replayed: shown(&open.outputs),
            part: part.unwrap_or_else(|| "only the way of writing".into()),
            version: other_version(&file.head),
        }))
    }
}

fn other_version(head: &Head) -> Option<String> {
    (head.twinbeat != env!("CARGO_PKG_VERSION")).then(|| head.twinbeat.clone())
}

/// The first place in which two values differ.
fn parts(place: &str, recorded: &Value, replayed: &Value) -> Option<String> {
    match (recorded, replayed) {
        _ if recorded == replayed => None,
        (Value::Object(was), Value::Object(is)) if was.keys().eq(is.keys()) => {
            was.iter().zip(is.values()).find_map(|((key, was), is)| parts(&format!("{place}.{key}"), was, is))
        }
        (Value::Array(was), Value::Array(is)) => {
            let first = was.iter().zip(is).enumerate().find_map(|(n, (was, is))| parts(&format!("{place}[{n}]"), was, is));
            first.or_else(|| Some(format!("{place}: {} recorded, {} replayed", was.len(), is.len())))
        }
        _ => Some(format!("{place}: recorded {recorded}, replayed {replayed}")),
    }
}

/// An input in a few words.
pub fn words(input: &Input, settings: &Settings) -> String {
    let link = |id: u8| settings.links.get(usize::from(id)).map_or_else(|| format!("link {id}"), |l| format!("link {}", l.name));
    let peer = settings.name_of(settings.me.other());
    match input {
        Input::Tick => "time has passed".into(),
        Input::Heard { link: id, beat } => format!("heartbeat {} of {peer} over {}", beat.get().number, link(id.0)),
        Input::HeardByTable { beat, .. } => {
            format!("heartbeat {} of {peer}, delivered by the witness's table", beat.get().number)
        }
        Input::Link { link: id, state } => format!("{}: {state:?}", link(id.0)),
        Input::Ipv6Off { link: id, off } => format!("{}: IPv6 {}", link(id.0), if *off { "off" } else { "on" }),
        Input::EchoReply { witness, kind, number } => {
            format!("witness {} answered echo {number} ({kind:?})", u16::from(witness.0).saturating_add(1))
        }
        other => format!("{other:?}"),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "first difference: {}:{}, at {} (node's clock {})", self.file.display(), self.line, self.wall, self.at)?;
        writeln!(f, "  input      {}", self.input)?;
        if !(self.recorded.is_empty() && self.replayed.is_empty()) {
            writeln!(f, "  recorded   {}", self.recorded)?;
            writeln!(f, "  replayed   {}", self.replayed)?;
        }
        write!(f, "  differs in {}", self.part)?;
        if let Some(version) = &self.version {
            write!(
                f,
                "\n  recorded by twinbeat {version}, replayed by {}: replay it with the version that wrote it",
                env!("CARGO_PKG_VERSION")
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Played { files, inputs, outputs, from, to, starts, remarks } = self;
        let (from, to) = (from.as_deref().unwrap_or("-"), to.as_deref().unwrap_or("-"));
        let lives = if *starts == 1 { "start" } else { "starts" };
        write!(
            f,
            "ok    {inputs} inputs led to the same {outputs} outputs, byte for byte: {from} to {to}, {files} files, {starts} {lives}"
        )?;
        remarks.iter().try_for_each(|remark| write!(f, "\n      {remark}"))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Fault(fault) => fault.fmt(f),
            Trouble::Difference(difference) => difference.fmt(f),
        }
    }
}

impl std::error::Error for Trouble {}
