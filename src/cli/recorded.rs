//! `twinbeat replay` of what a daemon recorded.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;

use twinbeat_journal as journal;
use twinbeat_journal::file::named;
use twinbeat_journal::replay::{Nobody, Trouble, play};
use twinbeat_say::{say, say_on};
use twinbeat_whatif::what_if;

/// A recorded file, or a directory that holds some.
pub fn is_journal(path: &Path) -> bool {
    let recorded = |path: &Path| path.extension().is_some_and(|end| end == "jsonl");
    let holds = |dir: &Path| std::fs::read_dir(dir).is_ok_and(|mut all| all.any(|e| e.is_ok_and(|e| recorded(&e.path()))));
    recorded(path) || holds(path) || holds(&path.join(journal::DIR))
}

/// Plays journals, with these settings changed if there are any; the exit code.
///
/// # Errors
/// What cannot be read, with file and line; a change that is not allowed.
pub fn run(paths: &[PathBuf], set: &[String]) -> anyhow::Result<ExitCode> {
    if let Some(other) = paths.iter().find(|path| !is_journal(path)) {
        bail!("{} is no journal (.jsonl); journals and scenarios are replayed by two commands", other.display());
    }
    if !set.is_empty() {
        say_on!("{}", what_if(&named(paths)?, set)?);
        return Ok(ExitCode::SUCCESS);
    }
    match play(&named(paths)?, &mut Nobody) {
        Ok(played) => {
            say!("{played}");
            Ok(ExitCode::SUCCESS)
        }
        Err(Trouble::Fault(fault)) => Err(fault.into()),
        Err(difference) => {
            say!("FAIL  {difference}");
            Ok(ExitCode::FAILURE)
        }
    }
}
