//! What a frame means, case by case.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by dying")]

use super::*;
use crate::neighbour::{gratuitous, probe, write};
use crate::raw_echo::Tag;

const MINE: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const OTHER_OF_MINE: Mac = Mac([2, 0, 0, 0, 0, 0x1a]);
const PEER: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);
const GATEWAY: Mac = Mac([2, 0, 0, 0, 0, 1]);
const G: GroupId = GroupId(0);

struct Facts {
    vips: Vec<Vip>,
    witnesses: Vec<Witness>,
    own: Vec<IpAddr>,
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn facts() -> Facts {
    let vip = |address| Vip { address: ip(address), group: G, link: 0, answering: false, probed: None };
    let mut witnesses = vec![Witness::new(ip("192.0.2.1")), Witness::new(ip("2001:db8::1"))];
    witnesses.iter_mut().for_each(|witness| witness.answered(GATEWAY, Instant::now()));
    Facts { vips: vec![vip("192.0.2.10"), vip("2001:db8::10")], witnesses, own: vec![ip("192.0.2.2"), ip("2001:db8::2")] }
}

impl Facts {
    fn view(&self) -> View<'_> {
        View { vips: &self.vips, witnesses: &self.witnesses, own: &self.own, mine: &[MINE, OTHER_OF_MINE], link: 0, my: MINE }
    }

    fn judge(&self, frame: &[u8]) -> Option<Verdict> {
        self.view().judge(&Neighbour::parse(frame).unwrap(), Instant::now())
    }
}

#[test]
fn anothers_announcement_and_anothers_write_are_announcements() {
    let facts = facts();
    let announced = Some(Verdict::Seen(PublicEvent::Announced { group: G, by: PEER }));
    for (vip, witness) in [("192.0.2.10", "192.0.2.1"), ("2001:db8::10", "2001:db8::1")] {
        assert_eq!(facts.judge(&gratuitous(PEER, ip(vip))), announced);
        assert_eq!(facts.judge(&write(PEER, ip(vip), ip(witness), Some(GATEWAY)).unwrap()), announced);
        assert_eq!(facts.judge(&write(PEER, ip(vip), ip(witness), None).unwrap()), announced);
        assert_eq!(facts.judge(&gratuitous(OTHER_OF_MINE, ip(vip))), None, "my other interface is no stranger");
        assert_eq!(facts.judge(&probe(PEER, ip(vip))), None, "the peer's probe claims nothing");
        assert_eq!(facts.judge(&write(PEER, ip("192.0.2.77"), ip("192.0.2.1"), None).unwrap()), None, "another address");
    }
}

#[test]
fn an_all_nodes_answer_counts_as_one_only_after_a_probe() {
    let mut facts = facts();
    let frame = gratuitous(PEER, ip("2001:db8::10"));
    facts.vips[1].probed = Some(Instant::now());
    assert_eq!(facts.judge(&frame), Some(Verdict::Seen(PublicEvent::Answered { group: G, by: PEER })));
    facts.vips[1].probed = Instant::now().checked_sub(PROBE_ANSWER);
    assert_eq!(facts.judge(&frame), Some(Verdict::Seen(PublicEvent::Announced { group: G, by: PEER })));
}

#[test]
fn only_a_witness_and_only_by_unicast_and_only_when_told_is_answered() {
    let mut facts = facts();
    let question = |from, who: &str, vip: &str, to| write(from, ip(who), ip(vip), to).unwrap();
    for (at, vip, gateway, client) in [(0, "192.0.2.10", "192.0.2.1", "192.0.2.50"), (1, "2001:db8::10", "fe80::1", "fe80::50")] {
        let unicast = question(GATEWAY, gateway, vip, Some(MINE));
        assert_eq!(facts.judge(&unicast), None, "not a challenger");
        facts.vips[at].answering = true;
        let Some(Verdict::Answer(answer)) = facts.judge(&unicast) else { panic!("{vip}: it is to be answered") };
        match Neighbour::parse(&answer).unwrap() {
            Neighbour::Arp(arp) => {
                assert_eq!((arp.to, arp.request, arp.sender), (GATEWAY, false, (MINE, "192.0.2.10".parse().unwrap())))
            }
            Neighbour::Advertisement(na) => assert!(na.to == GATEWAY && na.link == Some(MINE) && na.solicited && na.overriding),
            Neighbour::Solicitation(_) => panic!("an answer is no question"),
        }
        let asks = Some(Verdict::Seen(PublicEvent::WitnessAsks { group: G }));
        assert_eq!(facts.judge(&question(GATEWAY, gateway, vip, None)), asks, "everybody is asked: heard and not answered");
        let clients = Mac([2, 0, 0, 0, 0, 0x50]);
        assert_eq!(facts.judge(&question(clients, client, vip, Some(MINE))), None, "a client is not to be kept here");
        assert_eq!(facts.judge(&question(clients, client, vip, None)), None, "a client is no witness");
    }
}

