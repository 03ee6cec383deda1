//! The gate's table in netlink messages: what `nft list ruleset` shows. Every message may be sent again without harm.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NetlinkMessage};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, Cmp, DataAttribute, DevHookNumber, ExpressionAttribute, Expressions, Hook, Immediate,
    ListAttribute, Lookup, Meta, MetaKey, NfTablesMessage, Operator, Payload, Register, RuleAttribute, RuleMessage, SetAttribute,
    SetElementAttribute, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableMessage, Verdict,
    VerdictAttribute,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::MARK;

/// One nftables message.
pub(super) type Message = NetlinkMessage<NetfilterMessage>;

/// The rules of one gate, by the table's name.
pub(super) struct Ruleset<'a> {
    /// The table's name.
    pub table: &'a str,
}

type Rule = Vec<ListAttribute<ExpressionAttribute>>;

impl Ruleset<'_> {
    /// Table, sets, chains and rules, without opening anything that is closed and without closing what is open.
    pub fn everything(&self, vips: &[IpAddr], interfaces: &[String]) -> Vec<Message> {
        let mut messages = vec![self.table()];
        messages.extend([self.set("vip4", V4, false, 1), self.set("vip6", V6, false, 2)]);
        messages.extend([self.set("open4", V4, true, 3), self.set("open6", V6, true, 4)]);
        messages.extend([self.flush_set("vip4"), self.flush_set("vip6")]);
        messages.extend(self.elements(true, "vip", vips, None));
        for (chain, rules) in [("ingress", ingress()), ("egress", egress())] {
            messages.extend([self.chain(chain, None), self.flush_chain(chain)]);
            messages.extend(rules.into_iter().map(|rule| self.rule(chain, rule)));
        }
        messages.extend(interfaces.iter().flat_map(|interface| self.hooks(interface)));
        messages
    }

    /// The two hooks of one interface.
    pub fn hooks(&self, interface: &str) -> Vec<Message> {
        let mut messages = Vec::new();
        for (prefix, number, rules) in [("in", DevHookNumber::Ingress, "ingress"), ("out", DevHookNumber::Egress, "egress")] {
            let name = format!("{prefix}-{interface}");
            let hook = vec![
                Hook::Number(number.into()),
                Hook::Priority(PRIORITY.cast_unsigned()),
                Hook::NetDeviceName(interface.to_owned()),
            ];
            messages.extend([self.chain(&name, Some(hook)), self.flush_chain(&name)]);
            messages.push(self.rule(&name, vec![jump(rules)]));
        }
        messages
    }

    /// Makes the table if it is not there.
    pub fn table(&self) -> Message {
        let attributes = vec![TableAttribute::Name(self.table.to_owned())];
        message(NLM_F_CREATE, NfTablesMessage::NewTable(TableMessage { attributes }))
    }

    /// Removes the table with all that is in it.
    pub fn delete_table(&self) -> Message {
        let attributes = vec![TableAttribute::Name(self.table.to_owned())];
        message(0, NfTablesMessage::DeleteTable(TableMessage { attributes }))
    }

    /// Asks for the table.
    pub fn get_table(&self) -> Message {
        let attributes = vec![TableAttribute::Name(self.table.to_owned())];
        message(0, NfTablesMessage::GetTable(TableMessage { attributes }))
    }

    /// Makes these addresses elements for so many milliseconds.
    pub fn open(&self, vips: &[IpAddr], millis: u64) -> Vec<Message> {
        self.elements(true, "open", vips, Some(millis))
    }

    /// Removes these elements; the whole batch fails (ENOENT) when one has expired.
    pub fn shut(&self, vips: &[IpAddr]) -> Vec<Message> {
        self.elements(false, "open", vips, None)
    }

    /// Asks for one address's element.
    pub fn get_element(&self, vip: IpAddr) -> Message {
        let set = if vip.is_ipv4() { "open4" } else { "open6" };
        let attributes = vec![
            SetElementList::Table(self.table.to_owned()),
            SetElementList::Set(set.to_owned()),
            SetElementList::Elements(vec![element(vip, None)]),
        ];
        message(0, NfTablesMessage::GetSetElement(SetElementMessage { attributes }))
    }

    fn elements(&self, add: bool, set: &str, vips: &[IpAddr], millis: Option<u64>) -> Vec<Message> {
        let mut messages = Vec::new();
        for (suffix, v4) in [("4", true), ("6", false)] {
            let family: Vec<IpAddr> = vips.iter().copied().filter(|vip| vip.is_ipv4() == v4).collect();
            for part in family.chunks(PER_MESSAGE) {
                let attributes = vec![
                    SetElementList::Table(self.table.to_owned()),
                    SetElementList::Set([set, suffix].concat()),
                    SetElementList::Elements(part.iter().map(|vip| element(*vip, millis)).collect()),
                ];
                messages.push(if add {
                    message(NLM_F_CREATE, NfTablesMessage::NewSetElement(SetElementMessage { attributes }))
                } else {
                    message(0, NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }))
                });
            }
        }
        messages
    }

    fn set(&self, name: &str, (kind, length): (u32, u32), timeouts: bool, id: u32) -> Message {
        let mut attributes = vec![
            SetAttribute::Table(self.table.to_owned()),
            SetAttribute::Name(name.to_owned()),
            SetAttribute::KeyType(kind),
            SetAttribute::KeyLen(length),
            SetAttribute::Id(id),
        ];
        if timeouts {
            attributes.push(SetAttribute::Flags(SetFlags::Timeout));
        }
        message(NLM_F_CREATE, NfTablesMessage::NewSet(SetMessage { attributes }))
    }

    fn flush_set(&self, name: &str) -> Message {
        let attributes = vec![SetElementList::Table(self.table.to_owned()), SetElementList::Set(name.to_owned())];
        message(0, NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }))
    }

    fn chain(&self, name: &str, hook: Option<Vec<Hook>>) -> Message {
        let mut attributes = vec![ChainAttribute::Table(self.table.to_owned()), ChainAttribute::Name(name.to_owned())];
        if let Some(hook) = hook {
            attributes.extend([ChainAttribute::Hook(hook), ChainAttribute::Policy(ACCEPT)]);
            attributes.push(ChainAttribute::Type("filter".to_owned()));
        }
        message(NLM_F_CREATE, NfTablesMessage::NewChain(ChainMessage { attributes }))
    }

    fn flush_chain(&self, name: &str) -> Message {
        let attributes = vec![RuleAttribute::Table(self.table.to_owned()), RuleAttribute::Chain(name.to_owned())];
        message(0, NfTablesMessage::DeleteRule(RuleMessage { attributes }))
    }

    fn rule(&self, chain: &str, rule: Rule) -> Message {
        let attributes = vec![
            RuleAttribute::Table(self.table.to_owned()),
            RuleAttribute::Chain(chain.to_owned()),
            RuleAttribute::Expressions(rule),
        ];
        message(NLM_F_CREATE | NLM_F_APPEND, NfTablesMessage::NewRule(RuleMessage { attributes }))
    }
}

