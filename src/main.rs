//! The `twinbeat` binary: parse the command line, dispatch, exit code.

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
    Status(cli::status::StatusArgs),
    Standby(cli::standby::StandbyArgs),
    Takeover(cli::takeover::TakeoverArgs),
    Resume(cli::resume::ResumeArgs),
    Why(cli::why::WhyArgs),
    Replay(cli::replay::Args),
    Explore(cli::explore::Args),
    Drill(cli::drill::DrillArgs),
    #[command(hide = true)]
    Compare(cli::compare::CompareArgs),
    #[command(hide = true)]
    PageServer(cli::drill::PageServerArgs),
    #[command(hide = true)]
    LabEnter(cli::drill::LabEnterArgs),
}

fn main() -> ExitCode {
    let result = match CommandLine::parse().verb {
        Verb::Run(args) => cli::run::run(args).map(|()| ExitCode::SUCCESS),
        Verb::Check(args) => cli::check::run(&args),
        Verb::Keygen(args) => cli::keygen::run(&args),
        Verb::Status(args) => Ok(ExitCode::from(cli::status::run(&args))),
        Verb::Standby(args) => Ok(ExitCode::from(cli::standby::run(args))),
        Verb::Takeover(args) => Ok(ExitCode::from(cli::takeover::run(args))),
        Verb::Resume(args) => Ok(ExitCode::from(cli::resume::run(args))),
        Verb::Why(args) => Ok(ExitCode::from(cli::why::run(&args))),
        Verb::Replay(args) => cli::replay::run(&args),
        Verb::Explore(args) => cli::explore::run(&args),
        Verb::Drill(args) => cli::drill::drill(&args).map(|passed| ExitCode::from(u8::from(!passed))),
        Verb::Compare(args) => cli::compare::run(&args).map(|()| ExitCode::SUCCESS),
        Verb::PageServer(args) => cli::drill::page_server(&args).map(|()| ExitCode::SUCCESS),
        Verb::LabEnter(args) => cli::drill::lab_enter(&args).map(|()| ExitCode::SUCCESS),
    };
    cli::print::end(result.unwrap_or_else(|error| {
        eprintln!("twinbeat: {error:#}");
        ExitCode::from(twinbeat::daemon::Fault::code_of(&error))
    }))
}
