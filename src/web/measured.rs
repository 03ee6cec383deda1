//! What the daemon counts and times by the way; since its start, and of this node alone.

/// How often something took how long.
#[derive(Clone, PartialEq, Debug)]
pub struct Histogram {
    /// Upper bounds of the buckets in seconds, rising; above the last one comes everything else.
    bounds: &'static [f64],
    /// One more than bounds.
    counts: Vec<u64>,
    /// Of all, in seconds.
    sum: f64,
}

impl Histogram {
    /// With nothing in it. `bounds` in seconds, rising.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len().saturating_add(1)], sum: 0.0 }
    }

    /// One more, of so many nanoseconds.
    pub fn observe(&mut self, nanos: u64) {
        let seconds = nanos as f64 / 1e9;
        let place = self.bounds.iter().position(|bound| seconds <= *bound).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.sum += seconds;
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Their sum in seconds.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Each bucket's upper bound in seconds, and how many are in this one alone.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied()).collect()
    }
}

/// What was measured on one link.
#[derive(Clone, PartialEq, Debug)]
pub struct LinkMeasured {
    /// Its name.
    pub name: String,
    /// By how much each of the peer's heartbeats came later than one `heartbeat` behind the one before it on this link.
    pub lateness: Histogram,
    /// Round trips of this node's heartbeats: out over this link, and back in whichever of the peer's came first.
    pub round_trips: Histogram,
}

/// What was measured of one group.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupMeasured {
    /// Its name.
    pub name: String,
    /// How much of the lease was left at each renewal.
    pub renewals: Histogram,
    /// The gaps that clients saw in planned moves, as this node measured them.
    pub gaps: Histogram,
}

/// All of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Measured {
    /// Heartbeats sent; one that goes over several links counts once.
    pub beats_sent: u64,
    /// Frames that were the peer's heartbeats, copies included.
    pub frames_accepted: u64,
    /// Of these, copies of one that was verified before.
    pub frames_copied: u64,
    /// Signatures that were verified, good or bad.
    pub verifications: u64,
    /// Refused frames by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Lines of the log about decisions and what they rest on, by kind (`owner`, `left`, `stall`, …).
    pub events: Vec<(&'static str, u64)>,
    /// Each link.
    pub links: Vec<LinkMeasured>,
    /// Each group.
    pub groups: Vec<GroupMeasured>,
    /// Round trips of echoes from the node's own address.
    pub echoes_own: Histogram,
    /// Round trips of echoes from a VIP: the return path.
    pub echoes_vip: Histogram,
    /// How late the deciding thread came to what was due.
    pub loop_lateness: Histogram,
    /// How long it took for one event, and for what followed from it.
    pub loop_turns: Histogram,
}
