//! The selective forwarding unit, sans-IO: peers, publishers, viewers, and a shard of them.
//!
//! A datagram enters at [`shard::Shard::receive`], finds its session in [`demux`], is opened by
//! [`rtc`], becomes a packet of an encoding in [`publisher`], goes into the rings of its [`feed`] on
//! every shard with viewers, is judged, rewritten and sealed for each viewer in [`viewer`] and
//! [`transport`], and leaves in runs through [`egress`]. What this server makes itself enters by
//! [`local`]. No sockets, clocks or threads enter here.

pub mod audience;
pub mod demux;
pub mod directory;
pub mod egress;
pub mod feed;
pub mod frames;
pub mod history;
pub mod local;
pub mod packet;
pub mod path;
pub mod probe;
pub mod publisher;
pub mod recorder;
pub mod rtc;
pub mod rtcp;
pub mod shard;
pub mod stats;
mod stun;
pub mod transport;
pub mod viewer;

#[cfg(test)]
mod test;

// What tests from outside share with those inside says `sfu`.
#[cfg(test)]
extern crate self as sfu;

pub use audience::Audience;
pub use directory::Directory;
pub use egress::{Egress, SendRun, Sink};
pub use local::{Made, Packet};
pub use path::{Over, Path};
pub use probe::Probe;
pub use rtc::{Certificate, Peer, Transmit};
pub use shard::{Add, Closed, Command, Config, Event, Link, Message, Pressure, Shard, TapId, Word};
pub use stats::Origin;
pub use transport::Transport;
pub use viewer::selector::Wanted;
