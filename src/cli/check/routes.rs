//! What `check` finds about the routes of the groups: it is on the standby that nobody would notice before a takeover.

use super::finding::{Finding, Level};
use twinbeat_config::Config;
use twinbeat_core::id::NodeId;
use twinbeat_daemon::routes::{Wanted, wanted};
use twinbeat_host::routes::{Entry, Routing};

pub(super) fn all(config: &Config, me: NodeId) -> Vec<Finding> {
    let groups = wanted(config, me);
    if groups.iter().all(|group| group.entries.is_empty()) {
        return Vec::new();
    }
    let mut found: Vec<Finding> = groups.iter().flat_map(without_interface).collect();
    let taken = Routing::new().and_then(|mut routing| {
        let mut all = Vec::new();
        for group in &groups {
            all.extend(routing.taken(group.entries.iter())?.into_iter().map(|route| (&group.name, route)));
        }
        Ok(all)
    });
    match taken {
        Ok(taken) => found.extend(taken.into_iter().map(|(group, route)| {
            let text = format!(
                "group `{group}`: {route}: there is such a route already that twinbeat has not set, and it replaces none: another `metric` or `table`, or \
                 `ip route del` and out of the network configuration"
            );
            Finding::new(Level::Fail, "route", text)
        })),
        Err(error) => found.push(Finding::new(Level::Warn, "route", format!("the kernel does not tell its routes: {error}"))),
    }
    found
}

fn without_interface(group: &Wanted) -> Vec<Finding> {
    let routes = group.entries.iter().filter_map(|entry| if let Entry::Route(route) = entry { Some(route) } else { None });
    let missing = routes.filter(|route| nix::net::if_::if_nametoindex(route.interface.as_str()).is_err());
    let line = |text: String| Finding::new(Level::Fail, "route", text);
    missing
        .map(|route| line(format!("group `{}`: {route}: there is no interface {} here", group.name, route.interface)))
        .collect()
}
