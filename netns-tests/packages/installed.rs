//! The built package on two machines with systemd: installed, upgraded and downgraded without a move, removed, purged. Run where `TWINBEAT_DEB`
//! names one (`dist/release` makes it); the version before is the same package under a lower number.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, Lab, VIP, node_name};
use twinbeat::lab::probe::{Outcome, Probe};

use crate::common;
use crate::machines::{self, Machine};
use crate::pair::{A, B, PAGE, PLANNED, Pair};

impl Pair {
    /// What a client saw from `from` until now: never two owners, and no more missed than a planned move costs.
    fn planned(&self, what: &str, from: Duration) -> Outcome {
        let seen = self.seen(what, from);
        let page = if seen.moves() == 0 { PLANNED } else { PLANNED + PAGE };
        assert!(seen.gap < PLANNED && seen.page_gap < page, "{what}: {seen:#?}\n{}", self.logs());
        seen
    }

    fn show(&self, node: NodeId, property: &str) -> String {
        self.on(node).must(&format!("systemctl show -p {property} --value twinbeat")).unwrap().trim().to_owned()
    }

    /// `dpkg -i` on the standby, then on the owner: each has another process than before, and nothing moves.
    fn installed_without_a_move(&self, what: &str, package: &str) {
        let (from, pids) = (self.probe.now(), BOTH.map(|node| self.show(node, "MainPID")));
        for node in [B, A] {
            let said = self.on(node).must(&format!("dpkg -i {package} 2>&1")).unwrap();
            assert!(!said.contains("twinbeat: "), "{said}");
            thread::sleep(Duration::from_millis(1500));
        }
        self.healthy();
        let seen = self.planned(what, from);
        assert_eq!(seen.moves(), 0, "{what}: {seen:#?}\n{}", self.logs());
        for node in BOTH {
            assert!(
                self.show(node, "MainPID") != pids[node.index()] && self.show(node, "ActiveState") == "active",
                "{}",
                self.logs()
            );
        }
    }
}

/// The package, and the same under a lower version.
fn versions(deb: &Path, dir: &Path) -> [PathBuf; 2] {
    let unpacked = dir.join("unpacked");
    let done = Command::new("dpkg-deb").arg("-R").args([deb, &unpacked]).status().unwrap();
    assert!(done.success(), "{}", deb.display());
    let control = unpacked.join("DEBIAN/control");
    let text: String = fs::read_to_string(&control).unwrap();
    let changed =
        text.lines().map(|line| if line.starts_with("Version: ") { "Version: 0.0.1-1" } else { line }.to_owned() + "\n");
    fs::write(&control, changed.collect::<String>()).unwrap();
    let before = dir.join("before.deb");
    assert!(Command::new("dpkg-deb").args(["--root-owner-group", "-b"]).args([&unpacked, &before]).status().unwrap().success());
    [before, deb.to_owned()]
}

/// A pair from the package, with the sample that is in it: the README's ten lines but for what the package does.
fn set_up(pair: &Pair) {
    let mut keys = Vec::new();
    for node in BOTH {
        let said = pair.on(node).must("twinbeat keygen --out /etc/twinbeat/$(hostname).key").unwrap();
        keys.extend(said.lines().filter(|line| line.starts_with("public_key")).map(str::to_owned));
    }
    let sample = pair.on(A).root().join("usr/share/doc/twinbeat/examples/twinbeat.toml");
    let mut text = fs::read_to_string(sample).unwrap().replace("bond0", "eth2");
    let old: Vec<String> = text.lines().filter(|line| line.starts_with("public_key")).map(str::to_owned).collect();
    for (old, new) in old.iter().zip(&keys) {
        text = text.replace(old, new);
    }
    for node in BOTH {
        fs::write(pair.on(node).root().join("etc/twinbeat/twinbeat.toml"), &text).unwrap();
        pair.on(node).must("systemctl disable --now nginx && twinbeat check && systemctl enable --now twinbeat").unwrap();
    }
    pair.serves(A);
    pair.healthy();
}

