//! What is wanted, compared with what there is.

use std::fmt;
use std::io;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;

use super::entry::{Entry, Route};
use super::messages::{self, Found, Shape};
use crate::netlink::Channel;

/// What could not be set, or not be taken away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Which.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// What was done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Done {
    /// Set, in this order.
    pub set: Vec<String>,
    /// Taken away, in this order.
    pub gone: Vec<String>,
    /// What is not as it is wanted.
    pub troubles: Vec<Trouble>,
}

/// The kernel's routes and rules.
pub struct Routing {
    channel: Channel,
}

impl Routing {
    /// Opens the socket; changes nothing.
    ///
    /// # Errors
    /// When there is no netlink socket.
    pub fn new() -> io::Result<Routing> {
        let channel = Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        channel.filter_dumps();
        Ok(Routing { channel })
    }

    /// Takes away what carries our mark and is not wanted, in the reverse of `order` (all that could be wanted, in the order in which it
    /// is set), what is in it nowhere first; then sets what is missing, in the order of `wanted`.
    ///
    /// # Errors
    /// When the kernel does not tell what is there: nothing was done then.
    pub fn make(&mut self, wanted: &[Entry], order: &[Entry]) -> io::Result<Done> {
        let mut done = Done::default();
        let mut there = self.there()?;
        let shapes: Vec<(&Entry, io::Result<Shape>)> = wanted.iter().map(|entry| (entry, Shape::of(entry))).collect();
        let (stays, mut goes): (Vec<Found>, Vec<Found>) = there
            .drain(..)
            .partition(|found| shapes.iter().any(|(_, shape)| shape.as_ref().is_ok_and(|shape| *shape == found.shape)));
        let place = |found: &Found| {
            order.iter().position(|entry| Shape::of(entry).is_ok_and(|shape| shape == found.shape)).unwrap_or(usize::MAX)
        };
        // Behind a rule that is gone nobody sees a route go.
        goes.sort_by_cached_key(|found| std::cmp::Reverse((found.rule(), place(found))));
        let orders = goes.iter().map(Found::deletion).collect();
        for (found, errno) in goes.iter().zip(self.send(orders, 0)?) {
            match errno {
                None | Some(libc::ESRCH | libc::ENOENT | libc::ENODEV) => done.gone.push(found.to_string()),
                Some(errno) => done.troubles.push(trouble(found, format!("it could not be taken away: {}", words(errno)))),
            }
        }
        let mut missing = Vec::new();
        for (entry, shape) in shapes {
            match shape {
                Ok(shape) if stays.iter().any(|found| found.shape == shape) => {}
                Ok(shape) => missing.push((entry, shape)),
                Err(error) => done.troubles.push(trouble(entry, error.to_string())),
            }
        }
        let orders = missing.iter().map(|(_, shape)| shape.addition()).collect();
        for ((entry, _), errno) in missing.iter().zip(self.send(orders, NLM_F_CREATE | NLM_F_EXCL)?) {
            match errno {
                None => done.set.push(entry.to_string()),
                Some(errno) => done.troubles.push(trouble(entry, words(errno))),
            }
        }
        Ok(done)
    }

    /// Those of these routes that could not be set, since another hand has set one to the same network in the same table with the same
    /// metric.
    ///
    /// # Errors
    /// When the kernel does not tell what is there.
    pub fn taken<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) -> io::Result<Vec<&'a Route>> {
        let foreign: Vec<Shape> = self.answers(messages::all_routes())?.iter().filter_map(messages::foreign).collect();
        let same = |route: &Route| {
            foreign.iter().any(|shape| {
                let Shape::Route { to, table, metric, .. } = shape else { return false };
                (*to, *table, *metric) == (route.to, route.table, route.metric)
            })
        };
        let routes = entries.filter_map(|entry| if let Entry::Route(route) = entry { Some(route) } else { None });
        Ok(routes.filter(|route| same(route)).collect())
    }

    /// All that carries our mark.
    fn there(&mut self) -> io::Result<Vec<Found>> {
        Ok(self.answers(messages::questions())?.iter().filter_map(Found::of).collect())
    }

    fn answers(&mut self, questions: Vec<RouteNetlinkMessage>) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut all = Vec::new();
        for question in questions {
            match self.channel.dump(NetlinkMessage::from(question)) {
                Ok(answers) => all.extend(answers),
                // A kernel without IPv6, or without rules, has none.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EAFNOSUPPORT)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// What the kernel says to each.
    fn send(&mut self, orders: Vec<RouteNetlinkMessage>, flags: u16) -> io::Result<Vec<Option<i32>>> {
        let mut said = Vec::new();
        for part in orders.chunks(PER_DATAGRAM) {
            let replies = self.channel.order(part, flags)?;
            let of = |place: usize| replies.errors.iter().find(|(at, _)| *at == place).map(|(_, errno)| *errno);
            said.extend((0..part.len()).map(of));
        }
        Ok(said)
    }
}

fn trouble(what: &impl fmt::Display, why: String) -> Trouble {
    Trouble { what: what.to_string(), why }
}

/// The kernel's word, and what it means here.
fn words(errno: i32) -> String {
    match errno {
        libc::EEXIST => "there is one already that twinbeat has not set: it stays, whoever has the group".to_owned(),
        libc::ENETUNREACH | libc::EHOSTUNREACH => {
            "its gateway is in no network of that interface (`onlink` says that it is there all the same)".to_owned()
        }
        libc::ENETDOWN => "its interface is down".to_owned(),
        libc::EINVAL => {
            "the kernel takes it for invalid: is its source on this machine, its gateway another one, the family switched on?"
                .to_owned()
        }
        _ => io::Error::from_raw_os_error(errno).to_string(),
    }
}

const PER_DATAGRAM: usize = 100;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
