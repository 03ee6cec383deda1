//! The comparison: one fault, one contender, one fresh pair, one line of figures; and the table of many such lines.
//!
//! Every measurement has a pair of its own, so that what one fault left behind never counts for the next. Nothing passes or fails here: the figures
//! stand as measured, for twinbeat and for the others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::catalogue::{CATALOGUE, Fault, Step};
use super::contender::Contender;
use super::pair::Pair;
use super::probe::Outcome;
use twinbeat_core::id::NodeId;

/// What one contender made of one fault, once. Times in milliseconds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Whose daemons ([`Contender::name`]).
    pub contender: String,
    /// Their version.
    pub version: String,
    /// The fault's name.
    pub fault: String,
    /// When it was measured, seconds since 1970.
    pub at: u64,
    /// While the fault was held.
    pub held: Figures,
    /// From the heal on.
    pub healed: Figures,
    /// From the heal until master1 served alone and the client saw it; none: not within [`HEAL_LIMIT`].
    pub back_ms: Option<u64>,
}

/// A stretch of time as seen from outside; see [`Outcome`].
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figures {
    /// The client's longest silence.
    pub gap_ms: u64,
    /// All its silences.
    pub lost_ms: u64,
    /// The longest time without a page.
    pub page_gap_ms: u64,
    /// How long both nodes provably answered.
    pub two_owners_ms: u64,
    /// Changes of the answering node.
    pub moves: usize,
    /// The probe's own greatest lateness.
    pub late_ms: u64,
}

