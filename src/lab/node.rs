//! The files of a pair: for each node its own directories, keys, page and configuration. The daemons are [`daemon`](super::daemon)'s.
//!
//! Everything lives in one temporary directory: each node's configuration (the same text, as a rule) and key, and for each node
//! its run and state directories, its services' scripts and files, and logs. A node sees its own part at `here`, by a bind mount in a mount
//! namespace of its own: so the same text names the same scripts on both.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use super::contender::Contender;
use super::lab::{BOTH, Cable, GATEWAY, Lab, VIP, VIP_PREFIX, node_name};
use super::ns::Prefix;
use super::process;
pub use super::recipe::TIMING;
use super::rewrite::{Service, rewrite};
use twinbeat_config::keys;
use twinbeat_core::id::NodeId;
use twinbeat_core::settings::Timing;

/// The files of a drill, and the program under test. Its directory is removed on drop, unless it is to be kept.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    binary: PathBuf,
    nodes: [String; 2],
    /// What the configuration's services are in the lab.
    pub services: Vec<Service>,
    /// What of the configuration was replaced or left out.
    pub said: Vec<String>,
    /// Each node's public key by its name.
    keys: Vec<(String, String)>,
    /// The groups whose services are init scripts.
    init: BTreeSet<usize>,
    contender: Contender,
    /// Keep the directory, for a look at the logs.
    pub keep: bool,
    /// Says: in use.
    _lock: Flock<File>,
}

impl Site {
    /// Prepares the recipe's pair with that `failback`.
    pub fn prepare(lab: &Lab, binary: &Path, failback: &str) -> Result<Site> {
        let nginx = ["nginx".to_owned()];
        let text = render(&["", ""], &TIMING, failback, &nginx);
        Site::prepare_for(lab, binary, [&text, &text], &BTreeSet::new())
    }

    /// Prepares the directories, keys and each node's configuration, which is rewritten for the lab; the groups of `init` get init scripts.
    pub fn prepare_for(lab: &Lab, binary: &Path, texts: [&str; 2], init: &BTreeSet<usize>) -> Result<Site> {
        sweep();
        let dir = std::env::temp_dir().join(lab.prefix().trim_end_matches('-'));
        fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        let lock = Flock::lock(File::open(&dir)?, FlockArg::LockSharedNonblock).map_err(|(_, e)| e).context("lock the files")?;
        let mut site = Site {
            dir,
            binary: binary.to_owned(),
            nodes: lab.plan.nodes.clone(),
            services: Vec::new(),
            said: Vec::new(),
            keys: Vec::new(),
            init: init.clone(),
            contender: Contender::Twinbeat,
            keep: false,
            _lock: lock,
        };
        fs::set_permissions(&site.dir, fs::Permissions::from_mode(0o700))?;
        fs::create_dir(site.here())?;
        site.keys = site.nodes.iter().map(|name| Ok((name.clone(), site.keygen(name)?))).collect::<Result<_>>()?;
        for (node, text) in BOTH.into_iter().zip(texts) {
            for part in ["run", "state", "nginx"] {
                fs::create_dir_all(site.node_dir(node).join(part))?;
            }
            site.configure(node, text)?;
        }
        Ok(site)
    }

    /// A node's configuration from its next start on.
    pub fn configure(&mut self, node: NodeId, text: &str) -> Result<()> {
        let (here, own, nginx) = (self.here(), self.node_dir(node), find_nginx());
        let done = rewrite(text, &self.keys, &here, nginx.is_some(), &self.init)?;
        for service in &done.services {
            let command = self.command(service, nginx.as_deref());
            let script = own.join(&service.name);
            fs::write(&script, service.script(&here, &command))?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
            if service.nginx {
                let conf = nginx_conf(&here, service, self.name(node));
                fs::write(own.join(format!("{}.conf", service.name)), conf)?;
            }
        }
        for service in done.services {
            if !self.services.contains(&service) {
                self.services.push(service);
            }
        }
        for line in done.said {
            if !self.said.contains(&line) {
                self.said.push(line);
            }
        }
        // A file is taken whole or not at all, by a daemon that starts at this moment.
        let new = self.config(node).with_extension("new");
        fs::write(&new, done.text)?;
        fs::rename(&new, self.config(node))?;
        Ok(())
    }

