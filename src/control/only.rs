//! One daemon for each cluster and node in a network namespace, whatever its directories: two would rebuild each other's gate, and
//! each would take the other's addresses and announcements for the peer's.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::fcntl::{Flock, FlockArg};

use twinbeat_host::dirs::{open_private, private};

/// Held until dropped, or until the process ends, however it ends.
#[derive(Debug)]
pub struct Only {
    _state: Flock<File>,
    _name: UnixListener,
}

impl Only {
    /// Takes the lock on the state directory, and the name of the gate's table as an abstract socket (unix(7)): such names belong to the
    /// network namespace, as the table does.
    ///
    /// # Errors
    /// Another daemon has one of them; a directory that cannot be made.
    pub fn take(table: &str, state_dir: &Path) -> anyhow::Result<Only> {
        private(state_dir).with_context(|| format!("cannot make {}", state_dir.display()))?;
        let state = lock(state_dir, "state directory")?;
        let address = SocketAddr::from_abstract_name(format!("twinbeat/{table}")).context("the table's name as a socket's")?;
        // A helper that this process's last life was just starting has the socket until it is another program, as with a lock below.
        let mut bound = UnixListener::bind_addr(&address);
        let mut tries = 0..OWN_TRIES;
        while bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) && tries.next().is_some() {
            std::thread::sleep(OWN_PAUSE);
            bound = UnixListener::bind_addr(&address);
        }
        match bound {
            Ok(name) => Ok(Only { _state: state, _name: name }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                bail!(
                    "another daemon of this cluster and node runs in this network namespace (the name @twinbeat/{table} is taken)"
                )
            }
            Err(error) => Err(error).context("the name of the gate's table cannot be taken"),
        }
    }
}

/// Takes the lock file of a directory. Fails, naming the holder, when another daemon has it.
pub(super) fn lock(dir: &Path, what: &str) -> anyhow::Result<Flock<File>> {
    let path = dir.join("lock");
    let mut file = open_private(&path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut tries = 0..OWN_TRIES;
    let mut lock = loop {
        file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => break lock,
            Err((mut held, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut holder = String::new();
                let _ = held.rewind().and_then(|()| (&held).take(20).read_to_string(&mut holder));
                // This process's own last life: a helper that it was just starting has the file until it is another program.
                if holder.trim() != std::process::id().to_string() || tries.next().is_none() {
                    bail!("another daemon (process {}) uses the {what} {}", holder.trim(), dir.display());
                }
                std::thread::sleep(OWN_PAUSE);
                held
            }
            Err((_, error)) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        };
    };
    lock.rewind()?;
    lock.set_len(0)?;
    writeln!(lock, "{}", std::process::id())?;
    Ok(lock)
}

/// How often a lock of this very process, or a name that may be its own, is tried again.
const OWN_TRIES: u32 = 20;
/// Between two tries.
const OWN_PAUSE: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_second_daemon_is_refused_by_its_state_directory_and_by_its_name_and_goes_with_the_first() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let table = format!("t{}", std::process::id());
        let first = Only::take(&table, one.path()).unwrap();
        let error = Only::take("another", one.path()).unwrap_err().to_string();
        assert!(error.contains("state directory") && error.contains(&std::process::id().to_string()), "{error}");
        assert!(Only::take(&table, two.path()).unwrap_err().to_string().contains("network namespace"));
        // One that goes a moment later, as a helper's copy does.
        std::thread::spawn(move || {
            std::thread::sleep(OWN_PAUSE * 3);
            drop(first);
        });
        Only::take(&table, two.path()).unwrap();
    }
}
