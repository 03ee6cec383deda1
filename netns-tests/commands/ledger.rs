//! Which commands stand in the pages, which of them were run, and which another test runs.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::documents::shell;

/// The pages that this is about.
const PAGES: [&str; 5] = [
    "README.md",
    "docs/OPERATIONS.md",
    "docs/SERVICES.md",
    "docs/MIGRATING-FROM-HEARTBEAT.md",
    "docs/MIGRATING-FROM-KEEPALIVED.md",
];

/// What a command begins with.
const PROGRAMS: [&str; 29] = [
    "twinbeat",
    "systemctl",
    "systemd-analyze",
    "journalctl",
    "dpkg",
    "rpm",
    "rm",
    "mv",
    "cp",
    "install",
    "scp",
    "ssh",
    "cargo",
    "./netns-tests/run.sh",
    "groupadd",
    "usermod",
    "networkctl",
    "ifdown",
    "nmcli",
    "nft",
    "nginx",
    "man",
    "ip",
    "promtool",
    "keepalived",
    "kill",
    "sed",
    "curl",
    "chown",
];

/// A command that another test runs, or one that stands for it.
pub struct Elsewhere {
    pub command: &'static str,
    /// A file of the repository.
    pub test: &'static str,
    /// What stands in that file: the command, or what runs it.
    pub words: &'static str,
}

pub struct Ledger {
    stands: BTreeMap<String, Vec<&'static str>>,
    run: RefCell<BTreeSet<String>>,
}

impl Ledger {
    pub fn of_the_pages() -> Ledger {
        let mut stands: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for page in PAGES {
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
            for command in shell(&text, &PROGRAMS) {
                stands.entry(command).or_default().push(page);
            }
        }
        assert!(stands.len() > 80, "only {} commands were found", stands.len());
        Ledger { stands, run: RefCell::default() }
    }

    /// The command as it stands there, which is run now.
    pub fn take<'a>(&self, command: &'a str) -> &'a str {
        assert!(self.stands.contains_key(command), "`{command}` stands in no page");
        self.run.borrow_mut().insert(command.to_owned());
        command
    }

    /// Each command was run, or another test runs it, or there is a reason why none does; and nothing stands in the two lists for nothing.
    pub fn settle(&self, elsewhere: &[Elsewhere], never: &[(&str, &str)]) {
        let run = self.run.borrow();
        let mut wrong = Vec::new();
        let listed: Vec<&str> =
            elsewhere.iter().map(|entry| entry.command).chain(never.iter().map(|(command, _)| *command)).collect();
        for (command, pages) in &self.stands {
            match (run.contains(command), listed.iter().filter(|one| *one == command).count()) {
                (true, 0) | (false, 1) => {}
                (false, 0) => wrong.push(format!("{}: `{command}` is run by nobody", pages.join(", "))),
                (ran, times) => {
                    wrong.push(format!("`{command}` is listed {times} times{}", if ran { ", and run here" } else { "" }))
                }
            }
        }
        for command in listed.iter().filter(|command| !self.stands.contains_key(**command)) {
            wrong.push(format!("`{command}` is listed, and stands in no page"));
        }
        for Elsewhere { command, test, words } in elsewhere {
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(test)).unwrap_or_default();
            if !text.contains(words) {
                wrong.push(format!("`{command}`: {test} has no {words:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        println!(
            "{} commands: {} run here, {} elsewhere, {} by nobody",
            self.stands.len(),
            run.len(),
            elsewhere.len(),
            never.len()
        );
    }
}
