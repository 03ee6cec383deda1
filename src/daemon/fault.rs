//! Why a daemon cannot start, as its exit code says it to the init system: what only a person mends is not tried again at once.

/// What keeps a daemon from starting until somebody mends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// The file, this node's name in it, its key, a log file.
    #[error("the configuration cannot be used")]
    Config,
    /// The state directory.
    #[error("the state directory cannot be written")]
    State,
}

impl Fault {
    /// sysexits.h: EX_CONFIG and EX_CANTCREAT. The unit's `RestartPreventExitStatus` names the first.
    pub const fn code(self) -> u8 {
        match self {
            Fault::Config => 78,
            Fault::State => 73,
        }
    }

    /// The exit code for what ended a daemon: 1, unless it is one of these.
    pub fn code_of(error: &anyhow::Error) -> u8 {
        error.downcast_ref::<Fault>().map_or(1, |fault| fault.code())
    }
}
