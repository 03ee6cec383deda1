//! `twinbeat drill`: the failure drill on this machine, in network namespaces.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::core::id::NodeId;
use crate::drill::catalogue::{self, CATALOGUE, Fault};
use crate::drill::pair::Pair;
use crate::drill::{ns, page, report};

/// Builds a pair with real daemons in network namespaces, breaks it, and shows who serves and what clients see.
#[derive(Args, Debug)]
pub struct DrillArgs {
    /// The faults to run, one after the other.
    #[arg(long = "fault", value_name = "NAME", default_value = "power_off")]
    pub faults: Vec<String>,
    /// List the faults and leave.
    #[arg(long)]
    pub list: bool,
    /// Hold each fault this many seconds instead of the catalogue's.
    #[arg(long, value_name = "SECONDS")]
    pub hold: Option<u64>,
    /// Keep the files and logs.
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
    if args.list {
        for fault in CATALOGUE {
            println!("{:<18} {}", fault.name, fault.about);
        }
        return Ok(true);
    }
    let faults: Vec<Fault> = args.faults.iter().map(|name| pick(name, args.hold)).collect::<Result<_>>()?;
    if !ns::privileged() {
        ns::enter_user_namespace()?;
    }
    let stop = stop_on_signal()?;
    let binary = std::env::current_exe().context("this program's own path")?;
    let mut pair = Pair::start(&binary)?;
    pair.site.keep = args.keep;
    println!("{}", report::header(&pair));
    println!("   waiting until master1 serves");
    pair.wait_for(NodeId(0), Duration::from_secs(30), &stop)?;

    let mut live = report::Live::default();
    let mut seen = |pair: &Pair| {
        if let Some(line) = live.look(pair) {
            println!("{line}");
        }
    };
    let mut rows = Vec::new();
    for fault in &faults {
        pair.watch(Duration::from_millis(500), &stop, &mut seen);
        println!("           {}: {}", fault.name, fault.about);
        rows.push((fault.name, pair.suffer(fault, &stop, &mut seen)?));
    }
    println!("{}", report::table(&rows));
    Ok(rows.iter().all(|(_, verdict)| verdict.failures.is_empty()))
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
