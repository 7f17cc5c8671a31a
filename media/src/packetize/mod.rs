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
mod tests;
