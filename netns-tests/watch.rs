//! `status --watch` in a terminal of its own (script(1), of every Debian): the screen is entered, follows a daemon that goes and comes, and gives
//! the terminal back on a key and on a signal. The daemon is a socket that says what a daemon would.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use twinbeat::journal::DIR;
use twinbeat::journal::file::name;
use twinbeat::say::Stamp;
use twinbeat::sim::files::Files;
use twinbeat::sim::script::Story;
use twinbeat::whatif::tape::journals;

/// The screen is another one, and then the one before it again.
const ENTERED: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?1049l";
const CURSOR: &str = "\x1b[?25h";

fn view() -> Value {
    let ready = json!({ "ready": true, "reasons": [], "reason_matters": [] });
    json!({
        "node": "master1", "peer": "master2", "cluster": "web", "digest": "00", "up_ms": 5000, "incarnation": 1,
        "groups": [{
            "name": "web", "owner": "master1", "role": "owner", "epoch": 8, "vips": ["192.0.2.14"],
            "takeover_ready": { "ready": true, "reasons": [], "reason_matters": [], "crash": ready, "planned": ready },
            "lease_ms_left": 640, "grounds": ["peer"], "return_path_us": 400, "two_owners": false, "table_proved_ms": 80,
            "service": "none", "services": [], "services_here": [], "standby_held": null, "standby_left_ms": null,
            "failback": null, "last_change": null, "claim_open": [],
        }],
        "links": [{ "name": "lan", "state": "ok", "rtt_us": 200, "loss": 0.0, "carrier": true, "heard_ms": 40, "peer_state": "ok" }],
        "witness": { "reachable": true, "peer_reachable": true, "targets": [] },
        "peer_state": "heard", "mismatch": null, "gate": "inet", "problems": [], "problem_matters": [], "notices": [],
    })
}

/// Says of each request what a daemon would; counts them.
struct Daemon {
    asked: Arc<AtomicU64>,
    gone: Arc<AtomicBool>,
}

impl Daemon {
    fn at(dir: &Path) -> Daemon {
        Daemon::with(dir, json!({ "refused": "you may look and not command" }))
    }

    /// `before` is its answer where it is asked for its flight recorder.
    fn with(dir: &Path, before: Value) -> Daemon {
        let listener = UnixListener::bind(dir.join("control.sock")).unwrap();
        let daemon = Daemon { asked: Arc::default(), gone: Arc::default() };
        let (asked, gone) = (Arc::clone(&daemon.asked), Arc::clone(&daemon.gone));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut line = String::new();
                let read = BufReader::new(&stream).read_line(&mut line);
                if gone.load(Ordering::Relaxed) || read.is_err() {
                    continue;
                }
                let answer = if line.contains("status") {
                    asked.fetch_add(1, Ordering::Relaxed);
                    json!({ "view": view() })
                } else {
                    before.clone()
                };
                let _ = writeln!(stream, "{answer}");
            }
        });
        daemon
    }
}

