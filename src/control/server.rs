//! The daemon's end of the control socket, and the lock on its run directory.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::fcntl::Flock;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, Uid, chown};
use tokio::io::BufReader;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Members of this group, where it exists, may look at the daemon without being root: for monitoring.
const READERS: &str = "twinbeat";
/// Clients that are turned away are told of at most this often.
const SAY_AGAIN: Duration = Duration::from_secs(10);
/// How long no client is taken after accepting one failed.
const FULL: Duration = Duration::from_secs(1);

use super::protocol::{ANSWER, CLIENTS, LINE, PATIENCE, Request, Response, read_line, write_line};

/// A request on its way to the daemon, and where its answer goes. Dropped unanswered, the client is told so.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Response>,
}

/// The lock on a run directory: one daemon at a time. Held until dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    dir: PathBuf,
    _lock: Flock<File>,
}

impl RunLock {
    /// Makes the directory if need be and takes its lock. Fails, naming the holder, when another daemon has it.
    pub fn take(dir: &Path) -> anyhow::Result<RunLock> {
        DirBuilder::new().recursive(true).mode(0o755).create(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let lock = super::only::lock(dir, "run directory")?;
        Ok(RunLock { dir: dir.to_owned(), _lock: lock })
    }
}

/// The control socket. Its file is removed when it is dropped.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    _lock: RunLock,
}

impl Server {
    /// Binds `control.sock` in the locked directory; a stale one is removed first (the lock says that nobody listens). Must be called
    /// within a tokio runtime, before other threads make files: the umask is the process's.
    pub fn bind(lock: RunLock) -> anyhow::Result<Server> {
        let path = lock.dir.join("control.sock");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove the stale {}", path.display()));
            }
            _ => {}
        }
        let before = umask(Mode::from_bits_truncate(0o177));
        let listener = UnixListener::bind(&path);
        umask(before);
        let listener = listener.with_context(|| format!("cannot listen on {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        if let Ok(Some(group)) = Group::from_name(READERS) {
            let opened = chown(&path, None, Some(group.gid)).map_err(io::Error::from);
            let opened = opened.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o660)));
            if let Err(error) = opened {
                tracing::warn!(target: "control", "the group {READERS} cannot be let in to look: {error}");
            }
        }
        Ok(Server { listener, path, _lock: lock })
    }

    /// Accepts clients for ever; each request goes into `calls`. Ends when nobody takes the calls any more.
    pub async fn serve(self, calls: mpsc::Sender<Call>) {
        let seats = Arc::new(Semaphore::new(CLIENTS));
        // Who may only look never keeps out who may command.
        let readers = Arc::new(Semaphore::new(CLIENTS / 2));
        let (mut turned_away, mut said) = (0_u64, None::<Instant>);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = calls.closed() => return,
            };
            match accepted {
                Ok((stream, _)) => match Arc::clone(&seats).try_acquire_owned() {
                    Ok(seat) => {
                        let (calls, readers) = (calls.clone(), Arc::clone(&readers));
                        tokio::spawn(async move {
                            if let Err(error) = attend(stream, calls, &readers).await {
                                tracing::debug!(target: "control", "a client: {error}");
                            }
                            drop(seat);
                        });
                    }
                    Err(_) => {
                        turned_away = turned_away.saturating_add(1);
                        if said.is_none_or(|at| at.elapsed() >= SAY_AGAIN) {
                            tracing::warn!(target: "control", "more than {CLIENTS} clients at a time; turned away so far: {turned_away}");
                            said = Some(Instant::now());
                        }
                    }
                },
                Err(error) => {
                    tracing::warn!(target: "control", "accept: {error}");
                    tokio::time::sleep(FULL).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// One client: who is it, what does it want, what is the answer.
async fn attend(stream: UnixStream, calls: mpsc::Sender<Call>, readers: &Semaphore) -> io::Result<()> {
    let user = Uid::from_raw(stream.peer_cred()?.uid());
    let (from, mut to) = stream.into_split();
    let commands = user.is_root() || user == Uid::effective();
    let seat = if commands { None } else { readers.try_acquire().ok() };
    let response = if commands || seat.is_some() {
        let line = timeout(PATIENCE, read_line(&mut BufReader::new(from), LINE)).await;
        match line {
            Err(_) => Response::Refused(format!("no request within {PATIENCE:?}")),
            Ok(Err(error)) => Response::Refused(format!("not a request: {error}")),
            Ok(Ok(line)) => match serde_json::from_slice(&line) {
                Ok(request) if commands || only_looks(&request) => carry(request, &calls).await,
                Ok(_) => {
                    Response::Refused(format!("user {user} may look (`twinbeat status`) and not command this daemon: be root"))
                }
                Err(error) => Response::Refused(format!("not a request: {error}")),
            },
        }
    } else {
        Response::Refused("too many clients that may only look".into())
    };
    timeout(PATIENCE, write_line(&mut to, &response)).await?
}

/// What members of the group [`READERS`] may ask as well.
fn only_looks(request: &Request) -> bool {
    matches!(request, Request::Status {})
}

async fn carry(request: Request, calls: &mpsc::Sender<Call>) -> Response {
    let (answer, answered) = oneshot::channel();
    let passed = timeout(PATIENCE, calls.send(Call { request, answer })).await;
    if !matches!(passed, Ok(Ok(()))) {
        return Response::Refused("the daemon takes no commands at the moment".into());
    }
    match timeout(ANSWER, answered).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Response::Refused("the daemon left without an answer".into()),
        Err(_) => Response::Refused(format!("no answer within {ANSWER:?}; the command may still be carried out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_may_look_and_do_nothing() {
        assert!(only_looks(&Request::Status {}));
        for request in [
            Request::Resume { group: None },
            Request::Takeover { group: None },
            Request::Standby { group: None, lasting: None, reason: None },
            Request::Pause { group: None, lasting: None, reason: None },
            Request::Why { last: 5 },
            Request::Reload { plan: true },
            Request::Reload { plan: false },
        ] {
            assert!(!only_looks(&request), "{request:?}");
        }
    }
}
