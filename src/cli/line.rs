//! The command line as a whole: what the program reads, and what man pages and completions are made of (`dist/packages/pages`).

use clap::{Parser, Subcommand};

/// Two Linux machines, one virtual IP, never two owners.
#[derive(Parser)]
#[command(name = "twinbeat", version, about)]
pub struct CommandLine {
    /// What is to be done
    #[command(subcommand)]
    pub verb: Verb,
}

/// All verbs, in the order in which help shows them.
#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for as long as the program is there")]
#[allow(missing_docs, reason = "each verb's own arguments say what it is, and help shows that")]
pub enum Verb {
    Run(super::run::RunArgs),
    Check(super::check::Args),
    Keygen(super::keygen::Args),
    Init(super::init::Args),
    Import(super::import::Args),
    Status(super::status::StatusArgs),
    Standby(super::standby::StandbyArgs),
    Pause(super::pause::PauseArgs),
    Takeover(super::takeover::TakeoverArgs),
    Resume(super::resume::ResumeArgs),
    Fenced(super::fenced::FencedArgs),
    Reload(super::reload::ReloadArgs),
    Why(super::why::WhyArgs),
    Replay(super::replay::Args),
    Explore(super::explore::Args),
    #[cfg(feature = "lab")]
    Drill(super::drill::DrillArgs),
    #[cfg(not(feature = "lab"))]
    Drill(super::without_lab::Args),
    #[cfg(feature = "lab")]
    #[command(hide = true)]
    Compare(super::compare::CompareArgs),
    #[cfg(feature = "lab")]
    #[command(hide = true)]
    PageServer(super::drill::PageServerArgs),
    #[cfg(feature = "lab")]
    #[command(hide = true)]
    LabEnter(super::drill::LabEnterArgs),
}
