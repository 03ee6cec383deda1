//! What a drill shows while it runs: one screen on a terminal, plain lines elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use super::lab::BOTH;
use super::pair::Pair;
use super::timeline::At;
use twinbeat_core::id::NodeId;
use twinbeat_core::words::{GroupRole, LinkCondition};
use twinbeat_say::{say, say_on};

/// Draws, or prints a line whenever what is seen from outside changes.
#[derive(Debug)]
pub struct Live {
    screen: bool,
    title: String,
    until: Option<Duration>,
    began: At,
    last: Option<State>,
    marks: usize,
    silent_since: Option<At>,
    drawn: Option<At>,
}

type State = (Vec<Vec<NodeId>>, Option<NodeId>, Vec<String>);

impl Live {
    /// For standard output as it is.
    pub fn new() -> Live {
        Live::on(std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    /// For a terminal (`screen`), or for anything else.
    pub fn on(screen: bool) -> Live {
        let title = String::new();
        Live { screen, title, until: None, began: At::ZERO, last: None, marks: 0, silent_since: None, drawn: None }
    }

    /// What is played from now on, and how long it takes, where that is known.
    pub fn begin(&mut self, title: &str, pair: &Pair, until: Option<Duration>) {
        (self.title, self.began, self.until) = (title.to_owned(), pair.probes.now(), until);
        (self.last, self.marks, self.silent_since, self.drawn) = (None, pair.marks.len(), None, None);
        if self.screen {
            say_on!("\x1b[H\x1b[2J");
        } else {
            say!("           {title}");
        }
    }

    /// Looks at the pair and shows what is to be shown.
    pub fn look(&mut self, pair: &Pair) {
        let text = if self.screen { self.screen(pair) } else { self.lines(pair) };
        // Whoever reads may have gone; the drill goes on and cleans up.
        let _ = std::io::stdout().write_all(text.as_bytes()).and_then(|()| std::io::stdout().flush());
    }

    /// The new lines, if anything is new.
    pub fn lines(&mut self, pair: &Pair) -> String {
        let now = pair.probes.now();
        let mut text = String::new();
        for (at, what, _) in pair.marks.iter().skip(self.marks) {
            let _ = writeln!(text, "{:8.1} s   -- {what}", self.time(*at));
        }
        self.marks = pair.marks.len();
        let groups = pair.lab.plan.groups.len();
        let state: State = ((0..groups).map(|g| pair.probes.serving(g)).collect(), pair.probes.client_sees(0), pair.lab.broken());
        if self.last.as_ref() == Some(&state) {
            return text;
        }
        let (serving, client, broken) = &state;
        let who: Vec<String> = serving
            .iter()
            .zip(&pair.lab.plan.groups)
            .map(|(who, group)| {
                let text = self.who(pair, who);
                if groups == 1 { text } else { format!("{}: {text}", group.name) }
            })
            .collect();
        let sees = match client {
            Some(node) => {
                let after = self.silent_since.take().map(|s| format!(" after about {} ms", now.saturating_sub(s).as_millis()));
                format!("client sees {}{}", pair.lab.name(*node), after.unwrap_or_default())
            }
            None => {
                self.silent_since.get_or_insert(now);
                "client sees nothing".to_owned()
            }
        };
        let _ = writeln!(text, "{:8.1} s   {:<18} {sees:<38} {}", self.time(now), who.join("; "), broken_words(broken, 60));
        self.last = Some(state);
        text
    }

    /// The whole screen, at most ten times a second.
    pub fn screen(&mut self, pair: &Pair) -> String {
        let now = pair.probes.now();
        if self.drawn.is_some_and(|at| now.saturating_sub(at) < Duration::from_millis(90)) {
            return String::new();
        }
        self.drawn = Some(now);
        let plan = &pair.lab.plan;
        let mut lines: Vec<String> = Vec::new();
        let length = self.until.map(|until| format!(" of {:.0} s", until.as_secs_f64())).unwrap_or_default();
        lines.push(format!("\x1b[1m{}\x1b[0m   {:.1} s{length}", self.title, self.time(now)));
        lines.push(String::new());
        for (group, of) in plan.groups.iter().enumerate() {
            let serving = pair.probes.serving(group);
            let colour = if serving.len() == 1 { GREEN } else { RED };
            let client = match pair.probes.client_sees(group) {
                Some(node) => format!("client sees {}", pair.lab.name(node)),
                None => format!("{RED}client sees nothing{PLAIN}"),
            };
            let vip = of.vips.first().map(|((ip, _), _)| ip.to_string()).unwrap_or_default();
            lines.push(format!("{:<12} {vip:<24} {colour}{:<24}{PLAIN} {client}", of.name, self.who(pair, &serving)));
        }
        lines.push(String::new());
        lines.push(format!("{:<16} {:<22} {:<22}", "", pair.lab.name(NodeId(0)), pair.lab.name(NodeId(1))));
        let said = BOTH.map(|node| pair.says(node));
        let both = |cell: &dyn Fn(usize) -> (String, &'static str)| -> String {
            [0, 1]
                .map(|n| {
                    let (text, colour) = cell(n);
                    format!("{colour}{text:<22}{PLAIN}")
                })
                .join(" ")
        };
        let machine =
            |n: usize| pair.state(NodeId(n as u8)).map_or(("runs".to_owned(), GREEN), |what| (what.word().to_owned(), RED));
        lines.push(format!("{:<16} {}", "machine, daemon", both(&machine)));
        for (group, of) in plan.groups.iter().enumerate() {
            let role = |n: usize| {
                let Some(said) = &said[n] else { return ("-".to_owned(), PLAIN) };
                let Some(role) = said.roles.get(group) else { return ("-".to_owned(), PLAIN) };
                let lease = said.lease.get(group).copied().flatten().map(|ms| format!(", lease {:.2} s", ms as f64 / 1000.0));
                (format!("{role}{}", lease.unwrap_or_default()), if *role == GroupRole::Owner { GREEN } else { PLAIN })
            };
            let name = if plan.groups.len() == 1 { "role".to_owned() } else { of.name.clone() };
            lines.push(format!("{name:<16} {}", both(&role)));
        }
        let witness = |n: usize| match &said[n] {
            Some(said) if said.witness => ("reached".to_owned(), GREEN),
            Some(_) => ("out of reach".to_owned(), RED),
            None => ("-".to_owned(), PLAIN),
        };
        lines.push(format!("{:<16} {}", "witness", both(&witness)));
        let mut links: Vec<&String> = said.iter().flatten().flat_map(|s| s.links.iter().map(|(name, _)| name)).collect();
        links.sort();
        links.dedup();
        for link in links {
            let state = |n: usize| {
                let found = said[n].as_ref().and_then(|s| s.links.iter().find(|(name, _)| name == link));
                found.map_or(("-".to_owned(), PLAIN), |(_, state)| {
                    (state.to_string(), if *state == LinkCondition::Ok { GREEN } else { RED })
                })
            };
            lines.push(format!("{link:<16} {}", both(&state)));
        }
        lines.push(String::new());
        let broken = pair.lab.broken();
        lines.push(if broken.is_empty() {
            "nothing is cut".to_owned()
        } else {
            format!("{RED}{}{PLAIN}", broken_words(&broken, 150))
        });
        lines.push(String::new());
        let recent = pair.marks.iter().rev().take(8).collect::<Vec<_>>();
        lines.extend(recent.iter().rev().map(|(at, what, _)| format!("{:8.1} s   {what}", self.time(*at))));
        format!("\x1b[H{}\x1b[J", lines.iter().map(|line| format!("{line}\x1b[K\r\n")).collect::<String>())
    }

    fn time(&self, at: At) -> f64 {
        at.as_secs_f64() - self.began.as_secs_f64()
    }

    fn who(&self, pair: &Pair, serving: &[NodeId]) -> String {
        match serving {
            [] => "nobody answers".to_owned(),
            [one] => format!("{} serves", pair.lab.name(*one)),
            // Both within the last moments: a move, as a rule. The table says whether they ever answered at the same time.
            _ => "moving".to_owned(),
        }
    }
}

impl Default for Live {
    fn default() -> Live {
        Live::new()
    }
}

fn broken_words(broken: &[String], most: usize) -> String {
    let all = if broken.is_empty() { "all fine".to_owned() } else { broken.join("; ") };
    if all.chars().count() > most { format!("{}: {} cuts in all", broken[0], broken.len()) } else { all }
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";
