//! A pair whose group carries two agents, cold: a planned move, failures, a stop that fails.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, node_name};

use super::bench::{A, B, Bench};

/// Debian's agents, and beside them one of our own: Dummy, whose stop fails while a file is there.
fn tree(bench: &Bench, root: &Path) -> PathBuf {
    let tree = bench.site.dir().join("ocf");
    fs::create_dir_all(tree.join("resource.d/own")).unwrap();
    symlink(root.join("lib"), tree.join("lib")).unwrap();
    symlink(root.join("resource.d/heartbeat"), tree.join("resource.d/heartbeat")).unwrap();
    let own = tree.join("resource.d/own/Dummy");
    let here = bench.site.dir().join("here").display().to_string();
    let text = format!(
        "#!/bin/sh\n[ \"$1\" = stop ] && [ -e {here}/stop-fails ] && {{ echo 'ocf-exit-reason:it was told to go on' >&2; exit 1; }}\n\
         exec {} \"$@\"\n",
        root.join("resource.d/heartbeat/Dummy").display()
    );
    fs::write(&own, text).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    tree
}

/// In a node's own file, which was `text`, the group's services are the two agents; `more` are further parameters of nginx.
fn services(bench: &Bench, node: NodeId, text: &str, tree: &Path, more: &str) {
    let here = bench.site.dir().join("here").display().to_string();
    let (before, service) = text.split_once("[[groups.services]]").expect("a service");
    let after = service.find("\n[").map_or("", |place| &service[place..]);
    let (tree, times) = (tree.display(), "monitor_interval = \"1s\"\nrestart_window = \"15s\"\nstop_timeout = \"10s\"");
    let services = format!(
        "[[groups.services]]\nocf = \"{tree}/resource.d/own/Dummy\"\nparameters = {{ state = \"{here}/dummy.state\" }}\n{times}\n\n\
         [[groups.services]]\nocf = \"{tree}/resource.d/heartbeat/nginx\"\n\
         parameters = {{ configfile = \"{here}/{CONF}\", status10url = \"http://127.0.0.1/\"{more} }}\n{times}\n"
    );
    fs::write(bench.site.config(node), format!("{before}{services}{after}")).unwrap();
}

/// Where agents keep their state, unless it was there before: this test's daemons make it in the machine's own `/run`.
struct StateDirectory(bool);

impl Drop for StateDirectory {
    fn drop(&mut self) {
        if !self.0 {
            let _ = fs::remove_dir(HA_RSCTMP);
        }
    }
}

const HA_RSCTMP: &str = "/run/resource-agents";
const CONF: &str = "service-web-1.conf";

fn state(bench: &Bench, node: NodeId) -> PathBuf {
    bench.site.node_dir(node).join("dummy.state")
}

