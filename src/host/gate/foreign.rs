//! Tables of other names that guard addresses of ours: a cluster or a node was renamed, and its old table goes on closing them.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::NetlinkMessage;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList, SetElementMessage, TableAttribute,
    TableMessage,
};
use netlink_packet_netfilter::{NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use super::ruleset::batch;
use crate::netlink::Channel;

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// Its name.
    pub table: String,
    /// Those of our addresses that it guards.
    pub vips: Vec<IpAddr>,
    family: NetfilterProtoFamily,
}

/// The tables with a name like ours, other than `own`, that guard any of these addresses.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn foreign(own: &str, vips: &[IpAddr]) -> io::Result<Vec<Foreign>> {
    let mut channel = Channel::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
    let all = request(NetfilterProtoFamily::Unspec, NfTablesMessage::GetTable(TableMessage { attributes: Vec::new() }));
    let mut found = Vec::new();
    for reply in channel.dump::<NetfilterMessage>(all)? {
        let NetfilterMessageInner::NfTables(NfTablesMessage::NewTable(table)) = reply.inner else { continue };
        let name = table.attributes.into_iter().find_map(|a| if let TableAttribute::Name(name) = a { Some(name) } else { None });
        let Some(name) = name.filter(|name| name.starts_with("twinbeat_") && name != own) else { continue };
        let family = reply.header.family;
        let guarded = ["vip4", "vip6"].iter().flat_map(|set| elements(&mut channel, family, &name, set).unwrap_or_default());
        let guarded: Vec<IpAddr> = guarded.filter(|vip| vips.contains(vip)).collect();
        if !guarded.is_empty() {
            found.push(Foreign { table: name, vips: guarded, family });
        }
    }
    Ok(found)
}

/// Removes one.
///
/// # Errors
/// As the kernel says.
pub fn remove(foreign: &Foreign) -> io::Result<()> {
    let attributes = vec![TableAttribute::Name(foreign.table.clone())];
    let delete = request(foreign.family, NfTablesMessage::DeleteTable(TableMessage { attributes }));
    let mut channel = Channel::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
    channel.exchange(batch(vec![delete]), 1)?.into_result().map(drop)
}

/// The addresses in a set; none where there is no such set.
fn elements(channel: &mut Channel, family: NetfilterProtoFamily, table: &str, set: &str) -> io::Result<Vec<IpAddr>> {
    let attributes = vec![SetElementList::Table(table.to_owned()), SetElementList::Set(set.to_owned())];
    let get = request(family, NfTablesMessage::GetSetElement(SetElementMessage { attributes }));
    let mut found = Vec::new();
    for reply in channel.dump::<NetfilterMessage>(get)? {
        let NetfilterMessageInner::NfTables(NfTablesMessage::NewSetElement(reply)) = reply.inner else { continue };
        for list in reply.attributes {
            let SetElementList::Elements(elements) = list else { continue };
            for element in elements {
                let ListAttribute::Element(attributes) = element else { continue };
                found.extend(attributes.into_iter().filter_map(key));
            }
        }
    }
    Ok(found)
}

fn key(attribute: SetElementAttribute) -> Option<IpAddr> {
    let SetElementAttribute::Key(DataAttribute::Value(bytes)) = attribute else { return None };
    let v4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from)).ok()
}

fn request(family: NetfilterProtoFamily, inner: NfTablesMessage) -> NetlinkMessage<NetfilterMessage> {
    NetlinkMessage::from(NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), inner))
}
