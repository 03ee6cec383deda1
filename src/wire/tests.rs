//! The format, the order of the checks, and the test vector of docs/PROTOCOL.md.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use ed25519_dalek::SigningKey;

use super::encode::{group_key, key};
use super::*;
use twinbeat_core::files::VipSet;
use twinbeat_core::heartbeat::{
    BeatRole, EchoOf, Grant, GroupBeat, Heartbeat, Intent, LinkEcho, Offer, Part, Refused, VERSION, WhyRefused,
};
use twinbeat_core::id::{Attempt, Epoch, Incarnation, NodeId};
use twinbeat_core::pause::PauseBeat;
use twinbeat_core::ready::{Unfit, WhyUnfit};
use twinbeat_core::time::{Mono, Span};

/// The two nodes' keys in the test vector: never for anything else.
pub(super) fn keys() -> [SigningKey; 2] {
    [SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32])]
}

pub(super) fn pair(me: u8) -> Pair<'static> {
    Pair { cluster: "demo", nodes: ["alfa", "bravo"], me: NodeId(me) }
}

/// Node 0 signs, node 1 opens.
pub(super) fn ends() -> (Signer, Opener) {
    let [a, b] = keys();
    let signer = Signer::new(&pair(0), &a, &b.verifying_key()).unwrap();
    (signer, Opener::new(&pair(1), &b, &a.verifying_key(), names()).unwrap())
}

pub(super) fn names() -> Names {
    Names::new(["x", "web", "db"].map(Name::from))
}

pub(super) fn link(name: &str) -> Path {
    Path::Link(name.into())
}

/// Every optional field is there.
pub(super) fn full_beat(number: u64) -> Heartbeat {
    let grant = Grant { epoch: Epoch(6), attempt: Attempt(3), incarnation: Incarnation(41) };
    let web = GroupBeat {
        name: "web".into(),
        vips: VipSet { guard: 0xaabb_ccdd, all: 0x1122_3344 },
        role: BeatRole::Owner,
        epoch: Epoch(6),
        gate_open: true,
        eligible: true,
        claims: true,
        unfit: Some(Unfit { why: WhyUnfit::ServiceFailed, left: Span::secs(27) }),
        unproven: false,
        standby_held: true,
        told: 2,
        pause: Some(PauseBeat { told: 7, on: true, left: Some(Span::secs(90)) }),
        offer: Some(Offer::PublicLost),
        intent: Some(Intent { epoch: Epoch(8), attempt: Attempt(4), commanded: true }),
        granted: Some(grant),
        released: Some(grant),
        closed_for: None,
        refused: Some(Refused { grant, why: WhyRefused::StaleEpoch }),
        challenged: 2,
        challenge_ack: 1,
    };
    Heartbeat {
        witnesses: 0x0506_0708,
        echo_of: Some(EchoOf { incarnation: Incarnation(41), lease: Span::millis(700), witnesses: 0x0102_0304 }),
        echoes: vec![LinkEcho { link: "x".into(), number: 99, held: Span::millis(3) }],
        answer: true,
        groups: vec![web],
        ..plain_beat(number)
    }
}

/// Two groups in good times.
pub(super) fn plain_beat(number: u64) -> Heartbeat {
    let group = |name: &str| GroupBeat {
        name: name.into(),
        vips: Default::default(),
        role: BeatRole::Standby,
        epoch: Epoch(5),
        gate_open: false,
        eligible: true,
        claims: true,
        unfit: None,
        unproven: false,
        standby_held: false,
        told: 0,
        pause: None,
        offer: None,
        intent: None,
        granted: None,
        released: None,
        closed_for: None,
        refused: None,
        challenged: 0,
        challenge_ack: 0,
    };
    Heartbeat {
        version: VERSION,
        from: NodeId(0),
        incarnation: Incarnation(17),
        number,
        digest: 0x1234_5678_9abc_def0,
        lease: Span::millis(700),
        witnesses: 0,
        echo_of: None,
        echoes: Vec::new(),
        answer: false,
        reachable: true,
        answered: None,
        carrier: true,
        fencing: false,
        part: Part::WHOLE,
        groups: vec![group("web"), group("db")],
    }
}

