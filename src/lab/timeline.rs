//! What the probes' records mean: who served when, the longest gap, two owners. Pure arithmetic on times, so that it can be tested.
//!
//! Two owners are claimed only where it is proven. An answer to a question sent at `s` and received at `r` proves that the node served at some
//! instant between; a run of answers without a single miss ([`proven`]) proves it from its first `r` to its last `s`. Where such proven times of both nodes
//! overlap, two nodes served. A planned move, however fast, never counts, not even there and back again, and the probe's own lateness only ever
//! shortens the proof.

use std::time::Duration;

use twinbeat_core::id::NodeId;

/// A time since the probe's start.
pub type At = Duration;

/// Who owned a group from when on, counted from the scenario's beginning.
pub type History = Vec<(At, NodeId)>;

/// One question and, if it came, its answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// When it was sent.
    pub sent: At,
    /// When it was due to be sent: the difference is the probe's own lateness.
    pub due: At,
    /// When the answer came, and from which node.
    pub answer: Option<(At, NodeId)>,
}

impl Asked {
    fn late(&self) -> Duration {
        self.sent.saturating_sub(self.due)
    }

    /// No answer came within this time.
    fn missed(&self, within: Duration) -> bool {
        self.answer.is_none_or(|(received, _)| received.saturating_sub(self.sent) >= within)
    }
}

/// A time without answers: from the first unanswered question to the next one that was answered, or to the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Silence {
    /// The first unanswered question.
    pub from: At,
    /// The next answered one, or the end of the record.
    pub to: At,
    /// The probe's own greatest lateness meanwhile.
    pub lateness: Duration,
}

impl Silence {
    /// How long it was.
    pub fn length(&self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// Whether it is longer than what the probe itself was late.
    pub fn counts(&self) -> bool {
        self.length() > self.lateness
    }
}

/// A node's answers in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// Which node.
    pub node: NodeId,
    /// When its first answered question was sent.
    pub first_sent: At,
    /// When the first answer was received.
    pub first_received: At,
    /// When its last answered question was sent.
    pub last_sent: At,
    /// When the last answer was received.
    pub last_received: At,
}

/// The silences in a client's record, in order. `from..to` limits the questions looked at.
pub fn silences(asked: &[Asked], from: At, to: At) -> Vec<Silence> {
    let mut found: Vec<Silence> = Vec::new();
    let mut open: Option<Silence> = None;
    let mut before = Duration::ZERO;
    for one in asked.iter().filter(|a| a.sent >= from && a.sent < to) {
        match (one.answer, &mut open) {
            (None, None) => open = Some(Silence { from: one.sent, to: one.sent, lateness: one.late().max(before) }),
            (None, Some(silence)) => *silence = Silence { to: one.sent, lateness: silence.lateness.max(one.late()), ..*silence },
            (Some(_), Some(silence)) => {
                found.push(Silence { to: one.sent, lateness: silence.lateness.max(one.late()), ..*silence });
                open = None;
            }
            (Some(_), None) => {}
        }
        before = one.late();
    }
    found.extend(open);
    found
}

/// The runs of one node's answers, in order; unanswered questions for no longer than `bridge` do not end a run (lost frames are no moves).
pub fn runs(asked: &[Asked], bridge: Duration) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for one in asked {
        let Some((received, node)) = one.answer else { continue };
        match runs.last_mut() {
            Some(run) if run.node == node && one.sent.saturating_sub(run.last_sent) <= bridge => {
                run.last_sent = one.sent;
                run.last_received = run.last_received.max(received);
            }
            _ => runs.push(Run {
                node,
                first_sent: one.sent,
                first_received: received,
                last_sent: one.sent,
                last_received: received,
            }),
        }
    }
    runs
}

/// The runs of one node's answers as proof that it served all the time: an unanswered question ends a run, and so does an answer that took until the next
/// question was due (`period`) or longer, for it may be that one's. A probe that stood still for `stall` ends one too: nobody asked.
pub fn proven(asked: &[Asked], period: Duration, stall: Duration) -> Vec<Run> {
    asked.split(|one| one.missed(period)).flat_map(|answered| runs(answered, stall)).collect()
}

/// Runs of one node with no question in between that was not answered within `period`, as one: a probe that stood still is no silence. For who served when,
/// not as proof of two owners: nobody asked meanwhile.
pub fn joined(runs: Vec<Run>, asked: &[Asked], period: Duration) -> Vec<Run> {
    let lost = |from: At, to: At| {
        let between = &asked[asked.partition_point(|a| a.sent <= from)..];
        between.iter().take_while(|a| a.sent < to).any(|a| a.missed(period))
    };
    let mut all: Vec<Run> = Vec::new();
    for run in runs {
        match all.last_mut() {
            Some(last) if last.node == run.node && !lost(last.last_sent, run.first_sent) => {
                (last.last_sent, last.last_received) = (run.last_sent, run.last_received);
            }
            _ => all.push(run),
        }
    }
    all
}

