//! Packets that are made in this server: all of a publisher that comes by RTMP or SRT, and the bridged
//! encodings that stand beside what a publisher sends, in a codec that more viewers have. Behind
//! `publisher/` they are like any other packet. No SDP was negotiated for them, so what their payload
//! types mean is agreed on here.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use media::{Codec, EncodingId};
use signaling::{Agreement, DtlsRole, Fingerprint, IceCredentials, Payload, SessionId};

use crate::shard::{Add, Link};
use crate::stats::Origin;

/// Longest payload that is taken: with all headers and a tag it still fits into an Ethernet frame.
pub const MAX_PAYLOAD: usize = 1400;

/// One RTP packet but for its number. Cheap to move: the payload is shared.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Which encoding of the publisher; a bridged one and one of its own may have the same name.
    pub encoding: EncodingId,
    /// One of [`Codec::WEBRTC`].
    pub codec: Codec,
    /// In ticks of the codec's clock, on one timeline for as long as the source is the same.
    pub timestamp: u32,
    /// The last packet of a picture.
    pub marker: bool,
    /// What follows the RTP header, at most [`MAX_PAYLOAD`] bytes.
    pub payload: Arc<[u8]>,
    /// When it was captured: taken as it is. `None`: estimated by arrival, as for any publisher.
    pub captured: Option<Instant>,
    /// When it came into this server, if that was earlier than it comes to the shard.
    pub arrived: Option<Instant>,
}

/// Packets for one publisher, which go out together.
#[derive(Clone, Debug)]
pub struct Made {
    /// Whose they are.
    pub publisher: SessionId,
    /// [`Origin::Source`] is for publishers by [`Link::Local`] only.
    pub origin: Origin,
    /// Another number for each encoder or timeline: decoders begin anew with its first keyframe. A
    /// bridged encoding that has ended does not come back under the number that it had.
    pub source: u32,
    /// In order; they get numbers without a gap.
    pub packets: Vec<Packet>,
}

impl Add {
    /// A publisher whose packets are made here: nothing was negotiated with anybody.
    pub fn local(session: SessionId) -> Self {
        let nobody = || IceCredentials { ufrag: String::new(), pwd: String::new() };
        let agreement = Agreement {
            local_ice: nobody(),
            remote_ice: nobody(),
            remote_fingerprint: Fingerprint { algorithm: String::new(), digest: Vec::new() },
            dtls: DtlsRole::Server,
            bundle: Vec::new(),
            media: Vec::new(),
        };
        Self { session, agreement, link: Link::Local }
    }
}

/// Which of so many shards is home to a session that no client's address gives one. The bits of a
/// session are random, so they spread.
pub fn home(session: SessionId, shards: usize) -> usize {
    session.short() as usize % shards.max(1)
}

/// The payload type under which packets of this codec are made. `profile`: the three bytes of H.264's
/// `profile-level-id` (RFC 6184 section 8.1), where they are known. `None`: RTP to browsers does not
/// carry this codec.
pub fn payload(codec: Codec, profile: Option<[u8; 3]>) -> Option<Payload> {
    let pt = match codec {
        Codec::H264 => 96,
        Codec::Vp8 => 98,
        Codec::Vp9 => 100,
        Codec::Av1 => 102,
        Codec::H265 => 104,
        Codec::Opus => 111,
        _ => return None,
    };
    let mut fmtp = String::new();
    if codec == Codec::H264 {
        fmtp.push_str("packetization-mode=1");
    }
    if let Some([idc, iop, level]) = profile.filter(|_| codec == Codec::H264) {
        // Writing into a string cannot fail.
        let _ = write!(fmtp, ";profile-level-id={idc:02x}{iop:02x}{level:02x}");
    }
    Some(Payload { pt, rtx: None, codec, fmtp, channels: if codec == Codec::Opus { 2 } else { 1 } })
}

/// Profile, constraints and level of the H.264 SPS at the head of this payload (RFC 6184 section 5.6
/// and 5.7.1), if there is one.
pub(crate) fn profile(codec: Codec, payload: &[u8]) -> Option<[u8; 3]> {
    const SPS: u8 = 7;
    const STAP_A: u8 = 24;
    let of = |nal: &[u8]| nal.get(1..4)?.try_into().ok();
    match payload.first().filter(|_| codec == Codec::H264)? & 31 {
        SPS => of(payload),
        STAP_A => {
            let mut rest = payload.get(1..)?;
            while let Some((length, after)) = rest.split_first_chunk::<2>() {
                let (nal, after) =
                    after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                if nal.first().is_some_and(|b| b & 31 == SPS) {
                    return of(nal);
                }
                rest = after;
            }
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_codec_of_webrtc_has_a_payload_type_of_its_own_and_no_other_has_one() {
        let all: Vec<Payload> =
            Codec::WEBRTC.into_iter().filter_map(|codec| payload(codec, None)).collect();
        assert_eq!(all.len(), Codec::WEBRTC.len());
        for (index, one) in all.iter().enumerate() {
            assert!((96..128).contains(&one.pt));
            assert!(all[..index].iter().all(|other| other.pt != one.pt));
        }
        assert_eq!(payload(Codec::Aac, None), None);
    }

    #[test]
    fn the_profile_is_that_of_the_sps() {
        let sps = [0x67, 0x64, 0x00, 0x28, 0xac];
        assert_eq!(profile(Codec::H264, &sps), Some([0x64, 0, 0x28]));
        let stap = [&[0x78, 0, 2, 9, 0x10, 0, 5][..], &sps, &[0, 2, 0x68, 0xee]].concat();
        assert_eq!(profile(Codec::H264, &stap), Some([0x64, 0, 0x28]));
        assert_eq!(profile(Codec::H264, &[0x65, 0x88, 0x80, 0x10]), None);
        assert_eq!(profile(Codec::Vp8, &sps), None);
        let known = payload(Codec::H264, Some([0x64, 0, 0x28]));
        assert_eq!(known.as_ref().and_then(|p| p.parameter("profile-level-id")), Some("640028"));
    }

    proptest! {
        #[test]
        fn no_payload_makes_it_panic(payload: Vec<u8>) {
            let _ = profile(Codec::H264, &payload);
        }
    }
}
