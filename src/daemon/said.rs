//! What anybody on the LAN can say as often as he likes reaches the decision, and with it the flight recorder, a bounded number of
//! times a second: a repetition says nothing new, and the recorder must still hold what came before the flood.

use std::collections::VecDeque;

use twinbeat_core::io::Input;
use twinbeat_core::time::{Mono, Span};
use twinbeat_host::clock;

/// The same words count again after this: shorter than what the core takes for one event (a delivery).
const AGAIN: Span = Span::millis(20);
/// So many different words are told within that time; an attacker invents as many as he likes.
const MOST: usize = 4;

/// The newest words.
#[derive(Default)]
pub struct Said(VecDeque<(Mono, Input)>);

impl Said {
    /// The input, unless it was said just now or too much was.
    pub fn once(&mut self, input: Input) -> Option<Input> {
        self.at(clock::now(), input)
    }

    fn at(&mut self, now: Mono, input: Input) -> Option<Input> {
        while self.0.front().is_some_and(|(at, _)| now.since(*at) >= AGAIN) {
            self.0.pop_front();
        }
        if self.0.len() >= MOST || self.0.iter().any(|(_, known)| *known == input) {
            return None;
        }
        self.0.push_back((now, input.clone()));
        Some(input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinbeat_core::id::{GroupId, Mac};

    #[test]
    fn a_flood_of_words_is_told_a_bounded_number_of_times_and_new_words_after_it_at_once() {
        let mut said = Said::default();
        let told = |said: &mut Said, us: u64, mac: u8| {
            let words = Input::Announced { group: GroupId(0), by: Mac([2, 0, 0, 0, 0, mac]) };
            usize::from(said.at(Mono::ZERO + Span::micros(us), words).is_some())
        };
        let same: usize = (0..50_000).map(|n| told(&mut said, n * 20, 1)).sum();
        assert_eq!(same, 50, "one each 20 ms of a second");
        let many: usize = (50_000..100_000).map(|n| told(&mut said, n * 20, n as u8)).sum();
        assert!((100..=210).contains(&many), "{many}");
        assert_eq!(told(&mut said, 2_100_000, 9), 1);
    }
}
