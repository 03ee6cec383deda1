//! Two machines with real systemd, set up by the README's ten lines as they stand, with the unit from `dist` and nginx as a unit: restart, upgrade,
//! a broken file, reboot, power off. Watched from outside by the drills' probe.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "systemd/machines.rs"]
mod machines;
#[path = "systemd/managers.rs"]
mod managers;
#[path = "systemd/pair.rs"]
mod pair;
#[path = "systemd/transient.rs"]
mod transient;
#[path = "systemd/units.rs"]
mod units;

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use machines::Machine;
use pair::{A, B, PAGE, PLANNED, Pair};
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, Lab, VIP, node_name};
use twinbeat::lab::probe::Probe;

/// Of the default profile, which the sample file has.
const DEAD: Duration = Duration::from_secs(2);
/// As the unit says.
const WATCHDOG: Duration = Duration::from_secs(10);

/// The README's ten lines: each command, and where it is run.
fn ten_lines() -> Vec<(String, String)> {
    let readme = include_str!("../README.md");
    let block = readme.split("## A production pair").nth(1).and_then(|rest| rest.split("```").nth(1)).expect("the block");
    let lines: Vec<_> = block.trim().lines().map(|line| line.split_once('#').expect("a comment")).collect();
    lines.into_iter().map(|(command, comment)| (command.trim().to_owned(), comment.trim().to_owned())).collect()
}

fn set_up(pair: &Pair) {
    let lines = ten_lines();
    assert_eq!(lines.len(), 10, "{lines:#?}");
    let mut keys: Vec<String> = Vec::new();
    for (at, (command, comment)) in (1..).zip(&lines) {
        assert!(comment.starts_with(&at.to_string()), "{comment}");
        match at {
            // Built by whoever runs this; what the line says to bring to both nodes is brought there.
            1 => {
                assert!(command.starts_with("cargo build") && comment.contains("dist"), "{command}");
                for node in BOTH {
                    let home = pair.on(node).root().join("root");
                    fs::copy(env!("CARGO_BIN_EXE_twinbeat"), home.join("twinbeat")).unwrap();
                    fs::create_dir_all(home.join("dist")).unwrap();
                    for file in ["twinbeat.toml", "twinbeat.service"] {
                        fs::copy(Path::new("dist").join(file), home.join("dist").join(file)).unwrap();
                    }
                }
            }
            // The sample's addresses are the lab's; its bond is a plain interface here.
            4 => {
                pair.on(A).must(command).unwrap();
                let file = pair.on(A).root().join("etc/twinbeat/twinbeat.toml");
                let mut text = fs::read_to_string(&file).unwrap().replace("bond0", "eth2");
                let old: Vec<String> = text.lines().filter(|line| line.starts_with("public_key")).map(str::to_owned).collect();
                for (old, new) in old.iter().zip(&keys) {
                    text = text.replace(old, new.as_str());
                }
                fs::write(file, text).unwrap();
            }
            5 => {
                let [from, to] = BOTH.map(|node| pair.on(node).root().join("etc/twinbeat/twinbeat.toml"));
                assert!(command.starts_with("scp /etc/twinbeat/twinbeat.toml master2:"), "{command}");
                fs::copy(from, to).unwrap();
            }
            _ => {
                for node in BOTH {
                    let said = pair.on(node).must(command).unwrap_or_else(|error| panic!("line {at}: {error:#}"));
                    keys.extend(said.lines().filter(|line| at == 3 && line.starts_with("public_key")).map(str::to_owned));
                }
            }
        }
        if at == 2 {
            init(pair);
        }
        if at == 6 {
            // nginx is still enabled here, and systemd would stop it beside twinbeat once the unit is there without its line.
            let said = pair.on(A).must("twinbeat check").unwrap();
            assert!(said.contains("`systemctl disable nginx.service`"), "{said}");
        }
        // The last line waits for nobody; who types it has taken longer.
        if at == 9 {
            pair.serves(A);
            pair.healthy();
        }
    }
}

