//! What a drill prints around its live view: the picture of the lab, how to look into it, and the table.

use std::fmt::Write as _;
use std::path::Path;

use super::html::{COLUMNS, Chapter, Detail, Passed};
use super::lab::BOTH;
use super::pair::Pair;
use twinbeat_say::Stamp;
use twinbeat_say::say;

/// The lab as a picture, and how to look into it meanwhile.
pub fn header(pair: &Pair) -> String {
    let page = if pair.site.has_nginx() {
        "nginx"
    } else {
        "the built-in page server (nginx is not installed here, or the pair has none)"
    };
    let prefix = pair.lab.prefix();
    let files = pair.site.dir().display().to_string();
    let first = pair.lab.name(BOTH[0]);
    format!(
        "\n{}\nTwo real daemons, {page}, real packets. Look inside:  ip netns exec {prefix}{first} ip addr\nLogs: {files}\n{}",
        if pair.recipe { RECIPE.to_owned() } else { map(pair) },
        notes(pair).iter().map(|note| format!("   {note}\n")).collect::<String>()
    )
}

/// What of the configuration was replaced, left out or chosen for the lab; nothing for the recipe's own pair.
pub fn notes(pair: &Pair) -> Vec<String> {
    if pair.recipe {
        return Vec::new();
    }
    let keys = "both nodes have throw-away keys".to_owned();
    let said = pair.site.said.iter().cloned();
    let assumed = pair.lab.plan.assumed.iter().cloned();
    let unwatched = pair.probes.unwatched.iter().map(|why| format!("not watched: {why}"));
    std::iter::once(keys).chain(said).chain(assumed).chain(unwatched).collect()
}

/// Machine, versions, date.
pub fn setting() -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease").map(|release| format!("Linux {release}, {cores} cores"));
    let nginx = super::node::find_nginx().filter(|file| Path::new(file).is_file()).map(|_| "nginx".to_owned());
    let version = format!("twinbeat {}", env!("CARGO_PKG_VERSION"));
    [Some(Stamp::now().to_string()), Some(version), kernel, nginx].into_iter().flatten().collect()
}

/// One line for a run that is over, and what was wrong with it.
pub fn say(chapter: &Chapter) {
    say!("           {}: {}", chapter.name, chapter.result.word());
    for Detail { heading, lines, .. } in &chapter.details {
        if chapter.result != Passed::Yes || heading != "owners" {
            lines.iter().for_each(|line| say!("              {line}"));
        }
    }
}

/// The table.
pub fn table(chapters: &[Chapter]) -> String {
    let width = chapters.iter().map(|c| c.name.chars().count()).max().unwrap_or(0).max(18);
    let mut text = format!("\n{:<width$}", "run");
    for column in COLUMNS {
        let _ = write!(text, " {column:>10}");
    }
    text.push_str("  result\n");
    for chapter in chapters {
        let _ = write!(text, "{:<width$}", chapter.name);
        for figure in &chapter.figures {
            let _ = write!(text, " {figure:>10}");
        }
        let _ = writeln!(text, "  {}", chapter.result.word());
    }
    text
}

/// Any pair: its machines and cables as a list.
fn map(pair: &Pair) -> String {
    let plan = &pair.lab.plan;
    let mut text = String::new();
    for id in plan.all() {
        let public = if id == plan.public { "public" } else { "direct" };
        let ends = BOTH.map(|node| {
            let end = plan.end(id, node);
            let addresses: Vec<String> = end.addresses.iter().map(|(ip, length)| format!("{ip}/{length}")).collect();
            format!("{} {} {}", pair.lab.name(node), end.interface, addresses.join(" "))
        });
        let _ = writeln!(text, "  {:<12} {public}   {}   ---   {}", plan.cable(id).link, ends[0], ends[1]);
    }
    for (number, witness) in plan.witnesses.iter().enumerate() {
        let what = if number == 0 { "gateway, witness" } else { "witness" };
        let addresses: Vec<String> = witness.iter().map(|(ip, length)| format!("{ip}/{length}")).collect();
        let _ = writeln!(text, "  {what:<22} {}", addresses.join(" "));
    }
    for group in &plan.groups {
        let vips: Vec<String> = group.vips.iter().map(|((ip, length), _)| format!("{ip}/{length}")).collect();
        let _ = writeln!(text, "  group {:<16} {}", group.name, vips.join(" "));
    }
    text
}

const RECIPE: &str = "  client 10.9.9.2 ---- gw 10.9.9.1 | 192.168.42.1
                        |
  LAN 192.168.42.0/25 --+---------------+-------- lanclient .50
                        |               |
                   eth0 .12         eth0 .13       VIP 192.168.42.14
                    master1          master2
                   eth1  +--- 10.1.1 ---+  eth1    heartbeat
                   eth2  +--- 10.1.2 ---+  eth2    bond
";
