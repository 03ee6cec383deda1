//! Interfaces, addresses and routes inside a namespace, by rtnetlink. Each call opens a socket, does its work and closes it.

use std::fs;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::TryStreamExt;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::ns::Namespace;
use twinbeat_core::id::Mac;

/// An address with the length of its network's prefix.
pub type Address = (IpAddr, u8);

/// Runs netlink work inside a namespace.
fn inside<T, F>(ns: &Namespace, work: impl FnOnce(Handle) -> F + Send) -> Result<T>
where
    T: Send,
    F: Future<Output = Result<T>>,
{
    ns.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection().context("netlink socket")?;
            let driver = tokio::spawn(connection);
            let result = work(handle).await;
            driver.abort();
            result
        })
    })
}

async fn find(handle: &Handle, name: &str) -> Result<LinkMessage> {
    let found = handle.link().get().match_name(name).execute().try_next().await;
    found.with_context(|| format!("interface {name}"))?.ok_or_else(|| anyhow!("no interface {name}"))
}

async fn index(handle: &Handle, name: &str) -> Result<u32> {
    Ok(find(handle, name).await?.header.index)
}

async fn set_up(handle: &Handle, name: &str, up: bool) -> Result<()> {
    let link = LinkUnspec::new_with_index(index(handle, name).await?);
    let message = if up { link.up() } else { link.down() }.build();
    handle.link().set(message).execute().await.with_context(|| format!("set {name} {}", if up { "up" } else { "down" }))
}

/// Makes bridges that forward at once, learn no multicast groups and speak no spanning tree; sets them up.
pub fn bridges(ns: &Namespace, names: &[String]) -> Result<()> {
    inside(ns, |handle| async move {
        for name in names {
            let bridge = LinkBridge::new(name).mcast_snooping(false).forward_delay(0).build();
            handle.link().add(bridge).execute().await.with_context(|| format!("bridge {name}"))?;
            set_up(&handle, name, true).await?;
        }
        Ok(())
    })
}

/// Lays a cable from `port` in `here` to `far` in `there`, with that MAC at the far end; the near end joins `bridge` where given. Both ends up.
pub fn cable(here: &Namespace, port: &str, bridge: Option<&str>, there: &Namespace, far: &str, mac: Mac) -> Result<()> {
    let target = there.handle()?;
    inside(here, |handle| async move {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(far.to_owned())
            .setns_by_fd(target.as_raw_fd())
            .address(mac.0.to_vec())
            .build();
        let veth = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
            .name(port.to_owned())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        handle.link().add(veth).execute().await.with_context(|| format!("cable {port} - {far}"))?;
        if let Some(bridge) = bridge {
            let (port, bridge) = (index(&handle, port).await?, index(&handle, bridge).await?);
            let join = LinkUnspec::new_with_index(port).controller(bridge).build();
            handle.link().set(join).execute().await.context("join the bridge")?;
        }
        set_up(&handle, port, true).await
    })?;
    link_up(there, far, true)
}

/// Sets an interface up or down.
pub fn link_up(ns: &Namespace, name: &str, up: bool) -> Result<()> {
    inside(ns, |handle| async move { set_up(&handle, name, up).await })
}

/// Sets several interfaces up or down.
pub fn links_up(ns: &Namespace, names: &[String], up: bool) -> Result<()> {
    inside(ns, |handle| async move {
        for name in names {
            set_up(&handle, name, up).await?;
        }
        Ok(())
    })
}

/// Whether an interface is up and hears its other end.
pub fn carrier(ns: &Namespace, name: &str) -> Result<bool> {
    inside(ns, |handle| async move { Ok(find(&handle, name).await?.header.flags.contains(LinkFlags::LowerUp)) })
}

/// An interface's MAC.
pub fn mac(ns: &Namespace, name: &str) -> Result<Mac> {
    inside(ns, |handle| async move {
        let link = find(&handle, name).await?;
        let found = link.attributes.iter().find_map(|a| match a {
            LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => None,
        });
        found.map(Mac).ok_or_else(|| anyhow!("{name} has no MAC"))
    })
}

/// Adds addresses to an interface.
pub fn add_addresses(ns: &Namespace, name: &str, addresses: &[Address]) -> Result<()> {
    inside(ns, |handle| async move {
        let index = index(&handle, name).await?;
        for (ip, prefix) in addresses {
            let add = handle.address().add(index, *ip, *prefix).execute().await;
            add.with_context(|| format!("address {ip}/{prefix} on {name}"))?;
        }
        Ok(())
    })?;
    for ip in addresses.iter().filter_map(|(ip, _)| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None }) {
        found(ns, name, ip)?;
    }
    Ok(())
}

