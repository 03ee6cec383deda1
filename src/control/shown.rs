//! What a view says to programs: one word of health, and the object of `status --json` (docs/OPERATIONS.md), which the page of `[metrics]` reads too.

use serde::Serialize;

use twinbeat_core::view::{Change, View};

/// `status --json`: the whole view, and at the top what scripts ask first.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    view: &'a View,
    health: &'static str,
    lease_ms_left: Option<u64>,
    last_change: Option<Last<'a>>,
}

/// The newest change of all groups.
#[derive(Serialize)]
struct Last<'a> {
    /// RFC 3339, UTC.
    time: String,
    /// The same as `text`.
    reason: &'a str,
    #[serde(flatten)]
    change: &'a Change,
}

/// What the exit code says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Health {
    /// All is well.
    Healthy,
    /// Served, and something is wrong.
    Degraded,
    /// A group that nobody serves.
    NobodyServes,
    /// A group that two nodes own.
    TwoOwners,
}

impl Health {
    /// The worst that the view shows.
    pub fn of(view: &View) -> Health {
        if view.groups.iter().any(|group| group.two_owners) {
            Health::TwoOwners
        } else if view.groups.iter().any(|group| group.owner.is_none()) {
            Health::NobodyServes
        } else if !view.problems.is_empty()
            || view.mismatch.is_some()
            || view.groups.iter().any(|group| !group.takeover_ready.ready || group.failing().is_some())
        {
            Health::Degraded
        } else {
            Health::Healthy
        }
    }

    /// Each of them, best first.
    pub const ALL: [Health; 4] = [Health::Healthy, Health::Degraded, Health::NobodyServes, Health::TwoOwners];

    /// The exit code of `status`.
    pub fn code(self) -> u8 {
        match self {
            Health::Healthy => 0,
            Health::Degraded => 10,
            Health::NobodyServes => 11,
            Health::TwoOwners => 12,
        }
    }

    /// In one word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::NobodyServes => "nobody_serves",
            Health::TwoOwners => "two_owners",
        }
    }
}

/// The stable object of docs/OPERATIONS.md.
pub fn json(view: &View) -> String {
    let now = twinbeat_say::Stamp::now();
    let newest = view.groups.iter().filter_map(|group| group.last_change.as_ref()).min_by_key(|change| change.ago_ms);
    let object = Json {
        view,
        health: Health::of(view).word(),
        lease_ms_left: view.groups.iter().filter_map(|group| group.lease_ms_left).min(),
        last_change: newest.map(|change| Last { time: now.ago(change.ago_ms).to_string(), reason: &change.text, change }),
    };
    serde_json::to_string_pretty(&object).map(|text| text + "\n").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use twinbeat_core::sentence::{self, Sentence};
    use twinbeat_core::words::About;

    use super::*;

    #[derive(PartialEq, Debug, Serialize, Deserialize)]
    struct Whole {
        before: u8,
        #[serde(flatten, with = "sentence::problems")]
        problems: Vec<Sentence>,
        #[serde(flatten, with = "sentence::reasons")]
        reasons: Vec<Sentence>,
    }

    #[test]
    fn texts_stay_a_list_of_strings_and_their_matters_stand_beside_them() {
        let whole = Whole {
            before: 1,
            problems: vec![
                Sentence::lasting(About::Link, "link bond: late"),
                Sentence::passing(About::Stranger, "web: 02:00", "web: 02:00, 3 s ago"),
            ],
            reasons: vec![],
        };
        let text = r#"{"before":1,"problems":["link bond: late","web: 02:00, 3 s ago"],"problem_matters":[{"about":"link","which":null},{"about":"stranger","which":"web: 02:00"}],"reasons":[],"reason_matters":[]}"#;
        assert_eq!(serde_json::to_string(&whole).ok().as_deref(), Some(text));
        assert_eq!(serde_json::from_str::<Whole>(text).ok(), Some(whole));
    }

    #[test]
    fn a_list_of_an_earlier_version_is_about_something_else_and_one_too_long_is_cut() {
        let read = |text: &str| serde_json::from_str::<Whole>(text).map(|whole| whole.problems);
        let other = [Sentence::lasting(About::Other, "late")];
        assert_eq!(read(r#"{"before":1,"problems":["late"],"reasons":[]}"#).ok().as_deref(), Some(&other[..]));
        let more = r#"{"before":1,"problems":["late"],"problem_matters":[{"about":"other","which":null},{"about":"link","which":null}],"reasons":[]}"#;
        assert_eq!(read(more).ok().as_deref(), Some(&other[..]));
        assert!(
            read(r#"{"before":1,"problems":["late"],"problem_matters":[{"about":"ship","which":null}],"reasons":[]}"#).is_err()
        );
        assert!(read(r#"{"before":1,"reasons":[]}"#).is_err());
    }

    #[test]
    fn the_words_of_what_a_sentence_is_about_stand_in_the_documentation() {
        let document = include_str!("../../docs/OPERATIONS.md");
        let line = document.lines().find(|line| line.starts_with("The words of `about`")).unwrap_or_default();
        for about in About::ALL {
            assert!(line.contains(&format!("`{about}`")), "{about}");
        }
    }
}
