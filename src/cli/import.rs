//! `twinbeat import`: twinbeat.toml of the files of heartbeat or keepalived. Reads them, and leaves what it makes of them to `twinbeat-import`.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use nix::libc;

use twinbeat_import::heartbeat::{self, Dir};
use twinbeat_import::{Finding, Import, Kind, MARK, MOST_BYTES, Options, Place, Source, Wrong, keepalived, placeholders};
use twinbeat_say::{say, say_on};

/// twinbeat.toml of the files of heartbeat or keepalived, with a comment for the line each setting came from.
///
/// What the old files do not say is marked "FILL IN", and `check` refuses it until it is filled in. What has no counterpart is listed on the standard
/// error and at the file's end. Exit codes: 0 written, 1 nothing written.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// ha.cf, haresources and authkeys of one node, as a rule /etc/ha.d
    Heartbeat {
        /// The directory of one node
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The directory of the other node, copied from there
        #[arg(long, value_name = "DIR")]
        other: Option<PathBuf>,
        /// Scripts of haresources become systemd units of the same name, not init scripts
        #[arg(long)]
        systemd: bool,
        #[command(flatten)]
        to: To,
    },
    /// keepalived.conf of one node or of both
    Keepalived {
        /// The file of one node, then that of the other
        #[arg(value_name = "FILE", required = true, num_args = 1..=2)]
        files: Vec<PathBuf>,
        /// The configuration id (keepalived -i) of a node, for files with @ID lines; twice with one file for both nodes
        #[arg(long = "id", value_name = "ID")]
        ids: Vec<String>,
        #[command(flatten)]
        to: To,
    },
}

#[derive(Debug, clap::Args)]
struct To {
    /// The node whose files these are; twice for both, in the order of the files
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
    /// The cluster's name
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Where the file goes; never over one that is there. Else to the standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Reads, imports, writes.
///
/// # Errors
/// The file cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (made, to) = match &args.from {
        From::Heartbeat { dir, other, systemd, to } => (of_heartbeat(dir, other.as_deref(), &options(to, *systemd)), to),
        From::Keepalived { files, ids, to } => (of_keepalived(files, ids, &options(to, false)), to),
    };
    match made {
        Ok(import) => write(&import, to.out.as_deref()),
        Err(wrong) => {
            wrong.iter().for_each(|wrong| eprintln!("{wrong}"));
            eprintln!("nothing is written");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn options(to: &To, systemd: bool) -> Options {
    let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    Options { cluster: to.cluster.clone(), nodes: to.nodes.clone(), host, systemd }
}

fn of_heartbeat(dir: &Path, other: Option<&Path>, options: &Options) -> Result<Import, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut dirs = Vec::new();
    for dir in std::iter::once(dir).chain(other) {
        let name = dir.display().to_string();
        if dir.is_file() {
            let words = "a file; `import heartbeat` takes the directory with ha.cf, haresources and authkeys";
            wrong.push(Wrong::new(Place::file(&name), words));
            continue;
        }
        let mut file = |name: &str| match source(&dir.join(name)) {
            Ok(source) => Some(source),
            // It is root's alone, and nothing of it is needed.
            Err(Unread::Wrong(error)) if name != "authkeys" => {
                wrong.push(error);
                None
            }
            Err(_) => None,
        };
        let dir = Dir { name, ha_cf: file("ha.cf"), haresources: file("haresources"), authkeys: file("authkeys") };
        dirs.push(dir);
    }
    if wrong.is_empty() { heartbeat::import(&dirs, options) } else { Err(wrong) }
}

fn of_keepalived(files: &[PathBuf], ids: &[String], options: &Options) -> Result<Import, Vec<Wrong>> {
    let (mut wrong, mut sources) = (Vec::new(), Vec::new());
    for file in files {
        match source(file) {
            Ok(source) => sources.push(source),
            Err(Unread::Missing(error) | Unread::Wrong(error)) => wrong.push(error),
        }
    }
    if wrong.is_empty() { keepalived::import(&sources, ids, &mut included, options) } else { Err(wrong) }
}

/// Why a file could not be read.
enum Unread {
    Missing(Wrong),
    Wrong(Wrong),
}

/// A file of at most [`MOST_BYTES`].
fn source(path: &Path) -> Result<Source, Unread> {
    let name = path.display().to_string();
    let wrong = |words: String| Wrong::new(Place::file(&name), format!("cannot be read: {words}"));
    // Not blocking, so that a fifo in the place of the file does not hang the command.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unread::Missing(wrong(error.to_string())),
        _ => Unread::Wrong(wrong(error.to_string())),
    })?;
    bytes(file).map_err(wrong).and_then(|bytes| Source::of_bytes(&name, &bytes)).map_err(Unread::Wrong)
}

fn bytes(file: File) -> Result<Vec<u8>, String> {
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// The files of an `include`, by name; a pattern without a match is no file, as for keepalived.
fn included(pattern: &str, from: &str) -> Result<Vec<Source>, Wrong> {
    let path = Path::new(from).parent().unwrap_or(Path::new("")).join(pattern);
    let wrong = |words: &str| Err(Wrong::new(Place::file(&path.display().to_string()), words));
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return wrong("not a file's name");
    };
    let special = |text: &str| text.contains(['*', '?', '[', '{']);
    if special(&dir.to_string_lossy()) || name.contains(['[', '{']) {
        return wrong("of patterns only * and ? in the last part are read; name the files");
    }
    let mut paths = vec![path.clone()];
    if special(name) {
        let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let fits =
            |path: &PathBuf| path.file_name().and_then(|n| n.to_str()).is_some_and(|n| !n.starts_with('.') && matches(name, n));
        paths = entries.map(|entry| entry.path()).filter(fits).collect();
        paths.sort();
    }
    let read = |path: &PathBuf| {
        source(path).map_err(|error| match error {
            Unread::Missing(wrong) | Unread::Wrong(wrong) => wrong,
        })
    };
    // One more than may be read, so that it is noticed.
    paths.iter().take(65).map(read).collect()
}

/// Whether a name fits a pattern of `*` and `?`; in steps, not by recursion.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

fn write(import: &Import, out: Option<&Path>) -> anyhow::Result<ExitCode> {
    match out {
        None => say_on!("{}", import.text),
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path);
            let mut file = file.with_context(|| format!("{}: nothing is written", path.display()))?;
            file.write_all(import.text.as_bytes()).and_then(|()| file.sync_all()).with_context(|| path.display().to_string())?;
            let gaps = placeholders(&import.text).len();
            say!("{}: written; {gaps} lines with {MARK}. Then: twinbeat check --config {}", path.display(), path.display());
        }
    }
    for kind in Kind::ALL {
        let these: Vec<&Finding> = import.findings.iter().filter(|finding| finding.kind == kind).collect();
        if !these.is_empty() {
            eprintln!("{}:", kind.heading());
        }
        these.iter().for_each(|finding| eprintln!("  {finding}"));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_includes() {
        for (pattern, name) in [("*.conf", "a.conf"), ("*", "x"), ("a?c*", "abc"), ("*a*b", "xaab"), ("x", "x")] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.conf", "a.con"), ("a?c", "ac"), ("*a*b", "xba"), ("", "x")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
