//! What packages the program is made of, by `cargo metadata`: licences, versions and sources as deny.toml has them, and the oldest Rust
//! that each of them takes. `cargo deny check` asks the same and the advisories.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde::Deserialize;
use toml::{Table, Value};

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// An SPDX expression.
    license: Option<String>,
    /// None for what is in this repository.
    source: Option<String>,
    rust_version: Option<String>,
}

/// Everything that is built on Linux with any feature, tests included.
static PACKAGES: LazyLock<Vec<Package>> = LazyLock::new(|| {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--all-features", "--format-version=1"]);
    cargo.arg(format!("--filter-platform={}-unknown-linux-gnu", std::env::consts::ARCH));
    let done = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let packages = serde_json::from_slice::<Metadata>(&done.stdout).unwrap().packages;
    assert!(packages.len() > 100, "the packages were not found");
    packages
});

fn table(file: &str) -> Table {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap().parse().unwrap()
}

fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

/// Whether an SPDX expression can be met by the licences `allowed`. `/` is how old manifests write OR; AND binds closer than OR.
fn met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        met |= all_of(rest, allowed);
    }
    met
}

fn all_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let met = any_of(rest, allowed);
            let ([")", after @ ..] | after) = *rest;
            *rest = after;
            met
        }
        [name, "WITH", exception, after @ ..] => {
            *rest = after;
            allowed.contains(&format!("{name} WITH {exception}"))
        }
        [name, after @ ..] => {
            *rest = after;
            allowed.contains(*name)
        }
        [] => false,
    }
}

#[test]
fn an_expression_is_met_as_spdx_reads_it() {
    let allowed: BTreeSet<String> = ["MIT", "Unicode-3.0"].map(str::to_owned).into();
    for (expression, is) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("Unlicense/MIT", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(GPL-3.0-only OR Apache-2.0) AND Unicode-3.0", false),
        ("GPL-3.0-only AND MIT OR Unicode-3.0", true),
        ("MIT WITH Some-exception", false),
        ("MIT MIT", false),
        ("", false),
    ] {
        assert_eq!(met(expression, &allowed), is, "{expression}");
    }
}

#[test]
fn every_package_has_a_licence_that_is_allowed_and_none_is_allowed_in_vain() {
    let allowed = texts(&table("deny.toml")["licenses"]["allow"]);
    let fails = |allowed: &BTreeSet<String>| -> Vec<String> {
        let met = |package: &&Package| package.license.as_deref().is_some_and(|licence| met(licence, allowed));
        PACKAGES
            .iter()
            .filter(|package| !met(package))
            .map(|package| format!("{}: {:?}", package.name, package.license))
            .collect()
    };
    assert_eq!(fails(&allowed), Vec::<String>::new());
    for one in &allowed {
        let mut without = allowed.clone();
        without.remove(one);
        assert!(!fails(&without).is_empty(), "no package needs {one}");
    }
}

#[test]
fn what_is_there_in_several_versions_is_named_with_the_reason() {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in PACKAGES.iter() {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let skipped = table("deny.toml")["bans"]["skip"].as_array().unwrap().clone();
    for skip in &skipped {
        let (name, version) = skip["crate"].as_str().unwrap().split_once('@').unwrap();
        assert!(!skip["reason"].as_str().unwrap().is_empty());
        let there = versions.get_mut(name).unwrap_or_else(|| panic!("{name} is not used any more"));
        assert!(there.remove(version) && !there.is_empty(), "{name} {version} is not used beside another version any more");
    }
    versions.retain(|_, there| there.len() > 1);
    assert!(versions.is_empty(), "{versions:?}");
}

#[test]
fn every_package_is_of_the_registry_or_of_this_repository() {
    for package in PACKAGES.iter() {
        match package.source.as_deref() {
            None => assert!(package.name.starts_with("twinbeat"), "{}", package.name),
            Some(source) => assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{}", package.name),
        }
    }
}

/// What the standard library has had since when, clippy's `incompatible_msrv` knows.
#[test]
fn the_declared_rust_is_enough_for_every_package() {
    let number = |text: &str| -> Vec<u32> { text.split('.').map(|part| part.parse().unwrap()).chain([0]).take(3).collect() };
    let workspace = table("Cargo.toml");
    let ours = workspace["workspace"]["package"]["rust-version"].as_str().unwrap();
    for package in PACKAGES.iter() {
        if let Some(theirs) = &package.rust_version {
            assert!(number(theirs) <= number(ours), "{} {} wants Rust {theirs}", package.name, package.version);
        }
    }
}