fn open_bytes(body: &[u8]) -> Result<Heartbeat, Reject> {
    let (signer, mut opener) = ends();
    let frame = signer.seal(&signer.sign_body(body).unwrap(), &link("x"));
    opener.open(&link("x"), &frame).map(|beat| beat.get().clone())
}

/// A map taken apart: each key with its value's bytes.
#[derive(Clone)]
pub(super) struct Parts(pub(super) Vec<(u64, Vec<u8>)>);

impl Parts {
    pub(super) fn of(bytes: &[u8]) -> Parts {
        let mut from = minicbor::Decoder::new(bytes);
        let count = from.map().unwrap().unwrap();
        let parts = (0..count).map(|_| {
            let key = from.u64().unwrap();
            let start = from.position();
            from.skip().unwrap();
            (key, bytes[start..from.position()].to_vec())
        });
        Parts(parts.collect())
    }

    pub(super) fn beat(beat: &Heartbeat) -> Parts {
        Parts::of(&encode::body(beat))
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut to = minicbor::Encoder::new(Vec::new());
        to.map(self.0.len() as u64).unwrap();
        let mut bytes = to.into_writer();
        for (key, value) in &self.0 {
            bytes.extend(number(*key));
            bytes.extend(value);
        }
        bytes
    }

    pub(super) fn with(mut self, key: u64, value: Vec<u8>) -> Parts {
        self.0.retain(|(known, _)| *known != key);
        self.0.push((key, value));
        self
    }

    fn without(mut self, key: u64) -> Parts {
        self.0.retain(|(known, _)| *known != key);
        self
    }

    /// The first group, taken apart and put together again otherwise.
    pub(super) fn first_group(self, change: impl FnOnce(Parts) -> Parts) -> Parts {
        let groups = self.0.iter().find(|(key, _)| *key == key::GROUPS).unwrap().1.clone();
        let mut from = minicbor::Decoder::new(&groups);
        assert_eq!(from.array().unwrap(), Some(1), "one group");
        let changed = change(Parts::of(&groups[from.position()..])).bytes();
        self.with(key::GROUPS, [vec![0x81], changed].concat())
    }
}

pub(super) fn number(n: u64) -> Vec<u8> {
    minicbor::to_vec(n).unwrap()
}

/// What no version has: a list with a map and an endless list in it.
fn odd() -> Vec<u8> {
    vec![0x82, 0xa1, 0x61, 0x61, 0x01, 0x9f, 0x01, 0xff]
}

#[test]
fn what_one_node_says_the_other_hears() {
    let (signer, mut opener) = ends();
    for (beat, path) in [(full_beat(1), link("x")), (plain_beat(2), Path::Vip("web".into()))] {
        let signed = signer.sign(&beat).unwrap();
        let frame = signer.seal(&signed, &path);
        assert_eq!(frame.len(), signed.frame_len());
        assert_eq!(&frame[OVERHEAD..], signed.body());
        assert_eq!(*opener.open(&path, &frame).unwrap().get(), beat);
    }
    assert_eq!((opener.tally().accepted, opener.tally().copies, opener.tally().rejects.total()), (2, 0, 0));
}

#[test]
fn a_copy_over_another_link_costs_no_second_verification_even_when_it_comes_late() {
    let (signer, mut opener) = ends();
    let paths = [link("x"), link("lan"), link("relay"), Path::Vip("web".into())];
    let mut earlier = None;
    for number in 1..=10 {
        let signed = signer.sign(&plain_beat(number)).unwrap();
        let first = opener.open(&paths[0], &signer.seal(&signed, &paths[0])).unwrap();
        if let Some((signed, beat)) = earlier.replace((signed, first)) {
            for path in &paths[1..] {
                assert!(Arc::ptr_eq(&opener.open(path, &signer.seal(&signed, path)).unwrap(), &beat));
            }
        }
    }
    assert_eq!((opener.tally().verifications, opener.tally().copies), (10, 27));
}

#[test]
fn where_no_verification_may_be_risked_only_copies_of_what_is_known_pass() {
    let (signer, mut opener) = ends();
    let (old, new) = (signer.sign(&plain_beat(1)).unwrap(), signer.sign(&plain_beat(2)).unwrap());
    let sealed = |signed| signer.seal(signed, &link("x"));
    assert!(opener.open_within(&link("x"), &sealed(&old), true).is_ok());
    assert!(opener.open_within(&link("x"), &sealed(&old), false).is_ok());
    assert_eq!(opener.open_within(&link("x"), &sealed(&new), false).err(), Some(Reject::Budget));
    assert_eq!(opener.tally().verifications, 1);
    assert!(opener.open_within(&link("x"), &sealed(&new), true).is_ok());
}

