//! Processes and init scripts of a daemon that lives in the sandbox: systemd runs them, outside of it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::{A, B, PLANNED, Pair};
use twinbeat::lab::lab::BOTH;

/// What the sandbox forbids, and what it would pass on.
const PROGRAM: &str = "#!/bin/sh\n\
    echo \"$1|$2\" > /etc/second-was-here && echo \"second begins, epoch $TWINBEAT_EPOCH\"\n\
    exec sleep 1000000\n";
const SCRIPT: &str = "#!/bin/sh\n\
    case $1 in\n\
    start) touch /etc/third-was-here && { sleep 1000001 & echo $! > /run/third.pid; } ;;\n\
    stop) touch /etc/third-was-stopped && kill $(cat /run/third.pid); rm -f /run/third.pid ;;\n\
    status) [ -e /run/third.pid ] && kill -0 $(cat /run/third.pid) || exit 3 ;;\n\
    esac\n";
/// How long the page may be away beyond that: what must not run twice starts when the address is there, one after the other, and what is asked
/// while it does not is given up after half a second.
const STARTS: Duration = Duration::from_secs(2);
const SECOND: &str = "twinbeat-web:second.service";
const THIRD: &str = "twinbeat-web:third.service";
const SERVICES: &str = "{ process = [\"/usr/local/sbin/second\", \"a ${HOME} $HOME 50%n\", \"$HOME\"], stop_timeout = \"5s\", restarts = 5 }, { lsb = \"third\" }, ";

