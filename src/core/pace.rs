//! Whether a witness bears the fast echo rate. Some answer a few echoes a second and no more (a limit on ICMP): at the slow rate
//! all is well, and under suspicion, when it matters, most answers stay away.

use serde::{Deserialize, Serialize};

/// What is known of one witness's pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    slow_only: bool,
}

impl Pace {
    /// It was found to answer the slow rate and not the fast one.
    pub fn slow_only(&self) -> bool {
        self.slow_only
    }
}
