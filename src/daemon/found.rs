//! What runs on this node is asked when somebody looks, and not assumed: a service that somebody else started is shown as it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;

use super::actuators::Actuators;
use twinbeat_core::sentence::Sentence;
use twinbeat_core::view::{CheckView, GroupView, ServiceView, View};
use twinbeat_core::words::{About, FoundState, GroupRole, ServiceState};
use twinbeat_service::{NamedState, State};

/// An init system that is slower is not waited for: somebody looks.
const PATIENCE: Duration = Duration::from_millis(800);

/// The answers that are under way, group by group, and the file with the hash of what was read of it.
pub struct Found {
    services: Vec<Option<oneshot::Receiver<Vec<NamedState>>>>,
    file: PathBuf,
    read: [u8; 32],
}

impl Found {
    /// Asks all.
    pub fn ask(act: &Actuators, file: &Path, read: [u8; 32]) -> Found {
        let services = act.services.iter().map(|manager| manager.as_ref().map(|manager| manager.ask())).collect();
        Found { services, file: file.to_owned(), read }
    }

    /// Waits for the answers and puts them into what is shown.
    pub async fn join(self, mut view: View) -> View {
        let until = tokio::time::Instant::now() + PATIENCE;
        for (place, asked) in self.services.into_iter().enumerate() {
            let Some(asked) = asked else { continue };
            let Ok(Ok(states)) = tokio::time::timeout_at(until, asked).await else { continue };
            if let Some(group) = view.groups.get_mut(place) {
                let problem = put(group, &states);
                view.problems.extend(problem);
            }
        }
        // On a thread that nobody waits for: the disk may hang.
        let (file, read) = (self.file.clone(), self.read);
        let (tell, changed) = oneshot::channel();
        let look = move || tell.send(std::fs::read(file).is_ok_and(|now| *blake3::hash(&now).as_bytes() != read));
        let looks = std::thread::Builder::new().name("file".into()).spawn(look).is_ok();
        if looks && let Ok(Ok(true)) = tokio::time::timeout_at(until, changed).await {
            view.notices.push(format!(
                "{} was changed since this daemon read it: `twinbeat reload --plan`, then `twinbeat reload`, the standby first",
                self.file.display()
            ));
        }
        view
    }
}

/// Puts what was found into a group; a problem, where something runs that must not.
fn put(group: &mut GroupView, states: &[NamedState]) -> Option<Sentence> {
    let word = |state: &State| match state {
        State::Running => FoundState::Running,
        State::Stopped => FoundState::Stopped,
        State::Unknown(why) => FoundState::Unknown(why.clone()),
    };
    let view = |s: &NamedState| ServiceView {
        name: s.name.clone(),
        warm: s.warm,
        state: word(&s.state),
        check: s.check.as_ref().map(|(text, well)| CheckView { well: *well, text: text.clone() }),
    };
    group.services_here = states.iter().map(view).collect();
    // Only while the core has nothing under way there: else it is on its way from one to the other.
    if group.role != GroupRole::Standby || group.service != ServiceState::Stopped {
        return None;
    }
    let running = |warm: bool| states.iter().filter(move |s| s.warm == warm && s.state == State::Running);
    let names: Vec<&str> = running(false).map(|s| s.name.as_str()).collect();
    if names.is_empty() {
        if running(true).next().is_some() {
            group.service = ServiceState::Warm;
        }
        return None;
    }
    group.service = ServiceState::ByAnotherHand(names.join(", "));
    let text = format!(
        "{}: {} runs here although this node does not own, and twinbeat has not started it: stop it, and keep it from being started (`systemctl disable`)",
        group.name,
        names.join(", ")
    );
    Some(Sentence::lasting(About::OtherHand, text))
}
