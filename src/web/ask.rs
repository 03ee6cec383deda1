//! How the deciding thread is asked, and how seldom.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, oneshot};
use tokio::time::{Instant, timeout};

use twinbeat_core::view::View;

use super::measured::Measured;

/// How much is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// What the decision knows at this instant.
    Quick,
    /// And what runs of the services: they are asked, which may start a process for each.
    Whole,
}

/// A question to the daemon. Dropped unanswered, the asker is told that it is ending.
#[derive(Debug)]
pub struct Question {
    /// How much is asked for.
    pub depth: Depth,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Seen>,
}

/// How things are.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As `status` shows it.
    pub view: View,
    /// What was counted.
    pub measured: Measured,
}

/// A [`Seen`] and when it was asked for: what it says is at least as new.
#[derive(Clone, Debug)]
pub(super) struct Dated {
    /// When it was asked for.
    pub asked: Instant,
    /// The answer.
    pub seen: Arc<Seen>,
}

/// Why there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Unseen {
    /// The deciding thread did not come to it.
    #[error("the daemon did not answer within {PATIENCE:?}")]
    Late,
    /// It is gone, or about to.
    #[error("the daemon is ending")]
    Ending,
}

type Answer = Result<Dated, Unseen>;
type Kept = Mutex<Option<(Instant, Answer)>>;

/// Asks for all connections together.
pub(super) struct Asker {
    ask: Box<dyn Fn(Question) + Send + Sync>,
    quick: Kept,
    whole: Kept,
}

impl Asker {
    /// With the way to the daemon.
    pub fn new(ask: impl Fn(Question) + Send + Sync + 'static) -> Asker {
        Asker { ask: Box::new(ask), quick: Kept::default(), whole: Kept::default() }
    }

    /// The newest answer, or a new one where that is older than [`SHARED`] (with the services: [`SHARED_WHOLE`]). Who comes while it is
    /// asked waits for the same answer.
    pub async fn look(&self, depth: Depth) -> Answer {
        let (kept, lasts) = match depth {
            Depth::Quick => (&self.quick, SHARED),
            Depth::Whole => (&self.whole, SHARED_WHOLE),
        };
        let mut kept = kept.lock().await;
        if let Some((came, answer)) = &*kept
            && came.elapsed() < lasts
        {
            return answer.clone();
        }
        let answer = self.ask(depth).await;
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn ask(&self, depth: Depth) -> Answer {
        let asked = Instant::now();
        let (answer, answered) = oneshot::channel();
        (self.ask)(Question { depth, answer });
        match timeout(PATIENCE, answered).await {
            Ok(Ok(seen)) => Ok(Dated { asked, seen: Arc::new(seen) }),
            Ok(Err(_)) => Err(Unseen::Ending),
            Err(_) => Err(Unseen::Late),
        }
    }
}

/// How long an answer is given to others as well.
pub(super) const SHARED: Duration = Duration::from_millis(100);
/// The same for one with the services in it.
pub(super) const SHARED_WHOLE: Duration = Duration::from_secs(1);
/// How long the daemon is waited for: the services have 0.8 s.
const PATIENCE: Duration = Duration::from_millis(1500);
