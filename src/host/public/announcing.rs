//! Who says that the VIPs are this node's: the guard VIP's frames leave at once, the others' behind everything that the decision had to say.

use std::io::ErrorKind;

use tokio::time::Instant;

use super::side::{PublicSide, send_on};
use super::types::SendError;
use crate::neighbour;
use crate::raw_echo::same_family;
use twinbeat_core::id::GroupId;

impl PublicSide {
    /// Tells each VIP's link, and the witnesses by the frame that writes, that the VIPs are mine: the first one now, the others a few at a time.
    ///
    /// # Errors
    /// What became of the first one.
    pub fn announce(&mut self, group: GroupId) -> Result<(), SendError> {
        let mut of_group = self.vips.iter().enumerate().filter(|(_, vip)| vip.group == group).map(|(place, _)| place);
        let Some(guard) = of_group.next() else { return Ok(()) };
        let others: Vec<usize> = of_group.collect();
        if !others.is_empty() {
            self.paced.soon(&others, Instant::now());
        }
        self.announce_one(guard)
    }

    /// The group is given up: nothing more is said for it.
    pub fn hush(&mut self, group: GroupId) {
        let Self { paced, vips, .. } = self;
        paced.forget(|place| vips.get(place).is_some_and(|vip| vip.group == group));
    }

    /// Sends the next of them.
    pub(super) fn pace(&mut self) {
        let mut paced = std::mem::take(&mut self.paced);
        paced.send(Instant::now(), |place| match self.announce_one(place) {
            Err(SendError::Io(error)) => error.kind() != ErrorKind::WouldBlock && error.raw_os_error() != Some(libc::ENOBUFS),
            _ => true,
        });
        self.paced = paced;
    }

    fn announce_one(&self, place: usize) -> Result<(), SendError> {
        let Some(vip) = self.vips.get(place) else { return Ok(()) };
        let mut done = Ok(());
        // The writes first: they are what the return path waits for. A unicast passes where broadcasts are rationed.
        for witness in self.witnesses.iter().filter(|witness| vip.link == 0 && same_family(&witness.address, &vip.address)) {
            done = done.and(send_on(&self.links, 0, |mine| neighbour::write(mine, vip.address, witness.address, witness.mac)));
        }
        done.and(send_on(&self.links, vip.link, |mine| Some(neighbour::gratuitous(mine, vip.address))))
    }
}
