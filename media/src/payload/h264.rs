//! H.264 payloads: RFC 6184 section 5, and the first fields of SPS and slice header of ITU-T H.264.

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use super::PayloadInfo;

/// Types of NAL units and of the payload structures that stand in their place.
const SLICE: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// Longest SPS that is read, in bytes: one with every scaling list has less.
const MAX_SPS: usize = 1024;
/// As much of a slice as its first two numbers can take, emulation prevention included.
const SLICE_PREFIX: usize = 16;

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let mut info = PayloadInfo::default();
    let Some((header, body)) = payload.split_first() else {
        return info;
    };
    match header & 0x1f {
        STAP_A => Units(body).for_each(|unit| whole(unit, &mut info)),
        // Two bytes of decoding order number come first.
        STAP_B => {
            Units(body.get(2..).unwrap_or_default()).for_each(|unit| whole(unit, &mut info));
        }
        FU_A => fragment(body, 0, &mut info),
        FU_B => fragment(body, 2, &mut info),
        _ => whole(payload, &mut info),
    }
    info
}

/// A NAL unit with its header.
fn whole(unit: &[u8], info: &mut PayloadInfo) {
    let Some((header, body)) = unit.split_first() else {
        return;
    };
    let kind = header & 0x1f;
    start(kind, body, info);
    if kind == SPS && info.dimensions.is_none() {
        info.dimensions = dimensions(body);
    }
}

/// A fragment: its FU header, `skip` bytes, and a piece of the NAL unit.
fn fragment(body: &[u8], skip: usize, info: &mut PayloadInfo) {
    let Some((header, piece)) = body.split_first() else {
        return;
    };
    if header & 0x80 != 0 {
        start(header & 0x1f, piece.get(skip..).unwrap_or_default(), info);
    }
}

/// Notes what the start of a NAL unit says; `body` begins behind its header.
fn start(kind: u8, body: &[u8], info: &mut PayloadInfo) {
    match kind {
        SPS => info.keyframe_start = true,
        SLICE | IDR => {
            let slice = slice(body);
            // Later slices of the same picture are no start.
            info.keyframe_start |= kind == IDR && slice.as_ref().is_some_and(|s| s.first_mb == 0);
            info.b_frame |= slice.is_some_and(|s| s.is_b());
        }
        _ => {}
    }
}

/// The start of a slice header (7.3.3).
struct Slice {
    /// Address of the first macroblock.
    first_mb: u32,
    /// `slice_type`, absent where the packet ends before it.
    kind: Option<u32>,
}

impl Slice {
    fn is_b(&self) -> bool {
        // 5 to 9 say that all slices of the picture are of that type.
        self.kind.is_some_and(|kind| kind % 5 == 1)
    }
}

fn slice(body: &[u8]) -> Option<Slice> {
    let prefix = &body[..body.len().min(SLICE_PREFIX)];
    let mut bits = BitReader::new(ByteReader::without_skip(prefix));
    let first_mb = bits.read_ue("first_mb_in_slice").ok()?;
    let kind = bits.read_ue("slice_type").ok().filter(|kind| *kind < 10);
    Some(Slice { first_mb, kind })
}

/// Of an SPS without its NAL unit header.
fn dimensions(body: &[u8]) -> Option<(u16, u16)> {
    if body.len() > MAX_SPS {
        return None;
    }
    let sps = SeqParameterSet::from_bits(BitReader::new(ByteReader::without_skip(body))).ok()?;
    let (width, height) = sps.pixel_dimensions().ok()?;
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

/// The NAL units of an aggregation packet; ends at one that is cut short.
struct Units<'a>(&'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (unit, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        self.0 = rest;
        Some(unit)
    }
}