/// `twinbeat init` for both nodes over ssh, beside the pair's own files: the same file on both, fit as it stands, and each node's key its own.
fn init(pair: &Pair) {
    pair.on(A).must("install -d -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519").unwrap();
    let public = pair.on(A).must("cat .ssh/id_ed25519.pub").unwrap();
    pair.on(B).must(&format!("install -d -m 700 .ssh && echo '{}' > .ssh/authorized_keys", public.trim())).unwrap();
    let line = "twinbeat init --peer root@10.1.1.2 --ssh 'ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new' --vip 192.168.42.14 \
                --service nginx --preferred master1 --out /root/first/twinbeat.toml";
    let dry = pair.on(A).must(&format!("{line} --dry-run")).unwrap();
    assert!(dry.contains("[nodes.master2]"), "{dry}");
    for node in BOTH {
        assert!(!pair.on(node).root().join("root/first").exists(), "a dry run has changed something");
    }
    // Done, and not fit as long as systemd starts nginx on both nodes; said of both.
    let done = pair.on(A).run(line).unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.code() == Some(1) && said.contains("master2, `twinbeat check`"), "{done:?}");
    assert_eq!(said.matches("FAIL").count() - said.matches("each FAIL").count(), 2, "{said}");
    assert_eq!(said.matches("`systemctl disable nginx.service`").count(), 2, "{said}");
    let of = |node: NodeId, name: &str| pair.on(node).root().join("root/first").join(name);
    let [mine, theirs] = BOTH.map(|node| fs::read_to_string(of(node, "twinbeat.toml")).unwrap());
    assert_eq!(mine, theirs);
    assert!(mine.contains("192.168.42.14/25") && mine.contains("targets = [") && mine.contains("\"192.168.42.1\""), "{mine}");
    for (node, other) in [(A, B), (B, A)] {
        assert!(
            of(node, &format!("{}.key", node_name(node))).exists() && !of(node, &format!("{}.key", node_name(other))).exists()
        );
    }
    // Once more: nothing is overwritten, on neither node.
    let again = pair.on(A).run(line).unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("never overwritten"), "{again:?}");
    fs::remove_file(of(A, "twinbeat.toml")).unwrap();
    let again = pair.on(A).run(line).unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("root@10.1.1.2 has /root/first/twinbeat.toml already"), "{again:?}");
    assert!(!of(A, "twinbeat.toml").exists());
}

/// A changed file by `systemctl reload`: the unit stays up with its process, nothing moves; one that cannot be used fails the reload and nothing else.
fn reload(pair: &Pair) {
    let must = |node: NodeId, line: &str| {
        let status =
            || pair.on(node).run("systemctl status twinbeat").map(|done| String::from_utf8_lossy(&done.stdout).into_owned());
        pair.on(node).must(line).unwrap_or_else(|error| panic!("{error:#}\n{:?}\n{}", status(), pair.logs()))
    };
    let pid = |node: NodeId| pair.on(node).must("systemctl show -p MainPID --value twinbeat").unwrap();
    let (from, pids) = (pair.probe.now(), BOTH.map(pid));
    for node in [B, A] {
        pair.on(node).must("sed -i 's/^failback = .*/failback = \"manual\"/' /etc/twinbeat/twinbeat.toml && grep -q manual /etc/twinbeat/twinbeat.toml").unwrap();
        let said = must(node, "twinbeat reload --plan && systemctl reload twinbeat && systemctl show -p ActiveState twinbeat");
        assert!(said.contains("failback") && said.contains("ActiveState=active"), "{said}");
    }
    pair.healthy();
    let file = pair.on(A).root().join("etc/twinbeat/twinbeat.toml");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replace("[witness]", "[witness")).unwrap();
    assert!(!pair.on(A).run("systemctl reload twinbeat").unwrap().status.success());
    fs::write(&file, whole.replace("failback = \"manual\"", "failback = \"auto\"")).unwrap();
    must(A, "systemctl reload twinbeat");
    must(B, "sed -i 's/^failback = .*/failback = \"auto\"/' /etc/twinbeat/twinbeat.toml && systemctl reload twinbeat");
    // Longer than the watchdog: the next life feeds it.
    thread::sleep(WATCHDOG + Duration::from_secs(1));
    pair.healthy();
    let seen = pair.seen("reloads", from);
    assert!(seen.moves() == 0 && seen.gap < PLANNED && seen.page_gap < PLANNED, "{seen:#?}\n{}", pair.logs());
    assert_eq!(BOTH.map(pid), pids, "{}", pair.logs());
}

