//! Whether a file that is held open still has its name: the kernel tells when it, or its directory, is removed or moved (inotify(7)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// A watch on a file's name. A directory further up that is moved or removed is not seen.
#[derive(Debug)]
pub struct NameWatch(OwnedFd);

impl NameWatch {
    /// Watches a file that is there. What happened to it before is not told: look once more after this.
    ///
    /// # Errors
    /// As inotify_init1(2) and inotify_add_watch(2): no such file, or no more watches for this user.
    pub fn new(path: &Path) -> io::Result<NameWatch> {
        let fd = inotify::init(CreateFlags::CLOEXEC)?;
        // A file that is still open is not deleted when its last name goes: its link count changes, which is an attribute.
        inotify::add_watch(&fd, path, WatchFlags::ATTRIB | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF)?;
        if let Some(dir) = path.parent() {
            inotify::add_watch(&fd, dir, WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF)?;
        }
        Ok(NameWatch(fd))
    }

    /// Waits until something has happened to it, which need not be the loss of its name.
    ///
    /// # Errors
    /// As read(2).
    pub fn changed(self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(self.0, &mut buffer);
        loop {
            match events.next() {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_tells_of_a_name_that_goes_by_whatever_way_and_not_of_writes() {
        let ways: [fn(&Path) -> io::Result<()>; 3] = [
            |path| fs::remove_file(path),
            |path| fs::rename(path, path.with_extension("old")),
            |path| fs::rename(path.parent().unwrap(), path.parent().unwrap().with_extension("old")),
        ];
        for way in ways {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("inner").join("file");
            fs::create_dir(path.parent().unwrap()).unwrap();
            let held = File::create(&path).unwrap();
            let watch = NameWatch::new(&path).unwrap();
            let (tell, told) = mpsc::channel();
            let waits = std::thread::spawn(move || tell.send(watch.changed().is_ok()));
            fs::write(&path, "more").unwrap();
            assert!(told.recv_timeout(Duration::from_millis(100)).is_err(), "a write is no loss");
            way(&path).unwrap();
            assert!(told.recv_timeout(Duration::from_secs(10)).unwrap());
            waits.join().unwrap().unwrap();
            drop(held);
        }
    }
}
