//! The worker of `weir`'s bridges: coded units of one codec in, of another out. What it is told and what it
//! answers is in `transcode::protocol`; `run` speaks it, the [`Pipeline`] knows nothing of it.
//!
//! Only `av` names libav, and only `av/ffi.rs` is unsafe. Everything that comes in is hostile: libav does
//! what it does, in a process that may fail; nothing of ours panics or trusts a length.

mod annexb;
pub mod av;
pub mod error;
pub mod limits;
mod pictures;
pub mod pipeline;
mod rate;
pub mod run;
mod sound;
#[cfg(test)]
mod tests;
mod timeline;

pub use error::Error;
pub use pipeline::{Output, Pipeline, Push, Settings, Stats};
