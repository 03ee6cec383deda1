//! `twinbeat drill` in a program that was built without the laboratory, as packages are: nothing on a production machine floods or forges.

use std::ffi::OsString;
use std::process::ExitCode;

/// The failure drill; not in this build (package twinbeat-lab)
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// Whatever the laboratory would have been asked for
    #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub rest: Vec<OsString>,
}

/// What is said.
pub const REFUSAL: &str =
    "drill: this program was built without the laboratory; install the package twinbeat-lab, or build with the feature `lab`";

/// Says so; the exit code is that of a command line that cannot be done, 2.
pub fn refuse(_: &Args) -> ExitCode {
    eprintln!("twinbeat: {REFUSAL}");
    ExitCode::from(2)
}
