//! What `check` finds about a service that is a systemd unit: whether systemd is here and how it is asked, whether it knows the unit, and what it
//! would do with it by itself: at boot, for other units, and at a shutdown.

use std::path::Path;

use super::finding::{Finding, Level};
use super::programs::{ask, executable};
use twinbeat_config::{Config, ServiceKind};
use twinbeat_service::{Tools, bus_answers};

/// Where systemd says that it runs (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

/// Whether systemd runs here, and whether it can be asked over the bus; nothing where no service is a unit.
pub(super) fn reached(config: &Config) -> Vec<Finding> {
    let services = config.groups.iter().flat_map(|group| &group.services);
    let units: Vec<&str> = services
        .filter_map(|service| match &service.kind {
            ServiceKind::Systemd(unit) => Some(&**unit),
            _ => None,
        })
        .collect();
    if units.is_empty() {
        return Vec::new();
    }
    if !Path::new(BOOTED).is_dir() {
        return vec![no_systemd(&units)];
    }
    let bus = Tools::default().bus;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answers = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(bus_answers(&bus)));
    vec![match answers {
        Ok(()) => Finding::new(Level::Ok, "service", format!("units by D-Bus ({bus}): an end of one is seen at once")),
        Err(why) => {
            let text = format!(
                "no system bus ({bus}: {why}): units are asked for by `systemctl` once a second, and an end of one is seen then. \
                 `apt-get install dbus`"
            );
            Finding::new(Level::Warn, "service", text)
        }
    }]
}

fn no_systemd(units: &[&str]) -> Finding {
    let text = format!("no systemd runs here ({BOOTED} is missing): nobody can start {} on this machine", units.join(", "));
    Finding::new(Level::Warn, "service", text)
}

/// What systemd says of one unit of a group.
pub(super) fn all(group: &str, unit: &str, warm: bool) -> Vec<Finding> {
    if !Path::new(BOOTED).is_dir() {
        return Vec::new();
    }
    let shown = ask("systemctl", &["show", "-p", "LoadState,LoadError,WantedBy,RequiredBy,TriggeredBy", unit]);
    let mut found = judge(group, unit, &shown.map(|(_, said)| said).unwrap_or_default());
    found.extend(beside(unit, warm));
    found
}

/// A line of `systemctl show`.
fn value<'a>(shown: &'a str, key: &str) -> &'a str {
    shown.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default().trim()
}

/// Whether it could be started at all, and who else would.
fn judge(group: &str, unit: &str, shown: &str) -> Vec<Finding> {
    let finding = |level, text: String| Finding::new(level, "service", format!("group `{group}`: systemd {unit}: {text}"));
    match value(shown, "LoadState") {
        "masked" => {
            return vec![finding(Level::Fail, format!("it is masked: nobody can start it. `systemctl unmask {unit}`"))];
        }
        "not-found" => return vec![finding(Level::Warn, "systemd knows no such unit".to_owned())],
        "bad-setting" | "error" => {
            let text = format!("systemd cannot load it: {}. `systemd-analyze verify {unit}`", value(shown, "LoadError"));
            return vec![finding(Level::Fail, text)];
        }
        _ => {}
    }
    // Targets want what is enabled, which has a finding of its own.
    let others = ["WantedBy", "RequiredBy"].iter().flat_map(|key| value(shown, key).split_whitespace());
    let mut others: Vec<&str> = others.filter(|other| !other.ends_with(".target") && *other != OWN_UNIT).collect();
    others.dedup();
    let wanted = others.iter().map(|other| finding(Level::Warn, format!("{other} starts it too, wherever that is started")));
    let triggers = value(shown, "TriggeredBy").split_whitespace();
    let triggered = triggers.map(|other| {
        finding(Level::Warn, format!("{other} starts it too, on a standby as well: `systemctl disable --now {other}`"))
    });
    wanted.chain(triggered).collect()
}

