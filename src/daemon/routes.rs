//! Routes and rules of the groups that are here: a thread of its own has the kernel's agree with what the file wants for them.
//!
//! Nothing waits for it: neither the gate nor the addresses, and no decision rests on it. What could not be done is told, and tried again.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use twinbeat_config::{Config, Network, RouteConfig, RouteDevice, RuleConfig};
use twinbeat_core::id::{GroupId, NodeId};
use twinbeat_core::io::{AddressReport, Input};
use twinbeat_core::sentence::Sentence;
use twinbeat_core::words::About;
use twinbeat_host::routes::{Done, Entry, Route, Routing, Rule};

/// The thread's queue, and what it could not do.
pub struct Routes {
    orders: Sender<Order>,
    troubles: Arc<Mutex<Vec<String>>>,
}

/// Tells the thread whose addresses are here.
#[derive(Clone)]
pub struct Teller(Sender<Order>);

enum Order {
    /// A group's addresses are here, or are about to go.
    Here(GroupId, bool),
    /// Something may be different.
    Look,
    /// Nothing more comes: tells when all is done.
    End(Sender<()>),
}

/// What a group wants, in the order in which it is set.
pub struct Wanted {
    /// The group's name.
    pub name: String,
    /// Its routes, then its rules.
    pub entries: Vec<Entry>,
}

/// Of each group, on this node.
pub fn wanted(config: &Config, me: NodeId) -> Vec<Wanted> {
    let of = |group: &twinbeat_config::GroupConfig| {
        let routes = group.routes.iter().map(|one| Entry::Route(route(config, me, one)));
        let rules = group.rules.iter().map(|one| Entry::Rule(rule(one)));
        Wanted { name: group.name.to_string(), entries: routes.chain(rules).collect() }
    };
    config.groups.iter().map(of).collect()
}

impl Routes {
    /// Starts the thread. `here`: the groups whose addresses an earlier life left behind an open gate, which this one goes on with; what it left
    /// of others' routes and rules, or of an older file's, is taken away.
    ///
    /// # Errors
    /// When there is no netlink socket or no thread.
    pub fn start(wanted: Vec<Wanted>, here: Vec<bool>) -> io::Result<Routes> {
        let routing = Routing::new()?;
        let (orders, inbox) = channel();
        let troubles = Arc::new(Mutex::new(Vec::new()));
        let keeper = Keeper { routing, wanted, here, troubles: Arc::clone(&troubles), open: false, due: None };
        std::thread::Builder::new().name("routes".into()).spawn(move || keeper.run(&inbox))?;
        Ok(Routes { orders, troubles })
    }

    /// For those who know of the addresses.
    pub fn teller(&self) -> Teller {
        Teller(self.orders.clone())
    }

    /// Interfaces came or went.
    pub fn look(&self) {
        let _ = self.orders.send(Order::Look);
    }

    /// What is not as the file wants it.
    pub fn problems(&self) -> Vec<Sentence> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter().map(|text| Sentence::lasting(About::Other, text.clone())).collect()
    }

    /// Waits until what was told is done, no longer than `patience`: behind a clean end nothing is left.
    pub fn end(&self, patience: Duration) {
        let (tell, told) = channel();
        if self.orders.send(Order::End(tell)).is_ok() {
            let _ = told.recv_timeout(patience);
        }
    }
}

impl Teller {
    /// A group's addresses are here, or are about to go.
    pub fn here(&self, group: GroupId, here: bool) {
        let _ = self.0.send(Order::Here(group, here));
    }

    /// The same from what became of an order about addresses.
    pub fn hear(&self, report: &Input) {
        let Input::Address { group, report, .. } = report else { return };
        match report {
            AddressReport::Added | AddressReport::Partly(_) => self.here(*group, true),
            AddressReport::Removed => self.here(*group, false),
            // What is there of them is not known; they are, as far as anybody is told.
            AddressReport::Failed(_) => {}
        }
    }
}

struct Keeper {
    routing: Routing,
    wanted: Vec<Wanted>,
    here: Vec<bool>,
    troubles: Arc<Mutex<Vec<String>>>,
    /// Something could not be done.
    open: bool,
    /// When to look again.
    due: Option<Instant>,
}

