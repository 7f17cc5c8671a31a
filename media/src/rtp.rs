//! An RTP packet (RFC 3550) as it travels through the server: parsed once, then immutable.

use std::sync::Arc;
use std::time::Instant;

use crate::payload::PayloadInfo;

/// One media packet of one encoding. Cheap to clone: the payload is shared.
#[derive(Clone, Debug)]
pub struct RtpPacket {
    /// When it was captured, on the server's clock: by the publisher's sender reports where there are
    /// any, else when it arrived.
    pub time: Instant,
    /// Sequence number, extended by the rollover count so that it never wraps.
    pub seq: u64,
    /// RTP timestamp in ticks of the codec's clock, as the publisher wrote it.
    pub timestamp: u32,
    /// The marker bit: the last packet of a video frame.
    pub marker: bool,
    /// When the datagram arrived.
    pub arrival: Instant,
    /// What follows the RTP header; never changed after this point.
    pub payload: Arc<[u8]>,
    /// What the payload's first bytes say, parsed once for all viewers.
    pub info: PayloadInfo,
    /// Header extensions that are passed on.
    pub extensions: Extensions,
}

/// Header extensions that a viewer gets as the publisher sent them, where both negotiated them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 6464: level in −dBov (0 to 127) and the voice activity flag.
    pub audio_level: Option<(u8, bool)>,
    /// `playout-delay`: minimum and maximum, in units of 10 ms.
    pub playout_delay: Option<(u16, u16)>,
}
