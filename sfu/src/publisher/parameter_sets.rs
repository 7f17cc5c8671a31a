//! Parameter sets for keyframes that come without: what the SDP said (RFC 6184 section 8.1
//! `sprop-parameter-sets`), or the stream itself at some earlier time. A viewer that starts at
//! such a keyframe gets them in a packet of their own before it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use media::Codec;
use signaling::Payload;

/// NAL unit types (RFC 6184 section 5.2).
const SPS: u8 = 7;
const PPS: u8 = 8;
const STAP_A: u8 = 24;
/// Sets larger than this do not fit into one packet with the headers around it.
const MAX: usize = 1100;

/// The newest sets of one H.264 encoding.
#[derive(Debug, Default)]
pub struct ParameterSets {
    sps: Vec<u8>,
    pps: Vec<u8>,
    packet: Option<Arc<[u8]>>,
}

impl ParameterSets {
    /// Begins with those of the SDP, if it has any.
    pub fn new(payload: &Payload) -> Self {
        let mut sets = Self::default();
        if payload.codec == Codec::H264
            && let Some(sprop) = payload.parameter("sprop-parameter-sets")
        {
            for nal in sprop.split(',').filter_map(|set| STANDARD.decode(set.trim()).ok()) {
                sets.keep(&nal);
            }
        }
        sets
    }

    /// Learns from an H.264 payload that holds a set.
    pub fn learn(&mut self, payload: &[u8]) {
        match payload.first().map(|b| b & 31) {
            Some(SPS | PPS) => self.keep(payload),
            Some(STAP_A) => {
                let mut rest = &payload[1..];
                while let Some((length, after)) = rest.split_first_chunk::<2>() {
                    let length = usize::from(u16::from_be_bytes(*length));
                    let Some((nal, after)) = after.split_at_checked(length) else { return };
                    self.keep(nal);
                    rest = after;
                }
            }
            _ => {}
        }
    }

    /// One payload with both sets (STAP-A, RFC 6184 section 5.7.1).
    pub fn packet(&self) -> Option<Arc<[u8]>> {
        self.packet.clone()
    }

    fn keep(&mut self, nal: &[u8]) {
        let place = match nal.first().map(|b| b & 31) {
            Some(SPS) => &mut self.sps,
            Some(PPS) => &mut self.pps,
            _ => return,
        };
        if place == nal || nal.len() > MAX / 2 {
            return;
        }
        place.clear();
        place.extend_from_slice(nal);
        if self.sps.is_empty() || self.pps.is_empty() {
            return;
        }
        // The highest importance of the two, which both have.
        let mut packet = vec![0x60 | STAP_A];
        for nal in [&self.sps, &self.pps] {
            // Bounded by MAX.
            packet.extend((nal.len() as u16).to_be_bytes());
            packet.extend_from_slice(nal);
        }
        self.packet = Some(packet.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPROP: &str = "Z0LgH4yNQFAe0A8I,aM4xUg==";

    fn payload(fmtp: &str) -> Payload {
        Payload { pt: 96, rtx: None, codec: Codec::H264, fmtp: fmtp.into(), channels: 1 }
    }

    #[test]
    fn the_sets_of_the_sdp_become_one_packet() {
        let fmtp = format!("packetization-mode=1;sprop-parameter-sets={SPROP}");
        let packet = ParameterSets::new(&payload(&fmtp)).packet().expect("both sets are there");
        assert_eq!(packet[..4], [0x78, 0, 12, 0x67]);
        assert_eq!(packet[15..], [0, 4, 0x68, 0xce, 0x31, 0x52]);
        let info = media::payload::inspect(Codec::H264, &packet);
        assert!(info.parameter_sets, "our own reader sees them");
    }

    #[test]
    fn the_newest_in_the_stream_count_and_nonsense_does_not() {
        let mut sets = ParameterSets::new(&payload("sprop-parameter-sets=%%%,"));
        assert_eq!(sets.packet(), None);
        sets.learn(&[0x67, 1, 2]);
        assert_eq!(sets.packet(), None, "one of two");
        sets.learn(&[0x78, 0, 2, 0x68, 9, 0, 3, 0x67, 3, 4, 0, 99, 1]);
        let packet = sets.packet().expect("both");
        assert_eq!(packet[..], [0x78, 0, 3, 0x67, 3, 4, 0, 2, 0x68, 9]);
        for hostile in [&[][..], &[0x78], &[0x78, 0], &[0x78, 255, 255, 1], &[0x67; 4000]] {
            sets.learn(hostile);
        }
        assert_eq!(sets.packet(), Some(packet));
    }
}
