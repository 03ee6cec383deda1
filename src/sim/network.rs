//! The frames' ways: for each link and direction delay, jitter, loss, duplication, corruption, silent cuts.
//!
//! The public link is a segment on which the witnesses stand beside the nodes; every other link joins the two nodes alone.

use super::clock::Moment;
use super::rng::Rng;
use twinbeat_core::time::Span;

/// Somebody with a port on a link: 0 and 1 are the nodes, 2 and up the witnesses (on the public link only).
pub type Station = usize;

/// The station of a witness.
pub const fn station(witness: usize) -> Station {
    witness + 2
}

/// One direction between two stations on one link.
#[derive(Clone, Debug)]
pub struct Path {
    /// How long a frame travels at the least.
    pub delay: Span,
    /// How much longer at the most.
    pub jitter: Span,
    /// Frames lost, in millionths.
    pub loss: u32,
    /// How many frames a loss takes at once.
    pub burst: u32,
    /// Frames that arrive damaged, in millionths; the receiver drops them.
    pub corrupt: u32,
    /// Frames that arrive twice, in millionths.
    pub duplicate: u32,
    /// Frames that are overtaken by later ones, in millionths.
    pub reorder: u32,
    /// How much longer those travel.
    pub overtaken: Span,
    /// Silently cut.
    pub cut: bool,
    /// Heartbeats (UDP) are filtered, everything else passes.
    pub no_heartbeats: bool,
    /// How many more frames the burst takes.
    falling: u32,
}

impl Path {
    /// Nothing was done to it.
    pub fn is_plain(&self) -> bool {
        let Path { delay, jitter, loss, burst: _, corrupt, duplicate, reorder, overtaken: _, cut, no_heartbeats, falling } = self;
        let new = Path::default();
        (*delay, *jitter) == (new.delay, new.jitter)
            && [*loss, *corrupt, *duplicate, *reorder, *falling].iter().all(|n| *n == 0)
            && !cut
            && !no_heartbeats
    }
}

impl Default for Path {
    fn default() -> Self {
        Path {
            delay: Span::micros(80),
            jitter: Span::micros(60),
            loss: 0,
            burst: 1,
            corrupt: 0,
            duplicate: 0,
            reorder: 0,
            overtaken: Span::ZERO,
            cut: false,
            no_heartbeats: false,
            falling: 0,
        }
    }
}

/// When a frame arrives: never, once or twice.
pub type Arrivals = [Option<Moment>; 2];

/// All ways.
#[derive(Clone, Debug)]
pub struct Network {
    stations: usize,
    /// For each link its square of directions.
    paths: Vec<Vec<Path>>,
    /// For each node: what it sends from a VIP, or says in its name, is dropped.
    pub guarded: [bool; 2],
    /// Heartbeats are not carried by the witness.
    pub relay_blocked: bool,
    /// When a witness last began to answer the sender while no echo in the peer's name passed.
    pub turned_unseen: Option<Moment>,
    /// The most bytes of a packet on the public link; the nodes' kernels refuse to send a longer one there.
    pub mtu: usize,
    rng: Rng,
    aside: Rng,
}

impl Network {
    /// Healthy ways over `links` links with `witnesses` witnesses.
    pub fn new(links: usize, witnesses: usize, seed: u64) -> Network {
        let stations = 2 + witnesses;
        Network {
            stations,
            paths: vec![vec![Path::default(); stations * stations]; links],
            guarded: [false; 2],
            relay_blocked: false,
            turned_unseen: None,
            mtu: 1500,
            rng: Rng::stream(seed, 1),
            aside: Rng::stream(seed, 4),
        }
    }

    /// One direction.
    pub fn path(&self, link: usize, from: Station, to: Station) -> &Path {
        &self.paths[link][from * self.stations + to]
    }

    /// One direction, to be changed.
    pub fn path_mut(&mut self, link: usize, from: Station, to: Station) -> &mut Path {
        &mut self.paths[link][from * self.stations + to]
    }

    /// How many links there are.
    pub fn links(&self) -> usize {
        self.paths.len()
    }

    /// How many stations the public link has.
    pub fn stations(&self) -> usize {
        self.stations
    }

    /// One more station on the public network, before anything was done to the ways.
    pub fn one_more(&mut self) {
        self.stations += 1;
        self.paths.iter_mut().for_each(|paths| *paths = vec![Path::default(); self.stations * self.stations]);
    }

    /// Every way is as new.
    pub fn heal(&mut self) {
        self.paths.iter_mut().flatten().for_each(|path| *path = Path::default());
        self.relay_blocked = false;
        self.guarded = [false; 2];
    }

    /// Draws what happens to one frame.
    pub fn send(&mut self, now: Moment, link: usize, from: Station, to: Station) -> Arrivals {
        Self::draw(&mut self.paths[link][from * self.stations + to], &mut self.rng, now)
    }

    /// The same for frames that only ask, with dice of their own: more or fewer of them leave the fate of all others as it was.
    pub fn send_aside(&mut self, now: Moment, link: usize, from: Station, to: Station) -> Arrivals {
        Self::draw(&mut self.paths[link][from * self.stations + to], &mut self.aside, now)
    }

    fn draw(path: &mut Path, rng: &mut Rng, now: Moment) -> Arrivals {
        if path.cut {
            return [None, None];
        }
        if path.falling > 0 {
            path.falling -= 1;
            return [None, None];
        }
        if rng.chance(path.loss) {
            path.falling = path.burst.saturating_sub(1);
            return [None, None];
        }
        if rng.chance(path.corrupt) {
            return [None, None];
        }
        let (delay, jitter) = (path.delay, path.jitter);
        let mut arrival = || now + delay + Span(rng.below(jitter.0 + 1));
        let mut first = arrival();
        let second = (path.duplicate > 0).then(&mut arrival);
        if rng.chance(path.reorder) {
            first = first + path.overtaken;
        }
        [Some(first), second.filter(|_| rng.chance(path.duplicate))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_takes_as_many_frames_as_it_says() {
        let mut network = Network::new(1, 1, 1);
        let path = network.path_mut(0, 0, 1);
        (path.loss, path.burst) = (1_000_000, 3);
        assert_eq!(network.send(Moment(0), 0, 0, 1), [None, None]);
        network.path_mut(0, 0, 1).loss = 0;
        assert_eq!(network.send(Moment(0), 0, 0, 1), [None, None]);
        assert_eq!(network.send(Moment(0), 0, 0, 1), [None, None]);
        assert!(network.send(Moment(0), 0, 0, 1)[0].is_some());
    }

    #[test]
    fn an_overtaken_frame_arrives_behind_a_later_one() {
        let mut network = Network::new(1, 1, 1);
        let path = network.path_mut(0, 0, 1);
        (path.reorder, path.overtaken) = (1_000_000, Span::millis(5));
        let early = network.send(Moment(0), 0, 0, 1)[0];
        network.path_mut(0, 0, 1).reorder = 0;
        let later = network.send(Moment(1_000_000), 0, 0, 1)[0];
        assert!(early > later && later.is_some());
    }

    #[test]
    fn a_cut_is_one_way() {
        let mut network = Network::new(1, 1, 1);
        network.path_mut(0, 0, 1).cut = true;
        assert_eq!(network.send(Moment(0), 0, 0, 1)[0], None);
        assert!(network.send(Moment(0), 0, 1, 0)[0].is_some());
    }
}
