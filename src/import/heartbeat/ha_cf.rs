//! ha.cf, line by line. A directive that heartbeat does not know is an error; one that twinbeat has no use for is kept to be told.

use std::net::IpAddr;

use twinbeat_core::time::Span;

use crate::text::{MOST_OF_A_KIND, Place, Source, Wrong, enough, shown};
use crate::timing::heartbeat_time;

/// A path for heartbeats.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Medium {
    pub device: String,
    /// The other node's address there, with `ucast`.
    pub peer: Option<IpAddr>,
    pub place: Place,
}

/// What the file says.
#[derive(Default)]
pub(crate) struct HaCf {
    pub cluster: Option<(String, Place)>,
    pub nodes: Vec<(String, Place)>,
    pub media: Vec<Medium>,
    pub keepalive: Option<(Span, Place)>,
    pub warntime: Option<(Span, Place)>,
    pub deadtime: Option<(Span, Place)>,
    pub initdead: Option<(Span, Place)>,
    pub port: Option<(u16, Place)>,
    pub failback: Option<(String, Place)>,
    /// Third machines; with whether they stand in a group.
    pub pings: Vec<(IpAddr, bool, Place)>,
    pub logfile: Option<(String, Place)>,
    pub debugfile: Option<(String, Place)>,
    pub facility: Option<(String, Place)>,
    pub use_logd: Option<Place>,
    /// Without a counterpart: where, and why.
    pub left_out: Vec<(Place, String)>,
    pub by_hand: Vec<(Place, String)>,
}

/// Reads it; what is wrong goes into `wrong`.
pub(crate) fn parse(source: &Source, wrong: &mut Vec<Wrong>) -> HaCf {
    let mut cf = HaCf::default();
    let (mut known, mut unknown) = (0_usize, Vec::new());
    for (n, line) in (1..).zip(source.text.lines()) {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split([' ', '\t', ',', ';', '=']).filter(|word| !word.is_empty() && *word != "\r").collect();
        let Some((word, rest)) = words.split_first() else { continue };
        let place = source.at(n);
        if enough(wrong) || cf.nodes.len().max(cf.media.len()).max(cf.pings.len()) > MOST_OF_A_KIND {
            wrong.push(Wrong::new(place, "not read on: too much of it"));
            break;
        }
        match cf.take(word.trim_end(), rest, &place) {
            Ok(true) => known = known.saturating_add(1),
            Ok(false) if unknown.len() >= 20 => {}
            Ok(false) => unknown.push(Wrong::new(place, format!("`{}` is no directive of ha.cf", shown(word)))),
            Err(words) => {
                known = known.saturating_add(1);
                wrong.push(Wrong::new(place, words));
            }
        }
    }
    if known == 0 {
        let what = if unknown.is_empty() { "it says nothing" } else { "none of its lines is a directive of ha.cf" };
        wrong.push(Wrong::new(Place::file(&source.name), format!("not an ha.cf of heartbeat: {what}")));
    } else {
        wrong.append(&mut unknown);
    }
    cf
}

