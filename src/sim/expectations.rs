//! The expectations by name, for the schema and the manual.

/// Every expectation: its name, its parameters (`?` after those that may be left out), and what it says.
pub const TABLE: &[(&str, &str, &str)] = &[
    ("owner", "group node from to", "This node's kernel answers for the group's VIP, all the time"),
    ("moves", "group exactly? at_most? from?", "So many changes of owner, the first claim included"),
    (
        "gap",
        "group from to? at_most client?",
        "Clients behind the gateway are never without service for longer than this; `client` \"lan\": one on the LAN itself, with a neighbour table of its own",
    ),
    (
        "silence",
        "group from to? at_most client?",
        "All the times in which they are without service, together, are no longer than this",
    ),
    ("nobody", "group from to", "No kernel answers, all the time"),
    (
        "served_within",
        "group after at_most node?",
        "After this moment clients are served before long (by that node, if one is named)",
    ),
    ("refused", "node text? from? to?", "A command to this node is refused, with a reason that contains the text"),
    ("done", "node text? from? to?", "A command to this node is done, with an answer that contains the text"),
    ("says", "node text? from? to?", "This node writes a line into its log that contains the text"),
    ("never_says", "node text? from? to?", "It does not"),
    ("says_times", "node text? from? to? exactly? at_least? at_most?", "It does, so often"),
    ("epoch", "node group exactly? at_least? at_most? at", "The epoch that `status` on this node shows of the group"),
    ("link", "node link state at", "What `status` on this node shows of a link"),
    ("takeover_ready", "node group ready because? at", "What `status` on this node says: would a takeover work right now?"),
    ("service", "node group running at", "The group's service runs on this machine, or does not"),
];
