//! Services that are units, asked for over the bus: a death is seen at once, an idle owner runs no program, and a bus that goes moves nothing.

use std::thread;
use std::time::{Duration, Instant};

use super::{A, B, PLANNED, Pair};

/// How often a unit is looked at where no signals are heard.
const LOOK: Duration = Duration::from_secs(1);
/// A connection that lasts so long was a good one, and a little.
const LASTED: Duration = Duration::from_millis(5500);
const BY_BUS: &str = "web: units by D-Bus (unix:path=/run/dbus/system_bus_socket)";

/// All of it on the owner.
pub fn try_all(pair: &Pair) {
    let from = pair.probe.now();
    assert!(said(pair, BY_BUS) > 0, "{}", pair.logs());
    let idle = processes(pair);

    // dbus-daemon ends, and with it its socket: units are asked for by systemctl, which as root needs no bus.
    let away = said(pair, "web: units by systemctl");
    pair.on(A).must("systemctl stop dbus.socket dbus.service").unwrap();
    until(pair, "the bus is gone", || said(pair, "web: units by systemctl") > away);
    let polled = processes(pair);
    println!("processes in a minute: {idle} with the bus, {polled} without one");
    assert!(idle < 20 && polled >= 40, "{idle} {polled}");
    pair.healthy();

    again(pair, "systemctl start dbus.socket dbus.service");
    // A connection that has lasted is made anew at once when it is lost.
    for line in ["systemctl restart dbus.service", "systemctl daemon-reexec"] {
        thread::sleep(LASTED);
        let took = again(pair, line);
        assert!(took < Duration::from_secs(3), "{line}: {took:?}\n{}", pair.logs());
    }
    hangs(pair);
    pair.on(A).must("systemctl daemon-reload").unwrap();
    pair.healthy();
    let seen = pair.seen("a bus that goes and comes", from);
    assert!(seen.moves() == 0 && seen.gap < PLANNED && seen.page_gap < PLANNED, "{seen:#?}\n{}", pair.logs());

    dies(pair);
    checked(pair);
}

/// What `check` says of a unit by what systemd says of it.
fn checked(pair: &Pair) {
    let check = || {
        let done = pair.on(B).run("twinbeat check").unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("units by D-Bus") && !said.contains("starts it too"), "{said}");
    pair.on(B).must("systemctl mask --runtime nginx").unwrap();
    let (code, said) = check();
    assert!(code == Some(1) && said.contains("`systemctl unmask nginx.service`"), "{said}");
    pair.on(B).must("systemctl unmask --runtime nginx").unwrap();
    let socket = "printf '[Socket]\nListenStream=/run/nginx-too\n[Install]\nWantedBy=sockets.target\n' > /etc/systemd/system/nginx.socket && \
                  systemctl daemon-reload && systemctl start nginx.socket";
    // A socket cannot be started for a service that runs; it is loaded all the same, and would be there after a boot.
    let _ = pair.on(B).run(socket);
    let (code, said) = check();
    assert!(code == Some(0) && said.contains("nginx.socket starts it too"), "{said}");
    pair.on(B).must("systemctl stop nginx.socket; rm /etc/systemd/system/nginx.socket && systemctl daemon-reload").unwrap();
}

/// The unit's main process is killed; the daemon's own clock says when it saw that.
fn dies(pair: &Pair) {
    let from = pair.probe.now();
    let line = "date +%s.%N && kill -9 $(systemctl show -p MainPID --value nginx) && sleep 2 && \
                journalctl -u twinbeat -o short-unix --no-pager -n 50 | grep 'web/nginx.service died' | tail -n 1";
    let told = pair.on(A).must(line).unwrap();
    let instants: Vec<f64> = told.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let [killed, seen] = instants[..] else { panic!("{told}\n{}", pair.logs()) };
    println!("a unit killed: in the log after {:.3} s", seen - killed);
    assert!(told.contains("failed: a process of it was killed by a signal") && told.contains("restarting it here"), "{told}");
    assert!(seen - killed < LOOK.as_secs_f64() / 2.0, "{told}\n{}", pair.logs());
    pair.healthy();
    let seen = pair.seen("a unit dies", from);
    assert!(seen.moves() == 0 && seen.page_gap < LOOK + PLANNED, "{seen:#?}\n{}", pair.logs());
}

/// The bus stands still: that is found out, systemctl is asked meanwhile, and the bus again when it goes on.
fn hangs(pair: &Pair) {
    let (away, began) = (said(pair, "web: units by systemctl"), Instant::now());
    pair.on(A).must("pkill -STOP -x dbus-daemon").unwrap();
    until(pair, "the bus is hung", || said(pair, "web: units by systemctl") > away);
    println!("a bus that hangs: found out after {:?}", began.elapsed());
    pair.healthy();
    again(pair, "pkill -CONT -x dbus-daemon");
}

/// What the bus does, after which its signals are heard anew; how long that took.
fn again(pair: &Pair, line: &str) -> Duration {
    let (before, began) = (said(pair, BY_BUS), Instant::now());
    pair.on(A).must(line).unwrap();
    until(pair, line, || said(pair, BY_BUS) > before);
    let took = began.elapsed();
    println!("{line}: signals are heard again after {took:?}");
    pair.healthy();
    took
}

/// How often the daemon has said so on the owner.
fn said(pair: &Pair, words: &str) -> usize {
    pair.on(A).must("journalctl -u twinbeat --no-pager -o cat").unwrap().matches(words).count()
}

fn until(pair: &Pair, what: &str, mut is: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(40), "{what}\n{}", pair.logs());
        thread::sleep(Duration::from_millis(100));
    }
}

/// How many processes and threads begin on the owner in a minute, by the numbers that they are given, measured for ten seconds; the two of the
/// measurement itself left out.
fn processes(pair: &Pair) -> u64 {
    // Of the daemon and of the children that it has waited for, in hundredths of a second.
    let line = "awk '{ print $14 + $15 + $16 + $17 }' /proc/$(systemctl show -p MainPID --value twinbeat)/stat";
    let cpu = || pair.on(A).must(line).unwrap().trim().parse::<f64>().expect("ticks");
    let before = cpu();
    let told = pair.on(A).must("a=$(sh -c 'echo $$'); sleep 10; b=$(sh -c 'echo $$'); echo $((b - a - 2))").unwrap();
    println!("CPU of the daemon and its children: {:.2} s a minute", (cpu() - before) * 0.06);
    told.trim().parse::<u64>().expect("a number") * 6
}
