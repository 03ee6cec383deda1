//! The next life of this very process: the program at this one's path with the same options, in its place (execve(2)). The pid, the
//! services that are its children, and what systemd knows of it stay.

use std::ffi::{CString, OsStr, OsString};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::{SigSet, Signal};

use super::asking::Free;
use super::options::Options;
use super::starts;
use twinbeat_core::time::{Mono, Span};
use twinbeat_host::{clock, realtime};

/// What the next life is told.
#[derive(Clone, Debug)]
pub struct Next {
    options: Options,
    free: Vec<Free>,
}

impl Next {
    /// The same options; `free` are addresses that this life has asked for.
    pub fn new(options: &Options, free: Vec<Free>) -> Next {
        Next { options: options.clone(), free }
    }

    /// Becomes it. Comes back only when the kernel refuses, with its word.
    pub fn begin(&self) -> String {
        // A signal that comes now is for the next life, which lets it through when it can take it; the mask stays.
        if let Err(error) = held_back().thread_block() {
            return format!("signals cannot be held back: {error}");
        }
        let c = |word: &OsStr| CString::new(word.as_bytes()).map_err(|error| error.to_string());
        let words: Result<Vec<CString>, String> = self.words().iter().map(|word| c(word)).collect();
        let words = match words {
            Ok(words) => words,
            Err(error) => return error,
        };
        let Some(program) = words.first() else { return "no program".into() };
        // Many reloads are no daemon that cannot start: none of them waits for the one before to have lasted.
        starts::forget(&self.options.run_dir);
        // The next life may choose others, or none.
        realtime::give_cpus_back();
        match nix::unistd::execvp(program, &words) {
            Err(error) => format!("{}: {error}", program.to_string_lossy()),
        }
    }

    fn words(&self) -> Vec<OsString> {
        let Options { config, node, run_dir, state_dir, asked: _ } = &self.options;
        let mut words: Vec<OsString> = vec![std::env::args_os().next().unwrap_or_else(|| "twinbeat".into()), "run".into()];
        for (name, path) in [("--config", config), ("--run-dir", run_dir), ("--state-dir", state_dir)] {
            words.extend([name.into(), path.into()]);
        }
        words.extend(node.iter().flat_map(|node| ["--node".into(), node.into()]));
        words.extend(self.free.iter().flat_map(|(address, at)| ["--asked".into(), format!("{address}@{}", at.0).into()]));
        words
    }
}

/// Signals that mean something to a daemon, and would end one that has no handlers yet.
pub fn held_back() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTERM, Signal::SIGINT])
}

/// Reads what a life tells the next one of an address: `ADDRESS@NANOSECONDS`.
///
/// # Errors
/// In words.
pub fn asked(text: &str) -> Result<Free, String> {
    let wrong = || format!("{text:?}: allowed: an address, @, and nanoseconds since boot");
    let (address, at) = text.split_once('@').ok_or_else(wrong)?;
    Ok((address.parse().map_err(|_| wrong())?, Mono(at.parse().map_err(|_| wrong())?)))
}

/// The addresses that were asked for a moment ago: an answer of long ago says nothing.
pub fn still_free(asked: &[Free]) -> Vec<IpAddr> {
    let now = clock::now();
    asked.iter().filter(|(_, at)| *at <= now && now.since(*at) <= FRESH).map(|(address, _)| *address).collect()
}

/// How old the last question may be.
const FRESH: Span = Span::secs(1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_the_next_life_is_told_is_read_as_it_was_meant_and_ages() {
        let options = Options {
            config: "/etc/a b.toml".into(),
            node: Some("m1".into()),
            run_dir: "/run/t".into(),
            state_dir: "/var/t".into(),
            asked: vec![("192.0.2.9".parse().unwrap(), Mono(5))],
        };
        let now = clock::now();
        let free = vec![("192.0.2.1".parse().unwrap(), now), ("2001:db8::1".parse().unwrap(), now.back(Span::secs(2)))];
        let words = Next::new(&options, free.clone()).words();
        let words: Vec<&str> = words.iter().skip(1).map(|word| word.to_str().unwrap()).collect();
        let (first, second) = (format!("192.0.2.1@{}", now.0), format!("2001:db8::1@{}", free[1].1.0));
        assert_eq!(
            words,
            [
                "run",
                "--config",
                "/etc/a b.toml",
                "--run-dir",
                "/run/t",
                "--state-dir",
                "/var/t",
                "--node",
                "m1",
                "--asked",
                &first,
                "--asked",
                &second
            ]
        );
        let read: Vec<Free> = [first, second].iter().map(|text| asked(text).unwrap()).collect();
        assert_eq!(read, free);
        assert_eq!(still_free(&read), [free[0].0]);
        assert_eq!(still_free(&[(free[0].0, now + Span::secs(9))]), Vec::<IpAddr>::new());
        for bad in ["", "192.0.2.1", "x@1", "192.0.2.1@", "192.0.2.1@-1", "192.0.2.1@1@2"] {
            assert!(asked(bad).is_err(), "{bad}");
        }
    }
}
