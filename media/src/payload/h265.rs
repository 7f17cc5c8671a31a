//! H.265 payloads: RFC 7798 section 4.4. The picture's size is not read: it would take a parser of
//! the whole SPS, for a codec that few browsers take.

use super::PayloadInfo;

/// Types of NAL units and of the payload structures that stand in their place.
const IRAP: std::ops::RangeInclusive<u8> = 16..=21;
const VPS: u8 = 32;
const SPS: u8 = 33;
const AGGREGATION: u8 = 48;
const FRAGMENT: u8 = 49;

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Some((header, body)) = payload.split_at_checked(2) else {
        return PayloadInfo::default();
    };
    let keyframe_start = match header[0] >> 1 & 0x3f {
        // DONL fields are sent only after `sprop-max-don-diff`, which no WebRTC sender uses.
        AGGREGATION => Units(body).any(|unit| starts(unit[0] >> 1 & 0x3f, &unit[2..])),
        FRAGMENT => match body.split_first() {
            Some((fragment, slice)) => {
                let start = fragment & 0x80 != 0;
                start && starts(fragment & 0x3f, slice)
            }
            None => false,
        },
        kind => starts(kind, body),
    };
    PayloadInfo { keyframe_start, ..PayloadInfo::default() }
}

/// A decoder can start at this NAL unit; `body` begins behind its header.
fn starts(kind: u8, body: &[u8]) -> bool {
    // first_slice_segment_in_pic_flag: later slices of the same picture are no start.
    let first_slice = || body.first().is_some_and(|b| b & 0x80 != 0);
    kind == VPS || kind == SPS || IRAP.contains(&kind) && first_slice()
}

/// The NAL units of an aggregation packet, of two bytes or more; ends at one that is cut short.
struct Units<'a>(&'a [u8]);

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (unit, rest) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
        self.0 = rest;
        (unit.len() >= 2).then_some(unit)
    }
}
