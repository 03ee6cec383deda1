//! What an attacker on the wire can try: change, move, reflect, mix. `TWINBEAT_FUZZ_CASES=1000000` makes it a long run.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{Parts, ends, full_beat, keys, link, names, number, pair, plain_beat};
use super::*;
use twinbeat_core::id::NodeId;

fn config() -> ProptestConfig {
    let cases = std::env::var("TWINBEAT_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(256);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// One thing done to a frame on its way.
#[derive(Clone, Debug)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    CutFront(prop::sample::Index),
    Extend(Vec<u8>),
    Overwrite(prop::sample::Index, Vec<u8>),
    AppendFrame,
    SwapHalves(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        at().prop_map(Mutation::Cut),
        at().prop_map(Mutation::CutFront),
        vec(any::<u8>(), 1..200).prop_map(Mutation::Extend),
        (at(), vec(any::<u8>(), 1..100)).prop_map(|(at, bytes)| Mutation::Overwrite(at, bytes)),
        Just(Mutation::AppendFrame),
        at().prop_map(Mutation::SwapHalves),
    ]
}

impl Mutation {
    fn apply(&self, frame: &mut Vec<u8>, other: &[u8]) {
        if frame.is_empty() {
            return;
        }
        let len = frame.len();
        match self {
            Mutation::Flip(at, bit) => frame[at.index(len)] ^= 1 << bit,
            Mutation::Cut(at) => frame.truncate(at.index(len)),
            Mutation::CutFront(at) => drop(frame.drain(..at.index(len))),
            Mutation::Extend(bytes) => frame.extend_from_slice(bytes),
            Mutation::Overwrite(at, bytes) => {
                let at = at.index(len);
                frame.iter_mut().skip(at).zip(bytes).for_each(|(old, new)| *old = *new);
            }
            Mutation::AppendFrame => frame.extend_from_slice(other),
            Mutation::SwapHalves(at) => frame.rotate_left(at.index(len)),
        }
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_changed_frame_is_refused(known in any::<bool>(), mutations in vec(mutation(), 1..4)) {
        let (signer, mut opener) = ends();
        let path = link("x");
        let frame = signer.seal(&signer.sign(&full_beat(1)).unwrap(), &path);
        let other = signer.seal(&signer.sign(&plain_beat(2)).unwrap(), &path);
        if known {
            opener.open(&path, &frame).unwrap();
        }
        let mut changed = frame.clone();
        mutations.iter().for_each(|mutation| mutation.apply(&mut changed, &other));
        prop_assume!(changed != frame && changed != other);
        prop_assert!(opener.open(&path, &changed).is_err());
        prop_assert_eq!(opener.tally().verifications, u64::from(known), "a changed frame got past the tag");
    }

    #[test]
    fn any_bytes_are_refused(bytes in vec(any::<u8>(), 0..400), head in any::<bool>()) {
        let (_, mut opener) = ends();
        let bytes = if head { [&sign::HEADER_BYTES[..], &bytes].concat() } else { bytes };
        prop_assert!(opener.open(&link("x"), &bytes).is_err());
    }

    /// Even the peer itself, gone mad, makes nothing but refusals.
    #[test]
    fn any_signed_body_is_read_or_refused(body in vec(any::<u8>(), 1..300)) {
        let (signer, mut opener) = ends();
        let frame = signer.seal(&signer.sign_body(&body).unwrap(), &link("x"));
        prop_assert!(opener.open(&link("x"), &frame).is_err());
    }

    /// A heartbeat of a mad or newer peer: fields lost, changed, of another kind. It says the same twice, and never more than it said.
    #[test]
    fn any_signed_map_is_read_or_refused(version in 0u64..4, mutations in vec((any::<prop::sample::Index>(), 0usize..7), 0..4)) {
        let (signer, mut opener) = ends();
        let odd = |kind: usize| match kind {
            1 => vec![0xf6],
            2 => number(u64::MAX),
            3 => vec![0x20],
            4 => vec![0x61, b'?'],
            5 => vec![0x82, 0x01, 0xa1, 0x01, 0x02],
            _ => vec![0x83, 0x01, 0x01, 0x9f, 0xff],
        };
        let mutate = |mut parts: Parts, at: prop::sample::Index, kind: usize| {
            if parts.0.is_empty() {
                return parts;
            }
            let place = at.index(parts.0.len());
            if kind == 0 { drop(parts.0.remove(place)) } else { parts.0[place].1 = odd(kind) }
            parts
        };
        let beat = full_beat(1);
        let mut group = Parts::of(&Parts::beat(&beat).0.iter().find(|(key, _)| *key == encode::key::GROUPS).unwrap().1[1..]);
        let mut whole = Parts::beat(&beat).with(encode::key::VERSION, number(version));
        for (at, kind) in mutations {
            if at.index(2) == 0 {
                group = mutate(group, at, kind);
            } else {
                whole = mutate(whole, at, kind);
            }
        }
        if whole.0.iter().any(|(key, value)| *key == encode::key::GROUPS && value[0] == 0x81) {
            whole = whole.first_group(|_| group.clone());
        }
        let frame = signer.seal(&signer.sign_body(&whole.bytes()).unwrap(), &link("x"));
        if let Ok(read) = opener.open(&link("x"), &frame) {
            let read = read.get();
            prop_assert_eq!(read.from, NodeId(0));
            let flags = group.0.iter().find(|(key, _)| *key == encode::group_key::FLAGS);
            for said in &read.groups {
                let released = group.0.iter().any(|(key, _)| *key == encode::group_key::RELEASED);
                prop_assert!(said.released.is_none() || released);
                prop_assert!(said.gate_open || flags.is_some_and(|(_, v)| v[0] & 1 == 0), "an open gate was read as closed");
            }
        }
    }
}

#[test]
fn a_frame_of_another_cluster_receiver_or_link_is_refused() {
    let [a, b] = keys();
    let c = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
    let (_, mut opener) = ends();
    let path = link("x");
    let other_cluster = Signer::new(&Pair { cluster: "demo2", ..pair(0) }, &a, &b.verifying_key()).unwrap();
    let other_names = Signer::new(&Pair { nodes: ["alfa", "charlie"], ..pair(0) }, &a, &b.verifying_key()).unwrap();
    let other_receiver = Signer::new(&pair(0), &a, &c.verifying_key()).unwrap();
    let other_sender = Signer::new(&pair(0), &c, &b.verifying_key()).unwrap();
    for signer in [&other_cluster, &other_names, &other_receiver, &other_sender] {
        let frame = signer.seal(&signer.sign(&plain_beat(1)).unwrap(), &path);
        assert_eq!(opener.open(&path, &frame), Err(Reject::Tag));
    }
    let (signer, _) = ends();
    let signed = signer.sign(&plain_beat(1)).unwrap();
    let good = signer.seal(&signed, &path);
    opener.open(&path, &good).unwrap();
    for elsewhere in [link("y"), link(""), Path::Vip("x".into()), link("vip:x")] {
        assert_eq!(opener.open(&elsewhere, &good), Err(Reject::Tag), "{elsewhere}");
    }
    assert_eq!(opener.open(&link("x"), &signer.seal(&signed, &Path::Vip("x".into()))), Err(Reject::Tag));
}

#[test]
fn our_own_frame_sent_back_to_us_is_refused_and_named() {
    let [a, b] = keys();
    let (signer, _) = ends();
    let mut own = Opener::new(&pair(0), &a, &b.verifying_key(), names()).unwrap();
    for path in [link("x"), Path::Vip("web".into())] {
        let frame = signer.seal(&signer.sign(&plain_beat(1)).unwrap(), &path);
        assert_eq!(own.open(&path, &frame), Err(Reject::Reflected));
    }
    assert_eq!(own.tally().verifications, 0);
}

/// One who has the tag's key (say, out of a core dump) and not the signing key.
#[test]
fn a_right_tag_over_a_wrong_signature_is_refused_by_the_signature() {
    let (signer, mut opener) = ends();
    let path = link("x");
    let one = signer.sign(&plain_beat(1)).unwrap();
    let two = signer.sign(&plain_beat(2)).unwrap();
    let known = opener.open(&path, &signer.seal(&one, &path)).unwrap();
    let frame_of = |signed: &[u8]| {
        let tag = keys::Directions::derive(&pair(0), &keys()[0], &keys()[1].verifying_key()).unwrap().to_peer;
        let tag = tag.tag(&path, &sign::HEADER_BYTES, signed);
        [&sign::HEADER_BYTES[..], &tag[..], signed].concat()
    };
    let signature = |signed: &SignedBody| signer.seal(signed, &path)[HEADER + TAG..OVERHEAD].to_vec();
    // One's signature on the other's body, a body cut short, a body with more behind it, nothing but zeros.
    for signed in [
        [signature(&one), two.body().to_vec()].concat(),
        [signature(&one), one.body()[..one.body().len() - 1].to_vec()].concat(),
        [signature(&one), one.body().to_vec(), b" ".to_vec()].concat(),
        [vec![0; SIGNATURE], one.body().to_vec()].concat(),
    ] {
        assert_eq!(opener.open(&path, &frame_of(&signed)), Err(Reject::Signature));
    }
    // A signature over the bare body, without what binds it to cluster, sender and receiver.
    let bare = ed25519_dalek::Signer::sign(&keys()[0], one.body()).to_bytes();
    assert_eq!(opener.open(&path, &frame_of(&[&bare[..], one.body()].concat())), Err(Reject::Signature));
    // The same heartbeat, tagged by somebody else: a copy, as it should be.
    let again = opener.open(&path, &frame_of(&[signature(&one), one.body().to_vec()].concat())).unwrap();
    assert!(Arc::ptr_eq(&again, &known));
}

/// With the names changed round, `from` and the signed names disagree: the receiver would take node 1 for node 0.
#[test]
fn signature_and_body_must_name_the_same_sender() {
    let [a, b] = keys();
    let (_, mut opener) = ends();
    let swapped = Pair { nodes: ["bravo", "alfa"], ..pair(1) };
    let signer = Signer::new(&swapped, &a, &b.verifying_key()).unwrap();
    let beat = twinbeat_core::heartbeat::Heartbeat { from: NodeId(1), ..plain_beat(1) };
    let frame = signer.seal(&signer.sign(&beat).unwrap(), &link("x"));
    assert_eq!(opener.open(&link("x"), &frame), Err(Reject::Sender));
}