#[test]
fn the_built_package_is_installed_upgraded_downgraded_removed_and_purged_on_two_machines() {
    let Some(deb) = std::env::var_os("TWINBEAT_DEB") else {
        println!(
            "SKIPPED: TWINBEAT_DEB names no built package (dist/release makes one): how it is installed and upgraded with systemd"
        );
        return;
    };
    if !common::ready() {
        return;
    }
    let Some(base) = machines::base() else { return };
    let dir = tempfile::tempdir().unwrap();
    let packages = versions(Path::new(&deb), dir.path());
    let lab = Lab::build().unwrap();
    let machines = BOTH.map(|node| Machine::make(&base, node_name(node), lab.node(node)).unwrap());
    let mut pair = Pair { machines, probe: Probe::start(&lab, VIP).unwrap(), _lab: lab };
    pair.machines.iter_mut().for_each(|machine| machine.boot().unwrap());

    // Nothing is started or enabled, and there is no configuration.
    for node in BOTH {
        for (package, name) in packages.iter().zip(["before.deb", "now.deb"]) {
            fs::copy(package, pair.on(node).root().join("root").join(name)).unwrap();
        }
        pair.on(node)
            .must("dpkg -i before.deb && getent group twinbeat && [ -z \"$(ls /etc/twinbeat)\" ] && [ -x /usr/bin/twinbeat ]")
            .unwrap();
        assert_eq!((pair.show(node, "ActiveState"), pair.show(node, "UnitFileState")), ("inactive".into(), "disabled".into()));
        let drill = pair.on(node).run("twinbeat drill").unwrap();
        assert!(drill.status.code() == Some(2) && String::from_utf8_lossy(&drill.stderr).contains("twinbeat-lab"), "{drill:?}");
    }
    set_up(&pair);
    // A member of the group looks, without a restart: the group was there when the daemon started.
    pair.on(B).must("useradd -r -g twinbeat watcher && runuser -u watcher -- twinbeat status").unwrap();

    pair.installed_without_a_move("an upgrade", "now.deb");
    pair.installed_without_a_move("a downgrade", "before.deb");

    // With an error in the file: the peer serves, the package is installed all the same, and says where to look.
    let file = pair.on(A).root().join("etc/twinbeat/twinbeat.toml");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replace("[witness]", "[witness")).unwrap();
    let from = pair.probe.now();
    let said = pair.on(A).must("dpkg -i now.deb 2>&1 && dpkg -s twinbeat").unwrap();
    assert!(said.contains("systemctl status twinbeat say why") && said.contains("Status: install ok installed"), "{said}");
    pair.serves(B);
    fs::write(&file, whole).unwrap();
    pair.on(A).must("systemctl restart twinbeat").unwrap();
    pair.serves(A);
    pair.healthy();
    pair.planned("an upgrade with a broken file", from);

    // The owner's package is removed: its peer serves. Put back it starts nothing; started by hand it goes on.
    let from = pair.probe.now();
    pair.on(A).must("dpkg -r twinbeat && [ -e /etc/twinbeat/master1.key ] && [ -e /var/lib/twinbeat/state.json ]").unwrap();
    pair.serves(B);
    assert_eq!(pair.planned("a removal from the owner", from).moves(), 1, "{}", pair.logs());
    pair.on(A).must("dpkg -i before.deb").unwrap();
    assert_eq!(pair.show(A, "ActiveState"), "inactive");
    pair.on(A).must("systemctl start twinbeat").unwrap();
    pair.serves(A);
    pair.healthy();

    // A purge takes the state and leaves key and configuration, and says so.
    let said =
        pair.on(B).must("dpkg -P twinbeat 2>&1 && [ ! -e /var/lib/twinbeat ] && [ -e /etc/twinbeat/master2.key ]").unwrap();
    assert!(said.contains("/etc/twinbeat is kept"), "{said}");
    pair.on(B).must("[ ! -L /etc/systemd/system/multi-user.target.wants/twinbeat.service ] && [ -z \"$(ip -o addr show to 192.168.42.14)\" ]").unwrap();
}