/// All of it, from a pair that lives in the sandbox back to it.
pub fn try_all(pair: &mut Pair) {
    let from = pair.probe.now();
    let files = BOTH.map(|node| pair.on(node).root().join("etc/twinbeat/twinbeat.toml"));
    let whole = files.each_ref().map(|file| fs::read_to_string(file).unwrap());
    for node in [B, A] {
        let root = pair.on(node).root();
        for (place, text) in [("usr/local/sbin/second", PROGRAM), ("etc/init.d/third", SCRIPT)] {
            fs::write(root.join(place), text).unwrap();
        }
        pair.on(node)
            .must("chmod 755 /usr/local/sbin/second /etc/init.d/third && rm -f /etc/second-was-here /etc/third-was-*")
            .unwrap();
        let text = whole[node.index()].replace("services = [", &format!("services = [{SERVICES}"));
        assert_ne!(text, whole[node.index()]);
        fs::write(&files[node.index()], text).unwrap();
        pair.on(node).must("systemctl restart twinbeat").unwrap();
        thread::sleep(Duration::from_millis(1500));
    }
    pair.on(A).must("twinbeat standby").unwrap();
    pair.serves(B);
    pair.on(A).must("twinbeat resume && twinbeat takeover").unwrap();
    pair.serves(A);
    pair.healthy();
    runs(pair, A);
    let log = pair.on(A).must("journalctl -u twinbeat --no-pager -o cat -n 200").unwrap();
    assert!(log.contains("second begins, epoch "), "its output is in the log\n{log}");
    let words = pair.on(A).must("ls /etc/third-was-here >/dev/null && cat /etc/second-was-here").unwrap();
    assert_eq!(words.trim_end(), "a ${HOME} $HOME 50%n|$HOME", "word for word, as a child gets them");
    let limits = pair.on(A).must(&format!("grep NoNewPrivs /proc/{}/status", pid(pair, SECOND))).unwrap();
    assert!(limits.trim_end().ends_with('0'), "{limits}");

    // The next life finds them, in the sandbox and out of it.
    let before = pid(pair, SECOND);
    pair.on(A).must("systemctl restart twinbeat").unwrap();
    thread::sleep(Duration::from_millis(1500));
    pair.healthy();
    assert_eq!(pid(pair, SECOND), before, "{}", pair.logs());
    let drop_in = "/etc/systemd/system/twinbeat.service.d/sandbox.conf";
    pair.on(A).must(&format!("mv {drop_in} /root/ && systemctl daemon-reload && systemctl restart twinbeat")).unwrap();
    thread::sleep(Duration::from_millis(1500));
    pair.healthy();
    assert_eq!(pid(pair, SECOND), before, "{}", pair.logs());
    pair.on(A)
        .must(&format!("mv /root/sandbox.conf {drop_in} && systemctl daemon-reload && systemctl restart twinbeat"))
        .unwrap();
    thread::sleep(Duration::from_millis(1500));
    pair.healthy();
    assert_eq!(pid(pair, SECOND), before, "{}", pair.logs());

    // It is killed: seen at once, with the reason, and started again on the spot.
    pair.on(A).must(&format!("kill -9 {before}")).unwrap();
    until(pair, "it is started again", || !["0", before.as_str()].contains(&pid(pair, SECOND).as_str()));
    let log = pair.on(A).must("journalctl -u twinbeat --no-pager -o cat -n 50").unwrap();
    assert!(log.contains("web/second died") && log.contains("killed by a signal") && log.contains("restarting it here"), "{log}");
    pair.healthy();

    // Without a bus as well: its death is seen by a look, and it is started by systemd-run.
    let before = pid(pair, SECOND);
    pair.on(A).must(&format!("systemctl stop dbus.socket dbus.service && sleep 1 && kill -9 {before}")).unwrap();
    until(pair, "it is started again without a bus", || !["0", before.as_str()].contains(&pid(pair, SECOND).as_str()));
    let words = pair.on(A).must("cat /etc/second-was-here && systemctl start dbus.socket dbus.service").unwrap();
    assert_eq!(words.trim_end(), "a ${HOME} $HOME 50%n|$HOME");
    pair.healthy();

    // A move, and the end of the daemon: what is left here is nothing.
    pair.on(A).must("twinbeat standby").unwrap();
    pair.serves(B);
    pair.healthy();
    runs(pair, B);
    gone(pair);
    pair.on(A).must("ls /etc/third-was-stopped && twinbeat resume && twinbeat takeover").unwrap();
    pair.serves(A);
    pair.healthy();
    runs(pair, A);
    pair.on(A).must("systemctl stop twinbeat").unwrap();
    pair.serves(B);
    gone(pair);
    pair.on(A).must("systemctl start twinbeat").unwrap();
    pair.serves(A);
    pair.healthy();
    runs(pair, A);
    println!("{}", starts(pair));

    // A reboot is a planned move: systemd ends the units behind the daemon.
    pair.on(A).must("rm -f /etc/third-was-stopped").unwrap();
    let rebooted = pair.probe.now();
    pair.machines[A.index()].reboot().unwrap();
    pair.serves(A);
    pair.healthy();
    runs(pair, A);
    pair.on(A).must("ls /etc/third-was-stopped").unwrap();
    let seen = pair.seen("a reboot with services in units", rebooted);
    assert!(seen.moves() == 2 && seen.gap < PLANNED && seen.page_gap < PLANNED + STARTS, "{seen:#?}\n{}", pair.logs());

    // As it was: what a file names no more is left running, and is for people to stop.
    for node in [B, A] {
        fs::write(&files[node.index()], &whole[node.index()]).unwrap();
        pair.on(node).must("systemctl restart twinbeat").unwrap();
        thread::sleep(Duration::from_millis(1500));
        let _ = pair.on(node).run(&format!("systemctl stop {SECOND} {THIRD}"));
    }
    pair.healthy();
    let seen = pair.seen("services in units of the daemon's making", from);
    assert!(seen.gap < PLANNED && seen.page_gap < PLANNED + STARTS, "{seen:#?}\n{}", pair.logs());
}

/// How long the services took to start the last times, in the log's own words.
fn starts(pair: &Pair) -> String {
    let log = pair.on(A).must("journalctl -u twinbeat --no-pager -o cat").unwrap();
    log.lines().filter(|line| line.contains("the services run")).collect::<Vec<_>>().join("\n")
}

fn pid(pair: &Pair, unit: &str) -> String {
    pair.on(A).must(&format!("systemctl show -p MainPID --value {unit}")).unwrap().trim().to_owned()
}

/// Both run on this node, each in a unit of its own, and all that the init script left behind is in its unit.
fn runs(pair: &Pair, node: twinbeat::core::id::NodeId) {
    let said = pair.on(node).must(&format!("systemctl is-active {SECOND} {THIRD} && cat /proc/$(cat /run/third.pid)/cgroup"));
    let said = said.unwrap_or_else(|error| panic!("{error:#}\n{}", pair.logs()));
    assert!(said.contains("third.service"), "{said}");
}

/// Nothing of them runs on the first node.
fn gone(pair: &Pair) {
    let said = pair.on(A).run(&format!("systemctl is-active {SECOND} {THIRD}; pgrep -f '^sleep 100000'")).unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["inactive", "inactive"], "{said}\n{}", pair.logs());
}

fn until(pair: &Pair, what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}\n{}", pair.logs());
        thread::sleep(Duration::from_millis(100));
    }
}
