//! Writes man pages and completions for packages: `cargo run -p twinbeat-pages -- DIR [NAME]`.
//!
//! They are of the command line as this build has it: with `--no-default-features` that of the production program, with the feature `lab` that of
//! the package twinbeat-lab, whose program has the name `twinbeat-lab`. A program of its own, so that twinbeat is built without what this needs.

#![forbid(unsafe_code)]

mod pages;

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let dir = PathBuf::from(arguments.next().context("which directory?")?);
    let name = match arguments.next() {
        Some(name) => name.into_string().ok().context("a name in UTF-8")?,
        None => "twinbeat".to_owned(),
    };
    ensure!(arguments.next().is_none(), "a directory and a name, and nothing else");
    for (file, text) in pages::all(&name)? {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&dir)).with_context(|| path.display().to_string())?;
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}