#[test]
fn an_echo_that_was_not_delivered_to_this_interface_proves_nothing() {
    let facts = facts();
    let tag = Tag { purpose: Purpose::Vip(G), sender: NodeId(0), life: 7, number: 9 };
    let reply =
        Reply { from: GATEWAY, to: MINE, source: ip("192.0.2.1"), destination: ip("192.0.2.10"), hops: 64, tag, frame: b"beat" };
    let judge = |reply: Reply<'_>| facts.view().judge_reply(&reply, NodeId(0), 7);
    let kind = twinbeat_core::io::EchoKind::Vip(G);
    let mine = Some(Verdict::Seen(PublicEvent::EchoReply { witness: WitnessId(0), kind, number: 9 }));
    assert_eq!(judge(reply.clone()), mine);
    assert_eq!(judge(Reply { to: PEER, ..reply.clone() }), None, "flooded by a switch");
    assert_eq!(judge(Reply { from: PEER, hops: 63, ..reply.clone() }), None, "forwarded by the peer");
    assert_eq!(judge(Reply { from: OTHER_OF_MINE, ..reply.clone() }), mine, "a gateway may answer from another MAC");
    assert_eq!(judge(Reply { hops: 63, ..reply.clone() }), mine, "a gateway may count its hops as it likes");
    assert_eq!(judge(Reply { source: ip("192.0.2.99"), ..reply.clone() }), None, "from no witness");
    assert_eq!(judge(Reply { destination: ip("192.0.2.2"), ..reply.clone() }), None, "not to the VIP");
    assert_eq!(judge(Reply { tag: Tag { life: 8, ..tag }, ..reply.clone() }), None, "of another life");
    let delivered = Some(Verdict::Seen(PublicEvent::TableDelivered { group: G, frame: b"beat".to_vec() }));
    assert_eq!(judge(Reply { tag: Tag { sender: NodeId(1), ..tag }, ..reply.clone() }), delivered);
    let bare = Tag { purpose: Purpose::Control(G), sender: NodeId(1), ..tag };
    assert_eq!(judge(Reply { tag: bare, frame: b"", ..reply.clone() }), None, "a control bears no heartbeat to be refused");
    let relay = Tag { purpose: Purpose::Relay, sender: NodeId(1), ..tag };
    let relayed = Some(Verdict::Seen(PublicEvent::Relayed { frame: b"beat".to_vec() }));
    assert_eq!(judge(Reply { tag: relay, destination: ip("192.0.2.2"), ..reply.clone() }), relayed);
    assert_eq!(judge(Reply { tag: Tag { sender: NodeId(0), ..relay }, destination: ip("192.0.2.2"), ..reply }), None, "my own");
}

#[test]
fn a_witness_is_asked_seldom_while_it_answers_and_everybody_when_it_does_not() {
    let mut witness = Witness::new(ip("192.0.2.1"));
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    assert_eq!(witness.due(at(0)), Some(None), "unknown: everybody");
    assert_eq!(witness.due(at(100)), None);
    witness.answered(GATEWAY, at(101));
    assert_eq!((witness.due(at(600)), witness.due(at(4_900))), (None, None));
    assert_eq!(witness.due(at(5_100)), Some(Some(GATEWAY)));
    assert_eq!(witness.due(at(5_600)), Some(Some(GATEWAY)));
    assert_eq!(witness.due(at(6_100)), Some(None), "it does not answer: everybody");
    assert_eq!(witness.mac, Some(GATEWAY), "and is not forgotten");
}

proptest::proptest! {
    #[test]
    fn any_frame_is_judged_without_a_panic_and_none_is_answered_unasked(
        mut frame in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        kind in 0usize..4,
        spot in 0usize..3,
    ) {
        let facts = facts();
        // Half-way to what could be meant: the type, and an address that is known at one of the places where one stands.
        if let Some(place) = frame.get_mut(12..14) {
            place.copy_from_slice(&[[8, 6], [8, 0], [0x86, 0xdd], [8, 1]][kind]);
        }
        if let Some(place) = frame.get_mut([28, 38, 26][spot]..).and_then(|rest| rest.first_chunk_mut::<4>()) {
            *place = [192, 0, 2, 10];
        }
        let verdict = Neighbour::parse(&frame).and_then(|n| facts.view().judge(&n, Instant::now()));
        proptest::prop_assert!(!matches!(verdict, Some(Verdict::Answer(_))));
        if let Some(reply) = crate::raw_echo::parse_reply(&frame) {
            let _ = facts.view().judge_reply(&reply, NodeId(0), 1);
        }
    }
}
