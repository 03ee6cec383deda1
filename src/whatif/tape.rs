//! The flight recorder of simulated daemons: a scenario's run as the journals that its two daemons would have written, for `why`, `replay` and `--set`.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use twinbeat_core::io::{Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::Mono;
use twinbeat_core::view::View;
use twinbeat_journal::file::{Begins, Head, name};
use twinbeat_journal::line::Coder;
use twinbeat_sim::clock::Moment;
use twinbeat_sim::machine::Brain;
use twinbeat_sim::script::Story;

/// One life of a daemon: its head and its lines.
type Tape = (Head, Rc<RefCell<Vec<u8>>>);

thread_local! {
    /// The lives in this thread's world, in the order in which they began.
    static TAPES: RefCell<Vec<Tape>> = const { RefCell::new(Vec::new()) };
}

struct Taped {
    node: Node,
    coder: Coder,
    outputs: Vec<Output>,
    lines: Rc<RefCell<Vec<u8>>>,
}

impl Brain for Taped {
    fn handle(&mut self, now: Mono, input: Input) {
        self.coder.input(&mut self.lines.borrow_mut(), now, &input);
        self.node.handle(now, input);
    }
    fn poll(&mut self) -> Option<Output> {
        let output = self.node.poll();
        match &output {
            Some(output) => self.outputs.push(output.clone()),
            None => {
                self.coder.outputs(&mut self.lines.borrow_mut(), &self.outputs);
                self.outputs.clear();
            }
        }
        output
    }
    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
    fn view(&self, now: Mono) -> Option<View> {
        Some(self.node.view(now))
    }
    fn held(&self, group: usize) -> bool {
        self.node.held(group)
    }
    fn counts(&self, witness: usize) -> bool {
        self.node.counts(witness)
    }
}

fn taped(settings: Settings, now: Mono) -> Box<dyn Brain> {
    let node = Node::new(settings, now);
    let lines = Rc::new(RefCell::new(Vec::new()));
    let head = Head::new(&node, now, Begins::Start, 0);
    TAPES.with_borrow_mut(|all| all.push((head, Rc::clone(&lines))));
    Box::new(Taped { node, coder: Coder::default(), outputs: Vec::new(), lines })
}

/// Runs a story and writes each node's journal into a folder of its name, as below a state directory. The wall clock in it counts from the
/// scenario's start; on a clock that runs too fast or too slow it drifts. Returns nodes and folders.
///
/// # Errors
/// What cannot be written.
pub fn journals(story: &Story, folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    TAPES.with_borrow_mut(Vec::clear);
    let outcome = story.run(taped, false);
    let tapes = TAPES.with_borrow_mut(std::mem::take);
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for (number, ((mut head, lines), began)) in (1..).zip(tapes.into_iter().zip(&outcome.record.began)) {
        let (Moment(wall), node) = (*began, head.node.to_string());
        head.wall = wall;
        let place = folder.join(&node);
        let dir = place.join(twinbeat_journal::DIR);
        std::fs::create_dir_all(&dir)?;
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&lines.borrow());
        std::fs::write(dir.join(name(number)), bytes)?;
        if !found.iter().any(|(known, _)| *known == node) {
            found.push((node, place));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use twinbeat_journal::file::named;
    use twinbeat_journal::replay::{Nobody, play};
    use twinbeat_journal::why::explain;
    use twinbeat_sim::pair::Builtin;

    #[test]
    fn the_journals_of_a_story_replay_and_explain_its_decisions_in_its_own_time() {
        let text = r#"{"title": "t", "config": "pairs/recipe.toml", "until": "40s", "timeline": [
            {"at": "0s", "start": ["master1", "master2"]}, {"at": "20s", "power_off": "master1"}, {"at": "30s", "power_on": "master1"}]}"#;
        let story = Story::read(text, "a.json", Path::new(""), &Builtin).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let found = journals(&story, folder.path()).unwrap();
        assert_eq!(found.iter().map(|(node, _)| node.as_str()).collect::<Vec<_>>(), ["master1", "master2"]);
        let files = named(&[found[0].1.clone()]).unwrap();
        assert_eq!(files.len(), 2, "two lives");
        play(&files, &mut Nobody).unwrap_or_else(|trouble| panic!("{trouble}"));
        let why = explain(&named(&[found[1].1.clone()]).unwrap(), 9).unwrap_or_else(|trouble| panic!("{trouble}"));
        let claim = why.decisions.iter().find(|text| text.contains("the peer is lost")).unwrap();
        assert!(claim.starts_with("1970-01-01T00:00:2"), "{claim}");
    }
}