/// How long two nodes provably served at the same time, between `from` and `to`. A single answer of one within the other's proven time counts one `period`.
pub fn two_owners(a: &[Run], b: &[Run], period: Duration, from: At, to: At) -> Duration {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| (a, b)));
    pairs.map(|(a, b)| overlap(a, b, period, from, to)).sum()
}

fn overlap(a: &Run, b: &Run, period: Duration, from: At, to: At) -> Duration {
    let start = a.first_received.max(b.first_received).max(from);
    let end = a.last_sent.min(b.last_sent).min(to);
    let both = end.saturating_sub(start);
    let lies_in = |inner: &Run, outer: &Run| inner.first_sent > outer.first_received && inner.last_received < outer.last_sent;
    let in_window = a.first_sent.max(b.first_sent) >= from && a.last_received.min(b.last_received) < to;
    if (lies_in(a, b) || lies_in(b, a)) && in_window { both.max(period) } else { both }
}

/// The changes of the answering node, in the order in which the questions were sent: `(when, who)`, the first one who answered included.
pub fn servers(runs: &[&[Run]]) -> Vec<(At, NodeId)> {
    let mut all: Vec<&Run> = runs.iter().flat_map(|r| r.iter()).collect();
    all.sort_by_key(|r| r.first_sent);
    let mut found: Vec<(At, NodeId)> = Vec::new();
    for run in all {
        if found.last().is_none_or(|(_, node)| *node != run.node) {
            found.push((run.first_sent, run.node));
        }
    }
    found
}

