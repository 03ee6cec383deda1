//! The same stories on the real kernel: real daemons, real nginx and real packets in named network namespaces on one machine.
//!
//! - [`ns`] named namespaces with a run's own prefix; guards and the sweep of dead runs; the way in for an ordinary user.
//! - [`netlink`] interfaces, bridges, addresses, routes, by rtnetlink.
//! - [`plan`] what a lab is built from: the recipe's pair ([`recipe`]), or any configuration's; [`lab`] two nodes, their cables, the LAN, the witnesses, a client on
//!   each side.
//! - [`fault`] what can go wrong with cables, switch, gateway and machines; [`damage`] what is broken now.
//! - [`process`] the processes of a namespace, found and signalled by pid.
//! - [`probe`], [`pair_probes`], [`responder`], [`frames`], [`timeline`] who answers for the VIP, asked from outside, and what that means.
//! - [`node`] the files of a pair; [`daemon`] a real daemon in a node's namespace, alone or supervised; [`page`] the page server
//!   where nginx is not installed; [`connection`] a client's open connection.
//! - [`contender`] whose daemons keep the pair, twinbeat's or others to compare with, and `keep` how; [`versus`] the comparison.
//! - [`rewrite`] a configuration as the lab runs it; [`attack`] forged and replayed frames.
//! - [`pair`] all of it together; [`catalogue`] the faults of the baseline as data, [`drill`] one of them done and judged.
//! - [`stage`] a scenario's file on the real kernel; [`judge`] what came of it beside virtual time ([`telling`]), [`expected`] and beside its own
//!   expectations.
//! - [`watch`] what the daemons say of themselves; [`live`] the screen; [`lanes`], [`html`] the report, a chapter a run ([`chapters`]);
//!   [`report`] header and table.
//!
//! What it refuses: to touch anything outside its own namespaces, and to believe a daemon about who serves: only answers count.

#![forbid(unsafe_code)]

pub mod attack;
pub mod catalogue;
pub mod chapters;
pub mod connection;
pub mod contender;
pub mod daemon;
pub mod damage;
pub mod drill;
pub mod expected;
pub mod fault;
pub mod flood;
pub mod frames;
pub mod html;
pub mod judge;
mod keep;
pub mod lab;
pub mod lanes;
pub mod live;
pub mod netlink;
pub mod node;
pub mod ns;
pub mod page;
pub mod pair;
pub mod pair_probes;
pub mod plan;
pub mod probe;
pub mod process;
pub mod recipe;
pub mod report;
pub mod responder;
pub mod rewrite;
pub mod stage;
pub mod telling;
pub mod timeline;
pub mod versus;
pub mod watch;
