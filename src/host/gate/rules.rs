//! The gate's chains and rules: where in the kernel's path which packet of a closed VIP is dropped.
//!
//! Seven chains, whatever the number of interfaces, in two tables. They see what is delivered to this machine and what leaves it
//! in the VIP's name, and not what a bridge only passes on. What is dropped where, and why there: docs/GATE.md.

use netlink_packet_core::DefaultNla;
use netlink_packet_netfilter::nftables::{
    Cmp, DataAttribute, ExpressionAttribute, Expressions, Immediate, InetHookNumber, ListAttribute, Lookup, Meta, MetaKey,
    Operator, Payload, Register, Verdict, VerdictAttribute,
};

use super::family::Family;

type Expression = ListAttribute<ExpressionAttribute>;
/// One rule's expressions.
pub(super) type Rule = Vec<Expression>;

/// A base chain with its rules.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    /// Of which table.
    pub family: Family,
    /// As `nft list ruleset` shows it.
    pub name: &'static str,
    /// The hook's number in its family.
    pub hook: u32,
    /// Its place among the hook's chains.
    pub priority: i32,
    /// In their order.
    pub rules: Vec<Rule>,
}

/// All chains. `kinds`: the kernel can tell an interface's kind (Linux 5.1); without it what a challenge diverts to this
/// machine is routed on instead of dropped, where the machine routes at all.
pub(super) fn chains(kinds: bool) -> Vec<Chain> {
    let inet =
        |name, hook: InetHookNumber, priority, rules| Chain { family: Family::Inet, name, hook: hook.into(), priority, rules };
    let arp = |name, hook, offset| Chain {
        family: Family::Arp,
        name,
        hook,
        priority: FIRST,
        rules: vec![rule(vec![load(NETWORK, offset, 4)], '4', vec![verdict(DROP)])],
    };
    vec![
        arp("input", ARP_IN, ARP_TARGET),
        arp("output", ARP_OUT, ARP_SENDER),
        inet("prerouting", InetHookNumber::PreRouting, FIRST, prerouting(kinds)),
        inet("input", InetHookNumber::LocalIn, FIRST, input()),
        inet("forward", InetHookNumber::Forward, FIRST, forward()),
        inet("output", InetHookNumber::LocalOut, FIRST, output()),
        inet("postrouting", InetHookNumber::PostRouting, AFTER_NAT, postrouting()),
    ]
}

/// Before connection tracking and every translation: what is for a VIP that this machine has; and what came in where the VIP is
/// reached, so that it was diverted to this machine and would go out again. (A guest's way to the VIP comes in elsewhere; what a
/// bridge only passes on is left alone.)
fn prerouting(kinds: bool) -> Vec<Rule> {
    let to = |v, further| rule(address(v, to(v)), v, [vec![meta(MetaKey::Iif), not(&LO)], further, vec![verdict(DROP)]].concat());
    let mut rules: Vec<Rule> = V.map(|v| to(v, vec![fib(FIB_TYPE, FIB_DADDR), equal(&LOCAL)])).into();
    if kinds {
        rules.push(vec![meta(MetaKey::Iifkind), equal(&BRIDGE), verdict(ACCEPT)]);
        // The route's interface where that is the incoming one, else 0.
        rules.extend(V.map(|v| to(v, vec![fib(FIB_OIF, FIB_DADDR | FIB_IIF), not(&[0; 4])])));
    }
    rules
}

/// What is delivered here, in whatever routing table (VRF) the VIP is; neighbour solicitations that ask for it, to whatever address.
fn input() -> Vec<Rule> {
    let here = |v| rule(address(v, to(v)), v, vec![meta(MetaKey::Iif), not(&LO), verdict(DROP)]);
    V.map(here).into_iter().chain([rule(neighbour(SOLICITATION), '6', vec![verdict(DROP)])]).collect()
}

/// What comes in with the VIP as its source is another owner's word, only passing: it is marked, to be told apart behind the
/// translations from what was given the VIP's name here. A packet with a mark of somebody else's is not touched, and dropped there.
fn forward() -> Vec<Rule> {
    let passing = vec![meta(MetaKey::Mark), equal(&[0; 4]), value(&PASSING.to_ne_bytes()), set_mark()];
    V.map(|v| rule(address(v, from(v)), v, passing.clone())).into()
}

/// What this machine makes in the VIP's name, and neighbour advertisements that speak for it.
fn output() -> Vec<Rule> {
    leaving().into_iter().chain([rule(neighbour(ADVERTISEMENT), '6', vec![verdict(DROP)])]).collect()
}

/// Behind all translations: what got the VIP as its source here (the way back of a translated connection, masquerade, IPVS).
fn postrouting() -> Vec<Rule> {
    let passed = vec![meta(MetaKey::Mark), equal(&PASSING.to_ne_bytes()), value(&[0; 4]), set_mark(), verdict(ACCEPT)];
    std::iter::once(passed).chain(leaving()).collect()
}

fn leaving() -> [Rule; 2] {
    V.map(|v| rule(address(v, from(v)), v, vec![meta(MetaKey::Oif), not(&LO), verdict(DROP)]))
}