/// `twinbeat status --watch` in a terminal of 80 columns and 24 lines; behind it the terminal's settings are printed.
struct Terminal {
    child: Child,
    /// Dropped, script(1) ends.
    keys: Option<ChildStdin>,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    fn open(dir: &Path) -> Terminal {
        let (program, dir) = (env!("CARGO_BIN_EXE_twinbeat"), dir.display());
        let watch = format!("echo $$ > {dir}/pid; exec {program} status --watch --run-dir {dir}");
        let command = format!("stty cols 80 rows 24; sh -c '{watch}'; echo code $?; stty -a; echo the end");
        let mut script = Command::new("script");
        script.args(["-qfec", &command, "/dev/null"]).env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let shown = Arc::new(Mutex::new(String::new()));
        let into = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = out.read(&mut bytes) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..n]));
            }
        });
        Terminal { child, keys: Some(keys), shown }
    }

    fn press(&mut self, key: &str) {
        self.keys.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }

    fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    fn until(&self, text: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        while !words(&self.shown()).contains(text) {
            assert!(Instant::now() < end, "{text:?} is not in {:?}", words(&self.shown()));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Everything that was shown, when the screen is left and the terminal as it was.
    fn left(self, code: u8) -> String {
        self.until("the end");
        let shown = self.shown();
        let (screen, after) = shown.rsplit_once(LEFT).expect("the screen was left");
        assert!(screen.contains(ENTERED) && (screen.contains(CURSOR) || after.contains(CURSOR)), "{shown:?}");
        assert!(after.contains(&format!("code {code}")), "{after}");
        let on = |word: &str| after.split_whitespace().any(|one| one.trim_end_matches(';') == word);
        assert!(on("icanon") && on("echo") && on("isig"), "{after}");
        screen.to_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.keys.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was written, without the terminal's commands; what is left out between words (only cells that changed are written) is a space.
fn words(shown: &str) -> String {
    let mut parts = shown.split("\x1b[");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |end| end + 1);
        text.push_str(if part[..end].ends_with('H') { " " } else { "" });
        text.push_str(&part[end..]);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_screen_is_entered_and_a_key_leaves_it() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::at(dir.path());
    let mut terminal = Terminal::open(dir.path());
    terminal.until("takeover ready: yes");
    terminal.until("what was before is not known");
    // Nobody answers, and then somebody does again.
    daemon.gone.store(true, Ordering::Relaxed);
    terminal.until("NO ANSWER since");
    daemon.gone.store(false, Ordering::Relaxed);
    terminal.until("the daemon answers again");
    terminal.press("-");
    terminal.until("1 minute");
    terminal.press("p");
    terminal.until("FROZEN");
    terminal.press("q");
    let screen = terminal.left(0);
    assert!(words(&screen).contains("master1 SERVES"));
}

#[test]
fn a_signal_and_control_c_give_the_terminal_back() {
    for signal in [Some(Signal::SIGTERM), Some(Signal::SIGHUP), None] {
        let dir = tempfile::tempdir().unwrap();
        let _daemon = Daemon::at(dir.path());
        let mut terminal = Terminal::open(dir.path());
        terminal.until("takeover ready: yes");
        match signal {
            Some(signal) => {
                let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
                kill(Pid::from_raw(pid), signal).unwrap();
            }
            None => terminal.press("\x03"),
        }
        terminal.left(0);
    }
}

#[test]
fn a_terminal_that_is_gone_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let _daemon = Daemon::at(dir.path());
    let mut terminal = Terminal::open(dir.path());
    terminal.until("takeover ready: yes");
    let pid = std::fs::read_to_string(dir.path().join("pid")).unwrap().trim().parse().unwrap();
    let pid = Pid::from_raw(pid);
    kill(pid, None).unwrap();
    // As when a window is closed, or a connection breaks: the other end of the terminal is gone.
    terminal.child.kill().unwrap();
    terminal.child.wait().unwrap();
    let end = Instant::now() + Duration::from_secs(15);
    while kill(pid, None).is_ok() {
        if Instant::now() >= end {
            let _ = kill(pid, Signal::SIGKILL);
            panic!("it goes on without a terminal");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_daemon_that_is_not_there_is_said_on_the_screen() {
    let dir = tempfile::tempdir().unwrap();
    let mut terminal = Terminal::open(dir.path());
    terminal.until("NO ANSWER since");
    // It is started meanwhile.
    let daemon = Daemon::at(dir.path());
    terminal.until("takeover ready: yes");
    let (before, begun) = (daemon.asked.load(Ordering::Relaxed), Instant::now());
    thread::sleep(Duration::from_secs(4));
    let asked = daemon.asked.load(Ordering::Relaxed) - before;
    let most = 2 * begun.elapsed().as_secs() + 2;
    assert!((1..=most).contains(&asked), "asked {asked} times in {:?}", begun.elapsed());
    terminal.press("\x1b");
    terminal.left(0);
}

#[test]
fn what_was_before_comes_from_the_flight_recorder() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/case/case-hang.json");
    let text = std::fs::read_to_string(&scenario).unwrap();
    let story = Story::read(&text, "case-hang.json", scenario.parent().unwrap(), &Files).unwrap();
    let nodes = journals(&story, dir.path()).unwrap();
    let (_, place) = nodes.into_iter().find(|(node, _)| node == "master2").unwrap();
    // It was in the last two minutes.
    let file = place.join(DIR).join(name(2));
    let text = std::fs::read_to_string(&file).unwrap();
    let begun = Stamp::now().ago(120_000).nanos();
    std::fs::write(&file, text.replacen("\"wall\":0,", &format!("\"wall\":{begun},"), 1)).unwrap();
    let _daemon = Daemon::with(dir.path(), json!({ "journal": place.join(DIR) }));
    let mut terminal = Terminal::open(dir.path());
    terminal.until("master2 LEAVES, epoch 3: handed to master1");
    terminal.press("q");
    let screen = terminal.left(0);
    // The bars of both nodes: what was seen now, and what was recorded.
    assert!(screen.contains('█') && screen.contains('▒'), "{screen:?}");
}

#[test]
fn without_a_terminal_it_is_text_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let _daemon = Daemon::at(dir.path());
    let mut watch = Command::new(env!("CARGO_BIN_EXE_twinbeat"));
    watch.args(["status", "--watch", "--run-dir"]).arg(dir.path()).stdout(Stdio::piped());
    let mut child = watch.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        assert!(lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("cluster web   master1 SERVES")));
        assert!(
            lines
                .by_ref()
                .map_while(Result::ok)
                .inspect(|line| assert!(!line.contains('\x1b')))
                .any(|line| line.starts_with("next"))
        );
    }
    // The reader goes: that ends it.
    drop(lines);
    assert!(child.wait().unwrap().code().is_some());
}
