//! What systemd is told of a reload (sd_notify(3)): `RELOADING=1` with the instant at which it was asked for, and `READY=1` when it is over,
//! however it ended.
//!
//! A unit of `Type=notify-reload` (systemd 253) waits for both, and reckons by the instant which of its signals was answered; one of
//! `Type=notify` only shows it. After a file that was taken up the next life says `READY=1`: it is the same process.
//!
//! Each life says `RELOADING=1` before it reads the file, too: what it reads answers every signal until then, also one that the life before it
//! caught when it had handled its last event. At a start of the unit it means nothing, since `READY=1` follows before systemd has it running.

use sd_notify::NotifyState;

/// A reload was asked for, or this life reads the file, now.
pub fn reloading() {
    // CLOCK_MONOTONIC, as sd_notify(3) demands; this program's own clock also counts while the machine is suspended.
    let Ok(now) = NotifyState::monotonic_usec_now() else { return };
    let _ = sd_notify::notify(&[NotifyState::Reloading, now]);
}

/// The same life goes on; `refused` is why, where that is not what was wanted.
pub fn goes_on(refused: Option<&str>) {
    match refused {
        None => drop(sd_notify::notify(&[NotifyState::Ready])),
        Some(why) => {
            // A line break would begin another field.
            let status = format!("the reload was refused: {}", why.replace(['\n', '\r'], "; "));
            let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
        }
    }
}
