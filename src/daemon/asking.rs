//! Whether somebody has an address that a served group is to get, before it is opened: as a claim asks (SAFETY R4.3), three times, beside
//! the decision.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use twinbeat_core::id::{GroupId, NodeId};
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
    // A group for each, so that it is said whose answer it was.
    let groups = all.iter().map(|(address, interface)| vec![(*address, interface.clone())]).collect();
    let mut side = PublicSide::new(PublicConfig { node: me, groups, ..public }).map_err(|error| error.to_string())?;
    let mut asked = clock::now();
    for _ in 0..TIMES {
        asked = clock::now();
        for (group, (address, interface)) in (0u8..).zip(&all) {
            side.probe(GroupId(group)).map_err(|error| format!("{address} cannot be asked for on {interface}: {error}"))?;
        }
        if let Some(taken) = listen(&mut side, &all, delivery).await {
            return Err(taken);
        }
    }
    Ok(all.into_iter().map(|(address, _)| (address, asked)).collect())
}

/// The words for whoever answers within this time.
async fn listen(side: &mut PublicSide, all: &[(IpAddr, String)], time: Duration) -> Option<String> {
    let until = Instant::now() + time;
    loop {
        let event = tokio::select! {
            event = side.next() => event,
            () = sleep_until(until) => return None,
        };
        if let PublicEvent::Answered { group, by } | PublicEvent::Announced { group, by } = event
            && let Some((address, _)) = all.get(usize::from(group.0))
        {
            return Some(format!("{by} answers for {address}: nobody else may have it"));
        }
    }
}

/// As a claim does.
const TIMES: u32 = 3;
