//! The names under which a daemon runs. They are bound into each frame (docs/PROTOCOL.md, "Keys"), and into the name of the gate's table.

use twinbeat_core::id::Name;
use twinbeat_core::settings::Settings;

/// What the file that a daemon started with calls the cluster, the daemon's node and the other one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Called {
    cluster: Name,
    node: Name,
    peer: Name,
}

impl Called {
    /// By the settings of a node.
    pub fn by(settings: &Settings) -> Called {
        let name = |node| settings.name_of(node).clone();
        Called { cluster: settings.cluster.clone(), node: name(settings.me), peer: name(settings.me.other()) }
    }

    /// Whether a daemon of these names takes the frames of one of those: tag and signature are over the cluster, the sender and the receiver.
    pub fn takes(&self, sender: &Called) -> bool {
        self.cluster == sender.cluster && self.peer == sender.node && self.node == sender.peer
    }

    /// Whether the gate's table has the same name.
    pub fn same_table(&self, other: &Called) -> bool {
        self.cluster == other.cluster && self.node == other.node
    }

    /// Node and cluster, for the record.
    pub fn words(&self) -> String {
        format!("{} of cluster {}, beside {}", self.node, self.cluster, self.peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::named;

    #[test]
    fn frames_are_taken_between_the_same_three_names_and_the_table_has_two_of_them() {
        let called = |words: &str, machine: u8| {
            let pair = named(words).unwrap().build();
            Called::by(&pair.files[pair.keys.iter().position(|key| *key == [machine; 32]).unwrap()])
        };
        let before = [called("recipe", 0), called("recipe", 1)];
        assert!(before[0].takes(&before[1]) && before[1].takes(&before[0]));
        for words in ["shop", "alpha", "omega", "crossed"] {
            let after = [called(words, 0), called(words, 1)];
            assert!(after[0].takes(&after[1]) && after[1].takes(&after[0]), "{words}");
            for (machine, other) in [(0, 1), (1, 0)] {
                assert!(!before[machine].takes(&after[other]) && !after[machine].takes(&before[other]), "{words}");
            }
        }
        let [one, two] = before;
        // The second node's own name stays where the first one's changes.
        assert!(
            two.same_table(&called("alpha", 1)) && !one.same_table(&called("alpha", 0)) && !two.same_table(&called("shop", 1))
        );
    }
}
