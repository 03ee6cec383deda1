//! Parts of a drawn story that both generators use.

use super::pair::{Builder, Builtin, Pair, Pairs};
use super::pair_file::draw_pair;
use super::rng::Rng;
use super::script::{Allow, ConfigRef, Scenario};
use super::step::{Dur, Entry, On, Step};

/// The pair of a seed's story: this one, or the one that is drawn as well.
pub(super) fn pair_of(seed: u64, fixed: Option<&(String, Pair)>) -> (String, Pair) {
    fixed.cloned().unwrap_or_else(|| {
        let drawn = draw_pair(seed);
        let pair = Builtin.pair(std::path::Path::new(""), &drawn);
        (drawn, pair.unwrap_or_else(|_| Builder::default().build()))
    })
}

/// The story of a seed, which expects nothing but the promises.
pub(super) fn told(seed: u64, config: String, timeline: Vec<Entry>, until: Dur) -> Scenario {
    Scenario {
        schema: None,
        title: format!("Seed {seed}"),
        about: String::new(),
        groups_in_beat: in_parts(seed, &config),
        config: ConfigRef::Both(config),
        seed: Some(seed),
        timeline,
        until,
        expect: Vec::new(),
        allow: Some(Allow { limits: true, ..Allow::default() }),
    }
}

/// What pairs with several groups tell of them in one heartbeat, in one story of two: as little as makes parts of it.
fn in_parts(seed: u64, config: &str) -> Option<u64> {
    let mut rng = Rng::stream(seed, PARTS);
    let most = if config.contains("-eight") { 5 } else { 1 };
    let several = most > 1 || config.contains("-two");
    (several && rng.below(2) == 0).then(|| rng.between(1, most))
}

/// Its dice.
const PARTS: u64 = 2_600;

/// What a new file calls the cluster or the nodes, in words of a pair's name: the numbers of the nodes stay with `shop` and `alpha`.
pub(super) const NAMES: &[&str] = &["shop", "alpha", "omega", "omega", "crossed", "shop-omega"];

/// Of these seeds one in eight has this kind of fault, which came after the others: the stories of all other seeds stay as they are. Its
/// dice are its own.
pub(super) fn seldom(seed: u64, stream: u64) -> Option<Rng> {
    let mut rng = Rng::stream(seed, stream);
    (rng.below(8) == 0).then_some(rng)
}

/// A command of a person's.
pub(super) fn some_command(rng: &mut Rng, on: On) -> Step {
    match rng.below(5) {
        0 | 1 => Step::Standby(on),
        2 | 3 => Step::Takeover(on),
        _ => Step::Resume(on),
    }
}

/// The name of a link, the relay aside.
pub(super) fn some_link(rng: &mut Rng, pair: &Pair) -> String {
    let links: Vec<String> = pair.settings[0].links.iter().filter(|link| !link.relay).map(|link| link.name.to_string()).collect();
    rng.pick(&links).cloned().unwrap_or_default()
}
