//! What `check` says of the bonds below the links.

use super::finding::{Finding, Level};
use twinbeat_config::Config;
use twinbeat_core::id::NodeId;
use twinbeat_host::bond::{self, Bond};

/// What a bond's settings make likely at the worst time. That a link is a bond at all is no merit: several links say more than one bond does.
pub(super) fn bonds_are_sound(config: &Config, me: NodeId) -> Vec<Finding> {
    let Some(node) = config.nodes.get(me.index()) else { return Vec::new() };
    let interfaces: Vec<String> = node.links.iter().map(|l| l.interface.to_string()).collect();
    let bonds = match bond::look(&interfaces) {
        Ok(bonds) => bonds,
        Err(error) => return vec![Finding::new(Level::Warn, "bonds", format!("the interfaces cannot be read: {error}"))],
    };
    let public = usize::from(config.witness.link.0);
    let found = node.links.iter().zip(bonds).enumerate();
    found
        .flat_map(|(place, (link, bond))| bond.map(|b| bond_findings(&link.name, place != public, &b)).unwrap_or_default())
        .collect()
}

/// `direct`: the bond may stand for direct cables, of which the other end must use the same one. The public side has a switch in between.
fn bond_findings(link: &str, direct: bool, bond: &Bond) -> Vec<Finding> {
    let subject = format!("link {link}");
    let warn = |text: String| Finding::new(Level::Warn, subject.clone(), text);
    let mut found = Vec::new();
    found.extend(bond.trouble().map(&warn));
    if bond.mode == ACTIVE_BACKUP && direct && (bond.primary.is_none() || bond.reselect != RESELECT_ALWAYS) {
        let primary = bond.primary.as_ref().map_or("no primary".to_owned(), |p| format!("primary {p}"));
        found.push(warn(format!(
            "{} is active-backup with {primary} and primary_reselect {}: over direct cables the two ends may come to use different cables after \
             a failover and a reboot, all up and every heartbeat lost. Set the same cable as `primary`, and `primary_reselect always`, on both nodes",
            bond.name, bond.reselect
        )));
    }
    if bond.mii_interval == 0 && bond.arp_interval == 0 && bond.mode != LACP {
        found.push(warn(format!("{} looks at no slave's carrier (miimon 0, arp_interval 0): it will not fail over", bond.name)));
    }
    if bond.arp_interval != 0 && direct {
        found.push(warn(format!(
            "{} uses the ARP monitor: over direct cables a peer that is off takes the bond down here too",
            bond.name
        )));
    }
    if found.is_empty() {
        found.push(Finding::new(Level::Ok, subject.clone(), bond.to_string()));
    }
    found
}

/// The kernel's names (Documentation/networking/bonding.rst).
const ACTIVE_BACKUP: &str = "active-backup";
const LACP: &str = "802.3ad";
const RESELECT_ALWAYS: &str = "always";

#[cfg(test)]
mod tests {
    use super::*;
    use twinbeat_host::bond::Slave;

    fn bond(primary: Option<&str>, reselect: &str) -> Bond {
        let slave = |name: &str| Slave { name: name.to_owned(), mii: "up".to_owned(), active: name == "eth1", failures: 0 };
        Bond {
            name: "bond0".to_owned(),
            mode: ACTIVE_BACKUP.to_owned(),
            active: Some("eth1".to_owned()),
            primary: primary.map(str::to_owned),
            reselect: reselect.to_owned(),
            mii_interval: 100,
            arp_interval: 0,
            slaves: vec![slave("eth1"), slave("eth2")],
        }
    }

    fn warnings(direct: bool, bond: &Bond) -> Vec<String> {
        let found = bond_findings("bond", direct, bond);
        found.into_iter().filter(|f| f.level == Level::Warn).map(|f| f.text).collect()
    }

    #[test]
    fn ends_that_may_choose_different_cables_are_warned_of() {
        assert_eq!(warnings(true, &bond(Some("eth1"), "always")), [""; 0]);
        for unfit in [bond(None, "always"), bond(Some("eth1"), "failure"), bond(Some("eth1"), "better")] {
            let found = warnings(true, &unfit);
            assert!(found.len() == 1 && found[0].contains("`primary_reselect always`, on both nodes"), "{found:?}");
            assert_eq!(warnings(false, &unfit), [""; 0], "a switch in between: either cable will do");
        }
        let lacp = Bond { mode: LACP.to_owned(), ..bond(None, "always") };
        assert_eq!(warnings(true, &lacp), [""; 0]);
    }

    #[test]
    fn a_bond_that_cannot_fail_over_or_has_nothing_to_is_warned_of() {
        let blind = Bond { mii_interval: 0, ..bond(Some("eth1"), "always") };
        assert!(warnings(true, &blind)[0].contains("will not fail over"));
        let arp = Bond { arp_interval: 100, ..blind };
        assert!(warnings(true, &arp)[0].contains("ARP monitor"));
        assert_eq!(warnings(false, &arp), [""; 0]);
        let mut single = bond(Some("eth1"), "always");
        single.slaves.pop();
        assert_eq!(warnings(true, &single), ["bond0 has one slave only: eth1"]);
    }
}
