//! Words, times and printing that rooms share.
//!
//! - [`mod@print`] the one way to print, by [`say!`] and [`say_on!`].
//! - [`log_line`] the log's lines, written and read.
//! - `plain` serde's messages in words of the file.
//! - [`Stamp`] the time of day, for people.

#![forbid(unsafe_code)]

pub mod log_line;
mod plain;
pub mod print;
mod stamp;

pub use plain::plain;
pub use stamp::Stamp;
