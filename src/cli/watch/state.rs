//! What the screen knows: the newest view, the lanes, the news. Time comes from outside.

use twinbeat_core::view::View;
use twinbeat_journal::lanes::{Lanes, Tone};
use twinbeat_journal::past::Past;

use super::news::{self, News};

/// Everything that is drawn.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The newest answer.
    pub view: Option<View>,
    /// When it came, in milliseconds since 1970.
    pub seen: u64,
    /// Now.
    pub now: u64,
    /// Why there is no newer one, and since when.
    pub trouble: Option<(u64, String)>,
    /// The lanes.
    pub lanes: Lanes,
    /// What happened, oldest first.
    pub news: Vec<News>,
    /// From when on the flight recorder told what was before the first look, or why it did not.
    pub before: Option<Result<u64, String>>,
    /// Which of [`ZOOMS`] is shown.
    pub zoom: usize,
    /// When the screen was told to stand still.
    pub frozen: Option<u64>,
    /// When the first answer came.
    first: Option<u64>,
}

/// The spans of time that can be shown, in milliseconds, with their words.
pub const ZOOMS: [(u64, &str); 4] =
    [(60_000, "1 minute"), (300_000, "5 minutes"), (900_000, "15 minutes"), (3_600_000, "1 hour")];
/// As long as a look a second may be late.
const HOLE: u64 = 3_500;
/// The most news that are kept.
const MOST: usize = 200;

impl State {
    /// One that knows nothing yet.
    pub fn new(now: u64) -> State {
        State { now, zoom: 1, ..State::default() }
    }

    /// An answer came.
    pub fn saw(&mut self, at: u64, view: View) {
        self.now = at;
        if let Some((since, _)) = self.trouble.take() {
            let away = super::super::render::ago(at.saturating_sub(since));
            self.tell([News::new(at, Tone::Good, format!("the daemon answers again, after {away}"))]);
        }
        match &self.view {
            Some(was) => {
                let news = news::between(at, was, &view);
                self.tell(news);
            }
            None => {
                let news = news::first(at, &view);
                self.tell(news);
            }
        }
        self.lanes.look(at, HOLE, &view);
        self.lanes.cut(at.saturating_sub(ZOOMS[ZOOMS.len() - 1].0));
        self.first.get_or_insert(at);
        (self.seen, self.view) = (at, Some(view));
    }

    /// Nobody answered.
    pub fn missed(&mut self, at: u64, why: String) {
        self.now = at;
        match &mut self.trouble {
            Some((_, words)) => *words = why,
            None => {
                if self.view.is_some() {
                    self.tell([News::new(at, Tone::Bad, "the daemon does not answer")]);
                }
                self.trouble = Some((at, why));
            }
        }
    }

    /// What was before the first look, by the flight recorder; or why nobody can tell.
    pub fn remember(&mut self, past: Result<Past, String>) {
        let past = match past {
            Ok(past) => past,
            Err(why) => {
                self.before = Some(Err(why));
                return;
            }
        };
        let end = self.first.unwrap_or(u64::MAX);
        if let Some((from, _)) = past.lanes.extent() {
            // What the first look found is told there too, and more exactly.
            self.news.retain(|news| news.at >= end || news.at < from);
            self.tell(past.events.iter().filter(|event| event.at < end).map(News::recorded));
        }
        self.before = Some(match (past.known, past.remarks.first()) {
            (Some(from), _) => Ok(from),
            (None, Some(remark)) => Err(remark.clone()),
            (None, None) => Err("the flight recorder tells of nothing in the last hour".to_owned()),
        });
        self.lanes.follow(past.lanes, HOLE);
    }

    /// As it is now, to be shown for as long as somebody looks at it.
    pub fn still(&self) -> State {
        State { frozen: Some(self.now), ..self.clone() }
    }

    /// More time in the same width, or less.
    pub fn widen(&mut self, more: bool) {
        self.zoom = if more { (self.zoom + 1).min(ZOOMS.len() - 1) } else { self.zoom.saturating_sub(1) };
    }

    fn tell(&mut self, news: impl IntoIterator<Item = News>) {
        self.news.extend(news);
        self.news.sort_by_key(|news| news.at);
        let more = self.news.len().saturating_sub(MOST);
        self.news.drain(..more);
    }
}