/// What systemd does with the unit by itself: at boot, and at a shutdown.
fn beside(unit: &str, warm: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if ask("systemctl", &["is-enabled", unit]).is_some_and(|(_, said)| matches!(said.trim(), "enabled" | "enabled-runtime")) {
        let (level, cost) = match warm {
            true => (Level::Warn, "it runs on a standby that has not asked for it"),
            false => (Level::Fail, "it runs on both nodes after a boot, and must not"),
        };
        let text = format!("systemd starts {unit} at boot too: {cost}. `systemctl disable {unit}`");
        found.push(Finding::new(level, "service", text));
    }
    let shown = ask("systemctl", &["show", "-p", "LoadState,After", OWN_UNIT]).map(|(_, said)| said).unwrap_or_default();
    if value(&shown, "LoadState") == "loaded" && !value(&shown, "After").split_whitespace().any(|name| name == unit) {
        let text = format!(
            "at a reboot systemd stops {unit} beside twinbeat, before the address has moved. `mkdir -p {DROP_IN} && \
             printf '[Unit]\\nAfter={unit}\\n' > {DROP_IN}/{unit}.conf && systemctl daemon-reload`"
        );
        found.push(Finding::new(Level::Warn, "service", text));
    }
    found
}

/// Whether systemd would not find the unit on the disk.
pub(super) fn missing(unit: &str) -> Option<String> {
    // An instance `web@1.service` comes from the template `web@.service`.
    let template = match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((name, _)), Some((_, suffix))) => format!("{name}@.{suffix}"),
        _ => unit.to_owned(),
    };
    let there = UNIT_DIRS.iter().any(|dir| [unit, &template].iter().any(|name| Path::new(dir).join(name).exists()));
    // A unit may be made from an init script of the same name (systemd-sysv-generator).
    let script = unit.strip_suffix(".service").is_some_and(|name| executable(&Path::new("/etc/init.d").join(name)));
    (!there && !script).then(|| "no such unit here".to_owned())
}

/// The daemon's own.
const OWN_UNIT: &str = "twinbeat.service";
/// Where an administrator's additions to the unit are.
const DROP_IN: &str = "/etc/systemd/system/twinbeat.service.d";

/// systemd.unit(5), the unit search path of the system manager.
const UNIT_DIRS: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(shown: &str) -> Vec<(Level, String)> {
        judge("web", "a.service", shown).into_iter().map(|finding| (finding.level, finding.text)).collect()
    }

    #[test]
    fn what_systemd_says_of_a_unit_is_a_finding_where_it_could_not_start_or_somebody_else_would_start_it() {
        assert_eq!(levels("LoadState=loaded\nLoadError=\nWantedBy=multi-user.target\nRequiredBy=\nTriggeredBy=\n"), []);
        for (level, shown, words) in [
            (
                Level::Fail,
                "LoadState=masked\nLoadError=org.freedesktop.systemd1.UnitMasked \"Unit a.service is masked.\"",
                "systemctl unmask a.service",
            ),
            (Level::Warn, "LoadState=not-found", "knows no such unit"),
            (
                Level::Fail,
                "LoadState=bad-setting\nLoadError=org.freedesktop.systemd1.BadUnitSetting \"no ExecStart\"",
                "no ExecStart",
            ),
        ] {
            let found = levels(shown);
            assert!(found.len() == 1 && found[0].0 == level && found[0].1.contains(words), "{found:?}");
        }
        let found = levels("LoadState=loaded\nWantedBy=b.service twinbeat.service\nRequiredBy=b.service\nTriggeredBy=a.socket");
        assert!(found.len() == 2 && found.iter().all(|(level, _)| *level == Level::Warn), "{found:?}");
        assert!(
            found[0].1.contains("b.service starts it too") && found[1].1.contains("`systemctl disable --now a.socket`"),
            "{found:?}"
        );
        assert_eq!(levels(""), []);
    }

    #[test]
    fn a_machine_without_systemd_is_named_with_the_units_that_need_it() {
        let found = no_systemd(&["a.service", "b.service"]);
        assert!(found.level == Level::Warn && found.text.contains("nobody can start a.service, b.service"), "{found:?}");
    }
}
