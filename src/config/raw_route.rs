//! The shape of a group's `routes` and `rules`; keys by the names of iproute2, where the file has none of its own.

use toml::Spanned;

/// One route of a group.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRoute {
    /// `default`, or a network.
    pub to: Spanned<String>,
    /// The gateway.
    pub via: Option<Spanned<String>>,
    /// The link on whose interface it is.
    pub link: Option<Spanned<String>>,
    /// An interface that is no link's.
    pub interface: Option<Spanned<String>>,
    /// The address that this node's own packets get.
    pub source: Option<Spanned<String>>,
    /// The routing table.
    pub table: Option<Spanned<i64>>,
    /// Among routes to the same network the least one counts.
    pub metric: Option<Spanned<i64>>,
    /// The gateway is on the interface, whatever the networks there are.
    #[serde(default)]
    pub onlink: bool,
}

/// One rule of a group.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRule {
    /// Packets from this network.
    pub from: Option<Spanned<String>>,
    /// Packets to this network.
    pub to: Option<Spanned<String>>,
    /// Packets with this mark.
    pub fwmark: Option<Spanned<i64>>,
    /// The bits of the mark that count.
    pub fwmask: Option<Spanned<i64>>,
    /// The routing table that they go by.
    pub table: Spanned<i64>,
    /// Rules are asked in this order.
    pub priority: Spanned<i64>,
}