#[test]
fn the_checks_go_from_cheap_to_dear_and_each_has_its_reason() {
    let (signer, mut opener) = ends();
    let path = link("x");
    let frame = signer.seal(&signer.sign(&plain_beat(1)).unwrap(), &path);
    let changed = |at: usize| {
        let mut frame = frame.clone();
        frame[at] ^= 1;
        frame
    };
    for (bytes, reject) in [
        (vec![0; MAX_FRAME + 1], Reject::TooLong),
        (frame[..OVERHEAD].to_vec(), Reject::TooShort),
        (Vec::new(), Reject::TooShort),
        (changed(0), Reject::Magic),
        (changed(3), Reject::Newer),
        (changed(HEADER), Reject::Tag),
        (changed(HEADER + TAG), Reject::Tag),
        (changed(OVERHEAD), Reject::Tag),
    ] {
        assert_eq!(opener.open(&path, &bytes).unwrap_err(), reject);
    }
    assert_eq!(opener.tally().verifications, 0);
    assert_eq!(open_bytes(b"{").unwrap_err(), Reject::Body);
    assert_eq!(open_bytes(&[0x80]).unwrap_err(), Reject::Body);
    let other = encode::body(&Heartbeat { from: NodeId(1), ..plain_beat(1) });
    assert_eq!(open_bytes(&other).unwrap_err(), Reject::Sender);
}

#[test]
fn a_newer_peer_still_proves_that_it_lives() {
    // Unknown fields, in our version and in another, change nothing; nor does more behind what a list has today.
    let more = Parts::beat(&full_beat(3)).with(99, odd()).first_group(|group| group.with(77, odd()));
    assert_eq!(open_bytes(&more.bytes()).unwrap(), full_beat(3));
    let longer = more.clone().with(key::OF, [vec![0x84], number(41), number(700_000_000), number(0x0102_0304), odd()].concat());
    assert_eq!(open_bytes(&longer.bytes()).unwrap(), full_beat(3));
    let newer = longer.with(key::VERSION, number(3));
    assert_eq!(open_bytes(&newer.bytes()).unwrap(), Heartbeat { version: 3, ..full_beat(3) });

    // A new word where this version has four: the offer is not understood, everything else is.
    let refused = [vec![0x83], number(9), number(6), number(3)].concat();
    let words = |group: Parts| group.with(group_key::OFFER, number(9)).with(group_key::REFUSED, refused);
    let newer = newer.first_group(words);
    let mut wanted = Heartbeat { version: 3, ..full_beat(3) };
    wanted.groups[0].offer = None;
    wanted.groups[0].refused.as_mut().unwrap().why = WhyRefused::Other;
    assert_eq!(open_bytes(&newer.bytes()).unwrap(), wanted);

    // In our own version the same words are a fault.
    let ours = newer.with(key::VERSION, number(VERSION.into()));
    assert_eq!(open_bytes(&ours.bytes()).unwrap_err(), Reject::Body);
}

#[test]
fn a_group_or_link_that_this_file_does_not_know_is_told_by_a_name_that_no_file_can_have() {
    let mut beat = full_beat(1);
    beat.groups[0].name = "mail".into();
    let read = open_bytes(&encode::body(&beat)).unwrap();
    assert_eq!(*read.groups[0].name, *format!("?{:08x}", short("mail")));
    assert_eq!(&*read.echoes[0].link, "x");
}

