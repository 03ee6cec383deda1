//! Whether somebody has an address that a served group is to get, before it is opened: as a claim asks (SAFETY R4.3), three times, beside
//! the decision.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use twinbeat_core::id::{GroupId, Mac, NodeId};
use twinbeat_core::time::Mono;
use twinbeat_host::clock;
use twinbeat_host::public::{PublicConfig, PublicEvent, PublicSide};

/// An address that nobody answers for, and when it was asked for last.
pub type Free = (IpAddr, Mono);

/// Asks for each address on its interface; `public` is the witness's side of this node, `delivery` the longest that an answer travels.
///
/// # Errors
/// Who has one of them, or why it could not be asked, in words.
pub async fn ask(me: NodeId, public: PublicConfig, all: Vec<(IpAddr, String)>, delivery: Duration) -> Result<Vec<Free>, String> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    // As one group, however many there are: a group's number has a byte.
    let mut side =
        PublicSide::new(PublicConfig { node: me, groups: vec![all.clone()], ..public }).map_err(|error| error.to_string())?;
    let names = || all.iter().map(|(address, interface)| format!("{address} on {interface}")).collect::<Vec<_>>().join(", ");
    let mut asked = clock::now();
    for _ in 0..TIMES {
        asked = clock::now();
        side.probe(GroupId(0)).map_err(|error| format!("nobody can be asked for {}: {error}", names()))?;
        if let Some(by) = listen(&mut side, delivery).await {
            return Err(format!("{by} answers for {}: nobody else may have it", names()));
        }
    }
    Ok(all.into_iter().map(|(address, _)| (address, asked)).collect())
}

/// Who answers for one of them within this time.
async fn listen(side: &mut PublicSide, time: Duration) -> Option<Mac> {
    let until = Instant::now() + time;
    loop {
        tokio::select! {
            event = side.next() => if let PublicEvent::Answered { by, .. } | PublicEvent::Announced { by, .. } = event {
                return Some(by);
            },
            () = sleep_until(until) => return None,
        }
    }
}

/// As a claim does.
const TIMES: u32 = 3;
