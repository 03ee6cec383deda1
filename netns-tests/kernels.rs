//! The gate's own tests on kernels of distributions, each booted in QEMU: what docs/GATE.md says was run where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod qemu;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use qemu::Kernel;
use twinbeat::lab::ns::{self, Namespace, Prefix};

/// Which, as their program's arguments; `TWINBEAT_KERNEL_TESTS` names others, as for a measurement. Left out is what measures milliseconds of an emulated
/// processor that may itself wait for its turn, and a thousand addresses, whose batch must not take longer than 64 ms.
const TESTS: &str = "gate:: --skip a_thousand_addresses --skip it_closes_by_itself --skip an_order_that_is_held_up \
    --skip a_weak_gate --skip a_flushed_ruleset --skip under_load";
/// Emulated, they take some minutes of processor time; a machine that is busy otherwise takes longer.
const LIMIT: Duration = Duration::from_secs(600);

#[test]
fn the_gates_tests_pass_on_linux_6_1() {
    tests_pass_on("6.1.");
}

#[test]
fn the_gates_tests_pass_on_linux_6_12() {
    tests_pass_on("6.12.");
}

fn tests_pass_on(version: &str) {
    if !common::ready() {
        return;
    }
    let Some(kernel) = Kernel::find(version) else { return };
    ns::sweep();
    let inside = Namespace::create(&Prefix::new().unwrap(), "kernel").unwrap();
    let files = tempfile::tempdir().unwrap();
    let initramfs = files.path().join("initramfs");
    let modules = ["veth", "bridge", "br_netfilter", "macvlan", "vrf", "nf_tables"];
    kernel.initramfs(&initramfs, &["ip", "nft", "sysctl", "env"], &[("tests", &unit_tests())], &[], &modules).unwrap();
    let began = Instant::now();
    let mut machine = kernel.boot(&inside, "kernel", &initramfs, 512, &[]).unwrap();
    println!("Linux {} booted in {:.1} s", kernel.version, began.elapsed().as_secs_f64());
    assert_eq!(machine.run("uname -r").unwrap().trim(), kernel.version);
    let which = env::var("TWINBEAT_KERNEL_TESTS").unwrap_or_else(|_| TESTS.to_owned());
    let (said, code) = machine.run_for(&format!("cd /tmp; tests {which} --test-threads=1 --nocapture 2>&1"), LIMIT).unwrap();
    println!("{said}\nafter {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(code, 0, "on Linux {}", kernel.version);
    assert!(said.contains("test result: ok. ") && !said.contains("ok. 0 passed"), "on Linux {}", kernel.version);
    for gap in ["not tried", "skipped", "SKIPPED"] {
        assert!(!said.contains(gap), "all that this kernel can do was to be tried");
    }
}

/// The program of the host room's unit tests; built already where all tests run.
fn unit_tests() -> PathBuf {
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["test", "--package=twinbeat-host", "--lib", "--no-run", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let done = build.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let said = String::from_utf8(done.stdout).unwrap();
    let messages = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let mut hosts = messages.filter(|message| message["target"]["name"] == "twinbeat_host");
    let program = hosts.find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.filter(|path: &PathBuf| Path::new(path).is_file()).expect("the tests' program")
}
