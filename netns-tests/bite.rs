//! Each clause of SAFETY taken out, one at a time: the checks have to see it (docs/SCENARIOS.md, "It bites").
//!
//! `cargo test --release --features bite --test bite`. A story of `netns-tests/bite/` or `scenarios/` goes well with the real
//! rules and breaks without the clause. Where another clause stands in for the one taken out, both are taken out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use twinbeat::core::broken::Broken::{self, *};
use twinbeat::core::broken::without;
use twinbeat::sim::explore;
use twinbeat::sim::files::Files;
use twinbeat::sim::machine::real;
use twinbeat::sim::pair::{Builtin, Pairs};
use twinbeat::sim::schedule::draw;
use twinbeat::sim::script::Story;

/// A clause, what stands in for it and is taken out too, and the story that breaks.
const ROWS: &[(Broken, &[Broken], &str)] = &[
    (GateStaysOpen, &[], "case-kill"),
    (RenewFromNow, &[], "peer-lease-known-after-a-restart"),
    (FlushIsLapse, &[], "limit-flush"),
    (MarkedFramesHeld, &[], "silence-until-dead"),
    (PeerGroundFromHearing, &[], "owner-is-not-heard"),
    (PathWithoutMajority, &[EchoWithoutHeartbeat], "each-node-has-witnesses-of-its-own"),
    (LateAnswersCount, &[], "nodes-separated"),
    (OwnTimer, &[], "owner-is-not-heard"),
    (EchoWithoutHeartbeat, &[], "paused-owner-wakes-separated"),
    (NoNegativeControl, &[], "witness-answers-the-sender"),
    (ControlIgnored, &[], "witness-answers-the-sender"),
    (StaysWithoutGround, &[], "case-deaf-owner-loses-gateway"),
    (ClaimAtWarn, &[], "silence-until-dead"),
    (NoInitDead, &[], "alone-after-a-start"),
    (DeafCounts, &[], "case-deaf-owner-loses-gateway"),
    (ClaimUnprobed, &[], "case-udp-filtered"),
    (ClaimUnchallenged, &[], "nodes-separated"),
    (ChallengeStandsAtOnce, &[], "peer-has-the-longer-lease"),
    (ChallengeWritesOn, &[EchoWithoutHeartbeat], "nodes-separated"),
    (ChallengeByOwnLease, &[], "peer-lease-known-after-a-restart"),
    (RateBoundIgnored, &[], "clocks-apart-long-lease"),
    (ChallengeNeverBroken, &[], "nodes-separated-then-owner-isolated"),
    (ChallengeBrokenByOne, &[], "lesson-both-power"),
    (NeverTookClaims, &[], "lesson-pinned"),
    (ChallengerSilent, &[], "peer-lease-known-after-a-restart"),
    (NoRelay, &[], "case-separate-relay"),
    (NoDefence, &[], "nodes-separated"),
    (OverwrittenStays, &[], "paused-owner-wakes-among-filtered-heartbeats"),
    (QuestionEndsNothing, &[], "nodes-separated-then-owner-isolated"),
    (ReleasedEarly, &[], "owner-hangs-while-it-hands-over"),
    (BothIntentsGranted, &[], "silence-until-dead"),
    (FirstClaimUnprobed, &[], "lesson-third-machine"),
    (LowerStays, &[], "paused-owner-wakes"),
    (EpochNotRaised, &[], "intent-withdrawn-then-gateway-lost"),
    (SharedLossMoves, &[], "gateway-flaps"),
    (IslandAlways, &[], "case-owner-isolated"),
    (NoHysteresis, &[], "answers-get-lost-on-the-way-back"),
    (FailbackAtOnce, &[], "flapping-public-side"),
    (HotRestartSweeps, &[], "killed-and-started-within-the-lease"),
    (RecordBelieved, &[], "case-kill"),
    (PeerLeaseForgotten, &[], "peer-lease-known-after-a-restart"),
    (LengthensAtOnce, &[], "lease-lengthened-unheard"),
    (LeaseUnderstated, &[], "lease-lengthened-unheard"),
    (UnsignedBelieved, &[], "attack-forge"),
    (ReplayCounts, &[], "attack-replay"),
    (GhostBelieved, &[], "earlier-life-played-back"),
    (NoParity, &[], "silence-until-dead"),
    (EpochNotDurable, &[], "power-lost-before-the-disk-wrote"),
    (HoldForbidsClaim, &[], "standby-claims"),
    (StandbyNotRefused, &[], "standby-while-the-peer-has-no-carrier"),
    (HoldNotKept, &[], "standby-survives-restart"),
];

/// The story with this name: one of this test's own, or one of `scenarios/`.
fn story(name: &str) -> Story {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("netns-tests/bite").join(format!("{name}.json"));
    let (file, pairs): (PathBuf, &dyn Pairs) =
        if own.exists() { (own, &Builtin) } else { (root.join("scenarios").join(format!("{name}.json")), &Files) };
    let text = std::fs::read_to_string(&file).unwrap();
    Story::read(&text, name, file.parent().unwrap(), pairs).unwrap()
}

#[test]
fn every_clause_of_the_table_is_missed_by_its_story_when_it_is_taken_out() {
    for (clause, too, name) in ROWS {
        let story = story(name);
        assert!(without(&[], || story.run(real, false).passed()), "{name} does not hold with the real rules");
        let clauses: Vec<Broken> = too.iter().copied().chain([*clause]).collect();
        assert!(!without(&clauses, || story.run(real, false).passed()), "{name} holds although {clause:?}: it does not bite");
        if !too.is_empty() {
            assert!(without(&[*clause], || story.run(real, false).passed()), "{name} shows {clause:?} alone: say so");
        }
    }
}

#[test]
fn the_document_lists_every_clause_as_the_table_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SCENARIOS.md");
    let (mut text, mut open) = (String::from("| rule | taken out | broken story |\n|---|---|---|\n"), String::new());
    for clause in Broken::ALL {
        match ROWS.iter().find(|(row, ..)| row == clause) {
            Some((_, too, name)) => {
                let too: String = too.iter().map(|c| format!(" (with {c:?} taken out too)")).collect();
                writeln!(text, "| {} | `{clause:?}`: {} | `{name}`{too} |", clause.rule(), clause.text()).unwrap();
            }
            None => writeln!(open, "- {} `{clause:?}`: {}", clause.rule(), clause.text()).unwrap(),
        }
    }
    let whole = format!("{text}\nNot shown yet:\n\n{open}");
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    let (begin, end) = ("<!-- bite: begin -->\n", "<!-- bite: end -->");
    let (before, rest) = document.split_once(begin).expect("the section \"It bites\"");
    let (now, after) = rest.split_once(end).expect("its end");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{whole}{end}{after}")).unwrap();
    } else {
        assert_eq!(now, whole, "write it anew: BLESS=1 cargo test --release --features bite --test bite");
    }
}

#[test]
fn random_faults_break_no_promise_with_the_real_rules_and_find_a_missing_challenge_within_200_seeds() {
    let plan = explore::Plan::seeds(0, 1);
    let broken = |seed| explore::run(&draw(seed), &plan, real).0.is_some();
    assert_eq!((0..200).find(|seed| broken(*seed)), None);
    for clause in [ClaimUnchallenged, ChallengeStandsAtOnce, RecordBelieved, NoParity] {
        assert!(without(&[clause], || (0..200).any(broken)), "{clause:?}");
    }
}
