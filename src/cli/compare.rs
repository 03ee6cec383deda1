//! `twinbeat compare` (hidden; `netns-tests/compare.sh` is the documented command): one measurement of one contender, or the table of all.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::drill::{pick, stop_on_signal};
use twinbeat_lab::contender::Contender;
use twinbeat_lab::ns;
use twinbeat_lab::versus::{self, Row};
use twinbeat_say::{say, say_on};

/// Measures what another daemon makes of a fault, with the drill's lab and probe.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// Whose daemons: twinbeat, keepalived, keepalived-fault, keepalived-cable, heartbeat
    #[arg(long, value_name = "NAME", required_unless_present = "table")]
    pub contender: Vec<String>,
    /// The faults, each with a fresh pair
    #[arg(long = "fault", value_name = "NAME", default_value = "power_off")]
    pub faults: Vec<String>,
    /// Append what was measured, a JSON line each
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Keep the files and logs
    #[arg(long)]
    pub keep: bool,
    /// Print the table of the lines recorded in a file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["contender", "record"])]
    pub table: Option<PathBuf>,
}

/// Measures and prints, or prints the table.
pub fn run(args: &CompareArgs) -> Result<()> {
    if let Some(file) = &args.table {
        say_on!("{}", versus::table(&read(file)?));
        return Ok(());
    }
    if !ns::privileged() {
        bail!("the comparison needs root: the other daemons change users");
    }
    let contenders: Vec<Contender> = args
        .contender
        .iter()
        .map(|name| Contender::find(name).with_context(|| format!("no contender named {name}; there are: {}", names())))
        .collect::<Result<_>>()?;
    let stop = stop_on_signal()?;
    let binary = std::env::current_exe().context("this program's own path")?;
    for name in &args.faults {
        let fault = pick(name, None)?;
        for contender in contenders.iter().filter(|c| c.knows(&fault)) {
            let row = versus::measure(&binary, *contender, &fault, &stop, args.keep)
                .with_context(|| format!("{} with {}", fault.name, contender.name()))?;
            let line = serde_json::to_string(&row)?;
            say!("{line}");
            if let Some(file) = &args.record {
                let mut file = File::options().create(true).append(true).open(file)?;
                writeln!(file, "{line}").context("record")?;
            }
        }
    }
    Ok(())
}

fn read(file: &PathBuf) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let lines = text.lines().filter(|line| !line.trim().is_empty()).enumerate();
    lines.map(|(n, line)| serde_json::from_str(line).with_context(|| format!("{}:{}", file.display(), n + 1))).collect()
}

fn names() -> String {
    Contender::ALL.map(Contender::name).join(", ")
}
