//! The `twinbeat` binary: parse the command line, dispatch, exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use twinbeat::cli;
use twinbeat::cli::line::{CommandLine, Verb};

fn main() -> ExitCode {
    let result = match CommandLine::parse().verb {
        Verb::Run(args) => cli::run::run(args).map(|()| ExitCode::SUCCESS),
        Verb::Check(args) => cli::check::run(&args),
        Verb::Keygen(args) => cli::keygen::run(&args),
        Verb::Init(args) => cli::init::run(&args),
        Verb::Import(args) => cli::import::run(&args),
        Verb::Status(args) => Ok(ExitCode::from(cli::status::run(&args))),
        Verb::Standby(args) => Ok(ExitCode::from(cli::standby::run(args))),
        Verb::Fenced(args) => Ok(ExitCode::from(cli::fenced::run(args))),
        Verb::Pause(args) => Ok(ExitCode::from(cli::pause::run(args))),
        Verb::Takeover(args) => Ok(ExitCode::from(cli::takeover::run(args))),
        Verb::Resume(args) => Ok(ExitCode::from(cli::resume::run(args))),
        Verb::Reload(args) => Ok(ExitCode::from(cli::reload::run(&args))),
        Verb::Why(args) => Ok(ExitCode::from(cli::why::run(&args))),
        Verb::Replay(args) => cli::replay::run(&args),
        Verb::Explore(args) => cli::explore::run(&args),
        #[cfg(not(feature = "lab"))]
        Verb::Drill(args) => Ok(cli::without_lab::drill(&args)),
        #[cfg(feature = "lab")]
        Verb::Drill(args) => cli::drill::drill(&args).map(|passed| ExitCode::from(u8::from(!passed))),
        #[cfg(feature = "lab")]
        Verb::Compare(args) => cli::compare::run(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "lab")]
        Verb::PageServer(args) => cli::drill::page_server(&args).map(|()| ExitCode::SUCCESS),
        #[cfg(feature = "lab")]
        Verb::LabEnter(args) => cli::drill::lab_enter(&args).map(|()| ExitCode::SUCCESS),
    };
    twinbeat::say::print::end(result.unwrap_or_else(|error| {
        eprintln!("twinbeat: {error:#}");
        ExitCode::from(twinbeat::daemon::Fault::code_of(&error))
    }))
}
