//! Routes and rules that come and go with a group's addresses (rtnetlink(7), ip-route(8), ip-rule(8)).
//!
//! The wanted ones of all groups are compared with those that carry our mark, whichever life set them: what is not wanted is taken
//! away, what is missing is set. Nothing without the mark is touched, nothing is replaced.

mod entry;
mod messages;
mod routing;

pub use self::entry::{Entry, Network, Route, Rule};
pub use self::routing::{Done, Routing, Trouble};