/// Who answered alone, and from when on: an owner beside another one is none until the other has ended. As the simulator has it.
pub fn alone(runs: &[Vec<Run>; 2]) -> Vec<(At, NodeId)> {
    let since = |run: &Run, others: &[Run]| {
        let mut start = run.first_sent;
        for other in others.iter().filter(|other| other.last_sent > run.first_sent) {
            if other.first_sent <= start {
                start = start.max(other.last_sent);
            }
        }
        (start == run.first_sent || start < run.last_sent).then_some((start, run.node))
    };
    let all = [(&runs[0], &runs[1]), (&runs[1], &runs[0])];
    let mut found: Vec<(At, NodeId)> =
        all.into_iter().flat_map(|(own, others)| own.iter().filter_map(move |run| since(run, others))).collect();
    found.sort();
    found.dedup_by_key(|(_, node)| *node);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(0);
    const B: NodeId = NodeId(1);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A question every `step` ms from `from` to `to`, all answered 1 ms later by `node`, or none.
    fn asked(from: u64, to: u64, step: usize, node: Option<NodeId>) -> Vec<Asked> {
        let one = |t: u64| Asked { sent: ms(t), due: ms(t), answer: node.map(|n| (ms(t + 1), n)) };
        (from..to).step_by(step).map(one).collect()
    }

    #[test]
    fn a_calm_record_has_no_gap() {
        assert!(silences(&asked(0, 1000, 2, Some(A)), ms(0), ms(2000)).is_empty());
    }

    #[test]
    fn a_gap_lasts_from_the_first_lost_question_to_the_next_answered_one() {
        let record = [asked(0, 100, 2, Some(A)), asked(100, 150, 2, None), asked(150, 300, 2, Some(B))].concat();
        let found = silences(&record, ms(0), ms(1000));
        assert_eq!(found.iter().map(Silence::length).collect::<Vec<_>>(), [ms(50)]);
        assert!(found[0].counts());
        assert!(silences(&record, ms(160), ms(1000)).is_empty(), "outside the window");
    }

    #[test]
    fn a_gap_below_the_probes_own_lateness_is_discarded() {
        let lost = Asked { sent: ms(130), due: ms(100), answer: None };
        let record = [asked(0, 100, 2, Some(A)), vec![lost], asked(132, 300, 2, Some(A))].concat();
        let found = silences(&record, ms(0), ms(1000));
        assert_eq!(found.len(), 1);
        assert!(!found[0].counts(), "2 ms long, but the probe was 30 ms late");
    }

    #[test]
    fn a_probe_that_stalls_invents_no_gap() {
        let record = [asked(0, 100, 2, Some(A)), asked(400, 500, 2, Some(A))].concat();
        assert!(silences(&record, ms(0), ms(1000)).is_empty());
    }

    #[test]
    fn a_handover_between_two_questions_is_never_two_owners() {
        // B's first answer is received after A's last question was sent, even where they are in flight together.
        let (a, b) = (runs(&asked(0, 101, 5, Some(A)), ms(20)), runs(&asked(100, 200, 5, Some(B)), ms(20)));
        assert_eq!(two_owners(&a, &b, ms(5), ms(0), ms(1000)), ms(0));
    }

    #[test]
    fn answers_of_both_in_turn_are_two_owners() {
        let (a, b) = (runs(&asked(0, 200, 5, Some(A)), ms(20)), runs(&asked(102, 300, 5, Some(B)), ms(20)));
        let both = two_owners(&a, &b, ms(5), ms(0), ms(1000));
        assert!(both >= ms(90) && both <= ms(100), "{both:?}");
        assert_eq!(two_owners(&a, &b, ms(5), ms(300), ms(1000)), ms(0), "outside the window");
    }

    #[test]
    fn a_single_foreign_answer_amid_an_owners_time_counts_one_period() {
        let (a, b) = (runs(&asked(0, 200, 5, Some(A)), ms(20)), runs(&asked(102, 103, 5, Some(B)), ms(20)));
        assert_eq!(two_owners(&a, &b, ms(5), ms(0), ms(1000)), ms(5));
    }

    #[test]
    fn there_and_back_again_is_three_owners_one_after_the_other() {
        // A's answers after its return count for its oldest unanswered questions: they come too late to prove anything of the time in between.
        let late = |t: u64| Asked { sent: ms(t), due: ms(t), answer: Some((ms(t + 12), A)) };
        let a = [asked(0, 101, 5, Some(A)), vec![late(105), late(110)], asked(115, 200, 5, Some(A))].concat();
        let b = [asked(2, 104, 5, None), asked(107, 109, 5, Some(B)), asked(112, 200, 5, None)].concat();
        let of = |asked: &[Asked]| proven(asked, ms(5), ms(20));
        assert_eq!(two_owners(&of(&a), &of(&b), ms(5), ms(0), ms(1000)), ms(0));
        let whole = |asked: &[Asked]| joined(of(asked), asked, ms(5));
        let who: Vec<NodeId> = servers(&[&whole(&a), &whole(&b)]).into_iter().map(|(_, n)| n).collect();
        assert_eq!(who, [A, B, A]);
        // What answers without a miss meanwhile is a second owner.
        assert_eq!(two_owners(&of(&asked(0, 200, 5, Some(A))), &of(&b), ms(5), ms(0), ms(1000)), ms(5));
    }

    #[test]
    fn lost_frames_do_not_end_a_run_and_a_long_silence_does() {
        let lossy = [asked(0, 100, 5, Some(A)), asked(115, 200, 5, Some(A))].concat();
        assert_eq!(runs(&lossy, ms(20)).len(), 1);
        let gone = [asked(0, 100, 5, Some(A)), asked(160, 200, 5, Some(A))].concat();
        assert_eq!(runs(&gone, ms(20)).len(), 2);
    }

    #[test]
    fn a_probe_that_stands_still_splits_no_run() {
        let stalled = [asked(0, 100, 5, Some(A)), asked(160, 200, 5, Some(A))].concat();
        assert_eq!(joined(runs(&stalled, ms(20)), &stalled, ms(5)).len(), 1);
        let gone = [asked(0, 100, 5, Some(A)), asked(100, 160, 5, None), asked(160, 200, 5, Some(A))].concat();
        assert_eq!(joined(runs(&gone, ms(20)), &gone, ms(5)).len(), 2);
        // A move during the stall, with a neighbour answer that counts for an older question: one move, not three.
        let (a, b) = (
            [asked(0, 100, 5, Some(A)), asked(160, 170, 5, Some(A)), asked(170, 300, 5, None)].concat(),
            asked(157, 300, 5, Some(B)),
        );
        let of = |all: &[Asked]| joined(runs(all, ms(20)), all, ms(5));
        assert_eq!(servers(&[&of(&a), &of(&b)]).len(), 2);
    }

    #[test]
    fn an_owner_beside_another_counts_from_when_it_is_alone() {
        let (a, b) = (runs(&asked(0, 200, 5, Some(A)), ms(20)), runs(&asked(102, 300, 5, Some(B)), ms(20)));
        assert_eq!(alone(&[a.clone(), b]), [(ms(0), A), (ms(195), B)]);
        let within = runs(&asked(102, 150, 5, Some(B)), ms(20));
        assert_eq!(alone(&[a, within]), [(ms(0), A)], "never alone");
        let one = runs(&asked(300, 304, 5, Some(B)), ms(20));
        assert_eq!(alone(&[runs(&asked(0, 200, 5, Some(A)), ms(20)), one]), [(ms(0), A), (ms(300), B)]);
    }

    #[test]
    fn moves_are_changes_of_the_answering_node() {
        let a = runs(&[asked(0, 100, 5, Some(A)), asked(300, 400, 5, Some(A))].concat(), ms(20));
        let b = runs(&asked(150, 250, 5, Some(B)), ms(20));
        let who: Vec<NodeId> = servers(&[&a, &b]).into_iter().map(|(_, n)| n).collect();
        assert_eq!(who, [A, B, A]);
        assert_eq!(servers(&[&a]).len(), 1, "a gap alone is no move");
    }
}
