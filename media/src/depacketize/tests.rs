//! What the depacketizers share: order, loss, markers that do not come, bounds.

use std::time::{Duration, Instant};

use super::*;
use crate::payload::PayloadInfo;
use crate::rtp::Extensions;

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
pub(super) fn epoch() -> Instant {
    Instant::now()
}

/// A packet; it arrives as many milliseconds after a fixed start as its number says.
pub(super) fn packet(seq: u64, timestamp: u32, marker: bool, payload: &[u8]) -> RtpPacket {
    thread_local! {
        static START: Instant = epoch();
    }
    let time = START.with(|start| *start) + Duration::from_millis(seq);
    RtpPacket {
        time,
        seq,
        timestamp,
        marker,
        arrival: time,
        payload: payload.into(),
        info: PayloadInfo::default(),
        extensions: Extensions::default(),
    }
}
