//! Chunk streams (RTMP 1.0 section 5.3): messages cut into chunks that interleave, read and written.
//! What the messages say does not enter here, but for Set Chunk Size and Abort, which are about chunks.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use reader::{Limits, Reader};
pub use writer::{Head, Writer};

/// What chunks hold before anybody says otherwise.
const DEFAULT_SIZE: u32 = 128;
/// This and more do not fit the three bytes of a header: four more follow.
const EXTENDED: u32 = 0xFF_FFFF;

/// Types of messages (RTMP 1.0 sections 5.4 and 7.1).
pub mod kind {
    /// Set Chunk Size.
    pub const CHUNK_SIZE: u8 = 1;
    /// Abort Message.
    pub const ABORT: u8 = 2;
    /// Acknowledgement.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// User Control.
    pub const USER_CONTROL: u8 = 4;
    /// Window Acknowledgement Size.
    pub const WINDOW: u8 = 5;
    /// Set Peer Bandwidth.
    pub const BANDWIDTH: u8 = 6;
    /// Audio.
    pub const AUDIO: u8 = 8;
    /// Video.
    pub const VIDEO: u8 = 9;
    /// Data, AMF3.
    pub const DATA3: u8 = 15;
    /// Command, AMF3.
    pub const COMMAND3: u8 = 17;
    /// Data, AMF0.
    pub const DATA: u8 = 18;
    /// Command, AMF0.
    pub const COMMAND: u8 = 20;
    /// Aggregate: FLV tags.
    pub const AGGREGATE: u8 = 22;
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One of [`kind`], or unknown.
    pub kind: u8,
    /// Milliseconds; wraps.
    pub timestamp: u32,
    /// The message stream.
    pub stream: u32,
    /// What it says.
    pub body: Bytes,
}
