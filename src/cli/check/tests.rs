#![allow(clippy::unwrap_used)]

use super::programs::program_missing;
use super::service::nginx_needs_the_vip;
use super::*;

/// The sample configuration with fresh keys, on disk.
fn pair() -> (tempfile::TempDir, Args) {
    let dir = tempfile::tempdir().unwrap();
    let mut text = include_str!("../../../scenarios/pairs/fast.toml").to_owned();
    let old: Vec<String> = text.lines().filter(|line| line.starts_with("public_key")).map(str::to_owned).collect();
    for (line, node) in old.iter().zip(["master1", "master2"]) {
        let public = keys::generate(&dir.path().join(format!("{node}.key"))).unwrap();
        text = text.replace(line, &format!("public_key = \"{}\"", keys::public_text(&public)));
    }
    let config = dir.path().join("twinbeat.toml");
    std::fs::write(&config, text).unwrap();
    let daemon = Daemon { run_dir: dir.path().to_owned() };
    let state_dir = dir.path().join("state");
    (dir, Args { config, node: Some("master1".to_owned()), probe_witness: false, offline: true, state_dir, daemon })
}

fn has(findings: &[Finding], level: Level, text: &str) -> bool {
    findings.iter().any(|finding| finding.level == level && finding.text.contains(text))
}

#[test]
fn a_good_file_and_key_pass_and_one_witness_is_warned_of() {
    let (_dir, args) = pair();
    let found = findings(&args);
    assert!(has(&found, Level::Ok, "this machine is master1"), "{found:?}");
    assert!(has(&found, Level::Ok, "belongs to the public key"), "{found:?}");
    assert!(has(&found, Level::Warn, "three are better than one"), "{found:?}");
    assert!(has(&found, Level::Ok, "dead 1s is 57ms above the least (943ms)"), "{found:?}");
}

#[test]
fn a_wrong_node_or_a_missing_key_fails() {
    let (dir, mut args) = pair();
    args.node = Some("master3".to_owned());
    assert!(has(&findings(&args), Level::Fail, "master1, master2"));
    args.node = Some("master2".to_owned());
    std::fs::remove_file(dir.path().join("master2.key")).unwrap();
    assert!(has(&findings(&args), Level::Fail, "twinbeat keygen --out"));
}

#[test]
fn a_file_that_cannot_be_read_fails() {
    let (_dir, args) = pair();
    let args = Args { config: "/nonexistent/twinbeat.toml".into(), ..args };
    assert!(has(&findings(&args), Level::Fail, "/nonexistent/twinbeat.toml: cannot be read"));
}

#[test]
fn a_vip_without_an_own_address_beside_it_is_named() {
    let (_dir, args) = pair();
    let config = Config::read(&args.config).unwrap();
    let own = |name: &str, ip: &str| (name.to_owned(), ip.parse().unwrap());
    assert_eq!(addresses(&config, NodeId(0), &[own("eth0", "192.168.42.12")]), []);
    let found = addresses(&config, NodeId(0), &[own("eth1", "10.1.1.1")]);
    assert!(has(&found, Level::Warn, "no address of its own in the network of 192.168.42.14/25"), "{found:?}");
}

#[test]
fn links_that_this_machine_lacks_are_failures_and_the_witness_is_not_asked() {
    let (_dir, args) = pair();
    let found = findings(&Args { offline: false, ..args });
    assert!(has(&found, Level::Fail, "does not exist here"), "{found:?}");
    assert!(has(&found, Level::Fail, "cannot be asked: see link lan"), "{found:?}");
    assert!(has(&found, Level::Ok, "does not run here"), "{found:?}");
}

#[test]
fn the_report_is_aligned_wrapped_and_summed_up() {
    let text = |findings: &[Finding], wrap| {
        let mut out = Vec::new();
        print(&mut out, findings, Paint::Plain, wrap).unwrap();
        String::from_utf8(out).unwrap()
    };
    let findings = [Finding::new(Level::Ok, "file", "a"), Finding::new(Level::Fail, "timing", "b")];
    assert_eq!(text(&findings, None), "ok    file    a\nFAIL  timing  b\nNOT FIT: 1 failure, 0 warnings\n");
    assert_eq!(text(&findings[..1], None), "ok    file  a\nFIT: all is as it should be\n");
    let long = [Finding::new(Level::Warn, "x", "one two three four five six seven eight nine")];
    assert_eq!(
        text(&long, Some(40)),
        "WARN  x  one two three four five six\n         seven eight nine\nFIT, with 1 warning: read each\n"
    );
}

