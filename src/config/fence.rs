//! `[nodes.NAME.fence]`: how the other node turns this one off (SAFETY R4b).

use std::collections::BTreeMap;

use toml::Spanned;

use super::error::{ConfigError, Found, Problem};
use super::parts::{FenceBy, FenceConfig};
use super::raw::RawFence;
use super::raw_parameter::RawParameter;
use super::source::Source;
use super::value::{duration_or, program, whole};
use twinbeat_core::time::Span;

/// How long one try may take when the file does not say.
const TIMEOUT: Span = Span::secs(20);
/// The least that may be said, and the most.
const TIMEOUTS: (Span, Span) = (Span::secs(1), Span::secs(300));
/// How often it is tried again at once.
const RETRIES: u32 = 1;
/// At most.
const MOST_RETRIES: i64 = 10;
/// How much longer the second node waits where no challenge is possible.
const DELAY: Span = Span::secs(5);
/// The longest.
const MOST_DELAY: Span = Span::secs(300);

pub(super) fn convert(source: &Source, raw: &Spanned<RawFence>) -> Result<FenceConfig, ConfigError> {
    let (at, raw) = (raw.span(), raw.get_ref());
    let mut found = Found::default();
    let by = match (&raw.command, &raw.agent) {
        (Some(argv), None) => {
            if let Some((name, _)) = raw.parameters.iter().next() {
                found
                    .add(source.error(name.span(), Problem::Allowed("no parameters with a command: they are an agent's".into())));
            }
            found.keep(program(source, argv)).map(FenceBy::Command)
        }
        (None, Some(agent)) => {
            let named = agent.get_ref().starts_with('/') || !agent.get_ref().contains('/');
            if agent.get_ref().is_empty() || !named {
                let problem = Problem::Allowed("an agent's name, as in \"fence_ipmilan\", or an absolute path".into());
                found.add(source.error(agent.span(), problem));
            }
            let parameters = found.keep(parameters(source, &raw.parameters));
            parameters.map(|parameters| FenceBy::Agent { agent: agent.get_ref().clone(), parameters })
        }
        _ => {
            found.add(source.error(at, Problem::Allowed("one of `command` and `agent`".into())));
            None
        }
    };
    let timeout = found.keep(duration_or(source, raw.timeout.as_ref(), TIMEOUTS, TIMEOUT));
    let delay = found.keep(duration_or(source, raw.delay.as_ref(), (Span::ZERO, MOST_DELAY), DELAY));
    let retries = match &raw.retries {
        Some(retries) => found.keep(whole(source, retries, 0, MOST_RETRIES)).and_then(|n| u32::try_from(n).ok()),
        None => Some(RETRIES),
    };
    let fence = by.zip(timeout).zip(delay).zip(retries);
    found.done(fence.map(|(((by, timeout), delay), retries)| FenceConfig { by, timeout, retries, delay }))
}

/// A line each: neither name nor value may hold a line's end.
fn parameters(
    source: &Source,
    raw: &BTreeMap<Spanned<String>, Spanned<RawParameter>>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut found = Found::default();
    let mut all = BTreeMap::new();
    for (name, value) in raw {
        let (key, text) = (name.get_ref(), value.get_ref().0.clone());
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
        if !plain {
            found.add(source.error(name.span(), Problem::Allowed("letters, digits, `_` and `-`".into())));
        } else if text.contains(['\n', '\r', '\0']) {
            found.add(source.error(value.span(), Problem::Allowed("one line: it goes to the agent as one".into())));
        }
        all.insert(key.clone(), text);
    }
    found.done(Some(all))
}