impl Keeper {
    fn run(mut self, inbox: &Receiver<Order>) {
        // What an earlier life left.
        self.make();
        loop {
            let pause = self.due.map(|due| due.saturating_duration_since(Instant::now()));
            let first = match pause.map_or_else(|| inbox.recv().map_err(Into::into), |pause| inbox.recv_timeout(pause)) {
                Ok(order) => Some(order),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut ended = Vec::new();
            // A refresh of the addresses says again what is known.
            let mut changed = self.due.is_some_and(|due| due <= Instant::now());
            for order in first.into_iter().chain(inbox.try_iter()) {
                match order {
                    Order::Here(group, here) => {
                        if let Some(was) = self.here.get_mut(usize::from(group.0)) {
                            changed |= std::mem::replace(was, here) != here;
                        }
                    }
                    // Many addresses that come at once are one reason to look.
                    Order::Look if self.busy() => {
                        let soon = Instant::now() + SOON;
                        self.due = self.due.map(|due| due.min(soon));
                    }
                    Order::Look => {}
                    Order::End(tell) => ended.push(tell),
                }
            }
            if changed {
                self.make();
            }
            for tell in ended {
                let _ = tell.send(());
            }
        }
    }

    /// Whether a group that wants something is here, or something was left undone.
    fn busy(&self) -> bool {
        self.open || self.wanted.iter().zip(&self.here).any(|(wanted, here)| *here && !wanted.entries.is_empty())
    }

    fn make(&mut self) {
        let here = self.wanted.iter().zip(&self.here).filter(|(_, here)| **here);
        let wanted: Vec<Entry> = here.flat_map(|(wanted, _)| wanted.entries.iter().cloned()).collect();
        let order: Vec<Entry> = self.wanted.iter().flat_map(|wanted| wanted.entries.iter().cloned()).collect();
        let told = match self.routing.make(&wanted, &order) {
            Ok(done) => self.told(done),
            Err(error) if wanted.is_empty() && order.is_empty() => {
                tracing::debug!("routes and rules: {error}");
                Vec::new()
            }
            Err(error) => vec![format!("routes and rules: the kernel does not say which there are: {error}")],
        };
        self.open = !told.is_empty();
        let pause = if self.open { AGAIN } else { LOOK };
        self.due = self.busy().then(|| Instant::now() + pause);
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        for line in told.iter().filter(|line| !troubles.contains(line)) {
            tracing::warn!("{line}; tried again");
        }
        if told.is_empty() && !troubles.is_empty() {
            tracing::info!("routes and rules are as the file says");
        }
        *troubles = told;
    }

    fn told(&self, done: Done) -> Vec<String> {
        for (what, list) in [("taken away", &done.gone), ("set", &done.set)] {
            for one in list {
                tracing::info!("{}{what}: {one}", self.whose(one));
            }
        }
        done.troubles.iter().map(|trouble| format!("{}{}: {}", self.whose(&trouble.what), trouble.what, trouble.why)).collect()
    }

    /// The group's name in front of what is about one of its entries.
    fn whose(&self, entry: &str) -> String {
        let group = self.wanted.iter().find(|wanted| wanted.entries.iter().any(|one| one.to_string() == entry));
        group.map_or_else(String::new, |group| format!("group {}: ", group.name))
    }
}

fn route(config: &Config, me: NodeId, one: &RouteConfig) -> Route {
    let interface = match &one.device {
        RouteDevice::Interface(name) => name.to_string(),
        RouteDevice::Link(link) => config.interface(me, *link).map_or_else(String::new, ToString::to_string),
    };
    let RouteConfig { to, via, device: _, source, table, metric, onlink } = one.clone();
    Route { to: network(to), via, interface, source, table, metric, onlink }
}

fn rule(one: &RuleConfig) -> Rule {
    let RuleConfig { v4, from, to, fwmark, table, priority } = one.clone();
    Rule { v4, from: from.map(network), to: to.map(network), fwmark, table, priority }
}

fn network(network: Network) -> (std::net::IpAddr, u8) {
    (network.address, network.prefix)
}

/// So long behind news of an interface.
const SOON: Duration = Duration::from_millis(100);
/// Between two looks at what could not be done.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks while all is well: another hand may have taken something away.
const LOOK: Duration = Duration::from_secs(10);
