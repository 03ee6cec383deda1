//! What an agent says of itself: the XML that `meta-data` prints (OCF Resource Agent API 1.1, "Metadata"; ra-api-1.dtd).
//!
//! Read as far as it matters here. What is not understood is passed over; what is no XML is an error with its place.

use std::time::Duration;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// What an agent says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MetaData {
    /// Its name there.
    pub name: String,
    /// What it can be given.
    pub parameters: Vec<Parameter>,
    /// What it can do; an action may be there several times, for roles and depths.
    pub actions: Vec<Action>,
}

/// One parameter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// It must be given.
    pub required: bool,
    /// Nobody should give it any more.
    pub deprecated: bool,
    /// What its value has to be.
    pub content: Content,
}

/// What a parameter's value has to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content {
    /// Any text, and what this reader does not know.
    Text,
    /// A whole number.
    Integer,
    /// What ocf_is_true of ocf-shellfuncs and people take for yes or no.
    Boolean,
    /// One of these.
    OneOf(Vec<String>),
}

/// One action with what is advised for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Action {
    /// Its name: `start`.
    pub name: String,
    /// `Promoted`, `Unpromoted`, or none.
    pub role: Option<String>,
    /// How deep a monitor looks; 0 where it is not said.
    pub depth: u32,
    /// How long it should be given at the least.
    pub timeout: Option<Duration>,
    /// Between two of them.
    pub interval: Option<Duration>,
}

impl MetaData {
    /// Reads it.
    ///
    /// # Errors
    /// What is no XML, is no agent's description, or has more in it than any agent.
    pub fn read(text: &str) -> Result<MetaData, String> {
        let mut reader = Reader::from_str(text);
        let (mut found, mut path, mut rooted) = (MetaData::default(), Vec::new(), false);
        for _ in 0..MOST_EVENTS {
            let place = reader.buffer_position();
            let wrong = |why: String| format!("no XML at byte {place}: {why}");
            match reader.read_event().map_err(|error| wrong(error.to_string()))? {
                Event::Start(tag) => {
                    rooted |= found.open(&path, &tag).map_err(wrong)?;
                    path.push(tag.local_name().as_ref().to_owned());
                    if path.len() > DEEPEST {
                        return Err(wrong("tags within tags without end".to_owned()));
                    }
                }
                Event::Empty(tag) => rooted |= found.open(&path, &tag).map_err(wrong)?,
                Event::End(_) => drop(path.pop()),
                Event::Text(text) if path.last().is_some_and(|tag| tag == "shortdesc") => {
                    found.described(&path, text.as_ref());
                }
                Event::Eof if !path.is_empty() => return Err(wrong("it ends within a tag".to_owned())),
                Event::Eof if !rooted => return Err("it describes no resource agent".to_owned()),
                Event::Eof => return Ok(found),
                _ => {}
            }
        }
        Err("more in it than any agent has to say".to_owned())
    }

    /// The advice for an action; of several the one for this role, and the least deep.
    pub fn action(&self, name: &str, promoted: bool) -> Option<&Action> {
        let other = |action: &&Action| {
            let of = action.role.as_deref().map(|role| matches!(role, "Promoted" | "Master"));
            (of.is_some_and(|of| of != promoted), of.is_none(), action.depth)
        };
        self.actions.iter().filter(|action| action.name == name).min_by_key(other)
    }

    /// A tag that begins below `path`; whether it is the description's own.
    fn open(&mut self, path: &[String], tag: &BytesStart<'_>) -> Result<bool, String> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = tag.local_name().as_ref().to_owned();
        match (path.as_slice(), name.as_str()) {
            ([], "resource-agent") => {
                self.name = attributes(tag)?.text("name").unwrap_or_default();
                return Ok(true);
            }
            ([_, "parameters"], "parameter") => {
                let given = attributes(tag)?;
                let required = given.text("required").is_some_and(|word| truth(&word) == Some(true));
                let name = given.text("name").unwrap_or_default();
                self.parameters.push(Parameter { name, required, deprecated: false, content: Content::Text });
            }
            ([_, "parameters", "parameter"], "content") => {
                let kind = attributes(tag)?.text("type").unwrap_or_default();
                if let Some(parameter) = self.parameters.last_mut() {
                    parameter.content = match kind.as_str() {
                        "integer" => Content::Integer,
                        "boolean" => Content::Boolean,
                        "select" => Content::OneOf(Vec::new()),
                        _ => Content::Text,
                    };
                }
            }
            ([_, "parameters", "parameter", "content"], "option") => {
                let value = attributes(tag)?.text("value");
                if let (Some(Content::OneOf(all)), Some(value)) = (self.parameters.last_mut().map(|p| &mut p.content), value) {
                    all.push(value);
                }
            }
            ([_, "parameters", "parameter"], "deprecated") => {
                if let Some(parameter) = self.parameters.last_mut() {
                    parameter.deprecated = true;
                }
            }
            ([_, "actions"], "action") => {
                let given = attributes(tag)?;
                self.actions.push(Action {
                    name: given.text("name").unwrap_or_default(),
                    role: given.text("role"),
                    depth: given.text("depth").and_then(|depth| depth.trim().parse().ok()).unwrap_or_default(),
                    timeout: given.text("timeout").and_then(|text| duration(&text)),
                    interval: given.text("interval").and_then(|text| duration(&text)),
                });
            }
            _ => {}
        }
        Ok(false)
    }

    /// Agents of API 1.0 have no tag for it and say so in the short description.
    fn described(&mut self, path: &[String], text: &str) {
        let of_a_parameter = path.iter().any(|tag| tag == "parameter");
        if let Some(parameter) = self.parameters.last_mut().filter(|_| of_a_parameter) {
            parameter.deprecated |= text.to_ascii_lowercase().contains("deprecated");
        }
    }
}

/// What ocf_is_true takes for true, and its opposites.
pub(super) fn truth(word: &str) -> Option<bool> {
    match word.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "y" | "on" => Some(true),
        "no" | "false" | "0" | "n" | "off" => Some(false),
        _ => None,
    }
}

/// `20`, `20s`, `20000ms`, `2min`, `1h`: seconds where there is no unit (Pacemaker's crm_parse_interval_spec).
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let each = match unit.trim() {
        "" | "s" | "sec" => Duration::from_secs(1),
        "ms" | "msec" => Duration::from_millis(1),
        "m" | "min" => Duration::from_secs(60),
        "h" | "hr" => Duration::from_secs(3_600),
        _ => return None,
    };
    each.checked_mul(u32::try_from(number).ok()?)
}

/// A tag's attributes.
struct Attributes(Vec<(String, String)>);

impl Attributes {
    fn text(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

fn attributes(tag: &BytesStart<'_>) -> Result<Attributes, String> {
    let mut all = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        // What is no reference stays as it stands there.
        let value =
            quick_xml::escape::unescape(&attribute.value).map_or_else(|_| attribute.value.to_string(), |text| text.into_owned());
        all.push((attribute.key.local_name().as_ref().to_owned(), value));
        if all.len() > MOST_ATTRIBUTES {
            return Err("attributes without end".to_owned());
        }
    }
    Ok(Attributes(all))
}

/// The longest descriptions of Debian's agents have some thousand.
const MOST_EVENTS: usize = 100_000;
/// ra-api-1.dtd has five.
const DEEPEST: usize = 32;
/// ra-api-1.dtd has six.
const MOST_ATTRIBUTES: usize = 64;
