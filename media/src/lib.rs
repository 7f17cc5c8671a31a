//! The vocabulary of media: codecs, encodings, access units, RTP packets and what their payloads say.
//!
//! Pure transforms only: no sockets, clocks, threads or randomness enter here. Every function that
//! reads bytes treats them as hostile: it is bounded, never panics, and returns `None` or an error.

pub mod activity;
pub mod clock;
pub mod codec;
pub mod config;
pub mod depacketize;
pub mod encoding;
pub mod nal;
pub mod packetize;
pub mod payload;
pub mod rtp;
pub mod time;
pub mod unit;

pub use activity::Activity;
pub use codec::{Codec, Kind};
pub use encoding::EncodingId;
pub use rtp::RtpPacket;
pub use time::MediaTime;
pub use unit::{AccessUnit, Format};
