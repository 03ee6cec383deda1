//! What becomes of the decision's outputs, wherever it runs.
//!
//! A [`Handler`] has one method for each kind of [`Output`](twinbeat_core::io::Output); every world of memory is one. [`completion`] says
//! which ends of orders the decision is told, in production and in every other world alike. [`Kernel`] and [`Disk`] model a
//! machine as far as the rules use it: the simulator, the small world of the model check and a recorded world under other settings all have these.

#![forbid(unsafe_code)]

pub mod completion;
mod disk;
mod handler;
mod kernel;

pub use disk::Disk;
pub use handler::Handler;
pub use kernel::{GroupKernel, Kernel};