/// `Type=notify-reload` by the drop-in, where this systemd knows it: `systemctl reload` is over when the changed file is in force, and also where it is
/// refused. Older ones keep the unit as it is, which the reloads above have gone through.
fn notify_reload(pair: &Pair) {
    let version = pair.on(A).must("systemctl --version").unwrap();
    let number: u32 = version.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a version");
    if number < 253 {
        println!("systemd {number} does not know Type=notify-reload");
        return;
    }
    let conf = fs::read_to_string("dist/notify-reload.conf").unwrap();
    let line = conf.lines().find_map(|line| line.strip_prefix("#   ")).unwrap();
    for node in [B, A] {
        fs::write(pair.on(node).root().join("root/dist/notify-reload.conf"), &conf).unwrap();
        pair.on(node).must(line).unwrap();
        assert_eq!(pair.on(node).must("systemctl show -p Type --value twinbeat").unwrap().trim(), "notify-reload");
    }
    let from = pair.probe.now();
    let file = pair.on(A).root().join("etc/twinbeat/twinbeat.toml");
    // A moment after a reload it is degraded: exit code 10.
    let life = || {
        let said = pair.on(A).run("twinbeat status --json").unwrap().stdout;
        serde_json::from_slice::<serde_json::Value>(&said).unwrap()["incarnation"].as_u64().expect("a daemon that answers")
    };
    let whole = fs::read_to_string(&file).unwrap();
    let (before, began) = (life(), Instant::now());
    fs::write(&file, format!("{whole}\n[journal]\nkeep = \"8MiB\"\n")).unwrap();
    pair.on(A).must("systemctl reload twinbeat").unwrap();
    assert!(life() > before);
    println!("systemd {number}: a reload by notify-reload took {:?}", began.elapsed());
    for (text, word) in [(whole.replace("[witness]", "[witness"), "the reload was refused"), (whole.clone(), "")] {
        fs::write(&file, text).unwrap();
        let began = Instant::now();
        let done = pair.on(A).run("systemctl reload twinbeat").unwrap();
        println!("{:?}", done.status);
        // Not at the end of its patience, 90 s.
        assert!(began.elapsed() < Duration::from_secs(30), "{done:?}\n{}", pair.logs());
        let shown = pair.on(A).must("systemctl show -p ActiveState,StatusText twinbeat").unwrap();
        assert!(shown.contains("ActiveState=active") && shown.contains(word), "{shown}");
    }
    pair.healthy();
    let seen = pair.seen("reloads by notify-reload", from);
    assert!(seen.moves() == 0 && seen.gap < PLANNED && seen.page_gap < PLANNED, "{seen:#?}\n{}", pair.logs());
}

/// A service that must not run twice and does not stop, with `stop_failure = "reboot"`: its machine reboots itself, and the peer serves.
fn stuck(pair: &mut Pair) {
    let script = "#!/bin/sh\ncase $1 in\nstart) touch /run/stuck ;;\nstop) [ -e /etc/will-not ] && exit 1; rm -f /run/stuck ;;\nstatus) [ -e /run/stuck ] || exit 3 ;;\nesac\n";
    for node in [B, A] {
        let root = pair.on(node).root();
        fs::write(root.join("etc/init.d/stuck"), script).unwrap();
        let file = root.join("etc/twinbeat/twinbeat.toml");
        let text = fs::read_to_string(&file).unwrap();
        let line = text.lines().find(|line| line.starts_with("services = [")).unwrap().to_owned();
        let more = line.replacen("[{", "[{ lsb = \"stuck\", stop_timeout = \"1s\" }, {", 1);
        fs::write(&file, text.replace(&line, &format!("{more}\nstop_failure = \"reboot\""))).unwrap();
        // The tighter unit may not reboot a machine, and has no init scripts.
        pair.on(node)
            .must("chmod +x /etc/init.d/stuck && rm -r /etc/systemd/system/twinbeat.service.d && systemctl daemon-reload")
            .unwrap();
        pair.on(node).must("systemctl restart twinbeat").unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
        thread::sleep(Duration::from_millis(1500));
    }
    pair.serves(A);
    pair.healthy();
    pair.on(A).must("touch /etc/will-not").unwrap();
    let from = pair.probe.now();
    // Nobody is there any more to answer it.
    let _ = pair.on(A).run("twinbeat standby --timeout 2s");
    pair.serves(B);
    let until = Instant::now() + Duration::from_secs(20);
    while pair.on(B).must("ls /run/stuck").is_err() {
        assert!(Instant::now() < until, "its own does not run there\n{}", pair.logs());
        thread::sleep(Duration::from_millis(200));
    }
    pair.machines[A.index()].rebooted().unwrap();
    pair.on(A).must("rm /etc/will-not").unwrap();
    pair.healthy();
    let log = pair.on(A).must("journalctl -u twinbeat --no-pager -o cat | tail -n 400").unwrap();
    assert!(log.contains("this machine reboots, as the file says"), "{log}");
    pair.seen("a service that does not stop", from);
}

