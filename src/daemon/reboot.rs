//! The end of a machine on which something does not stop that must not run twice.

use std::time::Duration;

/// Between the order and the reboot: the lines about it reach the log and the journal, and the last heartbeat leaves.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Asks the kernel for a reboot without stopping anything: what does not stop is the reason.
pub fn soon() {
    let spawned = std::thread::Builder::new().name("reboot".into()).spawn(|| {
        std::thread::sleep(LAST_WORDS);
        if let Err(error) = twinbeat_host::reboot::now() {
            tracing::error!("this machine cannot be rebooted: {error}");
        }
    });
    if let Err(error) = spawned {
        tracing::error!("this machine cannot be rebooted, no thread for it: {error}");
    }
}
