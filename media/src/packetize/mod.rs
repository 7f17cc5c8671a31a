//! Access units to RTP payloads, once for all viewers; one file per codec. Sequence numbers, timestamps
//! and headers are the sender's: nothing of them enters here.
//!
//! The payloads of one unit are made as equal in size as they can be: datagrams of one size leave in
//! one system call.

use std::sync::Arc;

use crate::{AccessUnit, Codec, Format};

mod av1;
mod h264;
mod h265;
mod opus;
mod units;
mod vp8;
mod vp9;

/// What a payload may have, in bytes, on a path that carries datagrams of 1280 and more.
pub const MTU: usize = 1200;
/// Less than this is taken for this.
const MIN_MTU: usize = 100;
/// A larger unit is left out: no encoder makes one.
const MAX_UNIT: usize = 16 << 20;

/// What goes behind one RTP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// The bytes, never empty.
    pub bytes: Arc<[u8]>,
    /// The marker bit: the last packet of a picture. Never set for sound.
    pub marker: bool,
}

/// Why something of an access unit was not sent. What a receiver has no use for (delimiters, filler) is
/// not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Skip {
    /// WebRTC does not carry the codec, or it is not the one of this packetizer.
    Codec,
    /// A unit without a byte.
    Empty,
    /// A length that runs over the end: the rest of the access unit.
    CutShort,
    /// A NAL unit or OBU that no decoder can read, or whose type RTP uses for itself.
    Malformed,
    /// Sound that does not fit into a datagram, or an access unit of more than 16 MiB.
    TooLarge,
}

impl Skip {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Codec, Self::Empty, Self::CutShort, Self::Malformed, Self::TooLarge];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Codec => "codec",
            Self::Empty => "empty",
            Self::CutShort => "cut_short",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
        }
    }
}

/// Makes the payloads of one track.
#[derive(Debug)]
pub struct Packetizer {
    codec: Codec,
    mtu: usize,
    form: Form,
    skipped: [u64; Skip::ALL.len()],
}

#[derive(Debug)]
enum Form {
    H264(h264::State),
    H265(h265::State),
    Vp8(vp8::State),
    Vp9(vp9::State),
    Av1(av1::State),
    Opus,
    None,
}

impl Packetizer {
    /// For units of `codec`, in payloads of at most `mtu` bytes; see [`MTU`]. Less than 100 counts as 100.
    pub fn new(codec: Codec, mtu: usize) -> Self {
        let form = match codec {
            Codec::H264 => Form::H264(h264::State::default()),
            Codec::H265 => Form::H265(h265::State::default()),
            Codec::Vp8 => Form::Vp8(vp8::State::default()),
            Codec::Vp9 => Form::Vp9(vp9::State::default()),
            Codec::Av1 => Form::Av1(av1::State::default()),
            Codec::Opus => Form::Opus,
            Codec::Aac => Form::None,
        };
        Self { codec, mtu: mtu.max(MIN_MTU), form, skipped: [0; Skip::ALL.len()] }
    }

    /// Appends the payloads of `unit` to `out`, in order. Parameter sets (AV1: the sequence header) of
    /// `format` go before a keyframe that has none itself. There may be nothing to send.
    pub fn push(&mut self, format: &Format, unit: &AccessUnit, out: &mut Vec<Payload>) {
        let first = out.len();
        let mut sink = Sink { payloads: out, skipped: &mut self.skipped, mtu: self.mtu };
        if format.codec != self.codec {
            return sink.skip(Skip::Codec);
        }
        if unit.data.is_empty() {
            return sink.skip(Skip::Empty);
        }
        if unit.data.len() > MAX_UNIT {
            return sink.skip(Skip::TooLarge);
        }
        match &mut self.form {
            Form::H264(state) => state.push(format, unit, &mut sink),
            Form::H265(state) => state.push(format, unit, &mut sink),
            Form::Vp8(state) => state.push(unit, &mut sink),
            Form::Vp9(state) => state.push(unit, &mut sink),
            Form::Av1(state) => state.push(format, unit, &mut sink),
            Form::Opus => return opus::push(unit, &mut sink),
            Form::None => return sink.skip(Skip::Codec),
        }
        if let Some(last) = out[first..].last_mut() {
            last.marker = true;
        }
    }

