//! The gate's two tables in netlink messages: what `nft list ruleset` shows. Every message may be sent again without harm.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE, NetlinkMessage};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DataAttribute, Hook, HookNumber, ListAttribute, NfTablesMessage, RuleAttribute, RuleMessage,
    SetAttribute, SetElementAttribute, SetElementList, SetElementMessage, SetFlags, SetMessage, TableAttribute, TableFlags,
    TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::family::Family;
use super::rules::{Chain, Rule};
use twinbeat_core::time::Span;

/// One nftables message.
pub(super) type Message = NetlinkMessage<NetfilterMessage>;

/// The tables of one gate, by their name.
pub(super) struct Ruleset<'a> {
    /// The tables' name.
    pub table: &'a str,
}

impl Ruleset<'_> {
    /// Tables, sets, chains and rules, without opening anything that is closed and without closing what is open.
    pub fn everything(&self, vips: &[IpAddr], chains: &[Chain]) -> Vec<Message> {
        let mut messages = Vec::new();
        for family in Family::BOTH {
            messages.push(self.make_table(family));
            messages.extend(self.sets(family));
        }
        messages.extend(self.listed(vips));
        messages.extend(chains.iter().flat_map(|chain| self.filled(chain)));
        messages
    }

    /// The sets of one table. Identifiers are unique in a batch.
    pub fn sets(&self, family: Family) -> Vec<Message> {
        let base = if family == Family::Arp { 10 } else { 20 };
        let mut messages = vec![self.set(family, "vip4", V4, false, base), self.set(family, "open4", V4, true, base + 1)];
        if family == Family::Inet {
            messages.extend([self.set(family, "vip6", V6, false, base + 2), self.set(family, "open6", V6, true, base + 3)]);
            messages.push(self.set(family, "ticket", TICKET, true, base + 4));
        }
        messages
    }

    /// Makes these the guarded addresses, and no others.
    pub fn listed(&self, vips: &[IpAddr]) -> Vec<Message> {
        let mut messages =
            vec![self.flush_set(Family::Arp, "vip4"), self.flush_set(Family::Inet, "vip4"), self.flush_set(Family::Inet, "vip6")];
        messages.extend(self.elements(true, "vip", vips, None));
        messages
    }

    /// Makes a chain with its rules, whatever was in it.
    pub fn filled(&self, chain: &Chain) -> Vec<Message> {
        let mut messages = vec![self.chain(chain), self.flush_chain(chain)];
        messages.extend(chain.rules.iter().map(|rule| self.rule(chain, rule.clone())));
        messages
    }

    /// Makes a table if it is not there, and wakes one that was made dormant.
    pub fn make_table(&self, family: Family) -> Message {
        let attributes = vec![TableAttribute::Name(self.table.to_owned()), TableAttribute::Flags(TableFlags::empty())];
        message(family, NLM_F_CREATE, NfTablesMessage::NewTable(TableMessage { attributes }))
    }

    /// Removes a table with all that is in it.
    pub fn delete_table(&self, family: Family) -> Message {
        message(family, 0, NfTablesMessage::DeleteTable(self.named()))
    }

    /// Asks for a table.
    pub fn get_table(&self, family: Family) -> Message {
        message(family, 0, NfTablesMessage::GetTable(self.named()))
    }

    /// Asks for all rules of a table (a dump).
    pub fn get_rules(&self, family: Family) -> Message {
        let attributes = vec![RuleAttribute::Table(self.table.to_owned())];
        message(family, 0, NfTablesMessage::GetRule(RuleMessage { attributes }))
    }

    /// Asks for all elements of a set (a dump).
    pub fn get_elements(&self, family: Family, set: &str) -> Message {
        let attributes = vec![SetElementList::Table(self.table.to_owned()), SetElementList::Set(set.to_owned())];
        message(family, 0, NfTablesMessage::GetSetElement(SetElementMessage { attributes }))
    }

    /// Makes these addresses elements for so many milliseconds.
    pub fn open(&self, vips: &[IpAddr], millis: u64) -> Vec<Message> {
        self.elements(true, "open", vips, Some(millis))
    }

    /// Removes these elements; the whole batch fails (ENOENT) when one has expired.
    pub fn shut(&self, vips: &[IpAddr]) -> Vec<Message> {
        self.elements(false, "open", vips, None)
    }

    /// Makes a ticket that lives for so long.
    pub fn ticket(&self, number: u32, life: Span) -> Message {
        self.ticket_element(number, Some(life.as_millis()))
    }

    /// Takes a ticket; the whole batch fails (ENOENT) when it has expired.
    pub fn redeem(&self, number: u32) -> Message {
        self.ticket_element(number, None)
    }

    /// Asks for one address's element.
    pub fn get_element(&self, family: Family, vip: IpAddr) -> Message {
        let set = if vip.is_ipv4() { "open4" } else { "open6" };
        let attributes = self.of_set(set, vec![element(key(vip), None)]);
        message(family, 0, NfTablesMessage::GetSetElement(SetElementMessage { attributes }))
    }

    fn ticket_element(&self, number: u32, life: Option<u64>) -> Message {
        let attributes = self.of_set("ticket", vec![element(number.to_ne_bytes().to_vec(), life)]);
        add_or_delete(Family::Inet, life.is_some(), SetElementMessage { attributes })
    }

    fn elements(&self, add: bool, set: &str, vips: &[IpAddr], millis: Option<u64>) -> Vec<Message> {
        let mut messages = Vec::new();
        for (family, suffix, v4) in [(Family::Arp, "4", true), (Family::Inet, "4", true), (Family::Inet, "6", false)] {
            let of_kind: Vec<IpAddr> = vips.iter().copied().filter(|vip| vip.is_ipv4() == v4).collect();
            for part in of_kind.chunks(PER_MESSAGE) {
                let elements = part.iter().map(|vip| element(key(*vip), millis)).collect();
                let attributes = self.of_set(&[set, suffix].concat(), elements);
                messages.push(add_or_delete(family, add, SetElementMessage { attributes }));
            }
        }
        messages
    }

    fn of_set(&self, set: &str, elements: Vec<ListAttribute<SetElementAttribute>>) -> Vec<SetElementList> {
        vec![
            SetElementList::Table(self.table.to_owned()),
            SetElementList::Set(set.to_owned()),
            SetElementList::Elements(elements),
        ]
    }

    fn set(&self, family: Family, name: &str, (kind, length): (u32, u32), timeouts: bool, id: u32) -> Message {
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
        message(family, NLM_F_CREATE, NfTablesMessage::NewSet(SetMessage { attributes }))
    }

    fn flush_set(&self, family: Family, name: &str) -> Message {
        let attributes = vec![SetElementList::Table(self.table.to_owned()), SetElementList::Set(name.to_owned())];
        message(family, 0, NfTablesMessage::DeleteSetElement(SetElementMessage { attributes }))
    }

    fn chain(&self, chain: &Chain) -> Message {
        let attributes = vec![
            ChainAttribute::Table(self.table.to_owned()),
            ChainAttribute::Name(chain.name.to_owned()),
            ChainAttribute::Hook(vec![
                Hook::Number(HookNumber::Other(chain.hook)),
                Hook::Priority(chain.priority.cast_unsigned()),
            ]),
            ChainAttribute::Policy(ACCEPT),
            ChainAttribute::Type("filter".to_owned()),
        ];
        message(chain.family, NLM_F_CREATE, NfTablesMessage::NewChain(ChainMessage { attributes }))
    }

    fn flush_chain(&self, chain: &Chain) -> Message {
        let attributes = vec![RuleAttribute::Table(self.table.to_owned()), RuleAttribute::Chain(chain.name.to_owned())];
        message(chain.family, 0, NfTablesMessage::DeleteRule(RuleMessage { attributes }))
    }

    fn rule(&self, chain: &Chain, rule: Rule) -> Message {
        let attributes = vec![
            RuleAttribute::Table(self.table.to_owned()),
            RuleAttribute::Chain(chain.name.to_owned()),
            RuleAttribute::Expressions(rule),
        ];
        message(chain.family, NLM_F_CREATE | NLM_F_APPEND, NfTablesMessage::NewRule(RuleMessage { attributes }))
    }

    fn named(&self) -> TableMessage {
        TableMessage { attributes: vec![TableAttribute::Name(self.table.to_owned())] }
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

fn key(vip: IpAddr) -> Vec<u8> {
    match vip {
        IpAddr::V4(vip) => vip.octets().to_vec(),
        IpAddr::V6(vip) => vip.octets().to_vec(),
    }
}

fn element(key: Vec<u8>, millis: Option<u64>) -> ListAttribute<SetElementAttribute> {
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(key))];
    attributes.extend(millis.map(SetElementAttribute::Timeout));
    ListAttribute::Element(attributes)
}

