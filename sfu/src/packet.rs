//! A media packet on its way into an encoding, wherever it comes from: out of a publisher's transport
//! (`rtc`), or made in this server (`local`).

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use media::rtp::Extensions;
use media::{EncodingId, Kind};

use crate::stats::Origin;

/// A packet of a publisher, or one that stands beside its own.
#[derive(Debug)]
pub struct Packet {
    /// Audio or video.
    pub kind: Kind,
    /// The rid, or [`EncodingId::MAIN`].
    pub encoding: EncodingId,
    /// Whose encoding that is.
    pub origin: Origin,
    /// SSRC on the wire, or what tells one encoder from the next.
    pub ssrc: u32,
    /// Payload type of the media, also where it came as a retransmission.
    pub pt: u8,
    /// Extended sequence number; `None`: the one after the highest so far.
    pub seq: Option<u64>,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Arrival.
    pub arrival: Instant,
    /// When it was captured, where that is known and not to be estimated.
    pub captured: Option<Instant>,
    /// Payload; may be empty (padding).
    pub payload: Arc<[u8]>,
    /// Extensions that are passed on.
    pub extensions: Extensions,
    /// The publisher's last sender report for this SSRC: its wall clock and the RTP timestamp.
    pub report: Option<(SystemTime, u32)>,
}
