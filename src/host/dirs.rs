//! Directories and files that are the daemon's alone: what services are given as arguments, and what they print, is nobody else's.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a directory with mode 0700. One that is there is left as the administrator made it.
///
/// # Errors
/// As mkdir(2).
pub fn private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The same, and takes away what others may do in a directory of the daemon's own making that an earlier version left open.
///
/// # Errors
/// As mkdir(2) and chmod(2).
pub fn closed(dir: &Path) -> io::Result<()> {
    private(dir)?;
    let mode = std::fs::metadata(dir)?.mode();
    if mode & 0o077 == 0 { Ok(()) } else { std::fs::set_permissions(dir, Permissions::from_mode(mode & 0o700)) }
}

/// Opens or makes a file with mode 0600, for reading and writing.
///
/// # Errors
/// As open(2).
pub fn open_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Who besides root and this user may change a file, in words; nobody: none.
///
/// # Errors
/// As stat(2).
pub fn writable_by_others(path: &Path) -> io::Result<Option<String>> {
    let meta = std::fs::metadata(path)?;
    let me = nix::unistd::Uid::effective().as_raw();
    Ok(if meta.uid() != 0 && meta.uid() != me {
        Some(format!("its owner, user {}", meta.uid()))
    } else if meta.mode() & 0o002 != 0 {
        Some("everybody".into())
    } else if meta.mode() & 0o020 != 0 && meta.gid() != 0 {
        Some(format!("group {}", meta.gid()))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_an_earlier_version_left_open_is_closed_and_what_others_may_write_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let services = dir.path().join("state/services");
        closed(&services).unwrap();
        assert_eq!(std::fs::metadata(services.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        std::fs::set_permissions(&services, Permissions::from_mode(0o755)).unwrap();
        closed(&services).unwrap();
        assert_eq!(std::fs::metadata(&services).unwrap().mode() & 0o777, 0o700);
        let file = dir.path().join("twinbeat.toml");
        open_private(&file).unwrap();
        assert_eq!(writable_by_others(&file).unwrap(), None);
        std::fs::set_permissions(&file, Permissions::from_mode(0o646)).unwrap();
        assert_eq!(writable_by_others(&file).unwrap().as_deref(), Some("everybody"));
    }
}
