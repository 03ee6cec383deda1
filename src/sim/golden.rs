//! A scenario's whole judgement: what its file expects, what must never happen, and its golden trace.

use std::path::{Path, PathBuf};

use super::machine::real;
use super::pair::Pairs;
use super::script::{Outcome, Story};

/// A scenario that was run.
pub struct Played {
    /// The scenario.
    pub story: Story,
    /// How it went.
    pub outcome: Outcome,
    /// Its trace as it is now.
    pub trace: String,
}

/// What came of a scenario's file.
pub enum Judged {
    /// It was run.
    Played(Box<Played>),
    /// It has a step that does not exist in virtual time: it counts neither as passed nor as failed.
    NotHere(String),
}

/// The scenarios in a folder and in the folders below it, by path; a file that is none of them stays out, and a link to a folder is not followed.
///
/// # Errors
/// A folder cannot be read.
pub fn scenarios(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if is_scenario(&entry.path()) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// By its name; the schema is none.
fn is_scenario(path: &Path) -> bool {
    let schema = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".schema.json"));
    path.extension().is_some_and(|end| end == "json") && !schema
}

/// Reads and runs one scenario.
///
/// # Errors
/// A file that cannot be read, with file, line and what is allowed.
pub fn judge(path: &Path, pairs: &dyn Pairs) -> Result<Judged, String> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|wrong| format!("{name}: {wrong}"))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let story = Story::read(&text, &name, folder, pairs)?;
    if let Some(step) = story.not_here.first() {
        return Ok(Judged::NotHere(format!("the step `{step}` does not exist in virtual time yet")));
    }
    let outcome = story.run(real, true);
    let trace = outcome.record.lines.as_deref().unwrap_or_default().join("\n") + "\n";
    Ok(Judged::Played(Box::new(Played { story, outcome, trace })))
}

impl Played {
    /// All that is wrong: expectations, promises, and the first difference to the golden trace, where there is one.
    pub fn wrong(&self, golden: &Path) -> Vec<String> {
        let mut wrong = self.wrong_in_itself();
        match std::fs::read_to_string(golden) {
            Ok(before) => {
                let difference = first_difference(&before, &self.trace);
                wrong.extend(difference.map(|what| format!("the trace is another one (is it meant? --bless): {what}")));
            }
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
            Err(why) => wrong.push(format!("{}: cannot be read: {why}", golden.display())),
        }
        wrong
    }

    /// What is wrong whatever the golden trace says.
    pub fn wrong_in_itself(&self) -> Vec<String> {
        let promises = &self.outcome.violations;
        let promises = promises.iter().map(|v| format!("{:?} at {}: {}", v.promise, v.at.to_string().trim(), v.text));
        self.outcome.failures.iter().map(ToString::to_string).chain(promises).collect()
    }
}

/// The first line in which two traces differ; none when they are the same.
pub fn first_difference(golden: &str, now: &str) -> Option<String> {
    let end = || std::iter::repeat(None);
    let pairs = golden.lines().map(Some).chain(end()).zip(now.lines().map(Some).chain(end()));
    let lines = golden.lines().count().max(now.lines().count());
    let (number, (was, is)) = (1..).zip(pairs).take(lines).find(|(_, (was, is))| was != is)?;
    Some(format!("line {number}\n    was: {}\n    is:  {}", was.unwrap_or("(the end)"), is.unwrap_or("(the end)")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_found_in_folders_below_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let place = |name: &str| root.path().join(name);
        std::fs::create_dir_all(place("b/pairs")).unwrap();
        for file in ["z.json", "z.trace", "a.schema.json", "b/a.json", "b/pairs/a.toml"] {
            std::fs::write(place(file), "").unwrap();
        }
        assert_eq!(scenarios(root.path()).unwrap(), [place("b/a.json"), place("z.json")]);
        assert!(scenarios(&place("none")).is_err());
    }

    #[test]
    fn the_first_difference_is_found_wherever_it_is() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert!(first_difference("a\nb\n", "a\nc\n").unwrap().starts_with("line 2\n    was: b\n    is:  c"));
        assert!(first_difference("a\n", "a\nb\n").unwrap().contains("was: (the end)"));
        assert!(first_difference("a\nb\n", "a\n").unwrap().contains("is:  (the end)"));
    }
}
