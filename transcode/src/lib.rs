//! Bridges between codecs. What a viewer cannot take is decoded and encoded again by a worker, a process of
//! its own (`weir-transcoder`), so that a codec that crashes takes one bridge down and nothing else.
//!
//! Here are the protocol between the two, the policy of starting and restarting, and the handle that the
//! server holds. No codec library enters: the worker alone links them.

pub mod bridge;
pub mod error;
pub mod find;
pub mod protocol;
pub mod supervisor;

pub use bridge::{About, Bounds, Bridge, Config, Counters, Gauge, Output, Worker, probe};
pub use error::Error;
pub use find::find;
pub use protocol::{Options, Spec, Stats, Target};
pub use supervisor::{Policy, State};
