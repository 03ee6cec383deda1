//! `[realtime]`: how the daemon's threads are scheduled, and whether its memory is locked. Each node's own.

use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::raw::RawRealtime;
use super::scheduling::{MOST_CPU, Policy, Scheduling};
use super::source::Source;
use super::value::whole;

/// `[realtime]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RealtimeConfig {
    /// Of the threads that decide and that carry decisions out.
    pub scheduling: Scheduling,
    /// Whether what was once touched stays in memory.
    pub lock_memory: bool,
}

impl Default for RealtimeConfig {
    fn default() -> RealtimeConfig {
        RealtimeConfig { scheduling: Scheduling::default(), lock_memory: true }
    }
}

pub(super) fn convert(source: &Source, raw: Option<&RawRealtime>) -> Result<RealtimeConfig, ConfigError> {
    let Some(raw) = raw else { return Ok(RealtimeConfig::default()) };
    let policy = match raw.policy.as_ref().map(|word| (word.get_ref().as_str(), word.span())) {
        None | Some(("other", _)) => {
            refuse(source, raw.priority.as_ref(), "no priority with policy \"other\": it has `nice`")?;
            Policy::Other { nice: ranged(source, raw.nice.as_ref(), -20, 0, -20)? as i8 }
        }
        Some((word @ ("rr" | "fifo"), _)) => {
            refuse(source, raw.nice.as_ref(), "no nice value with a realtime policy: it has `priority`")?;
            let priority = ranged(source, raw.priority.as_ref(), 1, 99, 1)? as u8;
            if word == "rr" { Policy::RoundRobin { priority } } else { Policy::Fifo { priority } }
        }
        Some((_, at)) => return Err(source.error(at, Problem::Allowed("\"other\", \"rr\", \"fifo\"".to_owned()))),
    };
    let cpus = match &raw.cpus {
        None => None,
        Some(list) if list.get_ref().is_empty() => {
            return Err(source.error(list.span(), Problem::Allowed("one CPU number or more, or no `cpus` for all".to_owned())));
        }
        Some(list) => {
            let number = |cpu| whole(source, cpu, 0, MOST_CPU.into()).map(|cpu| cpu as u16);
            Some(list.get_ref().iter().map(number).collect::<Result<Vec<_>, _>>()?)
        }
    };
    Ok(RealtimeConfig { scheduling: Scheduling { policy, cpus }, lock_memory: raw.lock_memory.unwrap_or(true) })
}

fn refuse(source: &Source, value: Option<&Spanned<i64>>, why: &str) -> Result<(), ConfigError> {
    value.map_or(Ok(()), |value| Err(source.error(value.span(), Problem::Allowed(why.to_owned()))))
}

fn ranged(source: &Source, value: Option<&Spanned<i64>>, least: i64, most: i64, default: i64) -> Result<i64, ConfigError> {
    value.map_or(Ok(default), |value| whole(source, value, least, most))
}
