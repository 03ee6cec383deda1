//! A client on the LAN itself: it has a neighbour table of its own, which announcements change and challenges do not.

use super::gateway::Witness;
use super::world::World;

impl World {
    /// Puts a client on the LAN, behind the last witness: no node asks it anything.
    pub fn add_client(&mut self) {
        let client = self.witnesses.len();
        self.client = Some(client);
        self.witnesses.push(Witness::new(self.stranger.len(), true));
        self.network.one_more();
        self.wake_table(client);
    }

    /// How many of the stations beside the nodes are witnesses.
    pub(super) fn targets(&self) -> usize {
        self.client.unwrap_or(self.witnesses.len())
    }
}
