//! Each clause of SAFETY taken out, one at a time: the checks have to see it (docs/SCENARIOS.md, "It bites").
//!
//! `cargo test --features bite --test bite`. A story of `netns-tests/bite/` or `scenarios/` goes well with the real
//! rules and breaks without the clause. Where another clause stands in for the one taken out, both are taken out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "bite/hunt.rs"]
mod hunt;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use twinbeat::core::bite::Clause::{self, *};
use twinbeat::core::bite::without;
use twinbeat::sim::explore;
use twinbeat::sim::files::Files;
use twinbeat::sim::golden::scenarios;
use twinbeat::sim::machine::real;
use twinbeat::sim::pair::{Builtin, Pairs};
use twinbeat::sim::schedule::{Style, draw_as};
use twinbeat::sim::script::Story;

/// A clause, what stands in for it and is taken out too, and the story that breaks.
const ROWS: &[(Clause, &[Clause], &str)] = &[
    (GateStaysOpen, &[], "case-kill"),
    (RenewFromNow, &[], "peer-lease-known-after-a-restart"),
    (RenewalRevives, &[TicketIgnored], "renewal-sent-after-a-long-stop"),
    (TicketIgnored, &[RenewalRevives], "renewal-sent-after-a-long-stop"),
    (LapseIgnored, &[], "goes-on-when-the-gate-has-closed"),
    (FlushIsLapse, &[], "limit-flush"),
    (FlushIgnored, &[], "flushed-then-hung-and-isolated"),
    (FlushRevives, &[], "flushed-at-the-end-of-the-lease"),
    (RenewalOvertakesClose, &[RenewalRevives], "restarted-right-after-a-hand-over"),
    (MarkedFramesHeld, &[], "silence-until-dead"),
    (UnguardedFit, &[], "kernel-makes-no-gate"),
    (PeerGroundFromHearing, &[], "owner-is-not-heard"),
    (PeerGroundWithoutStandby, &[LowerStays], "paused-owner-wakes-with-its-lan-silent"),
    (PathGroundFromReceipt, &[], "isolated-behind-a-slow-network"),
    (PathWithoutMajority, &[], "each-node-has-witnesses-of-its-own"),
    (LateAnswersCount, &[], "nodes-separated"),
    (OwnTimer, &[], "owner-is-not-heard"),
    (NoFastEvidence, &[], "third-of-all-frames-lost"),
    (EchoWithoutHeartbeat, &[], "paused-owner-wakes-separated"),
    (LongEchoUnsent, &[], "many-groups-with-long-names"),
    (TableBeatEndsStandDown, &[], "challenger-asks-ever-more-seldom"),
    (NoNegativeControl, &[WriteUnproven, NoInquiry], "witness-answers-the-sender"),
    (ControlIgnored, &[WriteUnproven, NoInquiry], "witness-answers-the-sender"),
    (StaysWithoutGround, &[], "case-deaf-owner-loses-gateway"),
    (ClaimAtWarn, &[], "silence-until-dead-for-long"),
    (CutOffOutlived, &[], "cables-out-and-a-planned-move"),
    (CutOffWrites, &[], "cables-pulled-with-the-owner-alive"),
    (NoInitDead, &[], "alone-after-a-start"),
    (DeafCounts, &[], "case-deaf-owner-loses-gateway"),
    (ClaimWithoutReach, &[ChallengeOutlivesWitness, WriteUnproven], "witness-two-of-three-dark-and-power"),
    (ClaimUnprobed, &[], "case-udp-filtered"),
    (ProbesOfAnyAge, &[], "third-machine-appears-during-the-challenge"),
    (ClaimUnchallenged, &[], "nodes-separated"),
    (ChallengeStandsAtOnce, &[], "peer-has-the-longer-lease"),
    (ChallengeWritesOn, &[EchoWithoutHeartbeat], "nodes-separated"),
    (ChallengeCountsEarly, &[WriteUnproven, NoInquiry], "late-writes"),
    (ChallengeByOwnLease, &[], "peer-lease-known-after-a-restart"),
    (RateBoundIgnored, &[], "clocks-apart-long-lease"),
    (ChallengeNeverBroken, &[], "challenges-seen-from-the-lan"),
    (ChallengeBrokenByOne, &[], "network-loss-and-power"),
    (NeverTookClaims, &[], "lesson-pinned"),
    (ChallengeWithoutMajority, &[EchoWithoutHeartbeat], "owner-holds-two-witnesses-of-three"),
    (ChallengerSilent, &[], "peer-lease-known-after-a-restart"),
    (HeartbeatEndsNothing, &[], "silent-for-a-moment-then-filtered"),
    (NoRelay, &[], "case-separate-relay"),
    (NoDefence, &[], "nodes-separated"),
    (DefenceWithoutGate, &[], "hung-owner-wakes-to-an-announcement"),
    (EntrySharedForEver, &[], "owners-that-share-the-entry"),
    (DefenceUsedUp, &[], "separated-after-many-lies"),
    (OverwrittenStays, &[EchoWithoutHeartbeat, WireBelieved], "paused-owner-wakes-among-filtered-heartbeats"),
    (WireBelieved, &[], "attack-forge-fast"),
    (NoStandDown, &[], "challenger-asks-ever-more-seldom"),
    (QuestionEndsNothing, &[], "nodes-separated-then-owner-isolated"),
    (ReleasedEarly, &[], "owner-hangs-while-it-hands-over"),
    (ReleasedUnnamed, &[], "takeover-right-after-a-release"),
    (ReleasedComesBack, &[], "separated-after-a-hand-over"),
    (GrantKeepsIntent, &[], "two-intents-on-a-slow-way"),
    (BothIntentsGranted, &[], "two-intents-on-a-slow-way"),
    (StaleEpochGranted, &[EpochHeardIgnored], "standby-has-used-higher-epochs"),
    (WithdrawnEpochReused, &[EpochHeardIgnored], "intent-not-answered-in-time"),
    (StoppingEligible, &[], "standby-while-the-peer-is-still-stopping"),
    (ColdNotAwaited, &[], "cold-service-stops-slowly"),
    (FirstClaimUnprobed, &[], "lesson-third-machine"),
    (MoveUnproven, &[], "port-security-takeover"),
    (LowerStays, &[], "paused-owner-wakes"),
    (HigherSilent, &[], "found-owners-in-step"),
    (EpochNotRaised, &[], "intent-withdrawn-then-gateway-lost"),
    (SharedLossMoves, &[], "gateway-flaps"),
    (IslandAlways, &[], "case-owner-isolated"),
    (NoHysteresis, &[], "answers-get-lost-on-the-way-back"),
    (FailbackAtOnce, &[], "flapping-public-side"),
    (GapUnnoticed, &[], "owner-hangs-for-most-of-its-lease"),
    (HotRestartSweeps, &[], "killed-and-started-within-the-lease"),
    (RecordBelieved, &[], "case-kill"),
    (MismatchIsSilence, &[], "takeover-between-differing-files"),
    (PeerLeaseForgotten, &[], "peer-lease-known-after-a-restart"),
    (LengthensAtOnce, &[], "lease-lengthened-unheard"),
    (OtherFileClaims, &[], "files-another-witness"),
    (OtherFileMoves, &[], "files-address-between-groups"),
    (PartIsAll, &[], "part-of-a-heartbeat-is-lost"),
    (OtherWitnessCounts, &[], "files-path-of-another-witness"),
    (AddedUnprobed, &[], "files-address-added-is-taken"),
    (FenceUnawaited, &[], "fence-fails"),
    (FencedForEver, &[], "fence-is-of-one-silence"),
    (FencesUnmet, &[], "fence-boot-alone"),
    (FencesUntold, &[], "fence-boot-apart"),
    (FencesForAnother, &[], "fence-not-for-another-group"),
    (NeverTookForEver, &[], "fence-asks-anew"),
    (FencesAnOwner, &[], "found-fenced-while-it-boots"),
    (LeaseUnderstated, &[], "lease-lengthened-unheard"),
    (UnsignedBelieved, &[], "attack-forge"),
    (ReplayCounts, &[], "attack-replay"),
    (GhostBelieved, &[], "earlier-life-played-back"),
    (NoParity, &[], "silence-until-dead"),
    (PeersNumberKept, &[], "numbers-exchanged-then-owner-paused"),
    (EpochNotDurable, &[], "power-lost-before-the-disk-wrote"),
    (GrantNotDurable, &[], "found-grant-that-nobody-remembers"),
    (EpochHeardIgnored, &[], "claims-above-an-epoch-only-heard"),
    (HoldForbidsClaim, &[], "standby-claims"),
    (StandbyNotRefused, &[], "standby-while-the-peer-has-no-carrier"),
    (HoldNotKept, &[], "standby-survives-restart"),
    (BothHeld, &[], "standby-here-then-there"),
    (UnprovenBreaksSilence, &[], "earlier-life-after-a-boot"),
    (LeaseEchoedEarly, &[], "lease-echoed-when-it-is-on-disk"),
    (ChallengeOutlivesWitness, &[DeafStandbyObjects], "deaf-node-challenges-no-more"),
    (DeafStandbyObjects, &[ChallengeOutlivesWitness], "deaf-node-challenges-no-more"),
    (UnfitBlocks, &[], "unfit-peer-that-does-not-hear"),
    (ControlAfterWrite, &[], "challenger-never-doubts-the-witness"),
    (NoInquiry, &[], "witness-turns-during-a-challenge"),
    (WriteUnproven, &[], "witness-turns-between-challenges"),
];

