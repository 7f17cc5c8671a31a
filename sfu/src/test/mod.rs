//! Helpers for this crate's tests: a start of time, packets, and whole worlds in memory.

pub(crate) mod maker;
#[allow(dead_code, reason = "tests from outside have it too, and each needs a part of it")]
pub(crate) mod peer;
pub(crate) mod studio;
pub(crate) mod world;

use std::time::Instant;

use media::RtpPacket;
use media::payload::PayloadInfo;
use media::rtp::Extensions;

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// A packet with this sequence number and timestamp that was captured and arrived at `time`.
pub(crate) fn packet(seq: u64, timestamp: u32, time: Instant) -> RtpPacket {
    RtpPacket {
        time,
        seq,
        timestamp,
        marker: false,
        arrival: time,
        payload: [0; 4].into(),
        info: PayloadInfo::default(),
        extensions: Extensions::default(),
    }
}
