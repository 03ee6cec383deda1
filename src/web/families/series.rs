//! What series are made of.

use crate::metrics::Labels;

pub(super) fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

pub(super) fn micro(us: u64) -> f64 {
    us as f64 / 1e6
}

/// The words of a set, each with its state.
macro_rules! words {
    ($set:ident) => {
        &$set::ALL.iter().map(|state| (*state, state.word())).collect::<Vec<_>>()
    };
}
pub(super) use words;
