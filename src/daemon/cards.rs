//! Interfaces that come, go or are made anew: the core is told, and whoever holds something that is bound to one renews it.
//!
//! Bound are: each link's heartbeat socket, the own echoes, and the packet sockets of the public side, over which everything raw
//! goes (echoes from the VIP, challenges, probes, announcements, the relay). The addresses' thread, the carrier and the bonds go by name.

use std::net::IpAddr;
use std::rc::Rc;

use super::beats::Slot;
use twinbeat_core::id::{LinkId, Mac};
use twinbeat_core::io::{Input, InterfaceState};
use twinbeat_core::sentence::Sentence;
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::words::About;
use twinbeat_host::interfaces::{Seen, Watcher};

/// What is known of this machine's interfaces.
pub struct Cards {
    watcher: Watcher,
    /// Each link's interface and this node's address on it.
    links: Vec<(String, IpAddr)>,
    /// The number of the first interface without heartbeats, and all of these; each as the core was told.
    further: (u8, Vec<String>),
    further_told: Vec<(Option<InterfaceState>, bool)>,
    /// The link of the public side.
    public: LinkId,
    /// The peer's name, this node's, and the peer's addresses.
    names: [String; 2],
    theirs: Vec<IpAddr>,
    /// As the core was told.
    told: Vec<Option<InterfaceState>>,
    ipv6_off: Vec<bool>,
    slots: Vec<Rc<Slot>>,
    /// When the carrier was asked for.
    asked: Mono,
    /// The kernel owed an answer for too long, and that was logged.
    slow: bool,
    /// The addresses here are the peer's.
    mistaken: bool,
    /// Another machine speaks in the name of the own address: which, and when it last did and was last said to.
    taken: Option<(Mac, Mono, Mono)>,
}

impl Cards {
    /// Of a node with these links, in their order; `slots` are those of the heartbeat sockets.
    pub fn new(
        watcher: Watcher,
        links: Vec<(String, IpAddr)>,
        public: LinkId,
        names: [String; 2],
        theirs: Vec<IpAddr>,
        slots: Vec<Rc<Slot>>,
    ) -> Cards {
        let (told, ipv6_off) = (vec![None; links.len()], vec![false; links.len()]);
        let (asked, slow, mistaken, taken) = (Mono::ZERO, false, false, None);
        let (further, further_told) = ((0, Vec::new()), Vec::new());
        Cards {
            watcher,
            links,
            further,
            further_told,
            public,
            names,
            theirs,
            told,
            ipv6_off,
            slots,
            asked,
            slow,
            mistaken,
            taken,
        }
    }

    /// These interfaces without heartbeats too, behind the number of the first.
    pub fn with(mut self, first: u8, interfaces: Vec<String>) -> Cards {
        self.further_told = vec![(None, false); interfaces.len()];
        self.further = (first, interfaces);
        self
    }

    /// What is different for the core, after the heartbeat sockets were told.
    pub fn seen(&mut self, seen: &Seen) -> Vec<Input> {
        self.slots.iter().for_each(|slot| slot.renew.notify_one());
        let here = self.links.iter().any(|(_, own)| seen.anywhere(*own));
        let mistaken = !here && self.theirs.iter().any(|address| seen.anywhere(*address));
        if mistaken && !std::mem::replace(&mut self.mistaken, mistaken) {
            tracing::error!("{}", self.mistake());
        }
        self.mistaken = mistaken;
        let mut inputs = Vec::new();
        for ((place, (interface, address)), told) in (0..).zip(&self.links).zip(&mut self.told) {
            let state = seen.state(interface, *address);
            if told.replace(state) != Some(state) {
                inputs.push(Input::Link { link: LinkId(place), state });
            }
        }
        for ((place, (interface, _)), told) in (0..).zip(&self.links).zip(&mut self.ipv6_off) {
            let off = seen.ipv6_off(interface);
            if std::mem::replace(told, off) != off {
                inputs.push(Input::Ipv6Off { link: LinkId(place), off });
            }
        }
        let (first, interfaces) = &self.further;
        for ((place, interface), (told, told_off)) in (*first..).zip(interfaces).zip(&mut self.further_told) {
            let (link, state, off) = (LinkId(place), seen.bare(interface), seen.ipv6_off(interface));
            if told.replace(state) != Some(state) {
                inputs.push(Input::Link { link, state });
            }
            if std::mem::replace(told_off, off) != off {
                inputs.push(Input::Ipv6Off { link, off });
            }
        }
        inputs
    }

    /// The public interface lost its carrier.
    pub fn no_carrier(&mut self) -> Option<Input> {
        let (link, state) = (self.public, InterfaceState::NoCarrier);
        let told = self.told.get_mut(usize::from(link.0))?;
        (told.replace(state) != Some(state)).then_some(Input::Link { link, state })
    }

    /// The loop turned: the carrier is asked for, by the watcher; the turns of one burst of frames share a look.
    pub fn turned(&mut self, now: Mono) {
        if now.since(self.asked) < CARRIER_EVERY {
            return;
        }
        self.asked = now;
        self.watcher.look();
        let waits = self.watcher.waits(now);
        if waits > SLOW && !self.slow {
            self.slow = true;
            tracing::warn!("{}; decisions go on without it", slowness(waits));
        } else if waits < SLOW {
            self.slow = false;
        }
    }

    /// Another machine spoke in the name of this node's own address.
    pub fn taken(&mut self, by: Mac, now: Mono) {
        let said = self.taken.filter(|(mac, _, said)| *mac == by && now.since(*said) < SAY_EVERY).map(|(.., said)| said);
        if said.is_none() {
            tracing::error!("{}", self.doubled(by));
        }
        self.taken = Some((by, now, said.unwrap_or(now)));
    }

    /// What a person should know.
    pub fn problems(&self, now: Mono) -> Vec<Sentence> {
        let mut all = Vec::new();
        let waits = self.watcher.waits(now);
        all.extend((waits > SLOW).then(|| Sentence::passing(About::Kernel, "interfaces", slowness(waits))));
        let identity = |text| Sentence::lasting(About::Identity, text);
        all.extend(self.mistaken.then(|| self.mistake()).map(identity));
        let taken = self.taken.filter(|(_, last, _)| now.since(*last) < SAY_EVERY);
        all.extend(taken.map(|(by, ..)| self.doubled(by)).map(identity));
        all
    }

    fn mistake(&self) -> String {
        let [peer, me] = &self.names;
        format!(
            "this machine has addresses of {peer} and none of {me}: is it {peer}, started with the wrong --node? It sends nothing and takes nothing over"
        )
    }

    fn doubled(&self, by: Mac) -> String {
        let me = &self.names[1];
        let address = self.links.get(usize::from(self.public.0)).map_or_else(String::new, |(_, address)| address.to_string());
        format!(
            "another machine, {by}, uses {address}, the own address of {me}: a second {me}, a copy of this machine, or an address given twice"
        )
    }
}

fn slowness(waits: Span) -> String {
    format!(
        "the kernel has not answered questions about interfaces for {waits}: carrier and addresses are as they were before (it is busy with its network configuration)"
    )
}

/// The shortest time between two looks at the carrier: each takes the kernel's lock of all interfaces.
const CARRIER_EVERY: Span = Span::millis(5);
/// So long an answer may take before it is said.
const SLOW: Span = Span::secs(1);
/// What another machine says is told as often, and shown for as long.
const SAY_EVERY: Span = Span::secs(60);
