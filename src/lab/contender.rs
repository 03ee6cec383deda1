//! Whose daemons keep the pair: twinbeat's, or those that it is compared with. How each is kept is in `keep`.

use super::catalogue::{Fault, Step};

/// Whose daemons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Contender {
    /// The program under test.
    #[default]
    Twinbeat,
    /// keepalived, unicast VRRP on the LAN; a lost gateway lowers the node's priority.
    Keepalived,
    /// The same, but a lost gateway puts the node into FAULT: it gives up the address whatever the other node does.
    KeepalivedFault,
    /// keepalived with its VRRP on the dedicated cable instead, and eth0 tracked.
    KeepalivedCable,
    /// heartbeat 3 with ipfail, over both dedicated cables.
    Heartbeat,
}

impl Contender {
    /// All of them.
    pub const ALL: [Contender; 5] = [
        Contender::Twinbeat,
        Contender::Keepalived,
        Contender::KeepalivedFault,
        Contender::KeepalivedCable,
        Contender::Heartbeat,
    ];

    /// Its name in tables and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Contender::Twinbeat => "twinbeat",
            Contender::Keepalived => "keepalived",
            Contender::KeepalivedFault => "keepalived-fault",
            Contender::KeepalivedCable => "keepalived-cable",
            Contender::Heartbeat => "heartbeat",
        }
    }

    /// By its name.
    pub fn find(name: &str) -> Option<Contender> {
        Contender::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Whether the fault is one that these daemons know: a restart by SIGUSR2 and the drill's supervisor are twinbeat's own.
    pub fn knows(self, fault: &Fault) -> bool {
        self == Contender::Twinbeat || !fault.apply.iter().any(|step| matches!(step, Step::ComeBack(_) | Step::Supervise(..)))
    }

    /// Whether the page server has to be started again by hand after it died: twinbeat supervises it itself.
    pub(super) const fn leaves_the_service_dead(self) -> bool {
        !matches!(self, Contender::Twinbeat)
    }
}

/// What an administrator wants of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// The other node shall serve.
    Standby,
    /// As before.
    Resume,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contenders_are_found_by_the_name_in_the_table() {
        for contender in Contender::ALL {
            assert_eq!(Contender::find(contender.name()), Some(contender));
        }
        assert_eq!(Contender::find("pacemaker"), None);
    }
}
