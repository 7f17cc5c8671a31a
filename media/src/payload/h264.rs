//! H.264 payloads: RFC 6184 section 5, and the first fields of SPS and slice header of ITU-T H.264.

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use super::PayloadInfo;
use crate::nal;

/// Types of NAL units and of the payload structures that stand in their place.
pub(crate) const SLICE: u8 = 1;
pub(crate) const IDR: u8 = 5;
pub(crate) const SPS: u8 = 7;
pub(crate) const PPS: u8 = 8;
pub(crate) const DELIMITER: u8 = 9;
pub(crate) const FILLER: u8 = 12;
pub(crate) const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
pub(crate) const FU_A: u8 = 28;
const FU_B: u8 = 29;

/// Longest SPS that is read, in bytes: one with every scaling list has less.
const MAX_SPS: usize = 1024;
/// As much of a slice as its first two numbers can take, emulation prevention included.
const SLICE_PREFIX: usize = 16;

/// What the slices of a picture say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Other pictures may refer to it (`nal_ref_idc` is not 0): it cannot be left out.
    pub reference: bool,
    /// It has B slices.
    pub b: bool,
}

/// Of one NAL unit, its header included; `None` if that is no slice (types 1 and 5), or one that is
/// cut short before its type.
pub fn picture(unit: &[u8]) -> Option<Picture> {
    let (header, body) = unit.split_first()?;
    if !matches!(header & 0x1f, SLICE | IDR) {
        return None;
    }
    let slice = slice(body)?;
    slice.kind?;
    Some(Picture { reference: header & 0x60 != 0, b: slice.is_b() })
}

/// Of all slices in the data of an [`AccessUnit`](crate::AccessUnit) together; `None` if there are none.
pub fn access_unit(data: &[u8]) -> Option<Picture> {
    nal::units(data).filter_map(picture).reduce(|whole, slice| Picture {
        reference: whole.reference || slice.reference,
        b: whole.b || slice.b,
    })
}

/// No slice of the same picture comes before the NAL unit of this type; `body` begins behind its header.
pub(crate) fn starts_picture(kind: u8, body: &[u8]) -> bool {
    match kind {
        SLICE | IDR => slice(body).is_some_and(|s| s.first_mb == 0),
        SPS | DELIMITER => true,
        _ => false,
    }
}

/// The number of an SPS or PPS, its header included.
pub(crate) fn set_number(unit: &[u8]) -> Option<u32> {
    let (header, body) = unit.split_first()?;
    let before = match header & 0x1f {
        // profile_idc, constraint flags, level_idc
        SPS => 3,
        PPS => 0,
        _ => return None,
    };
    let prefix = &body[..body.len().min(SLICE_PREFIX)];
    let mut bits = BitReader::new(ByteReader::without_skip(prefix));
    bits.skip(8 * before, "profile and level").ok()?;
    bits.read_ue("parameter_set_id").ok().filter(|number| *number < 256)
}

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
        SPS => {
            info.keyframe_start = true;
            info.parameter_sets = true;
        }
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
    size(&sequence(body)?)
}

/// Reads an SPS without its NAL unit header.
pub(crate) fn sequence(body: &[u8]) -> Option<SeqParameterSet> {
    // Some encoders leave zeros behind the last bit; the last byte of a NAL unit is never one.
    let end = body.iter().rposition(|byte| *byte != 0)? + 1;
    if end > MAX_SPS {
        return None;
    }
    SeqParameterSet::from_bits(BitReader::new(ByteReader::without_skip(&body[..end]))).ok()
}

/// Width and height after cropping.
pub(crate) fn size(sps: &SeqParameterSet) -> Option<(u16, u16)> {
    let (width, height) = sps.pixel_dimensions().ok()?;
    let size = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    (size.0 > 0 && size.1 > 0).then_some(size)
}

