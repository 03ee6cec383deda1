//! The listening socket: made, and made again.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Group, chown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

use twinbeat_config::Listen;

/// Members of this group, where it exists, may look without being root, as at the control socket.
const READERS: &str = "twinbeat";

/// A client's bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Either kind.
pub(super) enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Listens there.
    ///
    /// # Errors
    /// The kernel's refusal; an address that another process has.
    pub async fn bind(at: &Listen) -> io::Result<Listener> {
        match at {
            Listen::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
            Listen::Unix(path) => unix(path).map(Listener::Unix),
        }
    }

    /// The next client.
    ///
    /// # Errors
    /// The kernel's: as a rule there are too many open files.
    pub async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Listener::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Only its owner may connect to a new socket (connect(2) asks for the right to write, and the umask leaves that to nobody else); then the
/// group of the readers.
fn unix(path: &Path) -> io::Result<UnixListener> {
    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
            fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        bound => bound?,
    };
    let mode = match Group::from_name(READERS) {
        Ok(Some(group)) => chown(path, None, Some(group.gid)).map(|()| 0o660),
        _ => Ok(0o600),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode?))?;
    Ok(listener)
}

/// A socket's file to which nobody listens any more: of a daemon that was killed.
fn is_left_over(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket())
        && std::os::unix::net::UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}
