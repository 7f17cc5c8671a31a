//! The selective forwarding unit, sans-IO: peers, publishers, viewers, and a shard of them.
//!
//! A datagram enters at [`shard::Shard::receive`], finds its session in [`demux`], is opened by
//! [`rtc`], becomes a packet of an encoding in [`publisher`], is judged and rewritten for each
//! viewer in [`viewer`], sealed by that viewer's transport, and leaves at
//! [`shard::Shard::poll_transmit`]. No sockets, clocks or threads enter here.

pub mod demux;
pub mod egress;
pub mod publisher;
pub mod rtc;
pub mod rtcp;
pub mod shard;
pub mod stats;
mod stun;
pub mod transport;
pub mod viewer;

#[cfg(test)]
mod test;

pub use egress::{Egress, SendRun, Sink};
pub use rtc::{Certificate, Peer, Transmit};
pub use shard::{Add, Closed, Command, Config, Event, Shard};
