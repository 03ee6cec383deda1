//! `twinbeat init`: a first configuration of what this machine and the other one say of themselves.

mod facts;
mod remote;

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use self::remote::Remote;
use twinbeat_config::{DEFAULT_FILE, MOST_BYTES, keys};
use twinbeat_import::first::{Answers, Facts, Own, first};
use twinbeat_import::{Import, MARK, placeholders};
use twinbeat_say::{say, say_on};

/// A first configuration of this machine's own facts and your answers; with --peer for both nodes
///
/// With --peer the other machine is asked over ssh (twinbeat is installed there), each makes its key where it has none (private keys never leave
/// their machine), both get the same file, and `twinbeat check` runs on both. A file that is there is never overwritten, and nothing else is changed.
/// Without --peer the file is made here alone; what nobody said is marked "FILL IN", and `check` refuses it until it is filled in.
///
/// Exit codes: 0 done and fit, 1 nothing done, or not fit
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An address that moves, with its network's prefix or without; the first is the guard
    #[arg(long = "vip", value_name = "ADDRESS[/PREFIX]", value_parser = vip)]
    vips: Vec<(IpAddr, Option<u8>)>,
    /// The other node, as ssh takes it
    #[arg(long, value_name = "USER@HOST")]
    peer: Option<String>,
    /// How ssh is called
    #[arg(long, value_name = "COMMAND", default_value = "ssh", requires = "peer")]
    ssh: String,
    /// Without --peer: the other node's host name
    #[arg(long, value_name = "NAME", conflicts_with = "peer")]
    peer_name: Option<String>,
    /// Without --peer: an address of the other node
    #[arg(long = "peer-address", value_name = "ADDRESS", conflicts_with = "peer")]
    peer_addresses: Vec<IpAddr>,
    /// Without --peer: its public key, as `twinbeat keygen` printed it there
    #[arg(long, value_name = "KEY", conflicts_with = "peer")]
    peer_key: Option<String>,
    /// A systemd unit that moves with the address
    #[arg(long = "service", value_name = "UNIT")]
    services: Vec<String>,
    /// A third machine in the network of the address; else the default gateway
    #[arg(long = "witness", value_name = "ADDRESS")]
    targets: Vec<IpAddr>,
    /// The node that serves while both can; else the address stays where it is
    #[arg(long, value_name = "NAME")]
    preferred: Option<String>,
    /// The cluster's name
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The group's name
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// The timing
    #[arg(long, value_name = "PROFILE", value_parser = ["default", "fast", "classic"])]
    profile: Option<String>,
    /// Where the file goes, on both nodes; each node's key lies beside it
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    out: PathBuf,
    /// Print the file and change nothing
    #[arg(long)]
    dry_run: bool,
    /// What the other machine's `init` asks of this one
    #[arg(long, hide = true, value_name = "WHAT", value_parser = ["facts", "key", "file"])]
    remote: Option<String>,
}

/// After a file that is fit.
const NEXT: &str =
    "Next, on both nodes: systemctl disable --now each service that moves; systemctl enable --now twinbeat; twinbeat status";

fn vip(text: &str) -> Result<(IpAddr, Option<u8>), String> {
    let wrong = || format!("{text:?}: allowed: an address, or one with its network's prefix, as in 192.168.42.14/25");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| wrong())?)),
        None => (text, None),
    };
    Ok((address.parse().map_err(|_| wrong())?, prefix))
}

/// Runs it.
///
/// # Errors
/// What keeps the file from being made, on this machine or on the other one; what was done by then is said.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match args.remote.as_deref() {
        Some("facts") => {
            say!("{}", facts::to_json(&facts::here(&args.out)?, args.out.exists()));
            Ok(ExitCode::SUCCESS)
        }
        Some("key") => {
            say!("{}", own_key(&args.out)?);
            Ok(ExitCode::SUCCESS)
        }
        Some(_) => {
            let mut text = String::new();
            std::io::stdin().take(MOST_BYTES).read_to_string(&mut text).context("the standard input")?;
            write(&args.out, &text)?;
            Ok(ExitCode::SUCCESS)
        }
        None => both(args),
    }
}

