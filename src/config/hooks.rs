//! `[[hooks]]`: the programs that are told of changes. Each node's own.

use std::collections::BTreeSet;

use toml::Spanned;

use super::error::{ConfigError, Found, Problem};
use super::parts::GroupConfig;
use super::place::At;
use super::raw::RawHook;
use super::source::Source;
use super::value::{duration_or, program};
use twinbeat_core::id::Name;
use twinbeat_core::time::Span;

/// The most hooks.
const MOST: usize = 16;
/// How long a hook may take when the file does not say.
const TIMEOUT: Span = Span::secs(10);
/// The least that may be said, and the most.
const TIMEOUTS: (Span, Span) = (Span::secs(1), Span::secs(300));

/// One of `[[hooks]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookConfig {
    /// The program and its arguments; never empty, and none twice in a file.
    pub run: Vec<String>,
    /// What it is told of; never empty.
    pub on: BTreeSet<HookEvent>,
    /// The groups that it is told of; none: all.
    pub groups: Option<Vec<Name>>,
    /// How long it may take: 1 s to 5 min.
    pub timeout: Span,
}

/// What a hook can be told of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HookEvent {
    /// This node's part in a group.
    Role,
    /// Whether anything is wrong.
    Health,
    /// Whether a takeover would work.
    Readiness,
    /// The owner affirmed its ownership (SAFETY R7).
    Reaffirmed,
}

impl HookEvent {
    /// Each with its word.
    const WORDS: [(&'static str, HookEvent); 4] = [
        ("role", HookEvent::Role),
        ("health", HookEvent::Health),
        ("readiness", HookEvent::Readiness),
        ("reaffirmed", HookEvent::Reaffirmed),
    ];

    /// Its word in the file.
    pub fn word(self) -> &'static str {
        Self::WORDS.into_iter().find(|(_, event)| *event == self).map_or("", |(word, _)| word)
    }
}

/// All hooks. Where the groups are not known, their names are not judged.
pub(super) fn convert(
    source: &Source,
    raw: &[Spanned<RawHook>],
    groups: Option<&[GroupConfig]>,
) -> Result<Vec<HookConfig>, ConfigError> {
    let mut found = Found::default();
    if let Some(over) = raw.get(MOST) {
        found.add(source.error(over.get_ref().run.span(), Problem::TooMany { what: "hooks", found: raw.len(), most: MOST }));
        return found.done(None);
    }
    let (mut hooks, mut places): (Vec<HookConfig>, Vec<At>) = (Vec::new(), Vec::new());
    for raw in raw.iter().map(Spanned::get_ref) {
        let Some(hook) = found.keep(hook(source, raw, groups)) else { continue };
        if let Some((_, other)) = hooks.iter().zip(&places).find(|(other, _)| other.run == hook.run) {
            let problem = Problem::Duplicate { what: format!("the hook {}", hook.run.join(" ")), other: source.place(other) };
            found.add(source.error(raw.run.span(), problem));
        }
        places.push(raw.run.span());
        hooks.push(hook);
    }
    found.done(Some(hooks))
}

fn hook(source: &Source, raw: &RawHook, groups: Option<&[GroupConfig]>) -> Result<HookConfig, ConfigError> {
    let mut found = Found::default();
    let run = found.keep(program(source, &raw.run));
    let mut on: BTreeSet<HookEvent> = HookEvent::WORDS.into_iter().map(|(_, event)| event).collect();
    if let Some(list) = &raw.on {
        let allowed = || Problem::Allowed("one or more of \"role\", \"health\", \"readiness\", \"reaffirmed\"".to_owned());
        on.clear();
        for word in list.get_ref() {
            match HookEvent::WORDS.into_iter().find(|(name, _)| name == word.get_ref()) {
                Some((_, event)) => drop(on.insert(event)),
                None => found.add(source.error(word.span(), allowed())),
            }
        }
        if list.get_ref().is_empty() {
            found.add(source.error(list.span(), allowed()));
        }
    }
    if let (Some(list), Some(groups)) = (&raw.groups, groups) {
        let allowed = || {
            let names = groups.iter().map(|group| format!("{:?}", &*group.name)).collect::<Vec<_>>().join(", ");
            Problem::Allowed(format!("one or more of the groups {names}; no `groups` for all"))
        };
        for name in list.get_ref().iter().filter(|name| !groups.iter().any(|group| *group.name == **name.get_ref())) {
            found.add(source.error(name.span(), allowed()));
        }
        if list.get_ref().is_empty() {
            found.add(source.error(list.span(), allowed()));
        }
    }
    let timeout = found.keep(duration_or(source, raw.timeout.as_ref(), TIMEOUTS, TIMEOUT));
    let named = |list: &Spanned<Vec<Spanned<String>>>| {
        let names: BTreeSet<&str> = list.get_ref().iter().map(|name| name.get_ref().as_str()).collect();
        names.into_iter().map(Name::from).collect()
    };
    let hook = run.zip(timeout).map(|(run, timeout)| HookConfig { run, on, groups: raw.groups.as_ref().map(named), timeout });
    found.done(hook)
}
