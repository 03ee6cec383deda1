//! What a manager of services is told.

use tokio::sync::oneshot;

use super::NamedState;
use twinbeat_core::id::Attempt;
use twinbeat_core::io::ServiceOrder;

/// What a manager is asked or told.
#[derive(Debug)]
pub(super) enum Letter {
    Order(Attempt, ServiceOrder),
    State(oneshot::Sender<Vec<NamedState>>),
    Ending(bool),
    /// A pause begins or ends.
    HandsOff(bool),
}
