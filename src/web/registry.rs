//! All that there is to see, as families of metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::ask::Seen;
use super::families;
use super::metrics::Families;

/// Everything that is to be told of it, as a registry that can be written in either format.
pub(super) fn registry(seen: Arc<Seen>) -> Registry {
    let mut registry = Registry::with_prefix("twinbeat");
    registry.register_collector(Box::new(Shown(seen)));
    registry
}

#[derive(Debug)]
struct Shown(Arc<Seen>);

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        families::all(&self.0, &mut Families(encoder))
    }
}