fn both(args: &Args) -> anyhow::Result<ExitCode> {
    let mine = facts::here(&args.out)?;
    let remote = args.peer.as_ref().map(|peer| Remote::new(peer, &args.ssh));
    if !args.dry_run && args.out.exists() {
        bail!("{} is there already and is never overwritten: move it away, or name another file with --out", args.out.display());
    }
    let theirs = match &remote {
        Some(remote) => {
            let said = remote.ask("facts", &args.out, "")?;
            let Some((facts, there)) = facts::of_json(&said) else {
                bail!("{}: no `twinbeat init` answers there: {said:?}", remote.peer)
            };
            if there && !args.dry_run {
                bail!("{} has {} already: move it away there", remote.peer, args.out.display());
            }
            facts
        }
        None => told(args)?,
    };
    // Judged before anything is made.
    let made = make(args, &mine, &theirs)?;
    if args.dry_run {
        say_on!("{}", made.text);
        made.findings.iter().for_each(|finding| eprintln!("{finding}"));
        return Ok(ExitCode::SUCCESS);
    }
    let mine = Facts { key: Some(own_key(&args.out)?), ..mine };
    let theirs = match &remote {
        Some(remote) => Facts { key: Some(remote.ask("key", &args.out, "")?.trim().to_owned()), ..theirs },
        None => theirs,
    };
    let made = make(args, &mine, &theirs)?;
    write(&args.out, &made.text)?;
    let gaps = placeholders(&made.text).len();
    say!("{}: written{}", args.out.display(), if gaps == 0 { String::new() } else { format!("; {gaps} lines with {MARK}") });
    made.findings.iter().for_each(|finding| eprintln!("{finding}"));
    // Both have it before anything is looked at.
    if let Some(remote) = &remote {
        remote.ask("file", &args.out, &made.text).context("the file is on this node only")?;
    }
    let mut fit = check_here(&args.out)?;
    match &remote {
        Some(remote) => {
            let (said, there) = remote.check(&args.out)?;
            say!("\n{}, `twinbeat check`:\n{}", theirs.host, said.trim_end());
            fit &= there;
        }
        None => say!("\nThe very same file belongs on {}, beside its own key: twinbeat check on both.", theirs.host),
    }
    say!(
        "\n{}",
        if fit { NEXT } else { "Not fit yet: mend each FAIL (its line says how), then `twinbeat check` on both nodes." }
    );
    Ok(ExitCode::from(u8::from(!fit)))
}

fn make(args: &Args, mine: &Facts, theirs: &Facts) -> anyhow::Result<Import> {
    let answers = Answers {
        cluster: args.cluster.clone(),
        group: args.group.clone(),
        vips: args.vips.clone(),
        services: args.services.clone(),
        targets: args.targets.clone(),
        preferred: args.preferred.clone(),
        profile: args.profile.clone(),
    };
    first([mine, theirs], &answers).map_err(|wrong| anyhow::anyhow!("{}\nnothing is written", wrong.join("\n")))
}

/// What the options say of the other node.
fn told(args: &Args) -> anyhow::Result<Facts> {
    let Some(host) = args.peer_name.clone().filter(|_| !args.peer_addresses.is_empty()) else {
        bail!(
            "of the other node nothing is known: --peer root@HOST asks it over ssh; or say --peer-name NAME and each --peer-address"
        );
    };
    let own = |address: &IpAddr| Own { interface: None, address: *address, prefix: None };
    Ok(Facts { host, addresses: args.peer_addresses.iter().map(own).collect(), gateways: Vec::new(), key: args.peer_key.clone() })
}

/// This node's public key; a pair is made where there is none.
fn own_key(file: &Path) -> anyhow::Result<String> {
    let known = facts::here(file)?;
    if let Some(key) = known.key {
        return Ok(key);
    }
    make_folder(file)?;
    Ok(keys::public_text(&keys::generate(&keys::key_path(file, &known.host))?))
}

fn make_folder(file: &Path) -> anyhow::Result<()> {
    let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())
}

/// Never over a file that is there.
fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    make_folder(file)?;
    let made = OpenOptions::new().write(true).create_new(true).mode(0o644).open(file);
    let mut made = made.with_context(|| format!("{}: nothing is written", file.display()))?;
    made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).with_context(|| file.display().to_string())
}

/// The report of this machine's own `twinbeat check`; whether it is fit.
fn check_here(file: &Path) -> anyhow::Result<bool> {
    say!("`twinbeat check`:");
    let own = std::env::current_exe().context("this program's own path")?;
    let status = Command::new(own).arg("check").arg("--config").arg(file).status().context("twinbeat check cannot be run")?;
    Ok(status.success())
}