/// Waits until neighbours find an IPv6 address: the kernel joins the group in which they ask for it (RFC 4291 2.7.1) behind the address, on a queue
/// that waits for whatever holds the network's lock, the end of another namespace for one.
fn found(ns: &Namespace, name: &str, ip: Ipv6Addr) -> Result<()> {
    let [.., a, b, c] = ip.octets();
    let group = format!("ff0200000000000000000001ff{a:02x}{b:02x}{c:02x}");
    let until = Instant::now() + Duration::from_secs(10);
    while !ns.run(|| Ok(std::fs::read_to_string("/proc/thread-self/net/igmp6")?.contains(&group)))? {
        ensure!(Instant::now() < until, "nobody would find {ip} on {name}");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Deletes every address that `doomed` picks, on every interface; returns how many. Link-local and loopback ones are not asked about.
pub fn delete_addresses(ns: &Namespace, doomed: impl Fn(IpAddr) -> bool + Send) -> Result<usize> {
    inside(ns, |handle| async move {
        let all: Vec<_> = handle.address().get().execute().try_collect().await.context("list addresses")?;
        let mut deleted = 0;
        for message in all {
            let local = |a: &AddressAttribute| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None };
            let any = |a: &AddressAttribute| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None };
            let attributes = &message.attributes;
            let Some(ip) = attributes.iter().find_map(local).or_else(|| attributes.iter().find_map(any)) else { continue };
            let link_local = matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if !ip.is_loopback() && !link_local && doomed(ip) {
                handle.address().del(message).execute().await.with_context(|| format!("delete {ip}"))?;
                deleted += 1;
            }
        }
        Ok(deleted)
    })
}

/// Sets default routes by these gateways.
pub fn default_routes(ns: &Namespace, gateways: &[IpAddr]) -> Result<()> {
    inside(ns, |handle| async move {
        for gateway in gateways {
            let route = match gateway {
                IpAddr::V4(v4) => RouteMessageBuilder::<Ipv4Addr>::new().gateway(*v4).build(),
                IpAddr::V6(v6) => RouteMessageBuilder::<Ipv6Addr>::new().gateway(*v6).build(),
            };
            handle.route().add(route).execute().await.with_context(|| format!("default route by {gateway}"))?;
        }
        Ok(())
    })
}

/// Pins neighbour entries: permanent, no announcement changes them.
pub fn pin_neighbours(ns: &Namespace, name: &str, entries: &[(IpAddr, Mac)]) -> Result<()> {
    inside(ns, |handle| async move {
        let index = index(&handle, name).await?;
        for (ip, mac) in entries {
            let add = handle.neighbours().add(index, *ip).link_layer_address(&mac.0).replace();
            add.execute().await.with_context(|| format!("pin {ip} at {mac}"))?;
        }
        Ok(())
    })
}

/// The neighbours that an interface knows, those whose MAC is known.
pub fn neighbours(ns: &Namespace, name: &str) -> Result<Vec<(IpAddr, Mac)>> {
    use netlink_packet_route::neighbour::NeighbourAttribute;
    inside(ns, |handle| async move {
        let index = index(&handle, name).await?;
        let all: Vec<_> = handle.neighbours().get().execute().try_collect().await.context("list neighbours")?;
        let known = all.into_iter().filter(|entry| entry.header.ifindex == index).filter_map(|entry| {
            let mac = entry.attributes.iter().find_map(|a| match a {
                NeighbourAttribute::LinkLayerAddress(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
                _ => None,
            });
            Some((neighbour(&entry)?, Mac(mac?)))
        });
        Ok(known.collect())
    })
}

/// Forgets the neighbour entries that `doomed` picks, pinned or not; absent ones are no error.
pub fn forget_neighbours(ns: &Namespace, doomed: impl Fn(IpAddr) -> bool + Send) -> Result<()> {
    inside(ns, |handle| async move {
        let all: Vec<_> = handle.neighbours().get().execute().try_collect().await.context("list neighbours")?;
        for entry in all {
            if neighbour(&entry).is_some_and(&doomed) {
                let _ = handle.neighbours().del(entry).execute().await;
            }
        }
        Ok(())
    })
}

/// Whose entry it is.
fn neighbour(entry: &netlink_packet_route::neighbour::NeighbourMessage) -> Option<IpAddr> {
    use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute};
    entry.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })
}

/// Writes kernel settings of a namespace, as paths below `/proc/sys/net`; those that this kernel lacks are passed over.
pub fn settings(ns: &Namespace, values: &[(&str, &str)]) -> Result<()> {
    ns.run(|| {
        for (key, value) in values {
            let path = format!("/proc/sys/net/{key}");
            match fs::write(&path, value) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e).with_context(|| format!("{path} = {value}")),
                _ => {}
            }
        }
        Ok(())
    })
}