/// The NAL units of an aggregation packet; ends at one that is cut short.
pub(crate) struct Units<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (unit, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        self.0 = rest;
        Some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units of two streams of 640x354 by x264: constrained baseline, and high with B slices.
    const BASELINE_SPS: &str = "6742c016da0280bfe23011000003000100000300140f162ea0";
    const HIGH_SPS: &str = "67640016acd940a02ff88c0440000003004000000503c58b6580";
    const PPS: &str = "68ce0fc8";
    const IDR: &str = "6588843a0c6001c101108e10baaa7c2b";
    const P: &str = "419a204af0f438079993266907c7c682";
    const B: &str = "019ea46a477fae3fc863459f8cb44b83";

    fn unit(hex: &str) -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|d| std::str::from_utf8(d).unwrap());
        digits.map(|d| u8::from_str_radix(d, 16).unwrap()).collect()
    }

    fn aggregate(header: &[u8], units: &[&str]) -> Vec<u8> {
        let units = units.iter().flat_map(|u| {
            let unit = unit(u);
            [&(unit.len() as u16).to_be_bytes(), &unit[..]].concat()
        });
        header.iter().copied().chain(units).collect()
    }

    #[test]
    fn single_units() {
        for sps in [BASELINE_SPS, HIGH_SPS] {
            let info = inspect(&unit(sps));
            assert!(info.keyframe_start);
            assert_eq!(info.dimensions, Some((640, 354)));
        }
        let start = PayloadInfo { keyframe_start: true, ..PayloadInfo::default() };
        assert_eq!(inspect(&unit(IDR)), start);
        assert_eq!(inspect(&unit(PPS)), PayloadInfo::default());
        assert_eq!(inspect(&unit(P)), PayloadInfo::default());
        let b_frame = PayloadInfo { b_frame: true, ..PayloadInfo::default() };
        assert_eq!(inspect(&unit(B)), b_frame);
    }

    #[test]
    fn only_the_first_slice_of_an_idr_picture_is_a_start() {
        // first_mb_in_slice 440, slice_type 7
        assert!(!inspect(&[0x65, 0x00, 0xdc, 0x84, 0x40]).keyframe_start);
        assert!(!inspect(&[0x65]).keyframe_start);
    }

    #[test]
    fn every_number_of_a_b_slice() {
        // first_mb_in_slice 0, then slice_type 1 and 6; 0, 2 and 5 are none.
        let b = |second: u8| inspect(&[0x01, second]).b_frame;
        // The numbers are 1, then 010 and 00111; 1, 011 and 00110.
        assert!(b(0b1010_0000) && b(0b1001_1100));
        assert!(!b(0b1100_0000) && !b(0b1011_0000) && !b(0b1001_1000));
    }

    #[test]
    fn pictures() {
        let (key, p) =
            (Picture { reference: true, b: false }, Picture { reference: true, b: false });
        let b = Picture { reference: false, b: true };
        let of = |hex| picture(&unit(hex));
        assert_eq!([IDR, P, B, PPS].map(of), [Some(key), Some(p), Some(b), None]);
        // Too short for a type; a B slice that others refer to.
        assert_eq!(picture(&[0x41]), None);
        assert_eq!(picture(&[0x41, 0b1010_0000]), Some(Picture { reference: true, b: true }));
        let mut data = Vec::new();
        for hex in [PPS, B] {
            nal::append(&mut data, &unit(hex));
        }
        assert_eq!(access_unit(&data), Some(b));
        nal::append(&mut data, &unit(P));
        assert_eq!(access_unit(&data), Some(Picture { reference: true, b: true }));
        assert_eq!(access_unit(&[]), None);
    }

    #[test]
    fn aggregation() {
        for header in [&[0x78][..], &[0x79, 0x12, 0x34]] {
            let info = inspect(&aggregate(header, &[HIGH_SPS, PPS]));
            assert!(info.keyframe_start);
            assert_eq!(info.dimensions, Some((640, 354)));
            assert!(inspect(&aggregate(header, &[PPS, IDR])).keyframe_start);
            assert_eq!(inspect(&aggregate(header, &[PPS, P])), PayloadInfo::default());
            assert!(inspect(&aggregate(header, &[P, B])).b_frame);
        }
    }

    #[test]
    fn fragments() {
        let fragment = |header: &[u8], hex: &str| [header, &unit(hex)[1..]].concat();
        assert!(inspect(&fragment(&[0x7c, 0x85], IDR)).keyframe_start);
        assert!(inspect(&fragment(&[0x7d, 0x85, 0x12, 0x34], IDR)).keyframe_start);
        assert_eq!(inspect(&fragment(&[0x7c, 0x05], IDR)), PayloadInfo::default());
        assert_eq!(inspect(&fragment(&[0x7c, 0x81], P)), PayloadInfo::default());
        assert!(inspect(&fragment(&[0x1c, 0x81], B)).b_frame);
        assert_eq!(inspect(&fragment(&[0x1c, 0x01], B)), PayloadInfo::default());
    }

    #[test]
    fn a_huge_or_broken_sps_has_no_size() {
        let mut sps = unit(HIGH_SPS);
        sps.resize(MAX_SPS, 0);
        assert_eq!(inspect(&sps).dimensions, Some((640, 354)), "zeros behind it do no harm");
        sps.resize(MAX_SPS + 2, 1);
        for sps in [&sps[..], &unit(HIGH_SPS)[..8]] {
            let info = inspect(sps);
            assert!(info.keyframe_start);
            assert_eq!(info.dimensions, None);
        }
    }
}
