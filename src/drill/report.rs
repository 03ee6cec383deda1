//! What a drill prints: the picture of the lab, live lines, the table.

use std::fmt::Write as _;
use std::time::Duration;

use super::lab::node_name;
use super::pair::{Pair, Verdict};
use super::timeline::At;
use crate::core::id::NodeId;

/// The lab as a picture, and how to look into it meanwhile.
pub fn header(pair: &Pair) -> String {
    let page = if pair.site.has_nginx() { "nginx" } else { "the built-in page server (nginx is not installed here)" };
    let prefix = pair.lab.prefix();
    format!(
        "\n  client 10.9.9.2 ---- gw 10.9.9.1 | 192.168.42.1\n                        |\n  LAN 192.168.42.0/25 --+---------------+-------- lanclient .50\n                        |               |\n                   eth0 .12         eth0 .13       VIP 192.168.42.14\n                    master1          master2\n                   eth1  +--- 10.1.1 ---+  eth1    heartbeat\n                   eth2  +--- 10.1.2 ---+  eth2    bond\n\n\
         Two real daemons, {page}, real packets. Look inside:  ip netns exec {prefix}master1 ip addr\n\
         Logs: {}\n",
        pair.site.config().parent().map(|p| p.display().to_string()).unwrap_or_default()
    )
}

/// Prints a line whenever what is seen from outside changes.
#[derive(Debug, Default)]
pub struct Live {
    last: Option<(Vec<NodeId>, Option<NodeId>, Vec<String>)>,
    silent_since: Option<At>,
}

impl Live {
    /// A new line, when something is new.
    pub fn look(&mut self, pair: &Pair) -> Option<String> {
        let now = pair.probe.now();
        let state = (pair.probe.serving(), pair.probe.client_sees(), pair.lab.broken());
        if self.last.as_ref() == Some(&state) {
            return None;
        }
        let (serving, client, broken) = &state;
        let who = match serving.as_slice() {
            [] => "nobody answers".to_owned(),
            [one] => format!("{} serves", node_name(*one)),
            // Both within the last moments: a move, as a rule. The table says whether they ever answered at the same time.
            _ => "moving".to_owned(),
        };
        let sees = match client {
            Some(node) => {
                let after = self.silent_since.take().map(|s| format!(" after about {} ms", now.saturating_sub(s).as_millis()));
                format!("client sees {}{}", node_name(*node), after.unwrap_or_default())
            }
            None => {
                self.silent_since.get_or_insert(now);
                "client sees nothing".to_owned()
            }
        };
        let what = if broken.is_empty() { "all fine".to_owned() } else { broken.join(", ") };
        let what = if what.chars().count() > 60 { format!("{}: {} cuts in all", broken[0], broken.len()) } else { what };
        let line = format!("{:8.1} s   {who:<18} {sees:<38} {what}", now.as_secs_f64());
        self.last = Some(state);
        Some(line)
    }
}

/// The table of one or more faults.
pub fn table(rows: &[(&str, Verdict)]) -> String {
    let mut text = format!(
        "\n{:<18} {:>9} {:>9} {:>9} {:>5} {:>10} {:>9}  result\n",
        "fault", "gap", "lost", "page gap", "mv", "two owners", "heal gap"
    );
    for (name, verdict) in rows {
        let (fault, heal) = (&verdict.fault, &verdict.heal);
        let result = if verdict.failures.is_empty() { "PASS" } else { "FAIL" };
        let two = fault.two_owners + heal.two_owners;
        let _ = writeln!(
            text,
            "{name:<18} {:>9} {:>9} {:>9} {:>5} {:>10} {:>9}  {result}",
            ms(fault.gap),
            ms(fault.lost),
            ms(fault.page_gap),
            fault.moves(),
            ms(two),
            ms(heal.gap)
        );
        for failure in &verdict.failures {
            let _ = writeln!(text, "                   {failure}");
        }
        let _ = writeln!(
            text,
            "                   the probe itself was late by {} at the most; {} silences no longer than its lateness were discarded",
            ms(fault.lateness.max(heal.lateness)),
            fault.discarded + heal.discarded
        );
    }
    text
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}