/// The tighter unit for pairs with systemd's own services: set in place without a move, and from then on everything else happens in it.
fn sandbox(pair: &Pair) {
    let conf = fs::read_to_string("dist/sandbox.conf").unwrap();
    let line = conf.lines().find_map(|line| line.strip_prefix("#   ")).unwrap();
    let from = pair.probe.now();
    for node in [B, A] {
        fs::write(pair.on(node).root().join("root/dist/sandbox.conf"), &conf).unwrap();
        pair.on(node).must(line).unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
        thread::sleep(Duration::from_millis(1500));
    }
    pair.healthy();
    let seen = pair.seen("into the sandbox", from);
    assert!(seen.moves() == 0 && seen.gap < PLANNED && seen.page_gap < PLANNED, "{seen:#?}\n{}", pair.logs());
    let said = pair.on(A).must("systemd-analyze security twinbeat --no-pager").unwrap();
    let score = said.lines().find(|line| line.contains("Overall exposure level")).expect("a score").to_owned();
    println!("{}", score.trim());
    let figure: f64 = score.split_whitespace().find_map(|word| word.parse().ok()).expect("a figure");
    assert!(figure <= 3.0, "{said}");
    // What it may not do it does not, and what it has to do it can: gate, addresses, units, control socket, journal, priority, locked memory.
    let caps = pair.on(A).must("grep CapBnd /proc/$(systemctl show -p MainPID --value twinbeat)/status").unwrap();
    assert!(!caps.contains("ffffffffff"), "{caps}");
    let log = pair.on(A).must("journalctl -u twinbeat --no-pager -o cat -n 40").unwrap();
    for trouble in ["cannot", "Permission denied", "not permitted"] {
        assert!(!log.contains(trouble), "{log}");
    }
    let from = pair.probe.now();
    pair.on(A).must("twinbeat standby").unwrap();
    pair.serves(B);
    pair.on(A).must("twinbeat resume && twinbeat takeover").unwrap();
    pair.serves(A);
    pair.healthy();
    let seen = pair.seen("moves in the sandbox", from);
    assert!(seen.moves() == 2 && seen.gap < PLANNED && seen.page_gap < PLANNED + PAGE, "{seen:#?}\n{}", pair.logs());
}

/// The owner's daemon hangs: for less than its lease that is nothing; for good its gate closes, the peer serves, and systemd brings back the other half.
fn hang(pair: &Pair) {
    let pid = || pair.on(A).must("systemctl show -p MainPID --value twinbeat").unwrap().trim().to_owned();
    let (from, hung) = (pair.probe.now(), pid());
    pair.on(A).must(&format!("kill -STOP {hung} && sleep 0.2 && kill -CONT {hung}")).unwrap();
    thread::sleep(Duration::from_secs(1));
    let seen = pair.seen("a short hang", from);
    assert!(seen.moves() == 0 && pid() == hung, "{seen:#?}\n{}", pair.logs());

    let (from, began) = (pair.probe.now(), Instant::now());
    pair.on(A).must(&format!("kill -STOP {hung}")).unwrap();
    pair.serves(B);
    let seen = pair.seen("a hang", from);
    assert!(seen.gap < DEAD + PLANNED, "{seen:#?}\n{}", pair.logs());
    while pid() == hung || pid() == "0" {
        assert!(began.elapsed() < WATCHDOG + Duration::from_secs(15), "it is not started again\n{}", pair.logs());
        thread::sleep(Duration::from_millis(100));
    }
    println!("killed and started again after {:?}", began.elapsed());
    assert!(began.elapsed() > WATCHDOG / 2, "it was fed until it hung");
    let said =
        pair.on(A).must("systemctl show -p NRestarts,Result --value twinbeat; journalctl -u twinbeat --no-pager -n 40").unwrap();
    assert!(said.contains("Watchdog timeout"), "{said}");
    pair.serves(A);
    pair.healthy();
    pair.seen("a hang and its end", from);
}