    /// How often something was left out for that reason.
    pub fn skipped(&self, why: Skip) -> u64 {
        self.skipped[why as usize]
    }
}

/// Where a codec's payloads go.
struct Sink<'a> {
    payloads: &'a mut Vec<Payload>,
    skipped: &'a mut [u64; Skip::ALL.len()],
    mtu: usize,
}

impl Sink<'_> {
    /// Adds one payload, given in pieces.
    fn put(&mut self, pieces: &[&[u8]]) {
        self.payloads.push(Payload { bytes: pieces.concat().into(), marker: false });
    }

    fn skip(&mut self, why: Skip) {
        self.skip_many(why, 1);
    }

    fn skip_many(&mut self, why: Skip, times: u64) {
        self.skipped[why as usize] += times;
    }
}

/// How long to make the pieces of `len` bytes, of which at most `room` go into one: as many pieces as
/// needed, all of one length but the last, which may be shorter.
const fn even(len: usize, room: usize) -> usize {
    let pieces = len.div_ceil(room);
    if pieces == 0 { 1 } else { len.div_ceil(pieces) }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::MediaTime;

    const NONE: Format =
        Format { codec: Codec::Opus, config: Bytes::new(), dimensions: None, sound: None };

    fn unit(keyframe: bool, data: &[u8]) -> AccessUnit {
        let data = Bytes::copy_from_slice(data);
        AccessUnit { dts: MediaTime::ZERO, pts: MediaTime::ZERO, keyframe, data }
    }

    /// The payloads of one unit, and what was skipped.
    fn push(codec: Codec, config: &[u8], unit: &AccessUnit) -> (Vec<Payload>, Vec<Skip>) {
        let mut packetizer = Packetizer::new(codec, 100);
        let config = Bytes::copy_from_slice(config);
        let mut out = Vec::new();
        packetizer.push(&Format { codec, config, ..NONE }, unit, &mut out);
        let skips = Skip::ALL.into_iter();
        let skips = skips.flat_map(|s| (0..packetizer.skipped(s)).map(move |_| s)).collect();
        (out, skips)
    }

    #[test]
    fn pieces_are_even() {
        for (len, room, size, last) in
            [(0, 98, 1, 0), (1, 98, 1, 1), (98, 98, 98, 98), (99, 98, 50, 49), (1000, 98, 91, 90)]
        {
            assert_eq!(even(len, room), size);
            let pieces: Vec<usize> = vec![0; len].chunks(size).map(<[u8]>::len).collect();
            assert!(
                pieces.len() == len.div_ceil(room) && pieces.last().copied().unwrap_or(0) == last
            );
        }
    }

    #[test]
    fn parameter_sets_go_before_a_keyframe_that_has_none() {
        let (sps, pps) = ([0x67, 0x42, 0xc0, 0x16, 1], [0x68, 2]);
        let config =
            [&[1, 0x42, 0xc0, 0x16, 0xff, 0xe1, 0, 5], &sps[..], &[1, 0, 2], &pps].concat();
        let slice = [&[0, 0, 0, 96, 0x65][..], &[9; 95]].concat();
        let (payloads, skips) = push(Codec::H264, &config, &unit(true, &slice));
        let sets = [&[0x78, 0, 5], &sps[..], &[0, 2], &pps].concat();
        assert_eq!(payloads[0], Payload { bytes: sets.into(), marker: false });
        assert_eq!(payloads[1], Payload { bytes: slice[4..].into(), marker: true });
        assert_eq!((payloads.len(), skips), (2, vec![]));
        // Not before other pictures; and its own go first, the missing one with it.
        assert_eq!(push(Codec::H264, &config, &unit(false, &slice)).0.len(), 1);
        let own = [&slice, &[0, 0, 0, 4, 0x67, 0x64, 7, 7][..]].concat();
        let (payloads, _) = push(Codec::H264, &config, &unit(true, &own));
        assert_eq!(payloads[0].bytes[..], [0x78, 0, 4, 0x67, 0x64, 7, 7, 0, 2, 0x68, 2]);
        assert_eq!(payloads.len(), 2);
    }

    #[test]
    fn an_av1_keyframe_without_a_sequence_header_gets_it() {
        let config = [0x81, 0, 0x0c, 0, 0x0a, 2, 0xaa, 0xbb];
        // Temporal delimiter, frame, padding.
        let data = [0x12, 0, 0x32, 3, 0x10, 1, 2, 0x7a, 1, 0];
        let bytes = |keyframe| push(Codec::Av1, &config, &unit(keyframe, &data)).0[0].bytes.clone();
        assert_eq!(bytes(true)[..], [0x28, 3, 0x08, 0xaa, 0xbb, 0x30, 0x10, 1, 2]);
        assert_eq!(bytes(false)[..], [0x10, 0x30, 0x10, 1, 2]);
    }

    #[test]
    fn an_av1_payload_ends_inside_an_obu_until_the_unit_is_whole() {
        // Hidden frames, then one that is shown; sizes at which an OBU just fills a payload among them.
        for hidden in 60..200 {
            let obu = |size: usize| {
                [&[0x32, size as u8 | 0x80, (size >> 7) as u8], &*vec![9; size]].concat()
            };
            let data = [obu(hidden), obu(hidden + 30), obu(1), obu(hidden)].concat();
            let payloads = push(Codec::Av1, &[], &unit(false, &data)).0;
            let continued: Vec<bool> = payloads.iter().map(|p| p.bytes[0] & 0x40 != 0).collect();
            let (last, others) = continued.split_last().unwrap();
            assert!(!last && others.iter().all(|continued| *continued), "{hidden}: {continued:?}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_the_rest_goes_out() {
        let good = [0, 0, 0, 3, 0x41, 1, 2];
        for (codec, bad, why) in [
            (Codec::H264, &[0, 0, 0, 0][..], Skip::Empty),
            (Codec::H264, &[0, 0, 0, 9, 0x41], Skip::CutShort),
            (Codec::H264, &[0, 0, 0, 2, 0x78, 1], Skip::Malformed),
            (Codec::H265, &[0, 0, 0, 1, 0x02], Skip::Malformed),
            (Codec::H265, &[0, 0, 0, 2, 0x60, 1], Skip::Malformed),
        ] {
            let (payloads, skips) = push(codec, &[], &unit(true, &[&good, bad].concat()));
            assert_eq!(payloads.len(), 1);
            assert!(payloads[0].marker && payloads[0].bytes[..] == good[4..]);
            assert_eq!(skips, [why]);
        }
        let frame = [0x32, 2, 0x10, 1];
        let (payloads, skips) =
            push(Codec::Av1, &[], &unit(true, &[&frame[..], &[0x32, 9, 1]].concat()));
        assert_eq!((payloads.len(), skips), (1, vec![Skip::CutShort]));
        for (codec, data, why) in [
            (Codec::Vp8, vec![], Skip::Empty),
            (Codec::Aac, vec![1], Skip::Codec),
            (Codec::Opus, vec![1; 1277], Skip::TooLarge),
            (Codec::Vp9, vec![1; MAX_UNIT + 1], Skip::TooLarge),
        ] {
            assert_eq!(push(codec, &[], &unit(true, &data)), (vec![], vec![why]));
        }
        let mut other = Packetizer::new(Codec::Vp8, MTU);
        let mut out = Vec::new();
        other.push(&NONE, &unit(true, &[1]), &mut out);
        assert_eq!((out.len(), other.skipped(Skip::Codec)), (0, 1));
    }

    #[test]
    fn delimiters_and_filler_are_left_out() {
        let h264 =
            [&[0, 0, 0, 2, 0x09, 0xf0][..], &[0, 0, 0, 2, 0x41, 1], &[0, 0, 0, 2, 0x0c, 0xff]];
        let (payloads, skips) = push(Codec::H264, &[], &unit(false, &h264.concat()));
        assert_eq!((payloads.len(), skips), (1, vec![]));
        let h265 = [&[0, 0, 0, 3, 0x46, 1, 0x50][..], &[0, 0, 0, 3, 0x4c, 1, 0xff]];
        assert_eq!(push(Codec::H265, &[], &unit(false, &h265.concat())), (vec![], vec![]));
    }
}
