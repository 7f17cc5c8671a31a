//! When a packet was captured, on the server's clock: the publisher's `media::clock`, a source for each
//! SSRC that it sends, and the sender reports that came with the packets.

use std::time::{Instant, SystemTime};

use media::clock::{Source, StreamClock};

use super::MAX_ENCODINGS;
use crate::packet::Packet;

/// One publisher's clock and what it ticks for.
#[derive(Debug, Default)]
pub struct Clock {
    stream: StreamClock,
    /// As many as there can be encodings: an SSRC that an encoding has left makes room.
    sources: Vec<Ssrc>,
}

#[derive(Debug)]
struct Ssrc {
    ssrc: u32,
    rate: u32,
    source: Source,
    report: Option<(SystemTime, u32)>,
    last: Instant,
}

impl Clock {
    /// When this packet was captured: as it says itself, or by its arrival. `rate`: ticks per second of its
    /// codec.
    pub fn captured(&mut self, packet: &Packet, rate: u32) -> Instant {
        if let Some(captured) = packet.captured {
            return captured;
        }
        let Packet { ssrc, arrival, timestamp, report, .. } = *packet;
        let known = self.sources.iter().position(|s| (s.ssrc, s.rate) == (ssrc, rate));
        let index = known.unwrap_or_else(|| {
            if self.sources.len() == MAX_ENCODINGS {
                let oldest = (0..MAX_ENCODINGS).min_by_key(|index| self.sources[*index].last);
                self.sources.swap_remove(oldest.unwrap_or_default());
            }
            let source = Source::new(rate);
            self.sources.push(Ssrc { ssrc, rate, source, report: None, last: arrival });
            self.sources.len() - 1
        });
        let source = &mut self.sources[index];
        source.last = arrival;
        let captured = self.stream.captured(&mut source.source, arrival, timestamp);
        if let Some((ntp, at)) = report.filter(|_| report != source.report) {
            source.report = report;
            self.stream.report(&mut source.source, arrival, ntp, at);
        }
        captured
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::{EncodingId, Kind};

    use super::*;
    use crate::stats::Origin;

    const RATE: u32 = 90_000;

    /// A packet that was captured so many ms after the start, and took `delay` ms.
    fn packet(start: Instant, ssrc: u32, ms: u64, delay: u64) -> Packet {
        let ticks = |ms: u64| (ms as u32 * 90).wrapping_add(ssrc.wrapping_mul(0x1234_5678));
        let reported = ms - ms % 1000;
        let wall = Duration::from_secs(1_700_000_000) + Duration::from_millis(reported);
        Packet {
            kind: Kind::Video,
            encoding: EncodingId::MAIN,
            origin: Origin::Source,
            ssrc,
            pt: 96,
            seq: Some(ms),
            timestamp: ticks(ms),
            marker: false,
            arrival: start + Duration::from_millis(ms + delay),
            captured: None,
            payload: [0; 4].into(),
            extensions: media::rtp::Extensions::default(),
            report: Some((SystemTime::UNIX_EPOCH + wall, ticks(reported))),
        }
    }

    #[test]
    fn layers_with_different_timestamps_and_encoders_fall_into_step() {
        let start = crate::test::epoch();
        let mut clock = Clock::default();
        let mut pair = |ms| {
            [(1, 5), (2, 85)]
                .map(|(ssrc, delay)| clock.captured(&packet(start, ssrc, ms, delay), RATE))
        };
        let [prompt, late] = pair(0);
        assert_eq!(late - prompt, Duration::from_millis(80));
        for ms in (40..10_000).step_by(40) {
            pair(ms);
        }
        let [prompt, late] = pair(10_000);
        assert_eq!(late, prompt);
        assert_eq!(prompt, start + Duration::from_millis(10_005));
    }

    #[test]
    fn a_publisher_that_changes_its_ssrcs_keeps_those_that_go_on() {
        let start = crate::test::epoch();
        let mut clock = Clock::default();
        for ms in 0..1000 {
            clock.captured(&packet(start, 1, ms, 5), RATE);
            clock.captured(&packet(start, ms as u32 + 2, ms, 5), RATE);
        }
        assert_eq!(clock.sources.len(), MAX_ENCODINGS);
        assert!(clock.sources.iter().any(|s| s.ssrc == 1));
    }
}