impl HaCf {
    /// One directive; whether there is such a one.
    fn take(&mut self, word: &str, rest: &[&str], place: &Place) -> Result<bool, String> {
        let first = rest.first().map(|word| word.trim());
        let one = || first.ok_or_else(|| format!("`{word}` without a value"));
        let time = || {
            let text = rest.concat();
            let wrong = || format!("`{word} {}`: not a time; a number, in seconds or with ms, s, m or h", shown(&text));
            heartbeat_time(text.trim()).filter(|span| span.0 > 0).map(|span| (span, place.clone())).ok_or_else(wrong)
        };
        let said = |text: &str| Some((text.to_owned(), place.clone()));
        match word {
            "keepalive" => self.keepalive = Some(time()?),
            "warntime" => self.warntime = Some(time()?),
            "deadtime" => self.deadtime = Some(time()?),
            "initdead" => self.initdead = Some(time()?),
            "cluster" => self.cluster = said(one()?),
            "node" => {
                one()?;
                self.nodes.extend(rest.iter().map(|name| (name.trim().to_owned(), place.clone())));
            }
            "udpport" => {
                let port = one()?.parse().ok().filter(|port| *port > 0);
                self.port =
                    Some((port.ok_or_else(|| format!("`udpport {}`: not 1 to 65535", shown(&rest.join(" "))))?, place.clone()));
            }
            "auto_failback" => {
                let how = switch(one()?).map(|on| if on { "on" } else { "off" });
                let how = how.or(first.filter(|word| word.eq_ignore_ascii_case("legacy")).map(|_| "legacy"));
                let how =
                    how.ok_or_else(|| format!("`auto_failback {}`: allowed: on, off, legacy", shown(one().unwrap_or(""))))?;
                self.failback = said(how);
            }
            // Its older name, the other way round.
            "nice_failback" => self.failback = said(if switch(one()?) == Some(true) { "off" } else { "on" }),
            "bcast" | "udp" => {
                one()?;
                self.media.extend(rest.iter().map(|device| medium(device, None, place)));
            }
            "mcast" | "mcast6" => {
                self.media.push(medium(one()?, None, place));
                let group = "the multicast group, its port and its ttl: twinbeat sends to the other node's address alone";
                self.left_out.push((place.clone(), format!("{word}: {group}")));
            }
            "ucast" | "ucast6" => {
                let peer = rest.get(1).map(|text| text.trim().split('%').next().unwrap_or_default());
                let peer = peer.and_then(|text| text.parse::<IpAddr>().ok());
                let wrong = || format!("`{word}` takes an interface and an address, as in `{word} eth1 10.1.1.2`");
                self.media.push(medium(one()?, Some(peer.ok_or_else(wrong)?), place));
            }
            "ping" => rest.iter().try_for_each(|text| self.ping(text, false, place)).and_then(|()| one().map(drop))?,
            "ping_group" => {
                rest.iter().skip(1).try_for_each(|text| self.ping(text, true, place)).and_then(|()| one().map(drop))?
            }
            "logfile" => self.logfile = said(one()?),
            "debugfile" => self.debugfile = said(one()?),
            "logfacility" => self.facility = said(one()?),
            "use_logd" => self.use_logd = Some(place.clone()).filter(|_| first.and_then(switch) == Some(true)),
            "respawn" => self.respawn(rest, place),
            "crm" | "pacemaker" => {
                if first.and_then(switch) != Some(false) {
                    let words = "this cluster is Pacemaker's: what moves stands in its CIB (`crm configure show`) and not in haresources; \
                                 none of that is imported";
                    self.by_hand.push((place.clone(), format!("{word}: {words}")));
                }
            }
            _ => match LEFT_OUT.iter().find(|(names, _)| names.contains(&word)) {
                Some((_, why)) => self.left_out.push((place.clone(), format!("{word}: {why}"))),
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    fn ping(&mut self, text: &str, group: bool, place: &Place) -> Result<(), String> {
        match text.trim().parse() {
            Ok(address) => self.pings.push((address, group, place.clone())),
            Err(_) => {
                let words = format!("the ping node `{}` is a name: put its address into witness.targets", shown(text));
                self.by_hand.push((place.clone(), words));
            }
        }
        Ok(())
    }

    fn respawn(&mut self, rest: &[&str], place: &Place) {
        let program = rest.get(1).copied().unwrap_or_default().trim();
        let words = match program.rsplit('/').next().unwrap_or_default() {
            "ipfail" => "ipfail: not needed: twinbeat watches the public side itself, and hands over when it is lost on one node"
                .to_owned(),
            "dopd" => "dopd: marks DRBD's data as outdated; twinbeat knows nothing of disks".to_owned(),
            _ => {
                let words = "runs on both nodes all the time: make it a systemd unit of its own, twinbeat runs only what moves";
                self.by_hand.push((place.clone(), format!("respawn {}: {words}", shown(program))));
                return;
            }
        };
        self.left_out.push((place.clone(), words));
    }
}

fn medium(device: &str, peer: Option<IpAddr>, place: &Place) -> Medium {
    Medium { device: device.trim().to_owned(), peer, place: place.clone() }
}

fn switch(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "y" | "1" => Some(true),
        "false" | "off" | "no" | "n" | "0" => Some(false),
        _ => None,
    }
}

/// Directives that heartbeat knows, and why nothing comes of them.
const LEFT_OUT: [(&[&str], &str); 14] = [
    (
        &["serial", "baud", "hopfudge"],
        "no heartbeats over serial lines: use another network path instead, best a cable of its own",
    ),
    (
        &["stonith", "stonith_host"],
        "how a node is turned off is not guessed: by hand, [nodes.NAME.fence] with a fence agent or a command (docs/SERVICES.md, \"Fencing\"). The \
        address needs none, its gate closes by itself; a disk that both can write to does",
    ),
    (&["watchdog"], "the gate closes by itself when the daemon hangs, without a reboot"),
    (&["deadping"], "twinbeat asks a target each heartbeat and counts it as lost after three (witness.fall)"),
    (&["apiauth"], "the commands talk to a socket that root, and for `status` the group twinbeat, may use"),
    (&["hbaping"], "only addresses can be witness"),
    (&["autojoin"], "a pair has exactly the two nodes of the file"),
    (&["realtime", "rtprio", "memreserve"], "see [realtime] in docs/CONFIGURATION.md: the default is mostly the better one"),
    (&["debug", "debuglevel"], "see log.level"),
    (
        &["msgfmt", "compression", "compression_threshold", "traditional_compression", "max_rexmit_delay", "normalpoll"],
        "heartbeats have one format",
    ),
    (
        &["hbgenmethod", "uuidfrom", "hbversion", "enable_config_writes", "record_config_changes", "record_pengine_inputs"],
        "epochs are in the state directory; nodes are known by their keys",
    ),
    (&["conn_logd_time", "syslogmsgfmt", "log_badpack", "logging", "debug_badpack"], "the log is set in [log]"),
    (&["coredumps", "coredir", "use_apphbd", "deadlock", "crm_daemon_dir", "crmd_spawns_pengine"], "nothing of the kind"),
    (&["quorum_server", "tie_breaker"], "the witness is the third party"),
];
