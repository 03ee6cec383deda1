//! The baseline's faults as data: what happens, how long it is held, how it heals, and what twinbeat shall make of it.

use std::time::Duration;

use super::recipe::Cable;
use twinbeat_core::id::NodeId;
use twinbeat_core::settings::Timing;
use twinbeat_core::time::Span;

/// One thing done to the pair.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Step {
    /// The machine's power goes.
    PowerOff(NodeId),
    /// The power is back and the daemon starts.
    PowerOn(NodeId),
    /// SIGTERM to the daemon.
    Stop(NodeId),
    /// The daemon starts.
    Start(NodeId),
    /// SIGKILL to the daemon; kernel and service live.
    Kill(NodeId),
    /// SIGUSR2 to the daemon: it exits and comes back.
    ComeBack(NodeId),
    /// From now on a supervisor starts the daemon again, so long after each of its ends.
    Supervise(NodeId, Duration),
    /// The supervisor goes; the daemon stays.
    Unsupervise(NodeId),
    /// SIGSTOP to the daemon.
    Hang(NodeId),
    /// SIGCONT to the daemon.
    Wake(NodeId),
    /// A cable loses carrier at this node.
    Unplug(NodeId, Cable),
    /// It is plugged in again.
    Plug(NodeId, Cable),
    /// A cable of this node drops everything; the carrier stays.
    Blackhole(NodeId, Cable),
    /// Everything from this node to the other is dropped, on all cables.
    OneWay(NodeId),
    /// All of a node's cables drop everything.
    Isolate(NodeId),
    /// No frame between the two nodes.
    Separate,
    /// The network lets no node send in the other's name: the gateway carries no heartbeats.
    BlockRelay,
    /// `nft flush ruleset` on a node.
    FlushRuleset(NodeId),
    /// Somebody deletes the VIPs on a node.
    DeleteVip(NodeId),
    /// No witness answers a ping: of the recipe's pair the gateway.
    GatewayDown,
    /// Percent of loss on all cables of the first node.
    Loss(u8),
    /// Percent of loss in each direction of every cable, those between the nodes and the witnesses included.
    LossEverywhere(u8),
    /// The service's process is killed.
    KillService(NodeId),
    /// `twinbeat standby` on a node.
    Standby(NodeId),
    /// `twinbeat resume` on a node.
    Resume(NodeId),
    /// Nothing for this long.
    Wait(Duration),
    /// Every network fault ends.
    Heal,
}

/// The longest gap that a client may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// None at all.
    None,
    /// This many milliseconds.
    AtMost(u64),
    /// dead + 1 heartbeat.
    Dead,
    /// So many times dead.
    Deads(u64),
    /// Witness time + 5 ms.
    Witness,
    /// init_dead.
    InitDead,
    /// As long as the fault lasts: nobody can serve.
    Any,
}

/// A fault of the catalogue.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Fault {
    /// The baseline's name.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What is done, one after the other.
    pub apply: &'static [Step],
    /// How long it is held.
    pub hold: Duration,
    /// What heals it.
    pub heal: &'static [Step],
    /// The longest gap while it is held.
    pub gap: Gap,
    /// How many moves while it is held: at least, at most. Two owners are never allowed.
    pub moves: (usize, usize),
    /// The service's processes and a client's open connection must outlive it.
    pub keeps: bool,
}

impl Fault {
    /// The gap bound from the timing in force, with [`SLACK`] for a busy machine and the announcement; `None`: no bound.
    pub fn gap_bound(&self, timing: &Timing) -> Option<Duration> {
        let witness = timing.heartbeat * 3 + timing.delivery + Span::millis(5);
        let bound = match self.gap {
            Gap::None => return Some(Duration::ZERO),
            Gap::AtMost(ms) => Span::millis(ms),
            Gap::Dead => timing.dead + timing.heartbeat,
            Gap::Deads(times) => timing.dead * times,
            Gap::Witness => witness,
            Gap::InitDead => timing.init_dead,
            Gap::Any => return None,
        };
        Some(Duration::from_nanos(bound.0) + SLACK)
    }
}

/// By its name.
pub fn find(name: &str) -> Option<&'static Fault> {
    CATALOGUE.iter().find(|f| f.name == name)
}