/// The messages between a batch's begin and end: they take effect together or not at all.
pub(super) fn batch(messages: Vec<Message>) -> Vec<Message> {
    let mut all = Vec::with_capacity(messages.len() + 2);
    all.push(control(ControlMessage::BatchBegin));
    all.extend(messages);
    all.push(control(ControlMessage::BatchEnd));
    all
}

/// What comes in for a VIP: IPv4, ARP that asks for it, IPv6, neighbour solicitations that ask for it.
fn ingress() -> Vec<Rule> {
    vec![
        guard(ARP, &[], NETWORK, 24, '4'),
        guard(IPV4, &[], NETWORK, 16, '4'),
        guard(IPV6, &[], NETWORK, 24, '6'),
        guard(IPV6, &icmpv6(SOLICITATION), TRANSPORT, 8, '6'),
    ]
}

/// What goes out from a VIP: IPv4, ARP that speaks for it, IPv6, neighbour advertisements; first the daemon's own marked frames.
fn egress() -> Vec<Rule> {
    vec![
        vec![meta(MetaKey::Mark), equal(&MARK.to_ne_bytes()), verdict(ACCEPT, None)],
        guard(ARP, &[], NETWORK, 14, '4'),
        guard(IPV4, &[], NETWORK, 12, '4'),
        guard(IPV6, &[], NETWORK, 8, '6'),
        guard(IPV6, &icmpv6(ADVERTISEMENT), TRANSPORT, 8, '6'),
    ]
}

