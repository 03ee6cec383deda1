//! `twinbeat drill`: the failure drill on this machine, in network namespaces.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use twinbeat_config::Config;
use twinbeat_lab::catalogue::{self, CATALOGUE, Fault};
use twinbeat_lab::html::{Passed, Report};
use twinbeat_lab::live::Live;
use twinbeat_lab::pair::Pair;
use twinbeat_lab::plan::Plan;
use twinbeat_lab::{chapters, node, ns, page, report, stage};
use twinbeat_say::say;
use twinbeat_sim::golden;

/// Builds a pair with real daemons in network namespaces, breaks it, and shows who serves and what clients see.
///
/// Without a name it is power_off. Scenarios run as their files say, each on a pair of its own, and are weighed against the same scenario in virtual time.
#[derive(Args, Debug)]
pub struct DrillArgs {
    /// Scenarios (.json files, or folders of them), or faults of the catalogue (--list)
    #[arg(value_name = "SCENARIO")]
    pub names: Vec<String>,
    /// A fault of the catalogue; may be given several times
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Rehearse this pair (its links, addresses, timing and groups) instead of the recipe's
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Write a report with swim lanes, one HTML file
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// List the faults and leave; with scenarios: each one's file, its seconds, and what keeps it from the real kernel, separated by tabs
    #[arg(long)]
    pub list: bool,
    /// Hold each fault this many seconds instead of the catalogue's
    #[arg(long, value_name = "SECONDS")]
    pub hold: Option<u64>,
    /// Keep the files and logs
    #[arg(long)]
    pub keep: bool,
}

/// Serves one page that names the node: stands in for nginx where it is not installed.
#[derive(Args, Debug)]
pub struct PageServerArgs {
    /// What the page says; else the host name.
    #[arg(long)]
    pub name: Option<String>,
    /// Where to listen.
    #[arg(long)]
    pub listen: SocketAddr,
}

/// Runs a command as root of a user namespace with a network of its own.
#[derive(Args, Debug)]
pub struct LabEnterArgs {
    /// The command.
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

/// Runs the drill; `true` when everything passed. Must be called while the process has one thread only (an ordinary user enters a user namespace).
pub fn drill(args: &DrillArgs) -> Result<bool> {
    if args.list && args.names.is_empty() {
        for fault in CATALOGUE {
            say!("{:<18} {}", fault.name, fault.about);
        }
        return Ok(true);
    }
    let (scenarios, faults) = sort(args)?;
    let own = args.config.as_deref().map(|file| Config::read(file).map(|config| (config, file))).transpose()?;
    if args.list {
        for path in &scenarios {
            let story = chapters::read(path, own.as_ref().map(|(config, _)| config))?.story;
            let seconds = Duration::from_nanos(story.scenario.until.0.0).as_secs_f64().ceil();
            say!("{}\t{seconds}\t{}", path.display(), stage::impossible(&story).join("; "));
        }
        return Ok(true);
    }
    for path in &scenarios {
        chapters::read(path, own.as_ref().map(|(config, _)| config))?; // before anything is built: is it a scenario?
    }
    if let Some(file) = &args.report {
        // Before an hour of drills: can it be written?
        std::fs::write(file, "").with_context(|| format!("the report {}", file.display()))?;
    }
    if !ns::privileged() {
        ns::enter_user_namespace()?;
    }
    let keep = args.keep;
    ns::clean_up_on_panic(move || node::leave_own(keep));
    let stop = stop_on_signal()?;
    let binary = std::env::current_exe().context("this program's own path")?;
    let mut live = Live::new();
    let mut book = Report { subject: subject(args, &scenarios, &faults), setting: report::setting(), ..Report::default() };
    let own = own.as_ref();
    let done = everything(args, &binary, (&scenarios, &faults), own, &mut live, &stop, &mut book);
    say!("{}", report::table(&book.chapters));
    if let Some(file) = &args.report {
        std::fs::write(file, book.html()).with_context(|| format!("the report {}", file.display()))?;
        say!("Report: {}", file.display());
    }
    done?;
    Ok(book.chapters.iter().all(|chapter| chapter.result == Passed::Yes))
}

/// All that was asked for; what was finished before an error stands in the book.
fn everything(
    args: &DrillArgs,
    binary: &Path,
    (scenarios, faults): (&[PathBuf], &[Fault]),
    own: Option<&(Config, &Path)>,
    live: &mut Live,
    stop: &AtomicBool,
    book: &mut Report,
) -> Result<()> {
    if !faults.is_empty() {
        let mut pair = match own {
            None => Pair::start(binary)?,
            Some((config, file)) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                let mut pair = Pair::build(binary, Plan::of(config)?, [&text, &text], &Default::default())?;
                pair.boot_both()?;
                pair
            }
        };
        pair.site.keep = args.keep;
        pair.observe()?;
        book.notes = report::notes(&pair);
        say!("{}", report::header(&pair));
        say!("   waiting until it serves, at most {:.0} s", pair.patience().as_secs_f64());
        let home = own.is_none().then_some(twinbeat_core::id::NodeId(0));
        let patience = pair.patience();
        pair.wait_for(home, patience, stop)?;
        for fault in faults {
            pair.watch(Duration::from_millis(500), stop, &mut |_| {});
            let (chapter, _) = chapters::fault(&mut pair, fault, live, stop)?;
            report::say(&chapter);
            book.chapters.push(chapter);
        }
    }
    for path in scenarios {
        let (chapter, _) = chapters::scenario(binary, path, own.map(|(config, _)| config), live, stop, args.keep)
            .with_context(|| path.display().to_string())?;
        report::say(&chapter);
        book.chapters.push(chapter);
    }
    Ok(())
}