/// Exploration finds each of these missing within so many seeds, from 0, in the stories of both generators.
const SEEDS: u64 = 200;
const FOUND: &[Clause] = &[
    OwnTimer,
    ClaimUnchallenged,
    ChallengeStandsAtOnce,
    ReleasedEarly,
    WithdrawnEpochReused,
    IslandAlways,
    RecordBelieved,
    MismatchIsSilence,
    UnsignedBelieved,
    NoParity,
    EpochNotDurable,
];

/// The story with this name: one of this test's own, or one of `scenarios/`.
fn story(name: &str) -> Story {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("netns-tests/bite").join(format!("{name}.json"));
    let shared = || scenarios(&root.join("scenarios")).unwrap().into_iter().find(|path| path.file_stem().unwrap() == name);
    let (file, pairs): (PathBuf, &dyn Pairs) = if own.exists() { (own, &Builtin) } else { (shared().expect(name), &Files) };
    let text = std::fs::read_to_string(&file).unwrap();
    Story::read(&text, name, file.parent().unwrap(), pairs).unwrap()
}

#[test]
fn every_clause_of_the_table_is_missed_by_its_story_when_it_is_taken_out() {
    let mut wrong = Vec::new();
    for (clause, too, name) in ROWS {
        let story = story(name);
        let holds = |clauses: &[Clause]| without(clauses, || story.run(real, false).passed());
        let clauses: Vec<Clause> = too.iter().copied().chain([*clause]).collect();
        if !holds(&[]) {
            wrong.push(format!("{name} does not hold with the real rules"));
        }
        if holds(&clauses) {
            wrong.push(format!("{name} holds although {clause:?}: it does not bite"));
        }
        if !too.is_empty() && !holds(&[*clause]) {
            wrong.push(format!("{name} shows {clause:?} alone: say so"));
        }
        if !too.is_empty() && !holds(too) {
            wrong.push(format!("{name} breaks without {clause:?}'s doing: it shows {too:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_document_lists_every_clause_as_the_table_has_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SCENARIOS.md");
    let mut whole = String::from("| rule | taken out | broken story | random faults |\n|---|---|---|---|\n");
    for clause in Clause::ALL {
        let (_, too, name) = ROWS.iter().find(|(row, ..)| row == clause).unwrap_or_else(|| panic!("no story shows {clause:?}"));
        let too: String = too.iter().map(|c| format!(" (with {c:?} taken out too)")).collect();
        let found = if FOUND.contains(clause) { format!("within {SEEDS} seeds") } else { String::new() };
        writeln!(whole, "| {} | `{clause:?}`: {} | `{name}`{too} | {found} |", clause.rule(), clause.text()).unwrap();
    }
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    let (begin, end) = ("<!-- bite: begin -->\n", "<!-- bite: end -->");
    let (before, rest) = document.split_once(begin).expect("the section \"It bites\"");
    let (now, after) = rest.split_once(end).expect("its end");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{begin}{whole}{end}{after}")).unwrap();
    } else {
        assert_eq!(now, whole, "write it anew: BLESS=1 cargo test --features bite --test bite");
    }
}

#[test]
fn random_faults_break_no_promise_with_the_real_rules_and_find_missing_clauses_within_so_many_seeds() {
    let plan = explore::Plan::seeds(0, 1);
    let broken = |seed| explore::run(&draw_as(Style::Both, seed, &[], None), &plan, real).0.is_some();
    assert_eq!((0..SEEDS).find(|seed| broken(*seed)), None);
    let missed: Vec<&Clause> = FOUND.iter().filter(|clause| hunt::first_seed(**clause, SEEDS).is_none()).collect();
    assert!(missed.is_empty(), "not found within {SEEDS} seeds: {missed:?}");
}
