//! The witness.

use std::fmt;

use twinbeat_core::view::{TargetView, WitnessView};

use super::series::{micro, seconds};
use crate::metrics::{Families, Labels};

pub(super) fn write(witness: &WitnessView, out: &mut Families) -> fmt::Result {
    let WitnessView { reachable, peer_reachable, targets } = witness;
    let said = peer_reachable.map(|said| (Labels::new(), i64::from(said))).into_iter().collect();
    out.counts(
        "witness_reachable",
        "This node reaches a majority of the witnesses.",
        vec![(Labels::new(), i64::from(*reachable))],
    )?;
    out.counts("witness_peer_reachable", "The peer says that it does.", said)?;
    let (mut answers, mut age, mut rtt, mut registers, mut slow) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for TargetView { index, address, by, reachable, answered_ms, rtt_us, register, slow_only } in targets {
        // The index too: it names one whatever the address is.
        let of = || vec![("index", index.to_string()), ("address", address.clone()), ("by", by.word().to_owned())];
        answers.push((of(), i64::from(*reachable)));
        age.extend(answered_ms.map(|ms| (of(), seconds(ms))));
        rtt.extend(rtt_us.map(|us| (of(), micro(us))));
        registers.push((of(), i64::from(*register)));
        slow.push((of(), i64::from(*slow_only)));
    }
    out.counts("witness_target_reachable", "The witness answers.", answers)?;
    out.seconds("witness_target_answered_age", "Since its last answer.", age)?;
    out.seconds("witness_target_round_trip", "Its last round trip.", rtt)?;
    out.counts("witness_target_register", "Its table can be trusted as a register; 0: it answers to the sender.", registers)?;
    out.counts("witness_target_slow_only", "It answers the slow echo rate and not the fast one.", slow)
}
