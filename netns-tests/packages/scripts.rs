//! The packages' own scripts on a machine that is a directory: their paths are put below it, and what they call writes down how it was called.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Where the scripts look, each behind a space, a quote or the start of a word: put below the machine's directory.
const PLACES: [&str; 5] = ["/run/systemd/system", "/run/twinbeat", "/etc/systemd/system", "/etc/twinbeat", "/var/lib/twinbeat"];

/// What the scripts call, as it is where all is well. The state of the unit is a file; each call is a line of `calls`.
const FAKES: [(&str, &str); 4] = [
    (
        "systemctl",
        r#"echo "systemctl $*" >> "$M/calls"
case "$*" in
    "is-active --quiet twinbeat.service") [ -e "$M/active" ] || exit 3 ;;
    "stop twinbeat.service") [ ! -e "$M/stuck" ] || exit 1; rm -f "$M/active" ;;
    "restart twinbeat.service") [ ! -e "$M/broken" ] || exit 1 ;;
esac"#,
    ),
    ("getent", r#"[ -e "$M/group" ] || exit 2"#),
    ("groupadd", r#"echo "groupadd $*" >> "$M/calls"; : > "$M/group""#),
    ("policy-rc.d", r#"echo "policy-rc.d $*" >> "$M/calls"; [ ! -e "$M/denied" ] || exit 101"#),
];

struct Machine(TempDir);

impl Machine {
    /// One with systemd, where the package's files are.
    fn new() -> Machine {
        let machine = Machine(tempfile::tempdir().unwrap());
        fs::create_dir_all(machine.at("run/systemd/system")).unwrap();
        fs::create_dir_all(machine.at("etc/systemd/system/multi-user.target.wants")).unwrap();
        fs::create_dir_all(machine.at("bin")).unwrap();
        for (name, text) in FAKES {
            let file = machine.at("bin").join(name);
            fs::write(&file, format!("#!/bin/sh\nM={}\n{text}\n", machine.0.path().display())).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        machine
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn touch(&self, path: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), "").unwrap();
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/packages").join(script);
        let mut text = fs::read_to_string(&path).unwrap().replace("/usr/sbin/policy-rc.d", "/bin/policy-rc.d");
        for place in PLACES.iter().chain(&["/bin/policy-rc.d"]) {
            let below = format!("{}{place}", self.0.path().display());
            text = text
                .lines()
                .map(|line| if line.starts_with('#') { line.into() } else { line.replace(place, &below) } + "\n")
                .collect();
        }
        let mut shell = Command::new("sh");
        // As dpkg runs them the script's own first line says `sh`; rpm hands the text to /bin/sh.
        shell.arg("-c").arg(text).arg(script).args(arguments);
        shell.env("PATH", format!("{}:/usr/bin:/bin", self.at("bin").display())).output().unwrap()
    }

    /// Runs it, and what it called.
    fn calls(&self, script: &str, arguments: &[&str]) -> Vec<String> {
        let _ = fs::remove_file(self.at("calls"));
        let done = self.run(script, arguments);
        assert!(done.status.success(), "{script} {arguments:?}: {done:?}");
        fs::read_to_string(self.at("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

/// What ends up with a daemon other than it was.
fn touching(calls: &[String]) -> Vec<&str> {
    let verbs = ["start", "stop", "restart", "enable", "disable", "kill", "mask", "preset", "reload"];
    let word = |call: &&str| call.split(' ').any(|word| verbs.contains(&word) || word == "--now");
    calls.iter().map(String::as_str).filter(|call| call.starts_with("systemctl")).filter(word).collect()
}

const RESTART: [&str; 1] = ["systemctl restart twinbeat.service"];

#[test]
fn an_installation_makes_the_group_and_the_directory_and_starts_nothing() {
    for (script, arguments) in
        [("deb/postinst", vec!["configure", ""]), ("deb/postinst", vec!["configure"]), ("rpm/post.sh", vec!["1"])]
    {
        let machine = Machine::new();
        let calls = machine.calls(script, &arguments);
        assert!(calls.contains(&"groupadd --system twinbeat".to_owned()), "{script}: {calls:?}");
        assert!(calls.contains(&"systemctl daemon-reload".to_owned()), "{script}: {calls:?}");
        assert_eq!(touching(&calls), Vec::<&str>::new(), "{script}: {calls:?}");
        // Not where there is a configuration either: who installs says when.
        machine.touch("etc/twinbeat/twinbeat.toml");
        let again = machine.calls(script, &arguments);
        assert!(touching(&again).is_empty() && !again.iter().any(|call| call.starts_with("groupadd")), "{script}: {again:?}");
    }
    let machine = Machine::new();
    machine.calls("deb/postinst", &["configure"]);
    assert_eq!(fs::metadata(machine.at("etc/twinbeat")).unwrap().permissions().mode() & 0o777, 0o755);
    // The administrator's own mode stays.
    fs::set_permissions(machine.at("etc/twinbeat"), fs::Permissions::from_mode(0o700)).unwrap();
    machine.calls("deb/postinst", &["configure", "0.1.0-1"]);
    assert_eq!(fs::metadata(machine.at("etc/twinbeat")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn an_upgrade_and_a_downgrade_restart_what_runs_and_stop_nothing() {
    // In the order in which dpkg and rpm call them; a downgrade is told of the version in the same way.
    let deb = [
        ("deb/prerm", vec!["upgrade", "0.2.0-1"]),
        ("deb/postrm", vec!["upgrade", "0.2.0-1"]),
        ("deb/postinst", vec!["configure", "0.1.0-1"]),
    ];
    let rpm = [("rpm/post.sh", vec!["2"]), ("rpm/preun.sh", vec!["1"]), ("rpm/postun.sh", vec!["1"])];
    for scripts in [deb, rpm] {
        let machine = Machine::new();
        let all = |machine: &Machine| {
            scripts.iter().flat_map(|(script, arguments)| machine.calls(script, arguments)).collect::<Vec<_>>()
        };
        assert_eq!(touching(&all(&machine)), Vec::<&str>::new(), "what does not run is not started");
        machine.touch("active");
        let calls = all(&machine);
        assert_eq!(touching(&calls), RESTART, "{calls:?}");
        let place = |call: &str| calls.iter().position(|one| one == call).unwrap();
        assert!(place("systemctl daemon-reload") < place(RESTART[0]), "the new unit first: {calls:?}");
        assert!(machine.at("active").exists());
        // One that cannot be is said, and leaves no package half installed.
        machine.touch("broken");
        let (script, arguments) =
            scripts.iter().find(|(script, _)| script.contains("post.sh") || script.contains("postinst")).unwrap();
        let done = machine.run(script, arguments);
        assert!(done.status.success() && String::from_utf8_lossy(&done.stderr).contains("twinbeat status"), "{done:?}");
    }
    // An upgrade that broke off: dpkg calls the old version's scripts to undo it.
    let machine = Machine::new();
    machine.touch("active");
    for (script, verb) in [
        ("deb/postinst", "abort-upgrade"),
        ("deb/postinst", "abort-remove"),
        ("deb/prerm", "failed-upgrade"),
        ("deb/postrm", "abort-upgrade"),
    ] {
        assert_eq!(touching(&machine.calls(script, &[verb, "0.1.0-1"])), Vec::<&str>::new(), "{script} {verb}");
    }
}

#[test]
fn an_upgrade_leaves_the_daemon_alone_where_the_machines_policy_says_so() {
    let machine = Machine::new();
    machine.touch("active");
    machine.touch("denied");
    let calls = machine.calls("deb/postinst", &["configure", "0.1.0-1"]);
    assert!(calls.contains(&"policy-rc.d twinbeat restart".to_owned()) && touching(&calls).is_empty(), "{calls:?}");
    fs::remove_file(machine.at("denied")).unwrap();
    assert_eq!(touching(&machine.calls("deb/postinst", &["configure", "0.1.0-1"])), RESTART);
}

#[test]
fn a_removal_stops_and_keeps_what_is_written() {
    for (script, arguments, after) in [("deb/prerm", "remove", "deb/postrm"), ("rpm/preun.sh", "0", "rpm/postun.sh")] {
        let machine = Machine::new();
        for file in ["active", "etc/twinbeat/master1.key", "var/lib/twinbeat/state.json"] {
            machine.touch(file);
        }
        // A daemon that does not stop keeps its package.
        machine.touch("stuck");
        assert!(!machine.run(script, &[arguments]).status.success(), "{script}");
        fs::remove_file(machine.at("stuck")).unwrap();
        let calls = machine.calls(script, &[arguments]);
        assert_eq!(touching(&calls)[0], "systemctl stop twinbeat.service", "{calls:?}");
        assert!(!machine.at("active").exists());
        let calls = machine.calls(after, &[arguments]);
        assert_eq!(calls, ["systemctl daemon-reload"]);
        assert!(machine.at("etc/twinbeat/master1.key").exists() && machine.at("var/lib/twinbeat/state.json").exists());
        // One that was not running at all.
        machine.calls(script, &[arguments]);
    }
}

#[test]
fn a_purge_takes_what_the_daemon_wrote_and_says_what_it_leaves() {
    let machine = Machine::new();
    for file in ["etc/twinbeat/master1.key", "etc/twinbeat/twinbeat.toml", "var/lib/twinbeat/state.json", "run/twinbeat/lock"] {
        machine.touch(file);
    }
    let link = machine.at("etc/systemd/system/multi-user.target.wants/twinbeat.service");
    symlink(machine.at("gone.service"), &link).unwrap();
    let done = machine.run("deb/postrm", &["purge"]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success() && said.contains("/etc/twinbeat is kept") && said.contains("private key"), "{done:?}");
    assert!(!machine.at("var/lib/twinbeat").exists() && !machine.at("run/twinbeat").exists() && link.symlink_metadata().is_err());
    assert!(machine.at("etc/twinbeat/master1.key").exists() && machine.at("etc/twinbeat/twinbeat.toml").exists());
    // Nothing in it: it goes, and nothing is said. A second purge does no harm. A unit of the same name keeps its link.
    fs::remove_dir_all(machine.at("etc/twinbeat")).unwrap();
    fs::create_dir(machine.at("etc/twinbeat")).unwrap();
    machine.touch("there.service");
    symlink(machine.at("there.service"), &link).unwrap();
    let done = machine.run("deb/postrm", &["purge"]);
    assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    assert!(!machine.at("etc/twinbeat").exists() && link.exists());
    assert!(machine.run("deb/postrm", &["purge"]).status.success());
}

#[test]
fn without_systemd_the_scripts_call_nothing_of_it() {
    let machine = Machine::new();
    fs::remove_dir(machine.at("run/systemd/system")).unwrap();
    machine.touch("active");
    for (script, arguments) in [
        ("deb/postinst", ["configure", "0.1.0-1"]),
        ("deb/prerm", ["upgrade", "0.2.0-1"]),
        ("deb/prerm", ["remove", ""]),
        ("deb/postrm", ["remove", ""]),
        ("deb/postrm", ["purge", ""]),
        ("rpm/post.sh", ["2", ""]),
        ("rpm/preun.sh", ["0", ""]),
        ("rpm/postun.sh", ["0", ""]),
    ] {
        let calls = machine.calls(script, &arguments);
        assert!(!calls.iter().any(|call| call.starts_with("systemctl")), "{script}: {calls:?}");
    }
}
