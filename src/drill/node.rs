//! The files of a pair: for each node its own directories, keys, page and configuration. The daemons are [`daemon`](super::daemon)'s.
//!
//! Everything lives in one temporary directory: the configuration (the same file for both nodes) with both keys beside it, and for each node
//! its run and state directories, nginx's files and logs. A node sees its own part at `here`, by a bind mount in a mount namespace of its own:
//! so one configuration names the same nginx.conf on both.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::contender::Contender;
use super::lab::{BOTH, Cable, GATEWAY, Lab, VIP, VIP_PREFIX, node_name};
use crate::core::id::NodeId;
use crate::core::settings::Timing;

/// The timing of a drill: detection in about a second, as the baseline's daemons were set.
pub const TIMING: Timing = Timing::SECOND;

/// The files of a drill, and the program under test. Its directory is removed on drop, unless it is to be kept.
#[derive(Debug)]
pub struct Site {
    dir: PathBuf,
    binary: PathBuf,
    nginx: Option<PathBuf>,
    contender: Contender,
    /// Keep the directory, for a look at the logs.
    pub keep: bool,
}

impl Site {
    /// Prepares the directories, keys (by `twinbeat keygen`) and the configuration with that `failback`.
    pub fn prepare(lab: &Lab, binary: &Path, failback: &str) -> Result<Site> {
        let dir = std::env::temp_dir().join(lab.prefix().trim_end_matches('-'));
        fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        let site = Site { dir, binary: binary.to_owned(), nginx: find_nginx(), contender: Contender::Twinbeat, keep: false };
        fs::set_permissions(&site.dir, fs::Permissions::from_mode(0o700))?;
        fs::create_dir(site.dir.join("here"))?;
        let mut keys = Vec::new();
        for node in BOTH {
            let own = site.node_dir(node);
            for part in ["run", "state", "nginx"] {
                fs::create_dir_all(own.join(part))?;
            }
            fs::write(own.join("nginx.conf"), nginx_conf(&site.dir.join("here"), node_name(node)))?;
            keys.push(site.keygen(node)?);
        }
        fs::write(site.config(), render(&[&keys[0], &keys[1]], &TIMING, failback, &site.service()))?;
        Ok(site)
    }

    /// Has these daemons keep the pair instead.
    pub fn give_to(&mut self, contender: Contender) -> Result<()> {
        self.contender = contender;
        // What runs as another user must get to its own files; the keys have modes of their own.
        if contender != Contender::Twinbeat {
            fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o711))?;
        }
        contender.prepare(self)
    }

    /// Whose daemons keep the pair.
    pub fn contender(&self) -> Contender {
        self.contender
    }

    /// Where each node sees its own directory, by a mount of its own.
    pub(super) fn here(&self) -> PathBuf {
        self.dir.join("here")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("twinbeat.toml")
    }

    /// A node's own directory: `run`, `state`, `daemon.log`.
    pub fn node_dir(&self, node: NodeId) -> PathBuf {
        self.dir.join(node_name(node))
    }

    /// Whether nginx serves the page; else it is the built-in page server.
    pub fn has_nginx(&self) -> bool {
        self.nginx.is_some()
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

    fn keygen(&self, node: NodeId) -> Result<String> {
        let file = self.dir.join(format!("{}.key", node_name(node)));
        let done = Command::new(&self.binary).arg("keygen").arg("--out").arg(&file).output().context("twinbeat keygen")?;
        let text = String::from_utf8_lossy(&done.stdout);
        let key = text.split('"').find(|part| part.starts_with("ed25519:")).map(str::to_owned);
        match key {
            Some(key) if done.status.success() => Ok(key),
            _ => bail!("twinbeat keygen gave no key: {text}{}", String::from_utf8_lossy(&done.stderr)),
        }
    }

    /// `twinbeat run` as that node.
    pub(super) fn daemon_command(&self, node: NodeId) -> Command {
        let own = self.node_dir(node);
        let mut command = Command::new(&self.binary);
        command.arg("run").arg("--config").arg(self.config()).args(["--node", node_name(node)]);
        command.arg("--run-dir").arg(own.join("run")).arg("--state-dir").arg(own.join("state"));
        command
    }

    /// The service's command line: the same on both nodes.
    pub(super) fn service(&self) -> Vec<String> {
        let here = self.dir.join("here").display().to_string();
        match &self.nginx {
            Some(nginx) => vec![nginx.display().to_string(), "-c".into(), format!("{here}/nginx.conf"), "-p".into(), here],
            None => vec![self.binary.display().to_string(), "page-server".into(), "--listen".into(), "0.0.0.0:80".into()],
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !self.keep {
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
    let Timing { heartbeat, warn, lease, dead, init_dead, delivery, rate, weak_gate: _ } = *timing;
    for (key, span) in [("heartbeat", heartbeat), ("warn", warn), ("lease", lease), ("dead", dead), ("init_dead", init_dead)] {
        text += &format!("{key} = \"{span}\"\n");
    }
    text += &format!("delivery = \"{delivery}\"\nrate_bound = {}.{:03}\n", (rate.saturating_sub(1000)) / 1000, rate % 1000);
    let words: Vec<String> = service.iter().map(|word| format!("{word:?}")).collect();
    text += &format!(
        "\n[[groups]]\nname = \"web\"\npreferred = \"master1\"\nfailback = {failback}\nvips = [{{ address = \"{VIP}/{VIP_PREFIX}\", link = \"lan\", label = \"0\" }}]\n\
         services = [{{ process = [{}], warm = true }}]\n",
        words.join(", ")
    );
    text
}

/// One process, in the foreground, everything below `here`.
fn nginx_conf(here: &Path, name: &str) -> String {
    let here = here.display();
    let temp =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("  {kind}_temp_path {here}/nginx/{kind};\n"));
    format!(
        "daemon off;\nmaster_process off;\npid {here}/nginx/pid;\nerror_log {here}/nginx/error.log;\nevents {{ worker_connections 64; }}\n\
         http {{\n  access_log off;\n{}  server {{\n    listen 80;\n    listen [::]:80;\n    location / {{ return 200 \"{name}\\n\"; }}\n  }}\n}}\n",
        temp.concat()
    )
}

fn find_nginx() -> Option<PathBuf> {
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