/// For a client's period, a probe's lateness and a machine with two busy cores; the baseline's bounds themselves carry none.
pub const SLACK: Duration = Duration::from_millis(40);

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
const HOLD: Duration = Duration::from_secs(10);
const HEAL: &[Step] = &[Step::Heal];

const fn fault(
    name: &'static str,
    about: &'static str,
    apply: &'static [Step],
    heal: &'static [Step],
    gap: Gap,
    moves: usize,
) -> Fault {
    Fault { name, about, apply, hold: HOLD, heal, gap, moves: (moves, moves), keeps: false }
}

/// All of them. master1 owns at the beginning and is preferred.
pub const CATALOGUE: &[Fault] = &[
    fault(
        "power_off",
        "the owner's links are cut and its processes killed",
        &[Step::PowerOff(A)],
        &[Step::PowerOn(A)],
        Gap::Dead,
        1,
    ),
    fault("graceful_stop", "SIGTERM to the owner's daemon", &[Step::Stop(A)], &[Step::Start(A)], Gap::AtMost(5), 1),
    fault(
        "daemon_sigkill",
        "the owner's daemon is killed, kernel and nginx live",
        &[Step::Kill(A)],
        &[Step::Start(A)],
        Gap::Dead,
        1,
    ),
    fault("daemon_sigstop", "the owner's daemon hangs", &[Step::Hang(A)], &[Step::Wake(A)], Gap::Dead, 1),
    fault("hb1_down", "one heartbeat cable loses carrier", &[Step::Unplug(A, Cable::Heartbeat)], HEAL, Gap::None, 0),
    fault(
        "hb_all_down",
        "both heartbeat cables lose carrier, the LAN is fine",
        &[Step::Unplug(A, Cable::Heartbeat), Step::Unplug(A, Cable::Bond)],
        HEAL,
        Gap::None,
        0,
    ),
    fault("public_down", "the owner's eth0 loses carrier", &[Step::Unplug(A, Cable::Lan)], HEAL, Gap::AtMost(20), 1),
    fault(
        "public_blackhole",
        "the owner's eth0 drops all, carrier stays",
        &[Step::Blackhole(A, Cable::Lan)],
        HEAL,
        Gap::Witness,
        1,
    ),
    fault("gw_down", "the gateway stops answering both", &[Step::GatewayDown], HEAL, Gap::None, 0),
    fault("isolate_silent", "all of the owner's links drop, carrier stays", &[Step::Isolate(A)], HEAL, Gap::Dead, 1),
    fault("oneway_a_to_b", "everything from owner to standby is dropped", &[Step::OneWay(A)], HEAL, Gap::None, 0),
    fault("oneway_b_to_a", "everything from standby to owner is dropped", &[Step::OneWay(B)], HEAL, Gap::None, 0),
    fault("cut_all_but_gw", "no frame between the nodes, both reach the gateway", &[Step::Separate], HEAL, Gap::None, 0),
    Fault {
        hold: Duration::from_secs(30),
        ..fault("hb_loss30", "30 % loss on all paths", &[Step::Loss(30)], HEAL, Gap::None, 0)
    },
    Fault {
        hold: Duration::from_secs(30),
        moves: (0, 2),
        ..fault("hb_loss60", "60 % loss on all paths", &[Step::Loss(60)], HEAL, Gap::Any, 0)
    },
    fault(
        "power_off_loss30",
        "30 % loss on every link, then the owner loses power",
        // Long enough for every judgement to have seen the losses.
        &[LOSS_30, SOAK, Step::PowerOff(A)],
        &[Step::Heal, Step::PowerOn(A)],
        Gap::Deads(3),
        1,
    ),
    Fault {
        moves: (0, 1),
        ..fault("nginx_killed", "the service dies on the owner", &[Step::KillService(A)], HEAL, Gap::AtMost(1000), 0)
    },
    fault("standby", "a planned move", &[Step::Standby(A)], &[Step::Resume(A)], Gap::AtMost(2), 1),
    fault("public_flap", "the owner's eth0 goes down and up 5 times in 3 s", FLAP, HEAL, Gap::AtMost(250), 1),
    fault("peer_power_off", "the standby loses power", &[Step::PowerOff(B)], &[Step::PowerOn(B)], Gap::None, 0),
    Fault {
        moves: (0, 1),
        ..fault(
            "both_power_cycle",
            "both off, both on",
            &[Step::PowerOff(A), Step::PowerOff(B), OFF, ON_A, ON_B],
            &[],
            Gap::Any,
            0,
        )
    },
    Fault {
        moves: (0, 1),
        ..fault(
            "boot_alone",
            "both off, one boots alone",
            &[Step::PowerOff(A), Step::PowerOff(B), OFF, ON_B],
            &[ON_A],
            Gap::Any,
            1,
        )
    },
    fault(
        "separate_no_relay",
        "no frame between the nodes, not even through the gateway: defence alone decides",
        &[Step::BlockRelay, Step::Separate],
        HEAL,
        // A challenge takes the gateway's entry until the owner's echoes tell it so: an echo interval, delivery, two echo periods.
        Gap::AtMost(170),
        0,
    ),
    Fault {
        hold: Duration::from_secs(3),
        ..fault(
            "foreign_flush_ruleset",
            "somebody flushes the ruleset on both nodes, again and again",
            &[FLUSH_A, BEAT, FLUSH_B, BEAT, FLUSH_A, FLUSH_A, BEAT, FLUSH_B],
            HEAL,
            Gap::None,
            0,
        )
    },
    Fault {
        hold: Duration::from_secs(3),
        ..fault(
            "foreign_delete_vip",
            "somebody deletes the address on the owner, three times",
            &[DELETE, BEAT, DELETE, BEAT, DELETE],
            HEAL,
            Gap::AtMost(5),
            0,
        )
    },
    Fault {
        keeps: true,
        hold: RESTARTED,
        ..fault(
            "restart",
            "the owner's daemon is restarted by SIGUSR2, three times",
            &[SUPERVISED, COME_BACK, SECOND, COME_BACK, SECOND, COME_BACK],
            ALONE,
            Gap::None,
            0,
        )
    },
    Fault {
        keeps: true,
        hold: RESTARTED,
        ..fault(
            "sigkill_supervised",
            "the owner's daemon is killed three times; 100 ms later it is started again",
            &[SLOWLY_SUPERVISED, KILL, SECOND, KILL, SECOND, KILL],
            ALONE,
            Gap::None,
            0,
        )
    },
];

