//! H.265 payloads: RFC 7798 section 4.4. The picture's size is not read: it would take a parser of
//! the whole SPS, for a codec that few browsers take.

use super::PayloadInfo;
use super::bits::Bits;

/// Types of NAL units and of the payload structures that stand in their place.
pub(crate) const IRAP: std::ops::RangeInclusive<u8> = 16..=21;
/// Slice segments of all kinds.
const SLICES: std::ops::RangeInclusive<u8> = 0..=31;
pub(crate) const VPS: u8 = 32;
pub(crate) const SPS: u8 = 33;
pub(crate) const PPS: u8 = 34;
pub(crate) const DELIMITER: u8 = 35;
pub(crate) const FILLER: u8 = 38;
pub(crate) const AGGREGATION: u8 = 48;
pub(crate) const FRAGMENT: u8 = 49;

/// The type of a NAL unit, or of what stands in its place, by its first byte.
pub(crate) const fn kind(first: u8) -> u8 {
    first >> 1 & 0x3f
}

/// No slice of the same picture comes before the NAL unit of this type; `body` begins behind its header.
pub(crate) fn starts_picture(kind: u8, body: &[u8]) -> bool {
    match kind {
        VPS | DELIMITER => true,
        // first_slice_segment_in_pic_flag
        kind if SLICES.contains(&kind) => body.first().is_some_and(|b| b & 0x80 != 0),
        _ => false,
    }
}

/// The number of a VPS or PPS, its header included.
pub(crate) fn set_number(unit: &[u8]) -> Option<u32> {
    let (header, body) = unit.split_at_checked(2)?;
    match kind(header[0]) {
        VPS => body.first().map(|b| u32::from(b >> 4)),
        PPS => {
            let mut bits = Bits::new(&body[..body.len().min(4)]);
            // Exp-Golomb, up to 63: no emulation prevention is in so few bits.
            let mut zeros = 0;
            while zeros < 7 && !bits.flag()? {
                zeros += 1;
            }
            let number = (1 << zeros | bits.read(zeros)?) - 1;
            (number < 64).then_some(number)
        }
        _ => None,
    }
}

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Some((header, body)) = payload.split_at_checked(2) else {
        return PayloadInfo::default();
    };
    let keyframe_start = match kind(header[0]) {
        // DONL fields are sent only after `sprop-max-don-diff`, which no WebRTC sender uses.
        AGGREGATION => Units(body).any(|unit| starts(kind(unit[0]), &unit[2..])),
        FRAGMENT => match body.split_first() {
            Some((fragment, slice)) => {
                let start = fragment & 0x80 != 0;
                start && starts(fragment & 0x3f, slice)
            }
            None => false,
        },
        kind => starts(kind, body),
    };
    let parameter_sets = match kind(header[0]) {
        AGGREGATION => Units(body).any(|unit| kind(unit[0]) == VPS),
        kind => kind == VPS,
    };
    PayloadInfo { keyframe_start, parameter_sets, ..PayloadInfo::default() }
}

/// A decoder can start at this NAL unit; `body` begins behind its header.
fn starts(kind: u8, body: &[u8]) -> bool {
    // first_slice_segment_in_pic_flag: later slices of the same picture are no start.
    let first_slice = || body.first().is_some_and(|b| b & 0x80 != 0);
    kind == VPS || kind == SPS || IRAP.contains(&kind) && first_slice()
}

/// The NAL units of an aggregation packet, of two bytes or more; ends at one that is cut short.
pub(crate) struct Units<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (unit, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        self.0 = rest;
        (unit.len() >= 2).then_some(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start of each NAL unit of a stream by x265.
    const VPS: [u8; 4] = [0x40, 0x01, 0x0c, 0x01];
    const SPS: [u8; 4] = [0x42, 0x01, 0x01, 0x01];
    const PPS: [u8; 4] = [0x44, 0x01, 0xc1, 0x72];
    const IDR: [u8; 4] = [0x28, 0x01, 0xaf, 0x11];
    const TRAIL: [u8; 4] = [0x02, 0x01, 0xd0, 0x19];

    fn start(payload: &[u8]) -> bool {
        inspect(payload).keyframe_start
    }

    #[test]
    fn single_units() {
        assert_eq!(
            [VPS, SPS, PPS, IDR, TRAIL].map(|u| start(&u)),
            [true, true, false, true, false]
        );
        assert!(!start(&[0x28, 0x01, 0x2f, 0x11]), "a later slice of an IDR picture");
    }

    #[test]
    fn aggregation() {
        let packet = |units: &[[u8; 4]]| {
            let units = units.iter().flat_map(|u| [&[0, 4], &u[..]].concat());
            [0x60, 0x01].into_iter().chain(units).collect::<Vec<_>>()
        };
        assert!(start(&packet(&[PPS, SPS])));
        assert!(start(&packet(&[PPS, IDR])));
        assert!(!start(&packet(&[PPS, TRAIL])));
        assert!(!start(&packet(&[PPS, IDR])[..11]), "the IDR is cut short");
    }

    #[test]
    fn fragments() {
        assert!(start(&[0x62, 0x01, 0x80 | 20, 0xaf, 0x11]));
        assert!(!start(&[0x62, 0x01, 20, 0xaf, 0x11]), "not the first fragment");
        assert!(!start(&[0x62, 0x01, 0x80 | 1, 0xd0, 0x19]), "not of a keyframe");
    }
}
