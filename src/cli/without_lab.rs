//! `twinbeat drill` in a program that was built without the laboratory, as packages are: nothing on a production machine floods or forges. Where the
//! package twinbeat-lab is installed beside it, that program does it.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The failure drill, by the package twinbeat-lab: not in this build
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Whatever the laboratory would have been asked for
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<OsString>,
}

/// The program of the package twinbeat-lab, in the same directory as this one.
pub const LABORATORY: &str = "twinbeat-lab";

/// What is said where it is not there.
pub const REFUSAL: &str =
    "drill: this program was built without the laboratory; install the package twinbeat-lab, or build with the feature `lab`";

/// This process becomes the laboratory's. Where that cannot be it says why; the exit code is that of a command line that cannot be done, 2.
pub fn drill(args: &Args) -> ExitCode {
    let error = match std::env::current_exe() {
        Ok(own) => Command::new(own.with_file_name(LABORATORY)).arg("drill").args(&args.rest).exec(),
        Err(error) => error,
    };
    if error.kind() == ErrorKind::NotFound {
        eprintln!("twinbeat: {REFUSAL}");
    } else {
        eprintln!("twinbeat: drill: {LABORATORY}: {error}");
    }
    ExitCode::from(2)
}