const LOSS_30: Step = Step::LossEverywhere(30);
const FLUSH_A: Step = Step::FlushRuleset(A);
const FLUSH_B: Step = Step::FlushRuleset(B);
const DELETE: Step = Step::DeleteVip(A);
const RESTARTED: Duration = Duration::from_secs(3);
const SUPERVISED: Step = Step::Supervise(A, Duration::ZERO);
const SLOWLY_SUPERVISED: Step = Step::Supervise(A, Duration::from_millis(100));
const COME_BACK: Step = Step::ComeBack(A);
const KILL: Step = Step::Kill(A);
const SECOND: Step = Step::Wait(Duration::from_millis(1130));
const ALONE: &[Step] = &[Step::Unsupervise(A)];

const SOAK: Step = Step::Wait(Duration::from_secs(5));
const OFF: Step = Step::Wait(Duration::from_secs(1));
const ON_A: Step = Step::PowerOn(A);
const ON_B: Step = Step::PowerOn(B);
const DOWN: Step = Step::Unplug(A, Cable::Lan);
const UP: Step = Step::Plug(A, Cable::Lan);
const BEAT: Step = Step::Wait(Duration::from_millis(300));
const FLAP: &[Step] = &[DOWN, BEAT, UP, BEAT, DOWN, BEAT, UP, BEAT, DOWN, BEAT, UP, BEAT, DOWN, BEAT, UP, BEAT, DOWN, BEAT, UP];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_own_name_and_is_found_by_it() {
        for fault in CATALOGUE {
            assert_eq!(find(fault.name), Some(fault));
        }
        assert_eq!(find("nonsense"), None);
    }

    #[test]
    fn bounds_follow_from_the_configuration() {
        let bound = |name: &str| find(name).unwrap().gap_bound(&crate::node::TIMING);
        assert_eq!(bound("power_off"), Some(Duration::from_millis(1100) + SLACK));
        assert_eq!(bound("public_blackhole"), Some(Duration::from_millis(355) + SLACK));
        assert_eq!(bound("hb1_down"), Some(Duration::ZERO));
        assert_eq!(bound("power_off_loss30"), Some(Duration::from_secs(3) + SLACK));
    }
}