#[test]
fn what_cannot_be_read_of_a_newer_peer_never_makes_it_look_harmless() {
    let bare = Parts::beat(&Heartbeat { version: 9, groups: vec![plain_beat(1).groups[0].clone()], ..plain_beat(1) });
    let bare = bare.without(key::FLAGS).without(key::DIGEST);
    let strange = bare.clone().first_group(|group| group.with(group_key::ROLE, number(7)).with(group_key::EPOCH, number(4)));
    let read = open_bytes(&strange.bytes()).unwrap();
    assert!(read.reachable && read.carrier);
    let group = &read.groups[0];
    assert_eq!((group.role, group.epoch, group.gate_open, group.eligible), (BeatRole::Leaving, Epoch(4), true, false));
    let unsaid = bare.clone().first_group(|group| group.without(group_key::FLAGS));
    assert!(open_bytes(&unsaid.bytes()).unwrap().groups[0].gate_open);
    for missing in [key::FROM, key::INCARNATION, key::NUMBER, key::LEASE, key::GROUPS] {
        assert_eq!(open_bytes(&bare.clone().without(missing).bytes()).unwrap_err(), Reject::Body, "without {missing}");
    }
    let nameless = bare.first_group(|group| group.without(group_key::NAME));
    assert_eq!(open_bytes(&nameless.bytes()).unwrap_err(), Reject::Body);
}

