//! Reboots this machine at once (reboot(2), LINUX_REBOOT_CMD_RESTART): nothing is stopped, no file system is written back.

use std::io;

use nix::sys::reboot::{RebootMode, reboot};

/// Does not come back where it works.
///
/// # Errors
/// When the kernel refuses: CAP_SYS_BOOT is missing.
pub fn now() -> io::Result<()> {
    match reboot(RebootMode::RB_AUTOBOOT) {
        Ok(never) => match never {},
        Err(errno) => Err(errno.into()),
    }
}
