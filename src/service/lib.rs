//! Services: start, stop, watch; and [`hook`]s, which are told of changes. Never on the decision thread.
//!
//! Life of an order: the core says [`ServiceOrder`](twinbeat_core::io::ServiceOrder) with an attempt; the [`ServiceManager`] of the
//! group carries it out on its own thread, service by service, and reports with that attempt. A newer order takes the older one's
//! place: a start that runs is broken off when the newer order wants the service stopped, a stop that runs is finished first, and
//! an order that was replaced is never reported. After a start the services are watched until the next order to stop them: by what
//! their kind knows of an end, and by checks of what clients see (`monitor.rs`), beside the orders. Whether they could start is asked on
//! both nodes (`startable.rs`).
//!
//! What it refuses: it never says "stopped" because a command said so. It asks for the state, and what it cannot find out counts
//! as not stopped. It never stops anything when the daemon goes away: services outlive it, and the next daemon finds them.

#![forbid(unsafe_code)]

mod attempt;
mod bus;
mod check;
mod fence;
mod hands_off;
pub mod hook;
mod http;
mod inherited;
mod letter;
mod lsb;
mod manager;
mod monitor;
pub mod ocf;
mod output;
mod process;
mod record;
mod runner;
mod startable;
mod systemctl;
mod systemd;
mod tally;
mod transient;
mod unit;

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod fence_tests;
#[cfg(test)]
mod hands_off_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transient_tests;

use std::path::PathBuf;
use std::time::Duration;

use twinbeat_core::id::{Attempt, GroupId};
use twinbeat_core::io::{Input, ServiceReport};
use twinbeat_host::session;

pub use bus::answers as bus_answers;
pub use check::{CheckSpec, HttpProbe, Probe};
pub use fence::{FenceHow, FenceSpec, Fencer};
pub use inherited::reap as reap_inherited;
pub use manager::ServiceManager;
pub use ocf::{AgentSpec, OcfSpec};
#[cfg(fuzzing)]
pub use record::fuzzed as fuzzed_record;

/// How a service is started, stopped and asked for its state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A systemd unit, with its suffix.
    Systemd(String),
    /// An init script with LSB exit codes.
    Lsb {
        /// A name in `/etc/init.d`, or an absolute path.
        script: PathBuf,
        /// What stands before the action.
        arguments: Vec<String>,
    },
    /// An OCF resource agent.
    Ocf(OcfSpec),
    /// A program that stays in the foreground, with its arguments; supervised here.
    Process(Vec<String>),
}

/// One service of a group, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceSpec {
    /// What it is.
    pub kind: Kind,
    /// It may run on both nodes during a move, and on a standby.
    pub warm: bool,
    /// How long a start may take.
    pub start_timeout: Duration,
    /// How long a stop may take before it is forced.
    pub stop_timeout: Duration,
    /// How its clients see it.
    pub checks: Vec<CheckSpec>,
    /// A program with its arguments that says by exit code 0 that it could start.
    pub validate: Option<Vec<String>>,
    /// So often it is started again on the spot within `restart_window`, before the core decides.
    pub restarts: u32,
    /// After so long a restart is forgotten.
    pub restart_window: Duration,
}

impl ServiceSpec {
    /// How long a start may take, when the configuration does not say.
    pub const START_TIMEOUT: Duration = Duration::from_secs(60);
    /// How long a stop may take, when the configuration does not say.
    pub const STOP_TIMEOUT: Duration = Duration::from_secs(20);
    /// Restarts on the spot, when the configuration does not say.
    pub const RESTARTS: u32 = 1;
    /// When one is forgotten, when the configuration does not say.
    pub const RESTART_WINDOW: Duration = Duration::from_secs(60);

    /// What it is called in logs and reports: the unit, the script's file name, the program's file name, the agent's type.
    pub fn name(&self) -> String {
        let path = match &self.kind {
            Kind::Systemd(unit) => return unit.clone(),
            Kind::Lsb { script, .. } => script.clone(),
            Kind::Ocf(ocf) => return ocf.agent.agent.clone(),
            Kind::Process(argv) => PathBuf::from(argv.first().map_or("process", String::as_str)),
        };
        path.file_name().map_or_else(|| "service".into(), |name| name.to_string_lossy().into_owned())
    }
}

/// The services of one group and what they are run with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupServices {
    /// The group, for the reports.
    pub group: GroupId,
    /// Its name: `TWINBEAT_GROUP` of the children.
    pub name: String,
    /// This node's name: `TWINBEAT_NODE` of the children.
    pub node: String,
    /// STATE_DIR; records of supervised processes and the services' output lie in `services/` below it.
    pub state_dir: PathBuf,
    /// The services, in the order of their start.
    pub services: Vec<ServiceSpec>,
    /// Where the tools are.
    pub tools: Tools,
}

/// Where the programs and sockets are that services are run with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tools {
    /// The bus on which systemd is asked.
    pub bus: String,
    /// `systemctl`, for what the bus does not answer; found in PATH unless this is an absolute path.
    pub systemctl: PathBuf,
    /// Where init scripts given by name lie.
    pub init_dir: PathBuf,
    /// What is started as a child lives in the daemon's own sandbox: processes and init scripts are given to systemd, as units.
    pub sandboxed: bool,
}

impl Default for Tools {
    fn default() -> Self {
        let bus = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|_| "unix:path=/run/dbus/system_bus_socket".into());
        Tools { bus, systemctl: "systemctl".into(), init_dir: "/etc/init.d".into(), sandboxed: session::sandboxed() }
    }
}

/// A service's state, as far as it can be found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// It runs, or something of it still does.
    Running,
    /// Nothing of it runs.
    Stopped,
    /// It cannot be found out, and why not.
    Unknown(String),
}

/// The state of one service by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedState {
    /// Its name.
    pub name: String,
    /// It may run on a standby.
    pub warm: bool,
    /// Its state.
    pub state: State,
    /// It was started here, and is watched.
    pub watched: bool,
    /// The newest words of its checks, and whether all were well; none while none is asked.
    pub check: Option<(String, bool)>,
}

/// What a manager has to say to the core.
#[derive(Clone, PartialEq, Debug)]
pub enum Report {
    /// What became of an order, or of the services since.
    Done {
        /// The group.
        group: GroupId,
        /// The attempt of the order that it is about.
        attempt: Attempt,
        /// What happened.
        report: ServiceReport,
    },
    /// Whether they could start here.
    Startable {
        /// The group.
        group: GroupId,
        /// What stands in the way.
        obstacle: Option<String>,
    },
}

impl From<Report> for Input {
    fn from(report: Report) -> Input {
        match report {
            Report::Done { group, attempt, report } => Input::Services { group, attempt, report },
            Report::Startable { group, obstacle } => Input::Startable { group, obstacle },
        }
    }
}
