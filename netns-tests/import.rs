//! `twinbeat import` as it is typed: exit codes, what goes where, nothing written over. What comes of the files is tested in `src/import`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

fn twinbeat(arguments: &[&str]) -> Done {
    let done = Command::new(env!("CARGO_BIN_EXE_twinbeat")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Done { code: done.status.code(), out: text(done.stdout), err: text(done.stderr) }
}

fn input(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/import/inputs", name].iter().collect();
    path.to_str().unwrap().to_owned()
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_heartbeat_pair_is_written_once_and_refused_until_it_is_filled_in() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "twinbeat.toml");
    let (one, two) = (input("heartbeat/recipe/master1"), input("heartbeat/recipe/master2"));
    let arguments = ["import", "heartbeat", &one, "--node", "master1", "--other", &two, "--out", &out];
    let done = twinbeat(&arguments);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("written; 4 lines with FILL IN"), "{}", done.out);
    assert!(done.err.contains("To be done by hand:") && done.err.contains("ipfail: not needed"), "{}", done.err);
    let text = fs::read_to_string(&out).unwrap();
    let again = twinbeat(&arguments);
    assert!(again.code == Some(1) && again.err.contains("nothing is written"), "{}", again.err);
    assert_eq!(fs::read_to_string(&out).unwrap(), text, "never over a file that is there");
    let check = twinbeat(&["check", "--offline", "--config", &out, "--node", "master1"]);
    assert!(check.code == Some(1) && check.out.contains("FILL IN: what `twinbeat keygen` prints on master1"), "{}", check.out);
    // The same on the standard output, the findings beside it.
    let shown = twinbeat(&arguments[..arguments.len() - 2]);
    assert_eq!((shown.code, shown.out), (Some(0), text));
}

#[test]
fn keepalived_with_includes_and_ids() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("conf.d")).unwrap();
    fs::write(dir.path().join("k.conf"), "global_defs {\n@a router_id a\n@b router_id b\n}\ninclude conf.d/*.conf\n").unwrap();
    let instance = "vrrp_instance V {\ninterface eth0\n@a priority 10\n@b priority 20\nvirtual_ipaddress {\n10.0.0.9/24\n}\n}\n";
    fs::write(dir.path().join("conf.d/v.conf"), instance).unwrap();
    fs::write(dir.path().join("conf.d/v.conf.old"), "}").unwrap();
    let file = path(dir.path(), "k.conf");
    let done = twinbeat(&["import", "keepalived", &file, "--id", "a", "--id", "b"]);
    assert_eq!(done.code, Some(0), "{}", done.err);
    assert!(done.out.contains("preferred = \"b\"") && done.out.contains("conf.d/v.conf:6"), "{}", done.out);
    let done = twinbeat(&["import", "keepalived", &file]);
    assert!(done.code == Some(1) && done.out.is_empty() && done.err.contains("--id NAME"), "{}", done.err);
    fs::write(dir.path().join("conf.d/w.conf"), "include v.conf\ninclude w.conf\n").unwrap();
    let done = twinbeat(&["import", "keepalived", &file, "--id", "a"]);
    assert!(done.code == Some(1) && done.err.contains("includes itself"), "{}", done.err);
}

#[test]
fn what_cannot_be_read_is_named_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (here, long, out) = (path(dir.path(), "."), path(dir.path(), "long.conf"), path(dir.path(), "out.toml"));
    fs::write(&long, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    let fifo = path(dir.path(), "fifo");
    nix::unistd::mkfifo(Path::new(&fifo), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (arguments, words) in [
        (["import", "heartbeat", &here, "--out", &out], "no ha.cf there"),
        (["import", "heartbeat", &long, "--out", &out], "takes the directory"),
        (["import", "keepalived", &long, "--out", &out], "more than 1 MiB"),
        (["import", "keepalived", "/etc/hostname", "--out", &out], "not a keepalived.conf"),
        (["import", "keepalived", &here, "--out", &out], "not a regular file"),
        (["import", "keepalived", &fifo, "--out", &out], "not a regular file"),
        (["import", "keepalived", "/none", "--out", &out], "cannot be read"),
    ] {
        let done = twinbeat(&arguments);
        assert!(done.code == Some(1) && done.err.contains(words), "{arguments:?}: {:?} {}", done.code, done.err);
        assert!(done.out.is_empty() && !Path::new(&out).exists());
    }
}
