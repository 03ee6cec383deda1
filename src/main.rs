//! The `twinbeat` binary: parse the command line, dispatch, exit code.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use twinbeat::cli;

/// Two Linux machines, one virtual IP, never two owners.
#[derive(Parser)]
#[command(name = "twinbeat", version, about)]
struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(cli::run::RunArgs),
    Check(cli::check::Args),
    Keygen(cli::keygen::Args),
    Init(cli::init::Args),
    Import(cli::import::Args),
    Status(cli::status::StatusArgs),
    Standby(cli::standby::StandbyArgs),
    Takeover(cli::takeover::TakeoverArgs),
    Resume(cli::resume::ResumeArgs),
    Reload(cli::reload::ReloadArgs),
    Why(cli::why::WhyArgs),
    Replay(cli::replay::Args),
    Explore(cli::explore::Args),
    #[cfg(feature = "lab")]
    Drill(cli::drill::DrillArgs),
    #[cfg(not(feature = "lab"))]
    Drill(cli::without_lab::Args),
    #[cfg(feature = "lab")]
    #[command(hide = true)]
    Compare(cli::compare::CompareArgs),
    #[cfg(feature = "lab")]
    #[command(hide = true)]
    PageServer(cli::drill::PageServerArgs),
    #[cfg(feature = "lab")]
    #[command(hide = true)]
    LabEnter(cli::drill::LabEnterArgs),
}

fn main() -> ExitCode {
    let result = match CommandLine::parse().verb {
        Verb::Run(args) => cli::run::run(args).map(|()| ExitCode::SUCCESS),
        Verb::Check(args) => cli::check::run(&args),
        Verb::Keygen(args) => cli::keygen::run(&args),
        Verb::Init(args) => cli::init::run(&args),
        Verb::Import(args) => cli::import::run(&args),
        Verb::Status(args) => Ok(ExitCode::from(cli::status::run(&args))),
        Verb::Standby(args) => Ok(ExitCode::from(cli::standby::run(args))),
        Verb::Takeover(args) => Ok(ExitCode::from(cli::takeover::run(args))),
        Verb::Resume(args) => Ok(ExitCode::from(cli::resume::run(args))),
        Verb::Reload(args) => Ok(ExitCode::from(cli::reload::run(&args))),
        Verb::Why(args) => Ok(ExitCode::from(cli::why::run(&args))),
        Verb::Replay(args) => cli::replay::run(&args),
        Verb::Explore(args) => cli::explore::run(&args),
        #[cfg(not(feature = "lab"))]
        Verb::Drill(args) => Ok(cli::without_lab::refuse(&args)),
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
