//! The rules taken out, one at a time, so that the checks can show that they bite (`netns-tests/bite.rs`).
//!
//! A production build has no switch: without the feature `bite` the answer is `false` at compile time, and nothing is left of
//! the question. With it, each thread has its own switch, so that runs side by side do not disturb each other.

macro_rules! clauses {
    ($($(#[doc = $doc:literal])* $name:ident = $rule:literal,)*) => {
        /// A clause of SAFETY that is taken out; each says what the broken build does instead.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Clause { $($(#[doc = $doc])* $name,)* }

        impl Clause {
            /// All of them, in the order of the rules.
            pub const ALL: &[Clause] = &[$(Clause::$name,)*];

            /// The rule that it is a part of; a dagger marks a clause that two owners came of when it was left out of a model.
            pub const fn rule(self) -> &'static str {
                match self { $(Clause::$name => $rule,)* }
            }

            /// What the broken build does.
            pub fn text(self) -> &'static str {
                match self { $(Clause::$name => concat!($($doc),*).trim_start(),)* }
            }
        }
    };
}

clauses! {
    /// The kernel's gate does not close by itself.
    GateStaysOpen = "R1",
    /// A renewal holds for a lease from now, not from its ground's own time.
    RenewFromNow = "R1",
    /// A renewal adds the element again after it has expired: a gate that closed by itself opens again.
    RenewalRevives = "R1 †",
    /// An order that was held up before the kernel is carried out all the same, for the time that was left when it was reckoned.
    TicketIgnored = "R1 †",
    /// The kernel's word that the gate had closed by itself does not end the ownership.
    LapseIgnored = "R1",
    /// A flushed ruleset is taken for a lapse.
    FlushIsLapse = "R1",
    /// A flushed ruleset is not made again.
    FlushIgnored = "R1",
    /// A flushed ruleset is made again for a lease from now, although the ground has run out.
    FlushRevives = "R1",
    /// A renewal that waits behind a close is carried out.
    RenewalOvertakesClose = "R1",
    /// A closed gate holds back the daemon's own frames as well.
    MarkedFramesHeld = "R1",
    /// An owner whose kernel does not make the gate stays, and a standby takes over without one.
    UnguardedFit = "R1",

    /// A peer ground counts from when the heartbeat was heard, not from when the echoed one was sent.
    PeerGroundFromHearing = "R2",
    /// Any heartbeat of the peer is a ground, whatever it says of the group.
    PeerGroundWithoutStandby = "R2",
    /// A return path counts from its answer's receipt, not from when the echo was sent.
    PathGroundFromReceipt = "R2",
    /// One of several witnesses is enough for a return path.
    PathWithoutMajority = "R2",
    /// Echoes count however late their answers come.
    LateAnswersCount = "R2",
    /// The owner renews from its own timer.
    OwnTimer = "R2",
    /// No faster echoes and no asking when the newest ground is older than a third of the lease.
    NoFastEvidence = "R2",
    /// VIP-sourced echoes carry no heartbeat.
    EchoWithoutHeartbeat = "R2 †",
    /// Heartbeats are JSON, and an echo into which one does not fit is not sent.
    LongEchoUnsent = "R2",
    /// A heartbeat that came by the witness's table ends a stand-down.
    TableBeatEndsStandDown = "R2 †",
    /// No negative control is sent.
    NoNegativeControl = "R2 †",
    /// Negative controls go out although this node's own write may still be in the witness's table.
    ControlAfterWrite = "R2",
    /// No echo goes out in the peer's own name.
    NoInquiry = "R2 †",
    /// A witness that failed the negative control counts all the same.
    ControlIgnored = "R2 †",

    /// An owner without a ground goes on.
    StaysWithoutGround = "R3",

    /// A claim does not wait for `dead`: `warn` is enough.
    ClaimAtWarn = "R4.1",
    /// Cables that lost their carrier count although the peer was heard since.
    CutOffOutlived = "R4.1",
    /// A challenge writes on lost carriers alone, before the next heartbeat has stayed away.
    CutOffWrites = "R4.1",
    /// After a start `init_dead` is not waited for.
    NoInitDead = "R4.1",
    /// A peer that says that it neither serves nor reaches nor hears anybody still counts as alive.
    DeafCounts = "R4.1",
    /// A claim needs no answer to echoes from the own address.
    ClaimWithoutReach = "R4.2",
    /// A claim and a challenge do not wait for probes to go unanswered.
    ClaimUnprobed = "R4.3",
    /// The last probes may be of any age.
    ProbesOfAnyAge = "R4.3",
    /// A claim needs no challenge.
    ClaimUnchallenged = "R4.4",
    /// A challenge stands with its second echo.
    ChallengeStandsAtOnce = "R4.4",
    /// A challenge writes although nothing shows that the witness's table is a register.
    WriteUnproven = "R4.4 †",
    /// A challenge writes on after its first echo came back.
    ChallengeWritesOn = "R4.4 †",
    /// A challenge counts from the receipt of its first echo even when a write may still be on its way.
    ChallengeCountsEarly = "R4.4",
    /// A challenge reckons with the own lease, not with the longest that the peer announced.
    ChallengeByOwnLease = "R4.4 †",
    /// A challenge reckons as if both clocks ran at one rate.
    RateBoundIgnored = "R4.4",
    /// Missing echoes never break a challenge.
    ChallengeNeverBroken = "R4.4",
    /// One missing echo breaks a challenge.
    ChallengeBrokenByOne = "R4.4",
    /// A challenge goes on while the witness is unreachable, and without a limit in time.
    ChallengeOutlivesWitness = "R4",
    /// A challenge is broken by a deaf standby that has begun one itself.
    DeafStandbyObjects = "R4",
    /// A peer that is heard, does not hear, and is not fit to serve blocks a claim while the witness answers it.
    UnfitBlocks = "R4",
    /// A challenge that never took is a claim.
    NeverTookClaims = "R4.4",
    /// One of several witnesses is enough for a challenge.
    ChallengeWithoutMajority = "R4.4",
    /// The challenger answers no question for the VIP that is addressed to its own MAC.
    ChallengerSilent = "R4.4",
    /// A heartbeat does not end the evidence gathered so far.
    HeartbeatEndsNothing = "R4",

    /// The witness carries no heartbeats.
    NoRelay = "R4a",

    /// An owner does not defend its entry.
    NoDefence = "R5",
    /// An owner defends although it has no ground or its gate is closed.
    DefenceWithoutGate = "R5",
    /// Two owners that hear each other by no way win the entry back from each other for ever.
    EntrySharedForEver = "R5 †",
    /// A defence is used up for good after its first announcements.
    DefenceUsedUp = "R5",
    /// An owner that is overwritten again and again stays.
    OverwrittenStays = "R5 †",
    /// An owner believes whoever speaks for its address, without asking the table and whoever stands by.
    WireBelieved = "R5",
    /// A challenger does not stand down.
    NoStandDown = "R5",
    /// The witness's question for the VIP does not end a stand-down.
    QuestionEndsNothing = "R5",

    /// `released` is said before the kernel has acknowledged that gate and address are gone.
    ReleasedEarly = "R6 †",
    /// Any `released` is taken for the own one, whatever attempt and incarnation it names.
    ReleasedUnnamed = "R6 †",
    /// Who released takes the address back when the other has not served after `dead`.
    ReleasedComesBack = "R6 †",
    /// To grant does not withdraw one's own intent.
    GrantKeepsIntent = "R6 †",
    /// Of two intents neither goes first: both are granted, and both stay.
    BothIntentsGranted = "R6",
    /// Any epoch is granted, however old.
    StaleEpochGranted = "R6",
    /// A withdrawn epoch is used again.
    WithdrawnEpochReused = "R6",
    /// A node with a stop in progress is eligible.
    StoppingEligible = "R6",
    /// A cold service may still run when `released` is said.
    ColdNotAwaited = "R6",
    /// A first claim does not probe the address.
    FirstClaimUnprobed = "R6",
    /// A move is done with the gate: whether the new owner's return path comes is not looked at.
    MoveUnproven = "R6",

    /// Of two owners that meet the lower epoch stays.
    LowerStays = "R7",
    /// Of two owners that meet the higher epoch does not announce again.
    HigherSilent = "R7",
    /// An owner that learns of a higher epoch on a standby keeps its own.
    EpochNotRaised = "R7",

    /// A witness that is lost to both nodes is a reason to move.
    SharedLossMoves = "R8",
    /// With no peer and no witness the owner goes on although the configuration says `release`.
    IslandAlways = "R8",

    /// One lost echo makes the witness unreachable, one answer makes it reachable.
    NoHysteresis = "R9",
    /// A failback waits for no time of stability.
    FailbackAtOnce = "R9",

    /// Evidence from before a gap counts on.
    GapUnnoticed = "R10",
    /// A restarted daemon sweeps an open gate.
    HotRestartSweeps = "R10",
    /// A restarted daemon believes its record, not the kernel.
    RecordBelieved = "R10",

    /// A heartbeat with another configuration is dropped.
    MismatchIsSilence = "R11",
    /// The lease that the peer announced is not kept with the epoch.
    PeerLeaseForgotten = "R11 †",
    /// An owner uses a longer lease before its peer has echoed it.
    LengthensAtOnce = "R11 †",
    /// A lease is echoed before it is on the disk.
    LeaseEchoedEarly = "R11 †",
    /// A silent peer's group is claimed although the peer's file says otherwise of what the claim rests on.
    OtherFileClaims = "R11 †",
    /// Groups move between files that have their VIPs crosswise.
    OtherFileMoves = "R11 †",
    /// What a part of a heartbeat does not name is not in the peer's file.
    PartIsAll = "R11 †",
    /// An owner lives by a witness that its peer does not ask.
    OtherWitnessCounts = "R11 †",
    /// A heartbeat announces less than the lease in force.
    LeaseUnderstated = "R11 †",

    /// A heartbeat whose signature does not hold is believed.
    UnsignedBelieved = "R12",
    /// A heartbeat that was heard before counts again.
    ReplayCounts = "R12",
    /// Words of a life that never heard this one of mine break the silence.
    UnprovenBreaksSilence = "R12",
    /// A lower incarnation is believed without the proof that it heard this node a moment ago.
    GhostBelieved = "R12",

    /// Both nodes take the next number, whatever its parity.
    NoParity = "R13 †",
    /// An owner that is found open keeps a number that new names have made the peer's.
    PeersNumberKept = "R13 †",
    /// A gate opens although its epoch is not on disk.
    EpochNotDurable = "R13",
    /// An epoch is granted although a new life of this node would not know of it.
    GrantNotDurable = "R13 †",
    /// An epoch is the next after the own last one, whatever was heard.
    EpochHeardIgnored = "R13",

    /// A group that moves takes an address with it that the old owner did not have, and that nobody asked for.
    AddedUnprobed = "R6",

    /// A claim goes on although the peer could not be turned off.
    FenceUnawaited = "R4b",
    /// What fencing showed once counts although the peer was heard since.
    FencedForEver = "R4b",
    /// A life that never heard its peer turns it off where no challenge is possible.
    FencesUnmet = "R4b",
    /// A node does not tell its peer that it turns it off, and begins in the same instant.
    FencesUntold = "R4b",
    /// A peer that defends one group is turned off for another one's sake.
    FencesForAnother = "R4b †",
    /// That no table took a write counts for the next order as well.
    NeverTookForEver = "R4b",
    /// A node gives a group to the peer that it is turning off.
    FencesAnOwner = "R4b",

    /// A standby by command forbids a claim.
    HoldForbidsClaim = "R14",
    /// A standby by command is not refused when the peer cannot serve.
    StandbyNotRefused = "R14",
    /// A standby by command does not survive a restart.
    HoldNotKept = "R14",
    /// Both nodes can be in standby by command, each handing the group to the other.
    BothHeld = "R14",
}

/// Whether this clause is taken out on this thread.
#[cfg(feature = "bite")]
pub fn off(clause: Clause) -> bool {
    OUT.get() >> (clause as u32) & 1 == 1
}

/// Whether this clause is taken out: never in this build.
#[cfg(not(feature = "bite"))]
#[inline(always)]
pub const fn off(_: Clause) -> bool {
    false
}

#[cfg(feature = "bite")]
std::thread_local! {
    /// A bit for each clause.
    static OUT: core::cell::Cell<u128> = const { core::cell::Cell::new(0) };
}

/// Does `work` with these clauses taken out on this thread.
#[cfg(feature = "bite")]
pub fn without<T>(clauses: &[Clause], work: impl FnOnce() -> T) -> T {
    let before = OUT.replace(clauses.iter().fold(0, |set, clause| set | 1 << (*clause as u32)));
    let done = work();
    OUT.set(before);
    done
}

#[cfg(feature = "bite")]
const _: () = assert!(Clause::ALL.len() <= 128, "the switch has 128 bits");
