//! One link: fresh, late, lost, one-way. Shown and logged; by itself it never moves a service.

use serde::{Deserialize, Serialize};

use super::id::Name;
use super::io::InterfaceState;
use super::meaning;
use super::settings::{LinkSettings, Timing};
use super::time::{Mono, Span};
use super::words::LinkCondition;
use crate::prelude::*;

/// Heartbeats in a row before a link that was late, lost or one-way is healthy again.
const STEADY: u32 = 3;

/// How a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LinkState {
    /// Nothing was heard over it yet.
    Unheard,
    /// Heartbeats arrive, and mine arrive there.
    Healthy,
    /// None for `warn` (the recipe's warntime).
    Late,
    /// None for `dead`.
    Lost,
    /// Heartbeats arrive, mine do not arrive there.
    OneWay,
    /// The own interface is not usable.
    Down(InterfaceState),
}

impl LinkState {
    /// The word for it in status and log.
    pub fn word(self) -> &'static str {
        LinkCondition::from(self).word()
    }
}

/// The words of [`Kind::Link`](super::event::Kind::Link): what one link, or several at once, became.
pub fn link_words(names: &[Name], is: LinkState, was: LinkState) -> String {
    let links = if names.len() > 1 { "links" } else { "link" };
    format!("{links} {}: {} (was {})", names.join(", "), is.word(), was.word())
}

/// What is known of one link.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Link {
    /// Its name.
    pub name: Name,
    /// Carried by the witness.
    pub relay: bool,
    /// It carries no heartbeats.
    #[serde(default)]
    pub silent: bool,
    /// The own interface.
    pub interface: InterfaceState,
    /// Since when it has been so.
    #[serde(default)]
    pub interface_since: Mono,
    /// IPv6 is switched off on it.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub ipv6_off: bool,
    /// The judgement that was last told.
    pub state: LinkState,
    /// When a heartbeat came over it last.
    pub heard: Option<Mono>,
    /// The newest number that came over it.
    #[serde(serialize_with = "meaning::peer_beat")]
    pub number: u64,
    /// The send time of my newest heartbeat that arrived there over this link.
    pub arrived: Option<Mono>,
    /// The last round trip.
    #[serde(serialize_with = "meaning::nothing")]
    pub rtt: Option<Span>,
    /// One bit for each of the peer's last 64 numbers: did it come over this link?
    #[serde(serialize_with = "meaning::nothing")]
    got: u64,
    #[serde(serialize_with = "meaning::row")]
    steady: u32,
    /// Since when mine can have arrived there: the interface is up, and the peer lives this life.
    asked_since: Mono,
}

impl Link {
    /// A link that has not been used yet.
    pub fn new(settings: &LinkSettings, now: Mono) -> Link {
        Link {
            name: settings.name.clone(),
            relay: settings.relay,
            silent: settings.silent,
            interface: InterfaceState::Missing,
            interface_since: now,
            ipv6_off: false,
            state: LinkState::Unheard,
            heard: None,
            number: 0,
            arrived: None,
            rtt: None,
            got: 0,
            steady: 0,
            asked_since: now,
        }
    }

    /// Whether frames can be sent on it at all.
    pub fn usable(&self) -> bool {
        self.interface == InterfaceState::Up && !self.silent
    }

    /// What its interface is to an address: without IPv6 there is no place for an IPv6 address.
    pub fn place_for(&self, vip: &str) -> InterfaceState {
        if self.ipv6_off && vip.contains(':') { InterfaceState::Missing } else { self.interface }
    }

    /// IPv6 was switched off or on.
    pub fn set_ipv6_off(&mut self, now: Mono, off: bool) {
        if core::mem::replace(&mut self.ipv6_off, off) != off {
            self.interface_since = now;
        }
    }

    /// A heartbeat with a new number came over it.
    pub fn hear(&mut self, now: Mono, number: u64) {
        let ahead = number.saturating_sub(self.number);
        self.got = if ahead >= 64 || self.heard.is_none() { 0 } else { self.got << ahead };
        if self.heard.is_none() {
            self.got = !1;
        }
        self.got |= 1;
        self.number = number;
        self.heard = Some(now);
        // What is said in parts is one heartbeat.
        self.steady = self.steady.saturating_add(u32::from(ahead > 0));
    }

    /// The peer restarted: its numbers begin anew, and it has yet to hear of mine.
    pub fn forget_numbers(&mut self, now: Mono) {
        self.number = 0;
        self.arrived = None;
        self.asked_since = now;
        self.got = !0;
    }

    /// The part of the peer's last 32 numbers, up to its newest, that did not come over this link.
    pub fn loss(&self, newest: u64) -> f64 {
        let behind = newest.saturating_sub(self.number).min(32) as u32;
        let got = (self.got << behind.min(63)) as u32;
        f64::from(got.count_zeros()) / 32.0
    }

    /// The interface changed; returns whether that is news.
    pub fn set_interface(&mut self, now: Mono, state: InterfaceState) -> bool {
        let news = self.interface != state;
        if news {
            self.interface_since = now;
        }
        if news && state == InterfaceState::Up {
            self.asked_since = now;
        }
        self.interface = state;
        news
    }

    /// The judgement at this instant.
    fn judge(&self, now: Mono, timing: &Timing) -> LinkState {
        if self.interface != InterfaceState::Up {
            return LinkState::Down(self.interface);
        }
        if self.silent {
            return LinkState::Healthy;
        }
        let Some(heard) = self.heard else { return LinkState::Unheard };
        let age = now.since(heard);
        if age > timing.dead {
            return LinkState::Lost;
        }
        if age > timing.warn {
            return LinkState::Late;
        }
        if now.since(self.arrived_since()) > timing.dead {
            return LinkState::OneWay;
        }
        LinkState::Healthy
    }

    /// Judges the link again; returns the former judgement when it changed. Getting better takes some heartbeats in a row.
    pub fn review(&mut self, now: Mono, timing: &Timing) -> Option<LinkState> {
        let next = self.judge(now, timing);
        if next != LinkState::Healthy {
            if matches!(next, LinkState::Late | LinkState::Lost) {
                self.steady = 0;
            }
        } else if self.state != LinkState::Unheard && self.state != LinkState::Healthy && self.steady < STEADY && !self.silent {
            return None;
        }
        if next == self.state {
            return None;
        }
        if matches!((self.state, next), (LinkState::Lost, LinkState::Late)) {
            return None;
        }
        Some(core::mem::replace(&mut self.state, next))
    }

    /// Since when mine have not arrived there, as far as that may be counted.
    fn arrived_since(&self) -> Mono {
        self.arrived.unwrap_or(self.asked_since).max(self.asked_since)
    }

    /// When the judgement may change by itself.
    pub fn deadlines(&self, timing: &Timing) -> [Option<Mono>; 3] {
        let heard = self.heard.filter(|_| self.usable());
        let since = [
            heard.map(|at| at + timing.warn),
            heard.map(|at| at + timing.dead),
            heard.map(|_| self.arrived_since() + timing.dead),
        ];
        since.map(|at| at.map(|at| at + Span(1)))
    }
}
