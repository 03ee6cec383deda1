//! The name of a state: 128 bits of its canonical form.

use super::canon::{Bases, write};
use super::small::{Ask, Beat, Daemon, Do, Item, Small, WEB};
use twinbeat_core::io::Input;

impl Small {
    /// 128 bits that name this state.
    pub fn name(&self, out: &mut Vec<u8>) -> u128 {
        out.clear();
        let mut bases = Bases { now: [self.clock(0).0, self.clock(1).0], oldest: [u64::MAX; 2], ..Bases::default() };
        for at in 0..2 {
            let side = &self.sides[at];
            (bases.beats[at], bases.numbers[at]) = (side.given[0], side.given[1]);
            let heard = side.heard.iter().copied().filter(|n| *n > 0).min().unwrap_or(u64::MAX);
            bases.oldest[1 - at] = bases.oldest[1 - at].min(heard);
            let beats = self.ready.iter().chain(&self.late).chain(&side.held).filter_map(beat_of);
            let beats = beats.chain(side.newest.as_ref());
            for said in beats.map(|beat| beat.get()) {
                let from = said.from.index();
                bases.oldest[from] = bases.oldest[from].min(said.number);
                let echoed = said.echoes.iter().map(|echo| echo.number).min().unwrap_or(u64::MAX);
                bases.oldest[1 - from] = bases.oldest[1 - from].min(echoed);
            }
        }
        out.extend([self.left, self.entry.map_or(2, |at| at as u8)]);
        out.extend(self.cut.as_flattened().iter().map(|cut| u8::from(*cut)));
        for at in 0..2 {
            let side = &*self.sides[at];
            let now = self.clock(at);
            out.extend([side.daemon as u8, u8::from(side.kernel.has_address(now, WEB)), 0xf1]);
            let gate = side.kernel.groups[WEB].gate.filter(|until| *until > now);
            write(out, &bases, at, 1 - at, &(gate, &side.disk.record, side.life, side.owned, side.seen));
            if side.daemon != Daemon::Gone {
                write(out, &bases, at, 1 - at, &side.node);
                write(out, &bases, at, at, &side.newest);
            }
            out.push(0xf2);
            side.held.iter().for_each(|item| canonical(item, out, &bases));
        }
        for list in [&self.ready, &self.late] {
            out.push(0xf3);
            list.iter().for_each(|item| canonical(item, out, &bases));
        }
        let hash = blake3::hash(out);
        u128::from_le_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

fn beat_of(item: &Item) -> Option<&Beat> {
    match item {
        Item::Frame(_, Input::Heard { beat, .. } | Input::HeardByTable { beat, .. }) => Some(beat),
        Item::Gateway(_, Ask::Echo(_, _, beat)) => beat.as_ref(),
        _ => None,
    }
}

fn canonical(item: &Item, out: &mut Vec<u8>, bases: &Bases) {
    match item {
        Item::Frame(at, input) => {
            out.extend([0x01, *at as u8]);
            write(out, bases, *at, 1 - at, input);
        }
        Item::Report(at, life, input) => {
            out.extend([0x02, *at as u8]);
            write(out, bases, *at, 1 - at, &(life, input));
        }
        Item::Probe(at) => out.extend([0x03, *at as u8]),
        Item::Gateway(at, Ask::Write) => out.extend([0x04, *at as u8]),
        Item::Gateway(at, Ask::GiveBack) => out.extend([0x07, *at as u8]),
        Item::Gateway(at, Ask::Echo(kind, number, beat)) => {
            out.extend([0x05, *at as u8]);
            out.extend(number.wrapping_sub(bases.numbers[*at]).to_le_bytes());
            write(out, bases, *at, *at, &(kind, beat));
        }
        Item::Order(at, life, order) => {
            out.extend([0x06, *at as u8]);
            out.extend(life.to_le_bytes());
            match order {
                Do::Gate(generation, order) => {
                    out.extend(generation.wrapping_sub(bases.numbers[*at]).to_le_bytes());
                    write(out, bases, *at, *at, order);
                }
                Do::Address(attempt, order) => write(out, bases, *at, *at, &(attempt, order)),
                Do::Persist(ticket, record) => {
                    out.extend(ticket.wrapping_sub(bases.numbers[*at]).to_le_bytes());
                    write(out, bases, *at, *at, record);
                }
            }
        }
    }
}