    /// Has these daemons keep the pair instead.
    pub fn give_to(&mut self, contender: Contender) -> Result<()> {
        self.contender = contender;
        // What runs as another user must get to its own files; the keys have modes of their own.
        if contender != Contender::Twinbeat {
            fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o711))?;
        }
        Ok(())
    }

    /// Whose daemons keep the pair.
    pub fn contender(&self) -> Contender {
        self.contender
    }

    /// Where each node sees its own directory, by a mount of its own.
    pub(super) fn here(&self) -> PathBuf {
        self.dir.join("here")
    }

    /// A node's configuration file; its key is beside it.
    pub fn config(&self, node: NodeId) -> PathBuf {
        self.dir.join(format!("{}.toml", self.name(node)))
    }

    /// Where everything is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A node's own directory: `run`, `state`, `daemon.log`.
    pub fn node_dir(&self, node: NodeId) -> PathBuf {
        self.dir.join(&self.nodes[node.index() % 2])
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> &str {
        &self.nodes[node.index() % 2]
    }

    /// Whether nginx serves a page; else it is the built-in page server.
    pub fn has_nginx(&self) -> bool {
        self.services.iter().any(|service| service.nginx)
    }

    /// Where a group's page is served, if it has a service.
    pub fn page(&self, group: usize) -> Option<u16> {
        self.services.iter().find(|service| service.group == group).map(|service| service.port)
    }

    /// From now on (or no longer) a group's services fail to start, or to stop, on a node.
    pub fn misbehave(&self, node: NodeId, group: &str, what: Misbehaviour, on: bool) -> Result<()> {
        let word = if what == Misbehaviour::StartFails { "start-fails" } else { "stop-fails" };
        let flag = self.node_dir(node).join(format!("{word}-{group}"));
        match on {
            true => fs::write(&flag, "")?,
            false if flag.exists() => fs::remove_file(&flag)?,
            false => {}
        }
        Ok(())
    }

    /// The lines of a node's log from a byte on, and where it ends now.
    pub fn log_since(&self, node: NodeId, from: usize) -> (String, usize) {
        let text = fs::read(self.node_dir(node).join("daemon.log")).unwrap_or_default();
        (String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned(), text.len())
    }

    /// The last lines of a node's log.
    pub fn log_tail(&self, node: NodeId, lines: usize) -> String {
        let text = fs::read(self.node_dir(node).join("daemon.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// A command of `twinbeat` against a node's daemon, in the node's namespace: `standby`, `status`, … Waits for it.
    pub fn ask(&self, lab: &Lab, node: NodeId, args: &[&str]) -> Result<std::process::Output> {
        let run_dir = self.node_dir(node).join("run");
        lab.node(node).run(|| {
            let mut command = Command::new(&self.binary);
            command.args(args).arg("--run-dir").arg(&run_dir).stdin(Stdio::null());
            command.output().with_context(|| format!("twinbeat {}", args.join(" ")))
        })
    }

    fn keygen(&self, node: &str) -> Result<String> {
        let public = keys::generate(&self.dir.join(format!("{node}.key"))).context("a key for the drill")?;
        Ok(keys::public_text(&public))
    }

    /// `twinbeat run` as that node.
    pub(super) fn daemon_command(&self, node: NodeId) -> Command {
        let own = self.node_dir(node);
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(self.config(node)).args(["--node", &self.nodes[node.index() % 2]]);
        command.arg("--run-dir").arg(own.join("run")).arg("--state-dir").arg(own.join("state"));
        command
    }

    /// The first service's own command line: the same on both nodes.
    pub(super) fn service(&self) -> Vec<String> {
        self.services.first().map(|service| self.command(service, find_nginx().as_deref())).unwrap_or_default()
    }

    /// What a service runs in the end.
    fn command(&self, service: &Service, nginx: Option<&Path>) -> Vec<String> {
        let here = self.dir.join("here").display().to_string();
        match nginx {
            Some(nginx) if service.nginx => {
                vec![nginx.display().to_string(), "-c".into(), format!("{here}/{}.conf", service.name), "-p".into(), here]
            }
            _ => {
                vec![self.binary.display().to_string(), "page-server".into(), "--listen".into(), format!("[::]:{}", service.port)]
            }
        }
    }
}

/// How a service can be made to misbehave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misbehaviour {
    /// It does not start.
    StartFails,
    /// It does not stop (an init script only).
    StopFails,
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.keep {
            let _ = fs::write(self.dir.join(KEPT), "");
        } else {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The configuration of a lab's pair.
pub fn render(keys: &[&str; 2], timing: &Timing, failback: &str, service: &[String]) -> String {
    let mut text = String::from("cluster = \"drill\"\nport = 694\n");
    for node in BOTH {
        let name = node_name(node);
        text += &format!("\n[nodes.{name}]\npublic_key = \"{}\"\n[nodes.{name}.links]\n", keys[node.index()]);
        for cable in Cable::ALL {
            let (link, interface, address) = (cable.link(), cable.interface(), cable.address(node));
            text += &format!("{link} = {{ interface = \"{interface}\", address = \"{address}\" }}\n");
        }
    }
    text += &format!("\n[witness]\nlink = \"lan\"\ntargets = [\"{GATEWAY}\"]\nrelay = true\n\n[timing]\n");
    let Timing { heartbeat, warn, lease, dead, init_dead, delivery, rate, weak_gate: _, early_claim } = *timing;
    for (key, span) in [("heartbeat", heartbeat), ("warn", warn), ("lease", lease), ("dead", dead), ("init_dead", init_dead)] {
        text += &format!("{key} = \"{span}\"\n");
    }
    text += &format!("delivery = \"{delivery}\"\nrate_bound = {}.{:03}\n", (rate.saturating_sub(1000)) / 1000, rate % 1000);
    if !early_claim {
        text += "early_claim = false\n";
    }
    let words: Vec<String> = service.iter().map(|word| format!("{word:?}")).collect();
    text += &format!(
        "\n[[groups]]\nname = \"web\"\npreferred = \"master1\"\nfailback = {failback}\nvips = [{{ address = \"{VIP}/{VIP_PREFIX}\", link = \"lan\", label = \"0\" }}]\n\
         services = [{{ process = [{}], warm = true }}]\n",
        words.join(", ")
    );
    text
}

/// One process, in the foreground, everything below `here`.
fn nginx_conf(here: &Path, service: &Service, node: &str) -> String {
    let (here, Service { name, port, .. }) = (here.display(), service);
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {here}/nginx/{name}-{kind};\n"));
    format!(
        "daemon off;\nmaster_process off;\npid {here}/nginx/{name}.pid;\nerror_log {here}/nginx/{name}.log;\nevents {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n{}  server {{\n    listen {port};\n    listen [::]:{port};\n    location / {{ return 200 \"{node}\\n\"; }}\n  }}\n}}\n",
        temp.concat()
    )
}

/// What is left to do with this process's files where no guard runs any more: removes them, or marks them as kept.
pub fn leave_own(keep: bool) {
    let pid = std::process::id();
    let me = process::start_time(pid).map(|start| (pid, start));
    for (path, _) in all().filter(|(_, maker)| Some(*maker) == me) {
        let _ = if keep { fs::write(path.join(KEPT), "") } else { fs::remove_dir_all(&path) };
    }
}

/// The directories of all runs, each with its process: pid and start time.
fn all() -> impl Iterator<Item = (PathBuf, (u32, u64))> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten();
    entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let maker = Prefix::maker(&format!("{}-files", path.file_name()?.to_string_lossy()))?;
        Some((path, maker))
    })
}

/// Removes the files that runs left behind which are no longer alive.
fn sweep() {
    for (path, (pid, start)) in all() {
        // From another pid namespace the process cannot be seen: whoever lives holds the lock.
        let idle = || File::open(&path).is_ok_and(|dir| Flock::lock(dir, FlockArg::LockExclusiveNonblock).is_ok());
        if process::start_time(pid) != Some(start) && path.is_dir() && idle() && !path.join(KEPT).exists() {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// Marks a directory that somebody wanted kept.
const KEPT: &str = "kept";

/// Where nginx is, if it is installed.
pub(super) fn find_nginx() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = [PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")];
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join("nginx")).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rendered_configuration_is_toml_and_names_both_nodes() {
        let text = render(&["ed25519:a", "ed25519:b"], &TIMING, "\"auto\"", &["nginx".into(), "-c".into(), "a \"b\"".into()]);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["nodes"]["master2"]["links"]["lan"]["address"].as_str(), Some("192.168.42.13"));
        assert_eq!(table["timing"]["lease"].as_str(), Some("320ms"));
        assert_eq!(table["timing"]["rate_bound"].as_float(), Some(0.2));
        assert_eq!(table["groups"][0]["services"][0]["process"][2].as_str(), Some("a \"b\""));
    }

    #[test]
    fn the_drills_timing_keeps_the_relation_that_makes_it_safe() {
        assert!(TIMING.dead >= TIMING.least_dead(), "{} < {}", TIMING.dead, TIMING.least_dead());
        assert!(TIMING.heartbeat < TIMING.warn && TIMING.heartbeat < TIMING.lease && TIMING.init_dead >= TIMING.dead);
    }
}
