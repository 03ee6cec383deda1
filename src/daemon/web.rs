//! Metrics and health over HTTP, where the file names a place: the room `web` asks this daemon by events, as the control socket does.

use std::ffi::OsString;
use std::path::Path;

use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use twinbeat_config::Config;
use twinbeat_web::{Web, start};

/// Starts it. What keeps it from being reached is a problem in `status`, and nothing else.
pub fn begin(config: &Config, state_dir: &Path, events: &UnboundedSender<Event>) -> Option<Web> {
    let at = config.metrics.listen.clone()?;
    let (asks, tells) = (events.clone(), events.clone());
    let ask = move |question| drop(asks.send(Event::Look(question)));
    let tell = move |problem| drop(tells.send(Event::Listens(problem)));
    match start(at, history(state_dir), ask, tell) {
        Ok(web) => Some(web),
        Err(error) => {
            let words = format!("[metrics]: no thread: {error}; nobody can ask for metrics and health");
            tracing::warn!("{words}");
            let _ = events.send(Event::Listens(Some(words)));
            None
        }
    }
}

/// What prints the last hour: this very program, also when its file was replaced meanwhile.
fn history(state_dir: &Path) -> Vec<OsString> {
    ["/proc/self/exe", "why", "--json", "--state-dir"].map(OsString::from).into_iter().chain([state_dir.into()]).collect()
}
