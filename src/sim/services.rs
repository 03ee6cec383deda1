//! A group's services on one machine: they take time, they fail, and they live on while the daemon hangs.

use twinbeat_core::id::{Attempt, GroupId};
use twinbeat_core::io::{Input, ServiceOrder, ServiceReport};
use twinbeat_core::settings::Services;
use twinbeat_core::time::Span;
use twinbeat_effect::completion;

use super::clock::Moment;
use super::rng::Rng;

/// The services of one group, as one.
#[derive(Clone, Debug)]
pub struct ServiceModel {
    kind: Services,
    /// It runs.
    pub running: bool,
    /// Starting it fails.
    pub start_fails: bool,
    /// Its own test of its files fails, which a node asks for without a start.
    pub obstacle: bool,
    /// Stopping it fails.
    pub stop_fails: bool,
    /// When it last failed to start or to stop, or died.
    pub failed: Option<Moment>,
    /// A pause: nothing is done without an order.
    hands_off: bool,
    /// It died in the pause, and nobody has done anything about it.
    left_alone: bool,
    /// How long starting and stopping take at the most; a third of it at the least.
    pub latency: Span,
    /// The newest order and who is to be told.
    order: Option<(Attempt, ServiceOrder)>,
    /// How long carrying it out takes.
    takes: Span,
    /// The attempt of the newest order, carried out or not.
    pub attempt: Attempt,
    token: u32,
}

/// What the services are called in reports.
const NAME: &str = "service";

impl ServiceModel {
    /// A service that does not run yet.
    pub fn new(kind: Services) -> ServiceModel {
        ServiceModel {
            kind,
            running: false,
            start_fails: false,
            obstacle: false,
            stop_fails: false,
            failed: None,
            hands_off: false,
            left_alone: false,
            latency: Span::millis(30),
            order: None,
            takes: Span::ZERO,
            attempt: Attempt(0),
            token: 0,
        }
    }

    /// The configuration says otherwise from now on.
    pub fn becomes(&mut self, kind: Services) {
        self.kind = kind;
    }

    /// What its test says.
    pub fn startable(&self, group: GroupId) -> Input {
        let obstacle = self.obstacle && self.exists();
        Input::Startable { group, obstacle: obstacle.then(|| "service: its test says no".into()) }
    }

    /// There is something that must run for clients to be served.
    pub fn exists(&self) -> bool {
        self.kind != Services::None
    }

    /// Takes an order, which replaces any earlier one; says how long it takes and the number to finish it by.
    pub fn take(&mut self, attempt: Attempt, order: ServiceOrder, rng: &mut Rng) -> (Span, u32) {
        self.token += 1;
        self.attempt = attempt;
        self.order = Some((attempt, order));
        let idle = match order {
            ServiceOrder::Warm => self.running || self.kind != Services::Warm,
            ServiceOrder::Start(_) => self.running,
            ServiceOrder::Adopt(_) => true,
            ServiceOrder::Stop => !self.running,
            ServiceOrder::StopCold => !self.running || self.kind != Services::Cold,
        };
        let latency = self.latency.0;
        let time = if idle || !self.exists() { Span::micros(200) } else { Span(rng.between(latency / 3, latency)) };
        self.takes = time;
        (time, self.token)
    }

    /// An order is being carried out that takes longer than this.
    pub fn slow(&self, than: Span) -> bool {
        self.order.is_some() && self.takes > than
    }

    /// Finishes an order, unless a newer one replaced it.
    pub fn finish(&mut self, token: u32) -> Option<(Attempt, ServiceReport)> {
        if token != self.token {
            return None;
        }
        let (attempt, order) = self.order.take()?;
        let report = match order {
            _ if !self.exists() => completion::of_services(order),
            ServiceOrder::Warm if self.kind != Services::Warm => ServiceReport::Warmed,
            ServiceOrder::Warm => self.start(ServiceReport::Warmed),
            ServiceOrder::Start(_) => self.start(ServiceReport::Started),
            ServiceOrder::Adopt(_) if self.running => ServiceReport::Started,
            ServiceOrder::Adopt(_) => self.falls("it does not run"),
            ServiceOrder::StopCold if self.kind != Services::Cold => ServiceReport::Stopped,
            ServiceOrder::Stop | ServiceOrder::StopCold => self.stop(),
        };
        Some((attempt, report))
    }

    /// It dies by itself; says whether it ran.
    pub fn die(&mut self) -> bool {
        std::mem::replace(&mut self.running, false)
    }

    /// What is said of one that fell.
    pub fn falls(&mut self, how: &str) -> ServiceReport {
        let (service, reason) = (NAME.into(), how.into());
        self.left_alone = self.hands_off;
        if self.hands_off { ServiceReport::LeftAlone { service, reason } } else { ServiceReport::Died { service, reason } }
    }

    /// A pause begins or ends; what is said of one that fell in it.
    pub fn hands_off(&mut self, on: bool) -> Option<ServiceReport> {
        self.hands_off = on;
        let fell = !on && std::mem::take(&mut self.left_alone) && !self.running;
        fell.then(|| self.falls("it fell in the pause"))
    }

    /// A new daemon knows of no pause before it says so.
    pub fn new_daemon(&mut self) {
        (self.hands_off, self.left_alone) = (false, false);
    }

    fn start(&mut self, done: ServiceReport) -> ServiceReport {
        if !self.running && self.start_fails {
            return ServiceReport::StartFailed { service: NAME.into(), reason: "it exited with status 1".into() };
        }
        (self.running, self.left_alone) = (true, false);
        done
    }

    fn stop(&mut self) -> ServiceReport {
        if self.running && self.stop_fails {
            return ServiceReport::StopFailed { service: NAME.into(), reason: "it still runs after the time limit".into() };
        }
        (self.running, self.left_alone) = (false, false);
        ServiceReport::Stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_order_replaces_an_older_one() {
        let mut rng = Rng::new(1);
        let mut service = ServiceModel::new(Services::Cold);
        let (_, start) = service.take(Attempt(1), ServiceOrder::Start(twinbeat_core::id::Epoch(2)), &mut rng);
        let (_, stop) = service.take(Attempt(2), ServiceOrder::Stop, &mut rng);
        assert_eq!(service.finish(start), None);
        assert_eq!(service.finish(stop), Some((Attempt(2), ServiceReport::Stopped)));
        assert!(!service.running);
    }

    #[test]
    fn a_cold_service_is_not_warmed() {
        let mut service = ServiceModel::new(Services::Cold);
        let (_, token) = service.take(Attempt(1), ServiceOrder::Warm, &mut Rng::new(1));
        assert_eq!(service.finish(token), Some((Attempt(1), ServiceReport::Warmed)));
        assert!(!service.running);
    }
}
