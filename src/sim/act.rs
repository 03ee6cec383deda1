//! What a scenario can do to the world, by number; `script` knows the names, `apply` does it.

use super::network::Station;
pub use super::quality::Quality;
use twinbeat_core::io::Command;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::Span;

/// Directions on links that a step is about.
pub type Ways = Vec<(usize, Station, Station)>;

/// One thing done to the world.
#[derive(Clone, PartialEq, Debug)]
pub enum Act {
    /// The daemon is started.
    Start(usize),
    /// The daemon is asked to leave.
    Stop(usize),
    /// The daemon is killed; the kernel lives.
    Kill(usize),
    /// The daemon is stopped in its tracks.
    Hang(usize),
    /// The daemon is stopped in the middle of its next renewal.
    Stall(usize),
    /// It goes on.
    Wake(usize),
    /// The machine loses power.
    PowerOff(usize),
    /// It boots and starts its daemon.
    PowerOn(usize),
    /// The machine stands still, clock included.
    Pause(usize),
    /// It goes on as if nothing had been.
    Unpause(usize),
    /// Carrier of a node's link.
    Carrier(usize, usize, bool),
    /// The interface of a node's link is there, or is not.
    Interface(usize, usize, bool),
    /// Ways change.
    Ways(Ways, Quality),
    /// The network drops what the node sends from a VIP.
    PortSecurity(usize, bool),
    /// The witness passes no heartbeats on.
    RelayBlocked(bool),
    /// A witness runs, or does not.
    WitnessUp(usize, bool),
    /// A witness ignores writes.
    Pins(usize, bool),
    /// A witness answers the sender instead of its table.
    LastHop(usize, bool),
    /// A witness answers so many echoes a second; 0: all.
    Limits(usize, u32),
    /// A witness loses its table.
    Forgets(usize),
    /// A third machine answers for a group's VIP.
    Stranger(usize, bool),
    /// A service dies.
    ServiceDies(usize, usize),
    /// Starting a service fails.
    StartFails(usize, usize, bool),
    /// It is found that a service could not start, or could again.
    Obstacle(usize, usize, bool),
    /// A node's device cannot turn the other one off, or can again.
    FenceFails(usize, bool),
    /// How long it takes.
    FenceTime(usize, Span),
    /// Stopping a service fails.
    StopFails(usize, usize, bool),
    /// How long services take at the most.
    ServiceTime(usize, Span),
    /// How long a write to disk takes at the most.
    DiskTime(usize, Span),
    /// Writes to disk fail.
    DiskFails(usize, bool),
    /// The clock's rate in millionths.
    ClockRate(usize, u64),
    /// A person's command.
    Command(usize, Command),
    /// Somebody deletes the addresses.
    DeleteVip(usize, usize),
    /// Somebody flushes the ruleset.
    FlushRuleset(usize),
    /// The kernel makes no gate, or does again.
    GateRefused(usize, bool),
    /// Forged frames to a node: refused before the decision sees anything.
    Forge(usize),
    /// So many old heartbeats to a node are played back.
    PlayBack(usize, u32),
    /// A lying announcement for a group's VIP reaches everybody.
    FalseAnnouncement(usize),
    /// The daemon leaves and is started again so long after its exit.
    Restart(usize, Span),
    /// A node's file is another one from its next start on.
    Configure(usize, Box<Settings>),
    /// The state directory is empty.
    LoseState(usize),
    /// Everything that is broken is mended, everything that stands still goes on.
    Heal,
}
