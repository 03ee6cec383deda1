//! Metrics and health over HTTP, where the file names a place: the room `web` asks this daemon by events, as the control socket does.

use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use twinbeat_config::Config;
use twinbeat_web::{Web, start};

/// Starts it. What keeps it from being reached is a problem in `status`, and nothing else.
pub fn begin(config: &Config, events: &UnboundedSender<Event>) -> Option<Web> {
    let at = config.metrics.listen.clone()?;
    let (asks, tells) = (events.clone(), events.clone());
    let ask = move |question| drop(asks.send(Event::Look(question)));
    let tell = move |problem| drop(tells.send(Event::Listens(problem)));
    match start(at, ask, tell) {
        Ok(web) => Some(web),
        Err(error) => {
            let words = format!("[metrics]: no thread: {error}; nobody can ask for metrics and health");
            tracing::warn!("{words}");
            let _ = events.send(Event::Listens(Some(words)));
            None
        }
    }
}