fn add_or_delete(family: Family, add: bool, elements: SetElementMessage) -> Message {
    if add {
        message(family, NLM_F_CREATE, NfTablesMessage::NewSetElement(elements))
    } else {
        message(family, 0, NfTablesMessage::DeleteSetElement(elements))
    }
}

fn message(family: Family, flags: u16, inner: NfTablesMessage) -> Message {
    let mut message = NetlinkMessage::from(NetfilterMessage::new(NetfilterHeader::new(family.proto(), 0, 0), inner));
    message.header.flags = flags;
    message
}

fn control(inner: ControlMessage) -> Message {
    let header = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, NFTABLES);
    NetlinkMessage::from(NetfilterMessage::new(header, NetfilterMessageInner::None(inner)))
}

/// The subsystem's number, which a batch names (include/uapi/linux/netfilter/nfnetlink.h).
const NFTABLES: u16 = 10;
/// nft's own numbers for `ipv4_addr`, `ipv6_addr` and `mark`, only for display, and the key lengths.
const V4: (u32, u32) = (7, 4);
const V6: (u32, u32) = (8, 16);
const TICKET: (u32, u32) = (19, 4);
/// The policy of a base chain.
const ACCEPT: u32 = 1;
/// A netlink attribute holds at most 64 KiB.
const PER_MESSAGE: usize = 500;
