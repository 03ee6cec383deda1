//! Interfaces that are no link's: those of addresses away from the heartbeats, and those that a group tracks. To the decision each is a
//! link that carries nothing; their numbers come behind those of the links and of the relay.

use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::parts::NodeConfig;
use super::raw_interface::RawInterface;
use super::source::Source;
use twinbeat_core::id::{LinkId, Name};

/// The most of a file: more than a router pair has VLANs.
pub const MOST_INTERFACES: usize = 200;

/// What was found so far, each with its name on both nodes.
pub(super) struct Interfaces<'a> {
    /// Both nodes.
    pub nodes: &'a [NodeConfig; 2],
    /// The number of the first.
    pub first: usize,
    /// Each once.
    pub all: Vec<[Name; 2]>,
}

impl Interfaces<'_> {
    /// The number of an interface as the file names it: a link's where it is one on both nodes.
    pub fn id(&mut self, source: &Source, raw: &Spanned<RawInterface>) -> Result<LinkId, ConfigError> {
        let names = self.names(source, raw)?;
        let [one, other] = self.nodes;
        let mut links = one.links.iter().zip(&other.links);
        if let Some(place) = links.position(|(a, b)| [&a.interface, &b.interface] == [&names[0], &names[1]]) {
            return Ok(LinkId(place as u8));
        }
        let known = self.all.iter().position(|known| *known == names);
        let place = known.unwrap_or(self.all.len());
        if place >= MOST_INTERFACES {
            let problem = Problem::TooMany { what: "interfaces", found: place.saturating_add(1), most: MOST_INTERFACES };
            return Err(source.error(raw.span(), problem));
        }
        if known.is_none() {
            self.all.push(names);
        }
        // Nine links and 200 interfaces.
        Ok(LinkId(self.first.saturating_add(place) as u8))
    }

    /// What it is called on a node, by the node's place.
    pub fn name(&self, id: LinkId, node: usize) -> Option<&Name> {
        let place = usize::from(id.0);
        match self.nodes.get(node)?.links.get(place) {
            Some(link) => Some(&link.interface),
            None => self.all.get(place.checked_sub(self.first)?)?.get(node),
        }
    }

    fn names(&self, source: &Source, raw: &Spanned<RawInterface>) -> Result<[Name; 2], ConfigError> {
        let [one, other] = self.nodes;
        match raw.get_ref() {
            RawInterface::Both(text) => {
                let name = super::value::interface_name(text).ok_or_else(|| source.error(raw.span(), Problem::BadInterface))?;
                Ok([name.clone(), name])
            }
            RawInterface::Each(by_node) => {
                let both = format!("{} and {}, each once", one.name, other.name);
                let wrong = by_node.keys().find(|key| **key.get_ref() != *one.name && **key.get_ref() != *other.name);
                if let Some(key) = wrong {
                    return Err(source.error(key.span(), Problem::UnknownNode(both)));
                }
                let of = |node: &NodeConfig| match by_node.iter().find(|(key, _)| **key.get_ref() == *node.name) {
                    Some((_, text)) => super::value::interface(source, text),
                    None => Err(source.error(raw.span(), Problem::UnknownNode(both.clone()))),
                };
                Ok([of(one)?, of(other)?])
            }
        }
    }
}