/// Where the loaded address is a VIP whose gate is closed.
fn rule(loaded: Vec<Expression>, v: char, further: Vec<Expression>) -> Rule {
    let closed = vec![lookup(&format!("vip{v}"), false), lookup(&format!("open{v}"), true)];
    [loaded, closed, further].concat()
}

fn address(v: char, offset: u32) -> Vec<Expression> {
    [family(v), vec![load(NETWORK, offset, if v == '4' { 4 } else { 16 })]].concat()
}

fn family(v: char) -> Vec<Expression> {
    vec![meta(MetaKey::Nfproto), equal(&[if v == '4' { NFPROTO_IPV4 } else { NFPROTO_IPV6 }])]
}

/// Where a packet's destination is.
fn to(v: char) -> u32 {
    if v == '4' { 16 } else { 24 }
}

/// Where its source is.
fn from(v: char) -> u32 {
    if v == '4' { 12 } else { 8 }
}

/// Loads the target of a neighbour message of this kind (RFC 4861 4.3, 4.4).
fn neighbour(kind: u8) -> Vec<Expression> {
    let of_kind = vec![meta(MetaKey::L4Proto), equal(&[ICMPV6]), load(TRANSPORT, 0, 1), equal(&[kind])];
    [family('6'), of_kind, vec![load(TRANSPORT, 8, 16)]].concat()
}

fn meta(key: MetaKey) -> Expression {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

fn set_mark() -> Expression {
    Expressions::Meta(vec![Meta::Key(MetaKey::Mark), Meta::SourceRegister(Register::Reg1)]).into()
}

fn value(value: &[u8]) -> Expression {
    let data = Immediate::Data(DataAttribute::Value(value.to_vec()));
    Expressions::Immediate(vec![Immediate::DestinationRegister(Register::Reg1), data]).into()
}

fn load(base: u32, offset: u32, length: u32) -> Expression {
    let target = Payload::DestinationRegister(Register::Reg1);
    Expressions::Payload(vec![target, Payload::Base(base), Payload::Offset(offset), Payload::Len(length)]).into()
}

/// What the routing tables say (net/netfilter/nft_fib.c).
fn fib(result: u32, flags: u32) -> Expression {
    let register = u32::from(Register::Reg1);
    let attributes = [(1, register), (2, result), (3, flags)];
    let attributes = attributes.into_iter().map(|(kind, value)| DefaultNla::new(kind, value.to_be_bytes().to_vec())).collect();
    Expressions::Other { expression_type: "fib".to_owned(), attributes }.into()
}

fn compare(operator: Operator, value: &[u8]) -> Expression {
    let data = Cmp::Data(DataAttribute::Value(value.to_vec()));
    Expressions::Cmp(vec![Cmp::SourceRegister(Register::Reg1), Cmp::Op(operator), data]).into()
}

fn equal(value: &[u8]) -> Expression {
    compare(Operator::Equal, value)
}

fn not(value: &[u8]) -> Expression {
    compare(Operator::NotEqual, value)
}

fn lookup(set: &str, inverted: bool) -> Expression {
    let mut attributes = vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(Register::Reg1)];
    if inverted {
        attributes.push(Lookup::Flags(1));
    }
    Expressions::Lookup(attributes).into()
}

fn verdict(code: u32) -> Expression {
    let target = Immediate::DestinationRegister(Register::Verdict);
    let code = DataAttribute::Verdict(vec![VerdictAttribute::Code(Verdict::from(code))]);
    Expressions::Immediate(vec![target, Immediate::Data(code)]).into()
}

/// What only passes, between two hooks of this machine ("tbvs"); nobody sees it outside.
pub(super) const PASSING: u32 = 0x7462_7673;
/// Before defragmentation (-400 is its place), connection tracking (-200) and every translation.
const FIRST: i32 = -450;
/// Behind the translation of sources (100), and before connections are confirmed.
const AFTER_NAT: i32 = 350;
/// The families' letters: each has sets of its own.
const V: [char; 2] = ['4', '6'];
/// include/uapi/linux/netfilter_arp.h
const ARP_IN: u32 = 0;
const ARP_OUT: u32 = 1;
/// Where Ethernet's ARP has its addresses (RFC 826).
const ARP_SENDER: u32 = 14;
const ARP_TARGET: u32 = 24;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// The loopback is the first interface of every network namespace.
const LO: [u8; 4] = 1_u32.to_ne_bytes();
/// RTN_LOCAL (include/uapi/linux/rtnetlink.h).
const LOCAL: [u8; 4] = 2_u32.to_ne_bytes();
/// A kind is padded to the length of an interface's name.
const BRIDGE: [u8; 16] = *b"bridge\0\0\0\0\0\0\0\0\0\0";
// enum nft_fib_result and nft_fib_flags (include/uapi/linux/netfilter/nf_tables.h)
const FIB_OIF: u32 = 1;
const FIB_TYPE: u32 = 3;
const FIB_DADDR: u32 = 1 << 1;
const FIB_IIF: u32 = 1 << 3;