/// What is a scenario, and what a fault.
fn sort(args: &DrillArgs) -> Result<(Vec<PathBuf>, Vec<Fault>)> {
    let (mut scenarios, mut faults) = (Vec::new(), Vec::new());
    for name in &args.names {
        let path = Path::new(name);
        if path.is_dir() {
            let found = golden::scenarios(path).with_context(|| name.clone())?;
            if found.is_empty() {
                bail!("no scenario (.json) in {name}");
            }
            scenarios.extend(found);
        } else if name.ends_with(".json") || name.contains('/') {
            scenarios.push(path.to_owned());
        } else {
            faults.push(pick(name, args.hold)?);
        }
    }
    for name in &args.faults {
        faults.push(pick(name, args.hold)?);
    }
    if scenarios.is_empty() && faults.is_empty() {
        faults.push(pick("power_off", args.hold)?);
    }
    Ok((scenarios, faults))
}

fn subject(args: &DrillArgs, scenarios: &[PathBuf], faults: &[Fault]) -> String {
    let pair =
        args.config.as_ref().map_or_else(|| "the recipe's pair".to_owned(), |file| format!("the pair of {}", file.display()));
    match (faults.len(), scenarios.len()) {
        (0, n) if args.config.is_none() => format!("{n} scenario{} on the real kernel", if n == 1 { "" } else { "s" }),
        (n, 0) => format!("{n} fault{} on {pair}", if n == 1 { "" } else { "s" }),
        (f, s) => format!("{f} faults and {s} scenarios on {pair}"),
    }
}

/// Serves the page until killed.
pub fn page_server(args: &PageServerArgs) -> Result<()> {
    let host = || nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let name = args.name.clone().map_or_else(host, Ok).context("this machine's host name")?;
    page::serve(&name, args.listen)
}

/// Enters a user namespace and becomes the command; returns only on failure.
pub fn lab_enter(args: &LabEnterArgs) -> Result<()> {
    ns::enter_user_namespace()?;
    let (program, rest) = args.command.split_first().context("no command")?;
    Err(Command::new(program).args(rest).exec()).with_context(|| format!("run {}", program.display()))
}

/// A fault by its name, held as long as wished.
pub(super) fn pick(name: &str, hold: Option<u64>) -> Result<Fault> {
    let Some(fault) = catalogue::find(name) else {
        let names: Vec<&str> = CATALOGUE.iter().map(|f| f.name).collect();
        bail!("no fault named {name}; there are: {}", names.join(", "));
    };
    Ok(Fault { hold: hold.map_or(fault.hold, Duration::from_secs), ..*fault })
}

/// Raises a flag on SIGINT, SIGTERM and SIGHUP, so that the guards clean up.
pub(super) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut int, mut term, mut hup) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {}, _ = hup.recv() => {} }
        });
        flag.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}
