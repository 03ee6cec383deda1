//! The other machine, over the ssh that is there: its own `twinbeat init` does there what is to be done there.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// How it is reached.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `root@master2`.
    pub peer: String,
    /// The program with its arguments.
    pub ssh: Vec<String>,
}

impl Remote {
    /// With words for a person: `ssh -p 2222` becomes three.
    pub fn new(peer: &str, ssh: &str) -> Remote {
        Remote { peer: peer.to_owned(), ssh: ssh.split_whitespace().map(str::to_owned).collect() }
    }

    /// What `twinbeat init --remote WHAT` prints there; `input` goes to its standard input.
    ///
    /// # Errors
    /// ssh cannot be run, or ends with another code than 0, with its words.
    pub fn ask(&self, what: &str, file: &Path, input: &str) -> anyhow::Result<String> {
        let done = self.run(&format!("twinbeat init --remote {what} --out {}", quoted(file)?), input)?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            let said = said.trim().trim_start_matches("twinbeat: ");
            bail!("{}: {}", self.peer, if said.is_empty() { done.status.to_string() } else { said.to_owned() });
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// `twinbeat check` there: its report, and whether it is fit.
    ///
    /// # Errors
    /// ssh cannot be run.
    pub fn check(&self, file: &Path) -> anyhow::Result<(String, bool)> {
        let done = self.run(&format!("twinbeat check --config {}", quoted(file)?), "")?;
        let said = [done.stdout, done.stderr].concat();
        Ok((String::from_utf8_lossy(&said).into_owned(), done.status.success()))
    }

    fn run(&self, words: &str, input: &str) -> anyhow::Result<Output> {
        let (program, arguments) = self.ssh.split_first().context("--ssh names no program")?;
        let mut command = Command::new(program);
        command.args(arguments).arg("--").arg(&self.peer).arg(words);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("{program} cannot be run"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Whoever does not read has ended, and its code says why.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().with_context(|| format!("{program} {}", self.peer))
    }
}

/// For the shell there.
fn quoted(file: &Path) -> anyhow::Result<String> {
    match file.to_str() {
        Some(text) if !text.contains('\'') => Ok(format!("'{text}'")),
        _ => bail!("{}: a file's name for the other machine has no quotes and is UTF-8", file.display()),
    }
}
