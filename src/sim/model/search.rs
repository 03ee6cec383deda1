//! Breadth first, level by level, each state once: all runs with at most so many deviations from the ordinary course.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::moves::Move;
use super::small::Small;
use twinbeat_core::time::Span;

/// What is searched.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What it is called.
    pub name: &'static str,
    /// Where it begins.
    pub root: Small,
    /// What may deviate.
    pub kinds: Vec<Move>,
    /// How many deviations a run may have.
    pub deviations: u8,
    /// How long a run is, in the world's time.
    pub horizon: Span,
    /// No more states than this.
    pub most: usize,
    /// No longer than this.
    pub time: Option<Duration>,
    /// How many threads.
    pub threads: usize,
}

/// What a search covered.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// Distinct states.
    pub states: usize,
    /// Moves made.
    pub moves: u64,
    /// The longest run, in moves.
    pub depth: usize,
    /// Every state within the horizon was seen; otherwise all runs up to `depth` moves.
    pub whole: bool,
    /// How long it took.
    pub took: Duration,
    /// The shortest run that ends in something wrong, and what is wrong.
    pub wrong: Option<(Vec<Move>, String)>,
}

/// A state to go on from: its place in the list of parents.
type Open = (Small, u32);
/// A state that was reached: its name, from where, how.
type Reached = (u128, Small, u32, Move);

/// Searches.
pub fn search(scope: &Scope) -> Coverage {
    let begin = Instant::now();
    let mut root = scope.root.clone();
    root.left = scope.deviations;
    let end = root.now + scope.horizon;
    let mut seen = HashSet::from([root.name(&mut Vec::new())]);
    let mut parents: Vec<(u32, Move)> = vec![(0, Move::Next)];
    let mut level: Vec<Open> = vec![(root, 0)];
    let mut coverage = Coverage { states: 1, moves: 0, depth: 0, whole: false, took: Duration::ZERO, wrong: None };
    while !level.is_empty() {
        let late = scope.time.is_some_and(|time| begin.elapsed() > time);
        if late || seen.len() >= scope.most {
            coverage.took = begin.elapsed();
            return coverage;
        }
        let share = level.len().div_ceil(scope.threads.max(1));
        let reached: Vec<Vec<Reached>> = std::thread::scope(|threads| {
            let work: Vec<_> = level.chunks(share).map(|part| threads.spawn(|| expand(part, scope))).collect();
            work.into_iter().map(|thread| thread.join().unwrap_or_default()).collect()
        });
        level.clear();
        coverage.depth += 1;
        for (name, state, from, step) in reached.into_iter().flatten() {
            coverage.moves += 1;
            if !seen.insert(name) {
                continue;
            }
            coverage.states += 1;
            parents.push((from, step));
            let place = (parents.len() - 1) as u32;
            if let Some(text) = &state.wrong {
                coverage.wrong = Some((path(&parents, place), text.clone()));
                coverage.took = begin.elapsed();
                return coverage;
            }
            if state.now < end {
                level.push((state, place));
            }
        }
    }
    coverage.whole = true;
    coverage.took = begin.elapsed();
    coverage
}

fn expand(part: &[Open], scope: &Scope) -> Vec<Reached> {
    let (mut moves, mut bytes, mut reached) = (Vec::new(), Vec::new(), Vec::new());
    for (state, place) in part {
        state.moves(&scope.kinds, &mut moves);
        for step in &moves {
            let mut next = state.clone();
            next.make(*step);
            reached.push((next.name(&mut bytes), next, *place, *step));
        }
    }
    reached
}

fn path(parents: &[(u32, Move)], mut place: u32) -> Vec<Move> {
    let mut moves = Vec::new();
    while place != 0 {
        let (from, step) = parents[place as usize];
        moves.push(step);
        place = from;
    }
    moves.reverse();
    moves
}
