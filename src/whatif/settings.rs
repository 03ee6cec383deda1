//! `--set KEY=VALUE`: settings that a what-if may change, and what a daemon would say of them.

use twinbeat_config::duration;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::Span;

/// The keys that may be changed.
pub const KEYS: &str = "timing.heartbeat, timing.warn, timing.lease, timing.dead, timing.init_dead, timing.delivery, witness.interval (durations), \
     witness.fall, witness.rise (1 to 100), witness.island (release, hold), timing.early_claim (true, false)";

/// One change: the key, the value as it was and as it shall be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The key.
    pub key: String,
    /// As recorded.
    pub was: String,
    /// As asked for.
    pub is: String,
}

/// Applies `KEY=VALUE`.
///
/// # Errors
/// What is wrong with it, and what is allowed.
pub fn set(settings: &mut Settings, text: &str) -> Result<Change, String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("--set {text}: allowed: KEY=VALUE, KEY one of {KEYS}"))?;
    let (key, value) = (key.trim(), value.trim().trim_matches('"'));
    let span = || {
        let span = duration::parse(value).ok().filter(|span| (Span::millis(1)..=duration::LONGEST).contains(span));
        span.ok_or_else(|| format!("--set {text}: not a duration from 1ms to 1440m; allowed: {}", duration::ALLOWED))
    };
    let count = || {
        value
            .parse::<u32>()
            .ok()
            .filter(|n| (1..=100).contains(n))
            .ok_or_else(|| format!("--set {text}: allowed: a whole number from 1 to 100"))
    };
    let (timing, witness) = (&mut settings.timing, &mut settings.witness);
    fn put<T: std::fmt::Display>(place: &mut T, value: T) -> (String, String) {
        let is = value.to_string();
        (std::mem::replace(place, value).to_string(), is)
    }
    let (was, is) = match key {
        "timing.heartbeat" => put(&mut timing.heartbeat, span()?),
        "timing.warn" => put(&mut timing.warn, span()?),
        "timing.lease" => put(&mut timing.lease, span()?),
        "timing.dead" => put(&mut timing.dead, span()?),
        "timing.init_dead" => put(&mut timing.init_dead, span()?),
        "timing.delivery" => put(&mut timing.delivery, span()?),
        "timing.early_claim" => {
            let claim = value.parse().map_err(|_| format!("--set {text}: allowed: true, false"))?;
            put(&mut timing.early_claim, claim)
        }
        "witness.interval" => put(&mut witness.interval, span()?),
        "witness.fall" => put(&mut witness.fall, count()?),
        "witness.rise" => put(&mut witness.rise, count()?),
        "witness.island" => {
            let word = |hold: bool| if hold { "hold" } else { "release" }.to_string();
            let hold = match value {
                "hold" => true,
                "release" => false,
                _ => return Err(format!("--set {text}: allowed: release, hold")),
            };
            (word(std::mem::replace(&mut witness.island_hold, hold)), word(hold))
        }
        _ => return Err(format!("--set {text}: no such key; allowed: {KEYS}")),
    };
    Ok(Change { key: key.to_string(), was, is })
}

/// Why a daemon would refuse these settings, if it would.
pub fn refusal(settings: &Settings) -> Option<String> {
    let t = &settings.timing;
    let broken = [
        (t.heartbeat >= t.warn, "heartbeat < warn".to_string()),
        (t.heartbeat >= t.lease, "heartbeat < lease".into()),
        (t.delivery >= t.lease, "delivery < lease".into()),
        (t.dead < t.least_dead(), format!("dead >= {}", t.least_dead())),
        (t.init_dead < t.dead, "init_dead >= dead".into()),
    ];
    let all: Vec<String> = broken.into_iter().filter(|(broken, _)| *broken).map(|(_, relation)| relation).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinbeat_sim::pair::Builder;

    #[test]
    fn a_wrong_key_or_value_gets_what_is_allowed() {
        let mut settings = Builder::default().build().settings[0].clone();
        let change = set(&mut settings, "timing.dead=5s").unwrap();
        assert_eq!((settings.timing.dead, change.was.as_str(), change.is.as_str()), (Span::secs(5), "2s", "5s"));
        assert_eq!(set(&mut settings, "witness.island=hold").unwrap().was, "release");
        for (text, said) in [
            ("timing.deed=5s", "witness.interval"),
            ("timing.dead", "KEY=VALUE"),
            ("timing.dead=5", "not a duration"),
            ("timing.dead=0s", "not a duration"),
            ("witness.fall=0", "1 to 100"),
            ("timing.early_claim=1", "true, false"),
            ("witness.island=maybe", "release, hold"),
            ("groups.web=1", "no such key"),
        ] {
            assert!(set(&mut settings, text).unwrap_err().contains(said), "{text}");
        }
        settings.timing.dead = Span::millis(900);
        assert!(refusal(&settings).unwrap().contains("dead >="));
    }
}