#[test]
fn a_pair_of_the_readmes_ten_lines_is_restarted_upgraded_broken_rebooted_and_loses_power() {
    if !common::ready() {
        return;
    }
    let Some(base) = machines::base() else { return };
    let began = Instant::now();
    let lab = Lab::build().unwrap();
    let machines = BOTH.map(|node| Machine::make(&base, node_name(node), lab.node(node)).unwrap());
    let mut pair = Pair { machines, probe: Probe::start(&lab, VIP).unwrap(), _lab: lab };
    pair.machines.iter_mut().for_each(|machine| machine.boot().unwrap());
    set_up(&pair);
    println!("set up after {:?}", began.elapsed());

    // Monitoring without root: a member of the group looks, and commands nothing.
    pair.on(B).must("groupadd --system twinbeat && useradd -r -g twinbeat watcher && systemctl restart twinbeat").unwrap();
    pair.healthy();
    let watch = |what: &str| pair.on(B).run(&format!("runuser -u watcher -- twinbeat {what}")).unwrap();
    assert_eq!(watch("status --json").status.code(), Some(0), "{:?}", watch("status --json"));
    let refused = watch("takeover");
    assert!(refused.status.code() == Some(1) && String::from_utf8_lossy(&refused.stderr).contains("be root"), "{refused:?}");
    assert_ne!(pair.on(B).run("runuser -u nobody -- twinbeat status").unwrap().status.code(), Some(0));

    // In the journal with priorities, groups and kinds as fields, and no time of its own; a start warns of nothing that is just not there yet.
    for node in BOTH {
        let warnings = pair.on(node).must("journalctl -u twinbeat -p warning --no-pager -o cat").unwrap();
        assert!(!warnings.contains("unheard") && !warnings.contains("one-way") && !warnings.contains("missing"), "{warnings}");
    }
    let fields = pair.on(A).must("journalctl -u twinbeat TWINBEAT_GROUP=web TWINBEAT_EVENT=owner --no-pager -o cat").unwrap();
    assert!(fields.starts_with("master1 SERVES"), "{fields}");

    // An upgrade and a restart, the standby first: nothing moves, no page is lost.
    let from = pair.probe.now();
    for node in [B, A] {
        pair.on(node).must("install -m 755 twinbeat /usr/bin/ && systemctl restart twinbeat").unwrap();
        thread::sleep(Duration::from_millis(1500));
    }
    pair.healthy();
    let seen = pair.seen("restarts", from);
    assert!(seen.moves() == 0 && seen.gap < PLANNED && seen.page_gap < PLANNED, "{seen:#?}\n{}", pair.logs());

    reload(&pair);
    notify_reload(&pair);
    sandbox(&pair);
    units::try_all(&pair);
    transient::try_all(&mut pair);

    // Whatever manages the network beside it.
    let managed = Instant::now();
    managers::try_all(&pair);
    println!("foreign network managers: {:?}", managed.elapsed());

    // A file that cannot be used: the peer serves, the restart fails and says why, and systemd does not try for ever.
    let file = pair.on(A).root().join("etc/twinbeat/twinbeat.toml");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replace("[witness]", "[witness")).unwrap();
    let from = pair.probe.now();
    let restart = pair.on(A).run("systemctl restart twinbeat").unwrap();
    assert!(!restart.status.success(), "{restart:?}");
    pair.serves(B);
    thread::sleep(Duration::from_secs(1));
    let shown = pair.on(A).must("systemctl show -p ExecMainStatus,NRestarts,ActiveState twinbeat").unwrap();
    assert!(["ExecMainStatus=78", "NRestarts=0", "ActiveState=failed"].iter().all(|line| shown.contains(line)), "{shown}");
    let log = pair.on(A).must("journalctl -u twinbeat --no-pager -n 30").unwrap();
    assert!(log.contains("the configuration cannot be used"), "{log}");
    let seen = pair.seen("a broken file", from);
    assert!(seen.gap < PLANNED && seen.page_gap < PLANNED + PAGE, "{seen:#?}\n{}", pair.logs());
    fs::write(&file, whole).unwrap();
    pair.on(A).must("systemctl restart twinbeat").unwrap();
    pair.serves(A);
    pair.healthy();

    hang(&pair);

    // A reboot: systemd stops nginx behind twinbeat, when the address has moved.
    let from = pair.probe.now();
    pair.machines[A.index()].reboot().unwrap();
    pair.serves(A);
    pair.healthy();
    let seen = pair.seen("a reboot of the owner", from);
    assert!(seen.moves() == 2 && seen.gap < PLANNED && seen.page_gap < PLANNED + PAGE, "{seen:#?}\n{}", pair.logs());

    // The power goes.
    let from = pair.probe.now();
    pair.machines[A.index()].power_off().unwrap();
    pair.serves(B);
    let seen = pair.seen("power off", from);
    assert!(seen.gap < DEAD + PLANNED, "{seen:#?}\n{}", pair.logs());
    pair.machines[A.index()].boot().unwrap();
    pair.serves(A);
    pair.healthy();
    stuck(&mut pair);
    println!("all of it after {:?}", began.elapsed());
}
