//! Sender and receiver reports (RFC 3550 section 6.4), NTP timestamps, and the round-trip time.

use std::time::Duration;

use super::{Packet, u32};

/// From 1900, where NTP begins, to 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;
/// A longer round trip is a wrong report.
const MAX_RTT: Duration = Duration::from_secs(60);
/// The two clock readings and the delay are cut to 2^-16 s each: so much may a short trip seem to end
/// before it began.
const ROUNDING: i32 = 3;

/// What a sender report says of its sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP timestamp: seconds since 1900 in 32.32 fixed point; 0 where the sender has no wall clock.
    pub ntp: u64,
    /// The same moment in ticks of the RTP clock.
    pub rtp_timestamp: u32,
    /// Packets sent; wraps.
    pub packets: u32,
    /// Bytes of payload sent; wraps.
    pub octets: u32,
}

/// What a receiver says of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source that it is about.
    pub ssrc: u32,
    /// Lost since the last report, in 1/256 of what was expected.
    pub fraction_lost: u8,
    /// Lost in all, −2^23 to 2^23 − 1: below zero where more came than was expected.
    pub cumulative_lost: i32,
    /// Highest sequence number, with its count of wraps above it.
    pub highest_seq: u32,
    /// Interarrival jitter in ticks of the RTP clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP timestamp of the last sender report; 0 before the first.
    pub lsr: u32,
    /// Delay since that report came, in 1/65536 s.
    pub dlsr: u32,
}

impl ReportBlock {
    pub(super) const LEN: usize = 24;

    fn parse(bytes: &[u8; Self::LEN]) -> Self {
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let lost = word(4);
        Self {
            ssrc: word(0),
            fraction_lost: bytes[4],
            // The lower 24 bits, sign extended.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            highest_seq: word(8),
            jitter: word(12),
            lsr: word(16),
            dlsr: word(20),
        }
    }

    pub(super) fn bytes(&self) -> [u8; Self::LEN] {
        let lost = self.cumulative_lost.clamp(-(1 << 23), (1 << 23) - 1).cast_unsigned();
        let lost = u32::from(self.fraction_lost) << 24 | lost & 0xff_ffff;
        let words = [self.ssrc, lost, self.highest_seq, self.jitter, self.lsr, self.dlsr];
        let mut bytes = [0; Self::LEN];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

/// The report blocks of one packet: at most 31.
#[derive(Clone, Debug)]
pub struct ReportBlocks<'a>(&'a [u8]);

impl Iterator for ReportBlocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(ReportBlock::parse(block))
    }
}

pub(super) fn sender(count: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (ssrc, body) = u32(body)?;
    let (seconds, body) = u32(body)?;
    let (fraction, body) = u32(body)?;
    let (rtp_timestamp, body) = u32(body)?;
    let (packets, body) = u32(body)?;
    let (octets, body) = u32(body)?;
    let ntp = u64::from(seconds) << 32 | u64::from(fraction);
    let info = SenderInfo { ntp, rtp_timestamp, packets, octets };
    Some(Packet::SenderReport { ssrc, info, blocks: blocks(count, body)? })
}

pub(super) fn receiver(count: u8, body: &[u8]) -> Option<Packet<'_>> {
    let (ssrc, body) = u32(body)?;
    Some(Packet::ReceiverReport { ssrc, blocks: blocks(count, body)? })
}

/// What follows the blocks is an extension of somebody's profile.
fn blocks(count: u8, body: &[u8]) -> Option<ReportBlocks<'_>> {
    body.get(..ReportBlock::LEN * usize::from(count)).map(ReportBlocks)
}

/// The NTP timestamp of a wall clock that stands at `since_unix_epoch`; wraps in 2036 as NTP does.
pub fn ntp(since_unix_epoch: Duration) -> u64 {
    let seconds = since_unix_epoch.as_secs().wrapping_add(NTP_TO_UNIX);
    let fraction = (u64::from(since_unix_epoch.subsec_nanos()) << 32) / 1_000_000_000;
    seconds << 32 | fraction
}

/// The middle 32 bits of an NTP timestamp: seconds in 16.16 fixed point.
pub fn ntp_middle(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// The round-trip time that a report block shows (RFC 3550 section 6.4.1). `now`: [`ntp_middle`] of the
/// moment when it came, on the clock of our sender reports. `None` before the first sender report has
/// arrived there, and where the numbers make no sense.
pub fn rtt(now: u32, block: &ReportBlock) -> Option<Duration> {
    if block.lsr == 0 {
        return None;
    }
    let trip = now.wrapping_sub(block.lsr).wrapping_sub(block.dlsr).cast_signed();
    if trip < -ROUNDING {
        return None;
    }
    let nanos = (u64::from(trip.max(0).unsigned_abs()) * 1_000_000_000) >> 16;
    Some(Duration::from_nanos(nanos)).filter(|rtt| *rtt <= MAX_RTT)
}
