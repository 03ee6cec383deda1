//! Steps as a person says them, for pictures.

use super::step::{At, Between, Gateway, Names, On, Step};
use twinbeat_picture::MarkKind;

impl Step {
    /// In a few words.
    pub fn words(&self) -> String {
        match self {
            Step::Start(names) => format!("{} started", all(names)),
            Step::Stop(names) => format!("{} stopped gracefully", all(names)),
            Step::PowerOff(names) => format!("{} loses power", all(names)),
            Step::PowerOn(names) => format!("{} has power again", all(names)),
            Step::Kill(names) => format!("daemon of {} killed", all(names)),
            Step::Hang(names) => format!("daemon of {} hangs", all(names)),
            Step::Stall(names) => format!("daemon of {} hangs in its next renewal", all(names)),
            Step::Wake(names) => format!("daemon of {} goes on", all(names)),
            Step::Pause(names) => format!("machine {} paused", all(names)),
            Step::Unpause(names) => format!("machine {} goes on", all(names)),
            Step::Unplug(at) => format!("{} unplugged", end(at)),
            Step::Plug(at) => format!("{} plugged in", end(at)),
            Step::InterfaceGone(at) => format!("the interface of {} is gone", end(at)),
            Step::InterfaceBack(at) => format!("the interface of {} is back", end(at)),
            Step::Cut(b) if b.only.is_some() => format!("heartbeats filtered{}", ways(b)),
            Step::Cut(b) => format!("cut{}", ways(b)),
            Step::Mend(b) => format!("mended{}", ways(b)),
            Step::Loss(b) => format!("{} % loss{}", b.percent.unwrap_or_default(), ways(b)),
            Step::Delay(b) => format!("{} delay{}", b.delay.unwrap_or_default(), ways(b)),
            Step::Corrupt(b) => format!("{} % damaged{}", b.percent.unwrap_or_default(), ways(b)),
            Step::Duplicate(b) => format!("{} % doubled{}", b.percent.unwrap_or_default(), ways(b)),
            Step::Reorder(b) => format!("{} % overtaken{}", b.percent.unwrap_or_default(), ways(b)),
            Step::Isolate(names) => format!("{} isolated", all(names)),
            Step::Separate(s) if s.relay == Some(false) => "no frame between the nodes, no relay".into(),
            Step::Separate(_) => "no frame between the nodes".into(),
            Step::GatewayDown(g) => format!("{} down", witness(g)),
            Step::GatewayUp(g) => format!("{} up", witness(g)),
            Step::PortSecurity(o) if o.on == Some(false) => format!("the network lets the address's frames of {} pass", node(o)),
            Step::PortSecurity(o) => format!("the network drops the address's frames of {}", node(o)),
            Step::GatewayPins(g) if g.on == Some(false) => format!("{} no longer pinned", witness(g)),
            Step::GatewayPins(g) => format!("{} pins its table", witness(g)),
            Step::GatewayLastHop(g) if g.on == Some(false) => format!("{} answers by its table again", witness(g)),
            Step::GatewayLastHop(g) => format!("{} answers the sender, not its table", witness(g)),
            Step::GatewayLimits(g) if g.per_second == Some(0) => format!("{} answers every echo", witness(g)),
            Step::GatewayLimits(g) => format!("{} answers {} echoes a second", witness(g), g.per_second.unwrap_or_default()),
            Step::GatewayForgets(g) => format!("{} loses its table", witness(g)),
            Step::Stranger(on) if on.on == Some(false) => "the third machine leaves".into(),
            Step::Stranger(_) => "a third machine has the address".into(),
            Step::Forge(_) => "forged announcement".into(),
            Step::ReplayPackets(on) => format!("{} old frames replayed to {}", on.count.unwrap_or(8), node(on)),
            Step::ServiceDies(on) => format!("{}{} dies on {}", "service", of_group(on), node(on)),
            Step::ServiceStopFails(on) => format!("service{} on {} {} be stopped", of_group(on), node(on), can(on)),
            Step::ServiceStartFails(on) => format!("service{} on {} {} start", of_group(on), node(on), can(on)),
            Step::ServiceObstacle(on) => format!("service{} on {} {} start, says its test", of_group(on), node(on), can(on)),
            Step::FenceFails(on) => format!("{} {} turn its peer off", node(on), can(on)),
            Step::FenceTakes(on) => format!("{} takes {} to turn its peer off", node(on), on.takes.unwrap_or_default()),
            Step::Fenced(on) => format!("`fenced` on {}", node(on)),
            Step::ServiceTakes(on) => format!("services on {} take {}", node(on), on.takes.unwrap_or_default()),
            Step::DiskTakes(on) => format!("disk of {} takes {}", node(on), on.takes.unwrap_or_default()),
            Step::DiskFails(on) if on.on == Some(false) => format!("disk of {} works again", node(on)),
            Step::DiskFails(on) => format!("disk of {} is full", node(on)),
            Step::ClockRate(on) => format!("clock of {} runs {} times as fast", node(on), on.rate.unwrap_or(1.0)),
            Step::Standby(on) => {
                format!("`standby` on {}{}", node(on), on.r#for.map(|d| format!(" --for {d}")).unwrap_or_default())
            }
            Step::Takeover(on) => format!("`takeover` on {}", node(on)),
            Step::PauseGroup(on) => {
                format!("`pause`{} on {}{}", of_group(on), node(on), on.r#for.map(|d| format!(" --for {d}")).unwrap_or_default())
            }
            Step::Resume(on) => format!("`resume`{} on {}", of_group(on), node(on)),
            Step::Reload(on) => format!("`reload` on {}", node(on)),
            Step::ForeignDeleteVip(on) => format!("a foreign hand deletes the VIP on {}", node(on)),
            Step::ForeignFlushRuleset(on) => format!("a foreign hand flushes the rules on {}", node(on)),
            Step::GateRefused(on) if on.on == Some(false) => format!("the kernel of {} makes gates again", node(on)),
            Step::GateRefused(on) => format!("the kernel of {} makes no gate", node(on)),
            Step::Restart(on) => format!("daemon of {} restarted (SIGUSR2)", node(on)),
            Step::Configure(on) => format!("{} gets {}", node(on), on.config.as_deref().unwrap_or_default()),
            Step::LoseState(on) => format!("{} loses its state directory", node(on)),
            Step::Heal(_) => "everything mended".into(),
        }
    }

    /// What sort of thing it is.
    pub fn kind(&self) -> MarkKind {
        match self {
            Step::Start(_)
            | Step::Stop(_)
            | Step::Standby(_)
            | Step::Takeover(_)
            | Step::PauseGroup(_)
            | Step::Fenced(_)
            | Step::Resume(_)
            | Step::Reload(_) => MarkKind::Command,
            Step::PowerOn(_)
            | Step::Wake(_)
            | Step::Unpause(_)
            | Step::Plug(_)
            | Step::InterfaceBack(_)
            | Step::Mend(_)
            | Step::GatewayUp(_)
            | Step::Heal(_) => MarkKind::Repair,
            Step::Loss(b) | Step::Corrupt(b) | Step::Duplicate(b) | Step::Reorder(b) if b.percent == Some(0.0) => {
                MarkKind::Repair
            }
            Step::GatewayPins(g) | Step::GatewayLastHop(g) if g.on == Some(false) => MarkKind::Repair,
            Step::GatewayLimits(g) if g.per_second == Some(0) => MarkKind::Repair,
            Step::Stranger(on)
            | Step::PortSecurity(on)
            | Step::ServiceStopFails(on)
            | Step::ServiceStartFails(on)
            | Step::ServiceObstacle(on)
            | Step::FenceFails(on)
            | Step::DiskFails(on)
            | Step::GateRefused(on)
                if on.on == Some(false) =>
            {
                MarkKind::Repair
            }
            Step::ClockRate(on) if on.rate == Some(1.0) => MarkKind::Repair,
            _ => MarkKind::Fault,
        }
    }
}

fn all(names: &Names) -> String {
    names.all().join(" and ")
}

fn end(at: &At) -> String {
    let text = |name: &Option<String>| name.clone().unwrap_or_default();
    format!("{} of {}", text(&at.link), text(&at.node))
}

fn node(on: &On) -> &str {
    on.node.as_deref().unwrap_or("every node")
}

fn of_group(on: &On) -> String {
    on.group.as_ref().map(|group| format!(" of {group}")).unwrap_or_default()
}

fn can(on: &On) -> &'static str {
    if on.on == Some(false) { "can" } else { "cannot" }
}

fn witness(gateway: &Gateway) -> String {
    match gateway.witness {
        None | Some(0) => "gateway".to_string(),
        Some(place) => format!("witness {place}"),
    }
}

fn ways(b: &Between) -> String {
    let link = b.link.as_ref().map(|link| format!(" {link}")).unwrap_or_default();
    let from = b.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    let to = b.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let every = if link.is_empty() { " on all links" } else { "" };
    format!("{link}{from}{to}{every}")
}
