//! Words, times and printing that rooms share.
//!
//! - [`mod@print`] the one way to print, by [`say!`] and [`say_on!`].
//! - `plain` serde's messages in words of the file.
//! - [`Stamp`] the time of day, for people.

#![forbid(unsafe_code)]

mod plain;
pub mod print;
mod stamp;

pub use plain::plain;
pub use stamp::Stamp;