#[test]
fn a_key_twice_or_something_behind_the_end_is_refused() {
    let parts = Parts::beat(&full_beat(1));
    let mut twice = parts.clone();
    twice.0.push((key::NUMBER, number(2)));
    assert_eq!(open_bytes(&twice.bytes()).unwrap_err(), Reject::Body);
    assert_eq!(open_bytes(&[parts.bytes(), vec![0]].concat()).unwrap_err(), Reject::Body);
    // A list that says it is longer than all memory costs no memory.
    let vast = parts.with(key::ECHOES, vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(open_bytes(&vast.bytes()).unwrap_err(), Reject::Body);
}

#[test]
fn a_peer_of_the_json_release_and_one_of_a_later_format_are_told_apart_by_name() {
    let (signer, mut opener) = ends();
    let frame = signer.seal(&signer.sign(&plain_beat(1)).unwrap(), &link("x"));
    for (version, reject, words) in [(1, Reject::Older, "the peer speaks version 1"), (3, Reject::Newer, "above this node's 2")] {
        let mut other = frame.clone();
        other[3] = version;
        assert_eq!(opener.open(&link("x"), &other).unwrap_err(), reject);
        assert!(reject.to_string().contains(words));
    }
}

/// What the loader lets through fits into an echo, as long as the numbers are those of a machine's life.
#[test]
fn a_heartbeat_with_all_that_can_be_said_is_no_longer_than_was_foreseen() {
    let (wide, commands) = (u64::from(u32::MAX), u64::from(u16::MAX));
    let mut beat = full_beat(wide);
    beat.incarnation = Incarnation(wide);
    beat.digest = u64::MAX;
    beat.answered = Some(Span::secs(24 * 3600));
    beat.echo_of = Some(EchoOf { incarnation: Incarnation(wide), lease: Span::secs(24 * 3600), witnesses: u32::MAX });
    beat.witnesses = u32::MAX;
    beat.lease = Span::secs(24 * 3600);
    let grant = Grant { epoch: Epoch(wide), attempt: Attempt(wide), incarnation: Incarnation(wide) };
    let group = GroupBeat {
        vips: VipSet { guard: u32::MAX, all: u32::MAX },
        unproven: true,
        epoch: Epoch(wide),
        unfit: Some(Unfit { why: WhyUnfit::Interface, left: Span::secs(24 * 3600) }),
        told: commands,
        pause: Some(PauseBeat { told: commands, on: true, left: Some(Span::secs(366 * 24 * 3600)) }),
        offer: None,
        intent: Some(Intent { epoch: Epoch(wide), attempt: Attempt(wide), commanded: true }),
        granted: None,
        released: Some(grant),
        closed_for: Some(Span::secs(24 * 3600)),
        refused: Some(Refused { grant, why: WhyRefused::Other }),
        challenged: wide,
        challenge_ack: wide,
        ..beat.groups[0].clone()
    };
    for (links, groups) in [(3, 1), (9, 8), (2, 1)] {
        beat.echoes = vec![LinkEcho { link: "x".into(), number: wide, held: Span::secs(24 * 3600) }; links];
        beat.groups = vec![group.clone(); groups];
        assert_eq!(frame_len(&beat), longest_frame(links, groups));
    }
    let eight_and_eight = longest_frame(9, 8);
    assert!(eight_and_eight <= MOST_IN_ECHO, "{eight_and_eight}");
    assert_eq!(Room::of(9, 8), Some(Room { groups: usize::MAX, bytes: eight_and_eight }));
    // Of many more, parts of as many as fit, whose frames are as long as the longest one that is made.
    for links in 1..=9 {
        let room = Room::of(links, 64).unwrap();
        beat.echoes = vec![LinkEcho { link: "x".into(), number: wide, held: Span::secs(24 * 3600) }; links];
        beat.part = Part { index: 254, of: 255 };
        beat.groups = vec![group.clone(); room.groups];
        assert!((7..=11).contains(&room.groups) && room.bytes <= MOST_IN_ECHO, "{room:?}");
        assert_eq!(frame_len(&beat), room.bytes, "{links}");
    }
}

#[test]
fn a_part_says_which_it_is_and_one_that_cannot_be_is_refused() {
    let beat = |part| Heartbeat { part, ..full_beat(1) };
    for part in [Part::WHOLE, Part { index: 0, of: 2 }, Part { index: 7, of: 8 }] {
        assert_eq!(open_bytes(&encode::body(&beat(part))).unwrap().part, part);
    }
    for part in [Part { index: 2, of: 2 }, Part { index: 200, of: 8 }] {
        assert!(open_bytes(&encode::body(&beat(part))).is_err(), "{part:?}");
        // A later version may tell parts in another way: then the rest is never known.
        let later = open_bytes(&encode::body(&Heartbeat { version: 9, ..beat(part) })).unwrap();
        assert!(!later.part.is_whole());
    }
}

#[test]
fn no_span_is_long_enough_to_overflow_a_sum() {
    let mut beat = full_beat(1);
    beat.lease = Span(u64::MAX);
    beat.echo_of.as_mut().unwrap().lease = Span(u64::MAX);
    beat.echoes[0].held = Span(u64::MAX);
    let read = open_bytes(&encode::body(&beat)).unwrap();
    let day = Span::secs(24 * 3600);
    assert_eq!((read.lease, read.echo_of.unwrap().lease, read.echoes[0].held), (day, day, day));
}

#[test]
fn a_pair_with_itself_or_with_a_weak_key_is_refused() {
    let [a, b] = keys();
    let same_key = Signer::new(&pair(0), &a, &a.verifying_key()).err();
    let same_name = Signer::new(&Pair { nodes: ["alfa"; 2], ..pair(0) }, &a, &b.verifying_key()).err();
    let no_node = Signer::new(&pair(2), &a, &b.verifying_key()).err();
    let mut one = [0; 32];
    one[0] = 1; // the neutral element
    let weak = Signer::new(&pair(0), &a, &ed25519_dalek::VerifyingKey::from_bytes(&one).unwrap()).err();
    assert_eq!(
        [same_key, same_name, no_node, weak].map(Option::unwrap),
        [KeyError::SamePeer, KeyError::SamePeer, KeyError::NotOfPair, KeyError::WeakPeer]
    );
}

#[test]
fn nothing_foreign_and_nothing_too_long_is_signed() {
    let (signer, _) = ends();
    assert!(matches!(signer.sign(&Heartbeat { from: NodeId(1), ..plain_beat(1) }), Err(SignError::NotMine { .. })));
    let group = plain_beat(1).groups[0].clone();
    let crowd = Heartbeat { groups: vec![group; 1000], ..plain_beat(1) };
    assert!(matches!(signer.sign(&crowd), Err(SignError::TooLong(_))));
    let longest = signer.sign_body(&vec![b' '; MAX_FRAME - OVERHEAD]).unwrap();
    assert_eq!(signer.seal(&longest, &link("x")).len(), MAX_FRAME);
}

#[test]
fn a_flood_of_refusals_gives_one_line_a_reason_and_ten_seconds() {
    let mut log = RejectLog::default();
    let at = |ms: u64| Mono(0) + Span::millis(ms);
    assert_eq!(log.note(at(0), Reject::Tag), Some(RejectLine { reject: Reject::Tag, since_last: 1, total: 1 }));
    for ms in 1..1000 {
        assert_eq!(log.note(at(ms * 9), Reject::Tag), None);
    }
    assert!(log.note(at(9_000), Reject::Body).is_some(), "another reason has its own line");
    let line = log.note(at(10_000), Reject::Tag).unwrap();
    assert_eq!((line.since_last, line.total), (1000, 1001));
    assert!(line.to_string().contains("(1000 since the last such line, 1001 in all)"), "{line}");
}

#[test]
fn a_budget_ends_by_frames_or_by_bytes() {
    let mut budget = Budget::default();
    (0..FRAMES_PER_WAKE - 1).for_each(|_| budget.spend(1));
    assert!(!budget.is_spent());
    budget.spend(0);
    assert!(budget.is_spent());
    let mut budget = Budget::default();
    (0..BYTES_PER_WAKE / MAX_FRAME).for_each(|_| budget.spend(MAX_FRAME));
    assert!(budget.is_spent());
}

#[test]
fn the_test_vector_in_the_documentation_is_what_this_program_makes() {
    let document = include_str!("../../docs/PROTOCOL.md");
    let after = |heading: &str| {
        let rest = document.split_once(heading).unwrap_or_else(|| panic!("docs/PROTOCOL.md lost {heading:?}")).1;
        rest.split("```").nth(1).unwrap().trim_start_matches("text").split_whitespace().collect::<String>()
    };
    let (signer, mut opener) = ends();
    let signed = signer.sign(&full_beat(100)).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (on_link, in_vip) = (signer.seal(&signed, &link("x")), signer.seal(&signed, &Path::Vip("web".into())));
    if std::env::var_os("TWINBEAT_SHOW_VECTOR").is_some() {
        println!("{}\n{}\n{}", hex(signed.body()), hex(&on_link), hex(&in_vip[..HEADER + TAG]));
    }
    assert_eq!(after("### The body"), hex(signed.body()));
    assert_eq!(after("### The frame on link `x`"), hex(&on_link));
    assert_eq!(after("### Header and tag inside an echo for group `web`"), hex(&in_vip[..HEADER + TAG]));
    assert_eq!(*opener.open(&link("x"), &on_link).unwrap().get(), full_beat(100));
}

#[test]
fn a_second_key_of_the_peers_is_believed_beside_the_first_and_what_is_sent_goes_by_the_one_it_uses() {
    let ([a, b], next) = (keys(), SigningKey::from_bytes(&[9; 32]));
    let mut signer = Signer::of(&pair(0), &a, &b.verifying_key(), Some(&next.verifying_key())).unwrap();
    let mut opener = Opener::of(&pair(0), &a, [&b, &next].map(SigningKey::verifying_key), names()).unwrap();
    // Node 1, with either of its keys.
    let other = |key: &SigningKey| {
        let end = Opener::new(&pair(1), key, &a.verifying_key(), names()).unwrap();
        (Signer::new(&pair(1), key, &a.verifying_key()).unwrap(), end)
    };
    for (number, (key, place)) in (1..).zip([(&b, 0), (&next, 1), (&b, 0)]) {
        let (sends, mut hears) = other(key);
        let beat = Heartbeat { from: NodeId(1), ..full_beat(number) };
        opener.open(&link("x"), &sends.seal(&sends.sign(&beat).unwrap(), &link("x"))).unwrap();
        assert_eq!(opener.current(), place);
        signer.toward(opener.current());
        hears.open(&link("x"), &signer.seal(&signer.sign(&full_beat(number)).unwrap(), &link("x"))).unwrap();
        signer.toward(1 - place);
        let wrong = signer.seal(&signer.sign(&full_beat(number)).unwrap(), &link("x"));
        assert_eq!(hears.open(&link("x"), &wrong).unwrap_err(), Reject::Tag);
    }
    // A third one is nobody's, and an own frame is known with either.
    let (stranger, _) = other(&SigningKey::from_bytes(&[8; 32]));
    let beat = Heartbeat { from: NodeId(1), ..full_beat(9) };
    assert_eq!(opener.open(&link("x"), &stranger.seal(&stranger.sign(&beat).unwrap(), &link("x"))).unwrap_err(), Reject::Tag);
    for place in [0, 1] {
        signer.toward(place);
        let own = signer.seal(&signer.sign(&full_beat(9)).unwrap(), &link("x"));
        assert_eq!(opener.open(&link("x"), &own).unwrap_err(), Reject::Reflected);
    }
    signer.toward(7);
    signer.sign(&full_beat(10)).unwrap();
}