fn kill_nginx(bench: &Bench, node: NodeId) {
    let file = bench.site.node_dir(node).join("nginx/service-web-1.pid");
    let pid = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    // The daemon made a session of its own.
    killpg(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

fn becomes(bench: &Bench, what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}\n{}\n{:#}", bench.logs(), bench.view(B)["groups"][0]);
        thread::sleep(Duration::from_millis(50));
    }
}

fn service(bench: &Bench, node: NodeId) -> String {
    bench.view(node)["groups"][0]["service"].as_str().unwrap_or_default().to_owned()
}

fn command(bench: &Bench, node: NodeId, words: &[&str]) {
    let done = bench.site.ask(&bench.lab, node, words).unwrap();
    assert!(done.status.success(), "{words:?}: {}\n{}", String::from_utf8_lossy(&done.stderr), bench.logs());
}

fn check(bench: &Bench, node: NodeId) -> String {
    let file = bench.site.config(node).display().to_string();
    let args = ["check", "--config", &file, "--node", node_name(node), "--offline"];
    String::from_utf8_lossy(&bench.site.ask(&bench.lab, node, &args).unwrap().stdout).into_owned()
}

#[test]
fn a_pair_moves_mends_and_gives_up_agents_and_never_runs_a_cold_one_twice() {
    let Some(root) = super::root() else { return };
    let Some(mut bench) = Bench::new() else { return };
    if !bench.site.has_nginx() {
        println!("SKIPPED: nginx is not installed");
        return;
    }
    let tree = tree(&bench, &root);
    // Back and forth by command alone.
    let manual = |text: String| text.replace("failback = \"auto\"", "failback = \"manual\"");
    let texts = BOTH.map(|node| manual(fs::read_to_string(bench.site.config(node)).unwrap()));
    assert!(texts.iter().all(|text| text.contains("manual")));
    for node in BOTH {
        let conf = bench.site.node_dir(node).join(CONF);
        let text = fs::read_to_string(&conf).unwrap();
        let text = text.replace("daemon off;\nmaster_process off;\n", "").replace("listen [::]:80;", "").replace("; ", ";\n");
        fs::write(&conf, text).unwrap();
        services(&bench, node, &texts[node.index()], &tree, ", prot = 80, port = \"http\"");
    }
    let _directory = StateDirectory(Path::new(HA_RSCTMP).exists());
    // Before anything runs: what cannot work so.
    let said = check(&bench, A);
    let fails = |words: &str| said.lines().any(|line| line.starts_with("FAIL") && line.contains("nginx") && line.contains(words));
    assert!(fails("`prot` is no parameter of this agent (did you mean `port`?)"), "{said}");
    assert!(fails("parameter port = \"http\": allowed: a whole number"), "{said}");
    BOTH.iter().for_each(|node| services(&bench, *node, &texts[node.index()], &tree, ""));
    let said = check(&bench, A);
    assert!(!said.lines().any(|line| line.starts_with("FAIL  service")), "{said}");
    assert!(said.contains("start_timeout is 30s, and the agent advises 40s at the least"), "{said}");

    if !Path::new("/usr/lib/ocf/resource.d").exists() {
        let file = bench.site.config(A);
        let text = fs::read_to_string(&file).unwrap();
        let nginx = format!("{}/resource.d/heartbeat/nginx", tree.display());
        fs::write(&file, text.replace(&nginx, "ocf:heartbeat:nginx")).unwrap();
        let said = check(&bench, A);
        let missing = |line: &str| line.starts_with("FAIL") && line.contains("`apt-get install resource-agents`");
        assert!(said.lines().any(missing), "{said}");
        fs::write(&file, text).unwrap();
    }

    // At any moment at most one of them runs.
    let states = BOTH.map(|node| state(&bench, node));
    let (over, twice) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let watch = {
        let (over, twice, states) = (Arc::clone(&over), Arc::clone(&twice), states.clone());
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                twice.fetch_add(usize::from(states.iter().all(|state| state.exists())), Ordering::SeqCst);
                thread::sleep(Duration::from_millis(10));
            }
        })
    };
    let runs = |bench: &Bench, node: NodeId| states[node.index()].exists() && service(bench, node) == "running";
    let ready = |bench: &Bench, node: NodeId| bench.view(node)["groups"][0]["takeover_ready"]["ready"] == true;

    // A planned move, there and back.
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    becomes(&bench, "it runs on master1", Duration::from_secs(20), || runs(&bench, A));
    becomes(&bench, "a move would work", Duration::from_secs(20), || ready(&bench, A));
    command(&bench, A, &["standby"]);
    bench.serves(B);
    becomes(&bench, "it runs on master2", Duration::from_secs(20), || runs(&bench, B));
    assert!(!states[A.index()].exists());
    command(&bench, A, &["takeover"]);
    bench.serves(A);
    becomes(&bench, "it runs on master1 again", Duration::from_secs(20), || runs(&bench, A));

    // A stop that fails: the peer does not start it, until it has stopped.
    becomes(&bench, "a move would work", Duration::from_secs(20), || ready(&bench, A));
    let flag = bench.site.node_dir(A).join("stop-fails");
    fs::write(&flag, "").unwrap();
    let _ = bench.site.ask(&bench.lab, A, &["standby"]).unwrap();
    becomes(&bench, "it does not stop", Duration::from_secs(30), || service(&bench, A).starts_with("does not stop"));
    let told = service(&bench, A);
    assert!(told.contains("OCF_ERR_GENERIC") && told.contains("it was told to go on"), "{told}");
    thread::sleep(Duration::from_secs(5));
    assert!(states[A.index()].exists() && !states[B.index()].exists(), "{}", bench.logs());
    fs::remove_file(&flag).unwrap();
    bench.serves(B);
    becomes(&bench, "it runs on master2", Duration::from_secs(20), || runs(&bench, B));
    assert!(!states[A.index()].exists());
    command(&bench, A, &["takeover"]);
    bench.serves(A);
    becomes(&bench, "it runs on master1 once more", Duration::from_secs(20), || runs(&bench, A));

    // A changed parameter: said in words, and what runs is stopped with the old one and started with the new one, where it is.
    let from = bench.probe.now();
    for node in [B, A] {
        bench.rewrite(node, "dummy.state\"", "dummy.state\", fake = \"other\"");
        let said = bench.site.ask(&bench.lab, node, &["reload"]).unwrap();
        let words = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success() && words.contains("parameters.fake: new: \"other\""), "{words}");
    }
    bench.says(A, "web/Dummy runs with other parameters; started anew");
    becomes(&bench, "it runs with the new one", Duration::from_secs(20), || runs(&bench, A));
    assert_eq!(bench.probe.outcome(from, bench.probe.now()).moves(), 0, "{}", bench.logs());

    // One fall is mended on the spot.
    let from = bench.probe.now();
    fs::remove_file(&states[A.index()]).unwrap();
    becomes(&bench, "its state is back", Duration::from_secs(20), || states[A.index()].exists());
    bench.says(A, "web/Dummy runs again");
    assert_eq!(bench.probe.outcome(from, bench.probe.now()).moves(), 0, "{}", bench.logs());

    // nginx falls, and again within the window: it moves.
    kill_nginx(&bench, A);
    bench.says(A, "web/nginx runs again");
    kill_nginx(&bench, A);
    bench.serves(B);
    becomes(&bench, "it runs on master2", Duration::from_secs(20), || runs(&bench, B));
    bench.says(A, "its monitor says that it no longer runs; again, within 15s of its restart");

    over.store(true, Ordering::SeqCst);
    watch.join().unwrap();
    assert_eq!(twice.load(Ordering::SeqCst), 0, "both nodes ran it at once\n{}", bench.logs());
    bench.one_owner("agents");
    BOTH.iter().for_each(|node| bench.daemons[node.index()] = None);
    // Services outlive their daemons.
    kill_nginx(&bench, B);
}
