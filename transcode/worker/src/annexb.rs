//! H.264 as encoders write it (ITU-T H.264 Annex B: start codes) and as [`media::AccessUnit`] has it: NAL
//! units behind lengths, parameter sets in an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1).

use bytes::{BufMut, Bytes, BytesMut};

/// NAL unit types of H.264, table 7-1.
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;

/// The NAL units between start codes, without the zeros that may follow them. None is empty.
pub(crate) fn units(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = after_start_code(data);
    std::iter::from_fn(move || {
        loop {
            let data = rest?;
            let (unit, next) = match start_code(data) {
                Some(at) => (&data[..at], after_start_code(&data[at..])),
                None => (data, None),
            };
            rest = next;
            let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if end > 0 {
                return Some(&unit[..end]);
            }
        }
    })
}

/// Where the next `00 00 01` begins.
fn start_code(data: &[u8]) -> Option<usize> {
    data.windows(3).position(|bytes| bytes == [0, 0, 1])
}

fn after_start_code(data: &[u8]) -> Option<&[u8]> {
    start_code(data).map(|at| &data[at + 3..])
}

fn kind(unit: &[u8]) -> u8 {
    unit.first().map_or(0, |header| header & 0x1f)
}

/// Behind four-byte lengths, without what the format says already (parameter sets) or nobody needs (delimiters,
/// filler).
pub(crate) fn with_lengths(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 16);
    for unit in units(data).filter(|unit| ![SPS, PPS, DELIMITER, FILLER].contains(&kind(unit))) {
        // A unit is shorter than its packet, whose size libav keeps in 31 bits.
        out.put_u32(unit.len() as u32);
        out.put_slice(unit);
    }
    out.freeze()
}

/// The configuration record for these parameter sets; `None` without a whole SPS and a PPS.
pub(crate) fn record(headers: &[u8]) -> Option<Bytes> {
    let sets = |of: u8| units(headers).filter(move |unit| kind(unit) == of).collect::<Vec<_>>();
    let (sps, pps) = (sets(SPS), sets(PPS));
    let first = sps.first()?;
    let (profile, level) = (first.get(1..3)?, *first.get(3)?);
    pps.first()?;
    let mut out = BytesMut::with_capacity(headers.len() + 16);
    out.put_u8(1);
    out.put_slice(profile);
    out.put_u8(level);
    // Six bits that are set, then the size of a length less one.
    out.put_u8(0xfc | 3);
    for (sets, reserved, most) in [(&sps, 0xe0, 31), (&pps, 0, 255)] {
        let sets = &sets[..sets.len().min(most)];
        out.put_u8(reserved | sets.len() as u8);
        for set in sets {
            out.put_u16(u16::try_from(set.len()).ok()?);
            out.put_slice(set);
        }
    }
    // Only High and its kin have four bytes more, and we make none of those.
    Some(out.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_found_behind_both_start_codes() {
        let data = [9, 0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 1, 0x65, 0, 3, 0, 0];
        let found: Vec<&[u8]> = units(&data).collect();
        assert_eq!(found, [&[0x67, 1][..], &[0x68, 2], &[0x65, 0, 3]]);
        assert_eq!(with_lengths(&data)[..], [0, 0, 0, 3, 0x65, 0, 3]);
        assert!(units(&[0, 0, 1]).next().is_none() && units(&[]).next().is_none());
    }

    #[test]
    fn a_record_says_profile_and_level_of_the_sps() {
        let headers = [0, 0, 0, 1, 0x67, 0x42, 0xc0, 0x1f, 9, 0, 0, 0, 1, 0x68, 0xce];
        let record = record(&headers).expect("both sets are there");
        let sps = [0x67, 0x42, 0xc0, 0x1f, 9];
        let mut wanted = vec![1, 0x42, 0xc0, 0x1f, 0xff, 0xe1, 0, 5];
        wanted.extend(sps);
        wanted.extend([1, 0, 2, 0x68, 0xce]);
        assert_eq!(record, wanted);
        assert_eq!(super::record(&headers[..9]), None, "no PPS");
        assert_eq!(super::record(&[0, 0, 1, 0x67, 0x42, 0, 0, 1, 0x68]), None, "cut short");
    }

    proptest! {
        #[test]
        fn what_is_cut_apart_comes_together(
            units in prop::collection::vec(prop::collection::vec(1u8..=255, 1..40), 0..8)
        ) {
            let mut data = Vec::new();
            for unit in &units {
                data.extend([0, 0, 1]);
                data.extend(unit);
            }
            let found: Vec<Vec<u8>> = super::units(&data).map(<[u8]>::to_vec).collect();
            prop_assert_eq!(found, units);
        }

        #[test]
        fn no_bytes_make_it_panic(data in prop::collection::vec(0u8..4, 0..200)) {
            let _ = (with_lengths(&data), record(&data));
        }
    }
}
