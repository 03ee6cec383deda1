//! The pairs that scenarios name: real configuration files, read as a daemon reads them.

use std::path::{Path, PathBuf};

use super::pair::{Pair, Pairs};
use twinbeat_config::Config;

/// Pairs from files, as [`find`] finds them.
pub struct Files;

/// The file that a scenario names: relative to the scenario's own folder, or, where nothing is there, to the folder above it. So the kinds of
/// scenarios, each a folder, share the pairs beside those folders.
pub fn find(folder: &Path, reference: &str) -> PathBuf {
    let beside = folder.join(reference);
    let above = folder.join("..").join(reference);
    if !beside.exists() && above.exists() { above } else { beside }
}

impl Pairs for Files {
    fn pair(&self, folder: &Path, reference: &str) -> Result<Pair, String> {
        let config = Config::read(&find(folder, reference)).map_err(|wrong| wrong.to_string())?;
        let settings = |place: usize| config.settings(&config.nodes[place].name).map_err(|wrong| wrong.to_string());
        Ok(Pair::new([settings(0)?, settings(1)?], config.nodes.each_ref().map(|node| node.public_key.to_bytes())))
    }
}

/// The files of `scenarios/pairs/`, for scenarios that are written elsewhere: `explore` puts the pair of its finding beside it.
pub const SHIPPED: &[(&str, &str)] = &[
    ("recipe", include_str!("../../scenarios/pairs/recipe.toml")),
    ("recipe-bare", include_str!("../../scenarios/pairs/recipe-bare.toml")),
    ("recipe-classic", include_str!("../../scenarios/pairs/recipe-classic.toml")),
    ("recipe-cold", include_str!("../../scenarios/pairs/recipe-cold.toml")),
    ("recipe-equal", include_str!("../../scenarios/pairs/recipe-equal.toml")),
    ("recipe-fast", include_str!("../../scenarios/pairs/recipe-fast.toml")),
    ("recipe-fast-cold", include_str!("../../scenarios/pairs/recipe-fast-cold.toml")),
    ("recipe-fast-manual", include_str!("../../scenarios/pairs/recipe-fast-manual.toml")),
    ("recipe-fast-norelay", include_str!("../../scenarios/pairs/recipe-fast-norelay.toml")),
    ("recipe-fast-two", include_str!("../../scenarios/pairs/recipe-fast-two.toml")),
    ("recipe-hold", include_str!("../../scenarios/pairs/recipe-hold.toml")),
    ("recipe-manual", include_str!("../../scenarios/pairs/recipe-manual.toml")),
    ("recipe-norelay", include_str!("../../scenarios/pairs/recipe-norelay.toml")),
    ("recipe-plain", include_str!("../../scenarios/pairs/recipe-plain.toml")),
    ("recipe-three", include_str!("../../scenarios/pairs/recipe-three.toml")),
    ("recipe-two", include_str!("../../scenarios/pairs/recipe-two.toml")),
];

#[cfg(test)]
mod tests {
    use super::super::pair::Builtin;
    use super::*;

    fn scenarios() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")
    }

    #[test]
    fn what_explore_draws_from_is_what_the_file_of_that_name_says() {
        for (name, _) in SHIPPED {
            let reference = format!("pairs/{name}.toml");
            let built = Builtin.pair(Path::new(""), &reference).unwrap();
            let mut read = Files.pair(&scenarios(), &reference).unwrap();
            for node in 0..2 {
                read.settings[node].digest = built.settings[node].digest;
                assert_eq!(read.settings[node], built.settings[node], "{name}");
            }
        }
    }

    #[test]
    fn what_a_scenario_names_lies_beside_it_or_else_one_folder_above() {
        let root = tempfile::tempdir().unwrap();
        let kind = root.path().join("kind");
        std::fs::create_dir_all(kind.join("deeper")).unwrap();
        assert_eq!(find(&kind, "a.toml"), kind.join("a.toml"), "an error names the place beside the scenario");
        std::fs::write(root.path().join("a.toml"), "").unwrap();
        assert_eq!(find(&kind, "a.toml"), kind.join("../a.toml"));
        assert_eq!(find(&kind.join("deeper"), "a.toml"), kind.join("deeper/a.toml"), "not two");
        std::fs::write(kind.join("a.toml"), "").unwrap();
        assert_eq!(find(&kind, "a.toml"), kind.join("a.toml"));
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_own_file_line_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let good = std::fs::read_to_string(scenarios().join("pairs/recipe.toml")).unwrap();
        std::fs::write(folder.path().join("bad.toml"), good.replace("preferred = \"master1\"", "prefered = \"master1\""))
            .unwrap();
        let wrong = Files.pair(folder.path(), "bad.toml").unwrap_err();
        let line = good.lines().position(|line| line.starts_with("preferred")).unwrap() + 1;
        assert!(wrong.contains(&format!("bad.toml:{line}")) && wrong.contains("prefered"), "{wrong}");
        let wrong = Files.pair(folder.path(), "none.toml").unwrap_err();
        assert!(wrong.contains("none.toml") && wrong.contains("cannot be read"), "{wrong}");
    }
}