#[test]
fn a_warm_nginx_that_listens_on_the_vip_is_named_with_file_and_line() {
    let (dir, args) = pair();
    let conf = dir.path().join("n.conf");
    std::fs::write(&conf, "http { server {\n listen 192.168.42.14:80;\n} }\n").unwrap();
    let text = std::fs::read_to_string(&args.config).unwrap();
    let old = text.lines().find(|line| line.starts_with("services")).unwrap();
    let services = format!("services = [{{ process = [\"nginx\", \"-c\", \"{}\"], warm = true }}]", conf.display());
    std::fs::write(&args.config, text.replace(old, &services)).unwrap();
    let config = Config::read(&args.config).unwrap();
    let nonlocal = std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind").unwrap();
    let found = nginx_needs_the_vip(&config, &config.groups[0].services[0]);
    if nonlocal.trim() == "0" {
        assert!(has(&found, Level::Fail, "n.conf:2: `listen 192.168.42.14` needs the VIP"), "{found:?}");
    }
    std::fs::write(&conf, "http { server { listen 80; } }\n").unwrap();
    let found = nginx_needs_the_vip(&config, &config.groups[0].services[0]);
    assert!(has(&found, Level::Ok, "listens on no VIP itself"), "{found:?}");
}

#[test]
fn programs_are_looked_for_where_they_would_be_started_from() {
    assert_eq!(program_missing("/bin/sh"), None);
    assert_eq!(program_missing("sh"), None);
    assert!(program_missing("no-such-program-here").is_some());
    assert!(program_missing("/etc/passwd").is_some());
    assert!(systemd::missing("no-such-unit.service").is_some());
}

#[test]
fn a_hook_that_cannot_be_run_or_that_others_may_change_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, args) = pair();
    let program = |name: &str, mode: u32| {
        let path = dir.path().join(name);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let [good, plain, open] = [("good", 0o755), ("plain", 0o644), ("open", 0o757)].map(|(name, mode)| program(name, mode));
    let mut text = std::fs::read_to_string(&args.config).unwrap();
    for run in [&good, &plain, &open, "/nonexistent/notify", "sh"] {
        text += &format!("[[hooks]]\nrun = [\"{run}\", \"x\"]\non = [\"role\"]\ngroups = [\"web\"]\n");
    }
    std::fs::write(&args.config, text).unwrap();
    let found = findings(&args);
    assert!(has(&found, Level::Ok, &format!("{good} is told of role (web)")), "{found:?}");
    assert!(has(&found, Level::Ok, "sh is told of role"), "{found:?}");
    for missing in [&plain, "/nonexistent/notify"] {
        assert!(has(&found, Level::Warn, &format!("{missing}: no executable of that name here: nobody is told")), "{found:?}");
    }
    assert!(has(&found, Level::Fail, &format!("everybody may change {open}, which runs as the daemon's user")), "{found:?}");
}

#[test]
fn what_turns_the_peer_off_is_asked_whether_it_works_and_nothing_is_turned_off() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, args) = pair();
    let whole = std::fs::read_to_string(&args.config).unwrap();
    let agent = dir.path().join("fence_board");
    let with = |lines: &str, code: u8| {
        let text = whole.replacen("[nodes.master2.links]", &format!("[nodes.master2.fence]\n{lines}\n[nodes.master2.links]"), 1);
        std::fs::write(&args.config, text).unwrap();
        let said = dir.path().join("said");
        std::fs::write(&agent, format!("#!/bin/sh\ncat > {}\necho 'no board there' >&2\nexit {code}\n", said.display())).unwrap();
        std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&args.config, std::fs::Permissions::from_mode(0o644)).unwrap();
        let config = Config::read(&args.config).unwrap();
        (fence::all(&config, &args.config, NodeId(0), false), std::fs::read_to_string(said).unwrap_or_default())
    };
    let own = format!("agent = \"{}\"\nparameters = {{ ip = \"10.0.0.2\", password = \"secret\" }}", agent.display());
    let (found, said) = with(&own, 0);
    assert!(has(&found, Level::Ok, "turns master2 off, and its device answers"), "{found:?}");
    assert!(said.contains("action=monitor\n") && !said.contains("action=off"), "{said}");
    assert!(
        has(&found, Level::Warn, "everybody may read") && has(&found, Level::Warn, "master1 cannot be turned off by master2"),
        "{found:?}"
    );
    let (found, _) = with(&own, 1);
    assert!(has(&found, Level::Fail, "monitor: exit code 1: no board there: master2 could not be turned off"), "{found:?}");
    let (found, _) = with("agent = \"fence_nobody_has\"", 0);
    assert!(has(&found, Level::Fail, "(package fence-agents?): master2 could not be turned off"), "{found:?}");
    let (found, said) = with(&format!("command = [\"{}\"]", agent.display()), 0);
    assert!(has(&found, Level::Ok, "a command cannot be asked beforehand") && said.contains("monitor"), "not run: {found:?}");
    // What turns this node off is the other one's affair.
    let config = Config::read(&args.config).unwrap();
    let found = fence::all(&config, &args.config, NodeId(1), false);
    assert!(found.len() == 1 && has(&found, Level::Warn, "master1 cannot be turned off"), "{found:?}");
}
