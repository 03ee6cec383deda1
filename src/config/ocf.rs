//! `ocf` of a service: which agent, and what it is given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::parts::{OCF_ROOT, OcfConfig};
use super::place::At;
use super::raw::RawService;
use super::raw_parameter::RawParameter;
use super::source::Source;
use super::value::duration_or;
use twinbeat_core::time::Span;

/// Between two monitors, when the file does not say.
pub const MONITOR_INTERVAL: Span = Span::secs(10);

/// The shortest and the longest: an agent is a shell script, and each run costs tens of milliseconds of a CPU.
const INTERVALS: (Span, Span) = (Span::secs(1), Span::secs(3_600));
/// The most parameters of an agent.
const MOST_PARAMETERS: usize = 200;
/// The longest value of a parameter, in bytes.
const LONGEST_VALUE: usize = 4096;

/// The agent of a service whose key `ocf` is `name`.
pub(super) fn convert(source: &Source, raw: &RawService, name: &Spanned<String>) -> Result<OcfConfig, ConfigError> {
    let place = Place::of(name.get_ref()).ok_or_else(|| {
        let why = "not an agent: it is \"ocf:PROVIDER:TYPE\", as in \"ocf:heartbeat:nginx\", or an absolute path".to_owned();
        source.error(name.span(), Problem::BadService(why))
    })?;
    let promoted = match &raw.role {
        None => false,
        Some(role) if role.get_ref() == "promoted" => true,
        Some(role) => return Err(allowed(source, role.span(), "\"promoted\" (or no `role`: it is started, and never promoted)")),
    };
    if let (true, true, Some(role)) = (promoted, raw.warm, &raw.role) {
        let why = "no `role` beside `warm = true`: a warm service of the old owner stops only when the new one serves, so that two would be \
                   promoted at once";
        return Err(allowed(source, role.span(), why));
    }
    let Place { root, program, provider, agent } = place;
    Ok(OcfConfig {
        name: name.get_ref().clone(),
        root,
        program,
        provider,
        agent,
        parameters: raw.parameters.as_ref().map(|all| parameters(source, all)).transpose()?.unwrap_or_default(),
        promoted,
        monitor_interval: duration_or(source, raw.monitor_interval.as_ref(), INTERVALS, MONITOR_INTERVAL)?,
    })
}

/// What belongs to this kind alone and stands beside another one.
pub(super) fn odd_keys(raw: &RawService) -> Option<(At, &'static str)> {
    let keys = [
        (raw.parameters.as_ref().map(Spanned::span), "`parameters` only beside `ocf`"),
        (raw.role.as_ref().map(Spanned::span), "`role` only beside `ocf`"),
        (raw.monitor_interval.as_ref().map(Spanned::span), "`monitor_interval` only beside `ocf`"),
    ];
    keys.into_iter().find_map(|(at, why)| Some((at?, why)))
}

fn allowed(source: &Source, at: At, what: &str) -> ConfigError {
    source.error(at, Problem::Allowed(what.to_owned()))
}

/// Names are parts of environment variables, values are variables' values.
fn parameters(
    source: &Source,
    raw: &Spanned<BTreeMap<Spanned<String>, Spanned<RawParameter>>>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let all = raw.get_ref();
    if all.len() > MOST_PARAMETERS {
        let problem = Problem::TooMany { what: "parameters", found: all.len(), most: MOST_PARAMETERS };
        return Err(source.error(raw.span(), problem));
    }
    let one = |(name, value): (&Spanned<String>, &Spanned<RawParameter>)| {
        let (text, RawParameter(value_text)) = (name.get_ref(), value.get_ref());
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(good) {
            return Err(allowed(source, name.span(), "a parameter's name of letters, digits, `_`, `-` and `.`"));
        }
        if text.starts_with("CRM_meta_") {
            return Err(allowed(source, name.span(), "parameters of the agent; CRM_meta_* are set by twinbeat itself"));
        }
        if value_text.contains('\0') || value_text.len() > LONGEST_VALUE {
            return Err(allowed(source, value.span(), "a text of at most 4096 bytes without zero bytes"));
        }
        Ok((text.clone(), value_text.clone()))
    };
    all.iter().map(one).collect()
}

/// Where an agent is, and what it is.
#[derive(PartialEq, Debug)]
struct Place {
    root: PathBuf,
    program: PathBuf,
    provider: String,
    agent: String,
}

impl Place {
    fn of(text: &str) -> Option<Place> {
        if text.starts_with('/') { Place::of_path(text) } else { Place::of_name(text) }
    }

    /// The OCF Resource Agent API, "Resource Agent Namespace": OCF_ROOT/resource.d/PROVIDER/TYPE.
    fn of_name(text: &str) -> Option<Place> {
        let mut parts = text.split(':');
        let (Some("ocf"), Some(provider), Some(agent), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return None;
        };
        let word = |word: &str| {
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
            !word.is_empty() && word.len() <= 64 && word.bytes().all(good) && !word.starts_with(['-', '.'])
        };
        if !word(provider) || !word(agent) {
            return None;
        }
        let root = PathBuf::from(OCF_ROOT);
        let program = root.join("resource.d").join(provider).join(agent);
        Some(Place { root, program, provider: provider.to_owned(), agent: agent.to_owned() })
    }

    /// Agents are found by their own folders: OCF_ROOT is what stands before `resource.d`.
    fn of_path(text: &str) -> Option<Place> {
        let program = Path::new(text);
        let agent = program.file_name()?.to_str()?.to_owned();
        if text.contains('\0') || text.ends_with('/') || program.components().any(|part| part.as_os_str() == "..") {
            return None;
        }
        let folder = program.parent()?;
        let provider = folder.file_name().and_then(|name| name.to_str()).unwrap_or("local").to_owned();
        let in_tree = folder.parent().filter(|parent| parent.file_name().is_some_and(|name| name == "resource.d"));
        let root = in_tree.and_then(Path::parent).map_or_else(|| PathBuf::from(OCF_ROOT), Path::to_owned);
        Some(Place { root, program: program.to_owned(), provider, agent })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_a_place_below_the_root_and_a_path_brings_its_own_root() {
        let of =
            |text| Place::of(text).map(|p| [p.root.display().to_string(), p.program.display().to_string(), p.provider, p.agent]);
        let nginx = ["/usr/lib/ocf", "/usr/lib/ocf/resource.d/heartbeat/nginx", "heartbeat", "nginx"];
        assert_eq!(of("ocf:heartbeat:nginx").unwrap(), nginx);
        let unpacked = "/srv/agents/usr/lib/ocf/resource.d/heartbeat/Dummy";
        assert_eq!(of(unpacked).unwrap(), ["/srv/agents/usr/lib/ocf", unpacked, "heartbeat", "Dummy"]);
        assert_eq!(of("/opt/own/agent").unwrap(), ["/usr/lib/ocf", "/opt/own/agent", "own", "agent"]);
        for odd in ["", "nginx", "heartbeat:nginx", "ocf::nginx", "ocf:heartbeat:", "ocf:heartbeat:a:b", "lsb:heartbeat:nginx"] {
            assert_eq!(Place::of(odd), None, "{odd}");
        }
        for odd in ["ocf:../x:nginx", "ocf:heartbeat:a/b", "ocf:heartbeat:.x", "/", "/opt/", "/opt/../x", "/opt/a\0b"] {
            assert_eq!(Place::of(odd), None, "{odd}");
        }
    }
}
