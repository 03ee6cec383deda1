//! Which ends of orders the decision is told, and how.

use twinbeat_core::id::GroupId;
use twinbeat_core::io::{GateReport, Input, ServiceOrder, ServiceReport};

/// The input by which the decision hears what became of a gate order. None of a renewal that was carried out: it changes nothing that the
/// decision knows, and would wake it with every ground.
pub fn of_gate(group: GroupId, generation: u64, report: GateReport) -> Option<Input> {
    match report {
        GateReport::Renewed => None,
        report => Some(Input::Gate { group, generation, report }),
    }
}

/// What services say that do as they are told.
pub fn of_services(order: ServiceOrder) -> ServiceReport {
    match order {
        ServiceOrder::Warm => ServiceReport::Warmed,
        ServiceOrder::Start(_) | ServiceOrder::Adopt(_) => ServiceReport::Started,
        ServiceOrder::Stop | ServiceOrder::StopCold => ServiceReport::Stopped,
    }
}