impl From<&Outcome> for Figures {
    fn from(outcome: &Outcome) -> Figures {
        Figures {
            gap_ms: ms(outcome.gap),
            lost_ms: ms(outcome.lost),
            page_gap_ms: ms(outcome.page_gap),
            two_owners_ms: ms(outcome.two_owners),
            moves: outcome.moves(),
            late_ms: ms(outcome.lateness),
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Builds a pair kept by that contender, does the fault, holds it, heals it, watches on, and says what clients saw.
///
/// # Errors
/// When the pair cannot be built, does not come up, or a step cannot be done; and when `stop` was raised.
pub fn measure(binary: &Path, contender: Contender, fault: &Fault, stop: &AtomicBool, keep: bool) -> Result<Row> {
    let version = contender.version()?;
    let mut pair = Pair::start_as(binary, contender)?;
    pair.site.keep = keep;
    pair.wait_for(NodeId(0), UP_LIMIT, stop)?;
    pair.watch(SETTLE, stop, &mut |_| {});

    let from = pair.probes.first().now();
    for step in fault.apply {
        pair.step(*step)?;
    }
    pair.watch(fault.hold, stop, &mut |_| {});
    let healed = pair.probes.first().now();
    for step in fault.heal {
        pair.step(*step)?;
    }
    if contender.leaves_the_service_dead() {
        // What a supervised service does not need: somebody starts it again.
        for step in fault.apply {
            if let Step::KillService(node) = step {
                pair.revive_service(*node)?;
            }
        }
    }
    let heal = Instant::now();
    let mut back = None;
    while !stop.load(Ordering::Relaxed) && (heal.elapsed() < HEAL_WATCH || back.is_none() && heal.elapsed() < HEAL_LIMIT) {
        let steady = pair.probes.first().wait_for_owner(NodeId(0), Duration::from_millis(400), stop);
        back = match (steady, back) {
            (true, None) => Some(ms(heal.elapsed().saturating_sub(STEADY))),
            (false, Some(_)) => None,
            (_, before) => before,
        };
    }
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    let (held, after) =
        (pair.probes.first().outcome(from, healed), pair.probes.first().outcome(healed, pair.probes.first().now()));
    let at = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Ok(Row {
        contender: contender.name().to_owned(),
        version,
        fault: fault.name.to_owned(),
        at,
        held: Figures::from(&held),
        healed: Figures::from(&after),
        back_ms: back,
    })
}

/// The table as Markdown: a line for each fault, a column for each contender, medians, and how many runs they are of.
pub fn table(rows: &[Row]) -> String {
    let contenders: Vec<Contender> =
        Contender::ALL.into_iter().filter(|c| rows.iter().any(|row| row.contender == c.name())).collect();
    let mut text = String::from("| fault |");
    for contender in &contenders {
        let versions: std::collections::BTreeSet<&str> =
            rows.iter().filter(|row| row.contender == contender.name()).map(|row| row.version.as_str()).collect();
        let _ = write!(text, " {} {} |", contender.name(), Vec::from_iter(versions).join(", "));
    }
    text.push_str("\n|---|");
    contenders.iter().for_each(|_| text.push_str("---|"));
    text.push('\n');
    for fault in CATALOGUE {
        if !rows.iter().any(|row| row.fault == fault.name) {
            continue;
        }
        let _ = write!(text, "| `{}` |", fault.name);
        for contender in &contenders {
            let own: Vec<&Row> = rows.iter().filter(|row| row.contender == contender.name() && row.fault == fault.name).collect();
            let _ = write!(text, " {} |", cell(fault, &own));
        }
        text.push('\n');
    }
    let counts: BTreeMap<usize, usize> = rows
        .iter()
        .fold(BTreeMap::<(&str, &str), usize>::new(), |mut counts, row| {
            *counts.entry((&row.contender, &row.fault)).or_default() += 1;
            counts
        })
        .into_values()
        .fold(BTreeMap::new(), |mut counts, runs| {
            *counts.entry(runs).or_default() += 1;
            counts
        });
    let runs: Vec<String> = counts.iter().map(|(runs, cells)| format!("{cells} of {runs}")).collect();
    let late = rows.iter().map(|row| row.held.late_ms.max(row.healed.late_ms)).max().unwrap_or(0);
    let _ = writeln!(
        text,
        "\nMedians; cells by their number of runs: {}. The probe itself was late by {late} ms at the most.",
        runs.join(", ")
    );
    text
}

/// Gap; two owners and moves where there were any; and what the heal cost.
fn cell(fault: &Fault, rows: &[&Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let of = |pick: fn(&Row) -> u64| median(rows.iter().map(|row| pick(row)).collect());
    let service = fault.apply.iter().any(|step| matches!(step, Step::KillService(_)));
    let gap = of(if service { |row| row.held.page_gap_ms } else { |row| row.held.gap_ms });
    let mut parts = vec![format!("{}{}", if service { "page " } else { "" }, human(gap))];
    let (held, healed) = (of(|row| row.held.two_owners_ms), of(|row| row.healed.two_owners_ms));
    if held + healed > 0 {
        parts.push(format!("**2× {}**", human(held + healed)));
    }
    parts.push(format!("mv {}", of(|row| row.held.moves as u64)));
    let heal = of(|row| row.healed.gap_ms);
    if heal > 0 {
        parts.push(format!("heal {}", human(heal)));
    }
    let absent = rows.iter().filter(|row| row.back_ms.is_none()).count();
    if absent > 0 {
        parts.push(format!("**not back in {} of {}**", absent, rows.len()));
    }
    parts.join(", ")
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let middle = values.len() / 2;
    match values.get(middle) {
        None => 0,
        Some(upper) if values.len().is_multiple_of(2) => (values[middle - 1] + upper) / 2,
        Some(middle) => *middle,
    }
}

fn human(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        1..1000 => format!("{ms} ms"),
        _ => format!("{:.2} s", ms as f64 / 1000.0),
    }
}

/// How long a pair may take to come up.
const UP_LIMIT: Duration = Duration::from_secs(30);
/// Calm between coming up and the fault.
const SETTLE: Duration = Duration::from_secs(2);
/// How long it is watched after the heal in any case.
const HEAL_WATCH: Duration = Duration::from_secs(12);
/// How long after the heal master1 may take to serve again.
pub const HEAL_LIMIT: Duration = Duration::from_secs(30);
/// What [`Probe::wait_for_owner`](super::probe::Probe::wait_for_owner) waits for.
const STEADY: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn row(contender: Contender, fault: &str, gap: u64, two: u64, back: Option<u64>) -> Row {
        let figures = |gap, two| Figures { gap_ms: gap, lost_ms: gap, page_gap_ms: 7, two_owners_ms: two, moves: 1, late_ms: 2 };
        Row {
            contender: contender.name().to_owned(),
            version: "1".to_owned(),
            fault: fault.to_owned(),
            at: 0,
            held: figures(gap, two),
            healed: figures(0, 0),
            back_ms: back,
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(vec![5, 1, 9]), 5);
        assert_eq!(median(vec![4, 1, 2, 9]), 3);
        assert_eq!(median(vec![]), 0);
    }

    #[test]
    fn the_table_says_who_had_two_owners_and_who_did_not_come_back() {
        let rows = [
            row(Contender::Twinbeat, "power_off", 1050, 0, Some(900)),
            row(Contender::Twinbeat, "power_off", 1070, 0, Some(900)),
            row(Contender::Heartbeat, "power_off", 1490, 8400, None),
            row(Contender::Heartbeat, "nginx_killed", 0, 0, Some(1)),
        ];
        let text = table(&rows);
        assert!(text.contains("| fault | twinbeat 1 | heartbeat 1 |"), "{text}");
        assert!(text.contains("| `power_off` | 1.06 s, mv 1 | 1.49 s, **2× 8.40 s**, mv 1, **not back in 1 of 1** |"), "{text}");
        assert!(text.contains("| `nginx_killed` |  | page 7 ms, mv 1 |"), "{text}");
        assert!(text.contains("2 of 1, 1 of 2"), "{text}");
        let line = serde_json::to_string(&rows[2]).unwrap();
        assert_eq!(serde_json::from_str::<Row>(&line).unwrap(), rows[2]);
    }
}
