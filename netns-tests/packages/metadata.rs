//! The packages' metadata in Cargo.toml: each file that it names is there or is made, and both kinds of package have the same ones.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::pages;

/// One file or pattern of a package: where from, where to, its mode.
type Asset = (String, String, String);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn metadata() -> Table {
    let manifest: Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    manifest["package"]["metadata"].as_table().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The tables of a package of each kind.
fn tables<'a>(metadata: &'a Table, kind: &str) -> Vec<(&'static str, &'a Value)> {
    vec![("twinbeat", &metadata[kind]), ("twinbeat-lab", &metadata[kind]["variants"]["lab"])]
}

fn deb_assets(table: &Value) -> Vec<Asset> {
    let list = table["assets"].as_array().unwrap().iter();
    list.map(|asset| (text(&asset[0]), format!("/{}", text(&asset[1])), text(&asset[2]))).collect()
}

fn rpm_assets(table: &Value) -> Vec<Asset> {
    let list = table["assets"].as_array().unwrap().iter();
    list.map(|asset| (text(&asset["source"]), text(&asset["dest"]), text(&asset["mode"]))).collect()
}

/// Whether a source of this pattern is there: in the repository, or among what is built.
fn there(source: &str, name: &str) -> bool {
    if let Some(built) = source.strip_prefix("target/release/") {
        return match built.strip_prefix("pages/") {
            None => built == "twinbeat",
            // Man pages are packed on the way.
            Some(page) => pages::all(name).unwrap().iter().any(|(path, _)| {
                let (path, page) = (path.to_str().unwrap(), page.trim_end_matches(".gz"));
                page.split_once('*').map_or(path == page, |(before, behind)| path.starts_with(before) && path.ends_with(behind))
            }),
        };
    }
    let Some((before, _)) = source.split_once('*') else { return root().join(source).is_file() };
    let (folder, start) = before.rsplit_once('/').unwrap_or((".", before));
    fs::read_dir(root().join(folder)).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with(start))
}

#[test]
fn the_metadata_names_only_what_is_there_and_both_kinds_of_package_have_the_same_files() {
    let metadata = metadata();
    // Where distributions differ: completions of zsh, and where licences are.
    let alike = |(source, to, mode): &Asset| {
        let to = to.replace("/zsh/vendor-completions/", "/zsh/site-functions/");
        let licence = source.contains("copyright") || source.contains("LICENSE");
        (!licence).then(|| (source.clone(), to, mode.clone()))
    };
    for ((name, deb), (_, rpm)) in tables(&metadata, "deb").into_iter().zip(tables(&metadata, "generate-rpm")) {
        let (deb, rpm) = (deb_assets(deb), rpm_assets(rpm));
        for (source, to, mode) in deb.iter().chain(&rpm) {
            assert!(there(source, name), "{name}: {source}");
            assert!(to.starts_with("/usr/"), "{name}: {to}: what is below /etc is the administrator's");
            assert!(["644", "755"].contains(&mode.as_str()), "{name}: {source}");
        }
        let of = |assets: &[Asset]| assets.iter().filter_map(alike).collect::<BTreeSet<_>>();
        assert_eq!(of(&deb), of(&rpm), "{name}");
        assert!(deb.iter().any(|(source, ..)| source.contains("copyright")));
        // Both licences word for word, and whom to write to.
        for (assets, licences) in [(&deb, format!("/usr/share/doc/{name}/")), (&rpm, format!("/usr/share/licenses/{name}/"))] {
            let has = |source: &str, to: &str| assets.iter().any(|asset| asset.0 == source && asset.1 == to);
            assert!(has("LICENSE-*", &licences), "{name}: {assets:#?}");
            assert!(has("SECURITY.md", &format!("/usr/share/doc/{name}/")), "{name}: {assets:#?}");
        }
    }
    let copyright = fs::read_to_string(root().join("dist/packages/copyright")).unwrap();
    let contact = copyright.lines().find(|line| line.starts_with("Upstream-Contact: ")).expect("whom to write to");
    let security = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    assert!(contact.contains("SECURITY.md") && security.contains("## How to report"), "{contact}");
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(fs::read_to_string(root().join(licence)).unwrap().len() > 1000, "{licence}");
    }
    let unit = fs::read_to_string(root().join("dist/twinbeat.service")).unwrap();
    assert!(unit.contains("\nExecStart=/usr/bin/twinbeat run\n"), "where the package puts the program");
}

#[test]
fn the_program_of_the_package_is_built_without_its_laboratory_and_the_scripts_are_those_that_are_tested() {
    let metadata = metadata();
    let (deb, rpm) = (&metadata["deb"], &metadata["generate-rpm"]);
    assert_eq!(deb["default-features"].as_bool(), Some(false));
    assert_eq!(deb["variants"]["lab"]["default-features"].as_bool(), Some(true));
    let scripts = root().join(text(&deb["maintainer-scripts"]));
    for name in ["postinst", "prerm", "postrm"] {
        assert!(fs::read_to_string(scripts.join(name)).unwrap().starts_with("#!/bin/sh\n"), "{name}");
    }
    for (key, name) in
        [("post_install_script", "post.sh"), ("pre_uninstall_script", "preun.sh"), ("post_uninstall_script", "postun.sh")]
    {
        // One that is not found would be taken for the script's text.
        assert_eq!(text(&rpm[key]), format!("dist/packages/rpm/{name}"));
        assert!(root().join(text(&rpm[key])).is_file());
        assert_eq!(text(&rpm["variants"]["lab"][key]), "exit 0");
    }
    // The laboratory has no daemon to care for.
    let none = root().join(text(&deb["variants"]["lab"]["maintainer-scripts"]));
    assert!(
        none.is_dir() && ["preinst", "postinst", "prerm", "postrm", "templates"].iter().all(|name| !none.join(name).exists())
    );
}
