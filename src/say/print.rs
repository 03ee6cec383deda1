//! The one way to print. A reader that has gone (`| head`) ends nothing half done: the rest is left unsaid, and the exit code is the
//! command's own. Any other failure, a full disk for one, is an error of the command.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Prints to the standard output, unless that has failed before.
pub fn text(text: Arguments<'_>) {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    if failed.is_none() {
        let mut out = io::stdout().lock();
        *failed = out.write_fmt(text).and_then(|()| out.flush()).err();
    }
}

/// The exit code of a command that would end with `code`: 1, with a line on the standard error, when what it printed was lost.
pub fn end(code: ExitCode) -> ExitCode {
    match &*FAILED.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            // Nobody is left to be told when this fails too.
            let _ = writeln!(io::stderr(), "twinbeat: standard output: {error}");
            ExitCode::FAILURE
        }
        _ => code,
    }
}

/// As `println!`, by [`text`].
#[macro_export]
macro_rules! say {
    ($($what:tt)*) => {
        $crate::print::text(format_args!("{}\n", format_args!($($what)*)))
    };
}

/// As `print!`, by [`text`].
#[macro_export]
macro_rules! say_on {
    ($($what:tt)*) => {
        $crate::print::text(format_args!($($what)*))
    };
}