/// Drops a packet whose address at this place is a VIP that is not open.
fn guard(protocol: u16, further: &[ListAttribute<ExpressionAttribute>], base: u32, offset: u32, family: char) -> Rule {
    let mut rule = vec![meta(MetaKey::EtherTypeProtocol), equal(&protocol.to_be_bytes())];
    rule.extend_from_slice(further);
    rule.push(load(base, offset, if family == '4' { 4 } else { 16 }));
    rule.push(lookup(&format!("vip{family}"), false));
    rule.push(lookup(&format!("open{family}"), true));
    rule.push(verdict(DROP, None));
    rule
}

fn icmpv6(kind: u8) -> Rule {
    vec![meta(MetaKey::L4Proto), equal(&[ICMPV6]), load(TRANSPORT, 0, 1), equal(&[kind])]
}

fn meta(key: MetaKey) -> ListAttribute<ExpressionAttribute> {
    Expressions::Meta(vec![Meta::Key(key), Meta::DestinationRegister(Register::Reg1)]).into()
}

fn load(base: u32, offset: u32, length: u32) -> ListAttribute<ExpressionAttribute> {
    let target = Payload::DestinationRegister(Register::Reg1);
    Expressions::Payload(vec![target, Payload::Base(base), Payload::Offset(offset), Payload::Len(length)]).into()
}

fn equal(value: &[u8]) -> ListAttribute<ExpressionAttribute> {
    let data = Cmp::Data(DataAttribute::Value(value.to_vec()));
    Expressions::Cmp(vec![Cmp::SourceRegister(Register::Reg1), Cmp::Op(Operator::Equal), data]).into()
}

fn lookup(set: &str, inverted: bool) -> ListAttribute<ExpressionAttribute> {
    let mut attributes = vec![Lookup::Set(set.to_owned()), Lookup::SourceRegister(Register::Reg1)];
    if inverted {
        attributes.push(Lookup::Flags(1));
    }
    Expressions::Lookup(attributes).into()
}

fn verdict(code: u32, chain: Option<&str>) -> ListAttribute<ExpressionAttribute> {
    let mut attributes = vec![VerdictAttribute::Code(Verdict::from(code))];
    attributes.extend(chain.map(|chain| VerdictAttribute::Chain(chain.to_owned())));
    let target = Immediate::DestinationRegister(Register::Verdict);
    Expressions::Immediate(vec![target, Immediate::Data(DataAttribute::Verdict(attributes))]).into()
}

fn jump(chain: &str) -> ListAttribute<ExpressionAttribute> {
    verdict(u32::from(Verdict::Jump), Some(chain))
}

fn element(vip: IpAddr, millis: Option<u64>) -> ListAttribute<SetElementAttribute> {
    let key = match vip {
        IpAddr::V4(vip) => vip.octets().to_vec(),
        IpAddr::V6(vip) => vip.octets().to_vec(),
    };
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(key))];
    attributes.extend(millis.map(SetElementAttribute::Timeout));
    ListAttribute::Element(attributes)
}

fn message(flags: u16, inner: NfTablesMessage) -> Message {
    let mut message =
        NetlinkMessage::from(NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::NetDev, 0, 0), inner));
    message.header.flags = flags;
    message
}

fn control(inner: ControlMessage) -> Message {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES);
    NetlinkMessage::from(NetfilterMessage::new(header, NetfilterMessageInner::None(inner)))
}

/// The subsystem's number, which a batch names (include/uapi/linux/netfilter/nfnetlink.h).
const NFTABLES: u16 = 10;
/// Before every other filter: a frame that is dropped here needs no further thought.
const PRIORITY: i32 = -400;
/// nft's own numbers for `ipv4_addr` and `ipv6_addr`, only for display, and the key lengths.
const V4: (u32, u32) = (7, 4);
const V6: (u32, u32) = (8, 16);
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// A netlink attribute holds at most 64 KiB.
const PER_MESSAGE: usize = 500;
