//! AV1 payloads: the aggregation header of the AOM "RTP Payload Format For AV1", section 4.4, and
//! the sequence header of the AV1 bitstream specification, section 5.5.

use super::PayloadInfo;
use super::bits::Bits;

const SEQUENCE_HEADER: u8 = 1;

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Some((aggregation, elements)) = payload.split_first() else {
        return PayloadInfo::default();
    };
    let continues = aggregation & 0x80 != 0;
    let new_sequence = aggregation & 0x08 != 0 && !continues;
    let count = aggregation >> 4 & 0x03;

    let mut starts = Elements { rest: elements, left: (count > 0).then_some(count) };
    if continues {
        // The rest of an OBU that started in an earlier packet.
        starts.next();
    }
    let sequence = starts.find(|e| e.first().is_some_and(|b| b >> 3 & 0x0f == SEQUENCE_HEADER));
    PayloadInfo {
        keyframe_start: !elements.is_empty() && new_sequence || sequence.is_some(),
        dimensions: sequence.and_then(dimensions),
        ..PayloadInfo::default()
    }
}

/// The OBU elements of a packet; ends at the first one that is cut short.
struct Elements<'a> {
    rest: &'a [u8],
    /// With a count in the header (W), the last element has no length before it.
    left: Option<u8>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() || self.left == Some(0) {
            return None;
        }
        let last = self.left == Some(1);
        self.left = self.left.map(|n| n - 1);
        if last {
            return Some(std::mem::take(&mut self.rest));
        }
        let (len, used) = leb128(self.rest)?;
        let rest = &self.rest[used..];
        let (element, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        Some(element)
    }
}

/// A number and the bytes that it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, i + 1));
        }
    }
    None
}

/// `max_frame_width` and `max_frame_height` of a sequence header OBU, its own header included.
fn dimensions(obu: &[u8]) -> Option<(u16, u16)> {
    let header = *obu.first()?;
    let mut at = if header & 0x04 != 0 { 2 } else { 1 };
    if header & 0x02 != 0 {
        at += leb128(obu.get(at..)?)?.1;
    }
    let mut bits = Bits::new(obu.get(at..)?);
    // seq_profile, still_picture
    bits.skip(4)?;
    let reduced_still_picture_header = bits.flag()?;
    if reduced_still_picture_header {
        bits.skip(5)?;
    } else {
        skip_operating_points(&mut bits)?;
    }
    let (width_bits, height_bits) = (bits.read(4)? + 1, bits.read(4)? + 1);
    let (width, height) = (bits.read(width_bits)? + 1, bits.read(height_bits)? + 1);
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

/// From `timing_info_present_flag` to the last operating point.
fn skip_operating_points(bits: &mut Bits<'_>) -> Option<()> {
    // buffer_delay_length, where there is a decoder model
    let mut delay_bits = None;
    if bits.flag()? {
        // num_units_in_display_tick, time_scale
        bits.skip(32)?;
        bits.skip(32)?;
        let equal_picture_interval = bits.flag()?;
        if equal_picture_interval {
            skip_uvlc(bits)?;
        }
        let decoder_model_info_present = bits.flag()?;
        if decoder_model_info_present {
            delay_bits = Some(bits.read(5)? + 1);
            bits.skip(32)?;
            bits.skip(10)?;
        }
    }
    let initial_display_delay_present = bits.flag()?;
    let operating_points = bits.read(5)? + 1;
    for _ in 0..operating_points {
        bits.skip(12)?;
        let level = bits.read(5)?;
        if level > 7 {
            bits.skip(1)?;
        }
        if let Some(n) = delay_bits
            && bits.flag()?
        {
            // decoder_buffer_delay, encoder_buffer_delay, low_delay_mode_flag
            bits.skip(n)?;
            bits.skip(n)?;
            bits.skip(1)?;
        }
        if initial_display_delay_present && bits.flag()? {
            bits.skip(4)?;
        }
    }
    Some(())
}

/// A variable length number: as many zeros as bits that follow the first one.
fn skip_uvlc(bits: &mut Bits<'_>) -> Option<()> {
    let mut zeros = 0;
    while !bits.flag()? {
        zeros += 1;
    }
    // 32 zeros and more stand for the largest number and nothing follows.
    if zeros < 32 { bits.skip(zeros) } else { Some(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequence headers without size field: 640x354 by SVT-AV1, 1284x722 by libaom.
    const SVT: [u8; 13] = [0x08, 2, 0, 0, 0x0d, 0x66, 0x27, 0xfb, 0x08, 0xd5, 0xf3, 0, 0x80];
    const AOM: [u8; 12] = [0x08, 0, 0, 0, 0x2d, 0x4d, 3, 0xb4, 0x5d, 0xaf, 0x90, 4];
    /// The start of an OBU_FRAME.
    const FRAME: [u8; 4] = [0x30, 0x9c, 0x43, 0x10];

    #[test]
    fn sequence_header_then_frame() {
        // Y, W = 2, N
        let packet = [&[0x68, SVT.len() as u8], &SVT[..], &FRAME[..]].concat();
        let info = inspect(&packet);
        assert!(info.keyframe_start);
        assert_eq!(info.dimensions, Some((640, 354)));
    }

    #[test]
    fn sequence_header_alone_with_and_without_a_count() {
        for packet in [[&[0x10], &AOM[..]].concat(), [&[0x00, 12], &AOM[..]].concat()] {
            let info = inspect(&packet);
            assert!(info.keyframe_start);
            assert_eq!(info.dimensions, Some((1284, 722)));
        }
    }

    #[test]
    fn sequence_header_with_size_field() {
        let mut obu = vec![0x0a, 11];
        obu.extend(&AOM[1..]);
        assert_eq!(inspect(&[&[0x18], &obu[..]].concat()).dimensions, Some((1284, 722)));
    }

    #[test]
    fn a_continued_obu_is_no_start() {
        // Z; the bytes only look like a sequence header.
        assert_eq!(inspect(&[&[0x90], &SVT[..]].concat()), PayloadInfo::default());
        // The sequence header behind a continued OBU does start one.
        let packet = [&[0xa0, 2, 0x08, 0x00], &SVT[..]].concat();
        assert_eq!(inspect(&packet).dimensions, Some((640, 354)));
    }

    #[test]
    fn a_delta_frame_is_no_start() {
        assert_eq!(inspect(&[&[0x10], &FRAME[..]].concat()), PayloadInfo::default());
    }

    #[test]
    fn the_n_bit_alone_is_a_start() {
        let info = inspect(&[&[0x18], &FRAME[..]].concat());
        assert!(info.keyframe_start);
        assert_eq!(info.dimensions, None);
    }

    /// Bits from text, spaces for the eye; the OBU's header goes before.
    fn obu(bits: &str) -> Vec<u8> {
        let bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
        let byte = |chunk: &[u8]| (0..8).fold(0, |n, i| n << 1 | chunk.get(i).unwrap_or(&0));
        std::iter::once(0x08).chain(bits.chunks(8).map(byte)).collect()
    }

    #[test]
    fn sequence_header_with_everything_before_the_size() {
        let tick = "0".repeat(32);
        let header = [
            "000 0 0",                             // profile, still picture, reduced
            "1",                                   // timing info
            &tick,                                 //
            &tick,                                 //
            "1 00101",                             // equal picture interval: uvlc 4
            "1 00111",                             // decoder model, buffer_delay_length 8
            &tick,                                 //
            "00000 00000",                         //
            "1",                                   // initial display delay
            "00001",                               // two operating points
            "000000000000 01000 1",                // level above 7, tier
            "1 11111111 11111111 1",               // decoder model of this point
            "1 1111",                              // display delay of this point
            "000000000000 00111",                  // level 7: no tier
            "0 0",                                 //
            "1010 1001 10011111111 1011001111 11", // 11 and 10 bits: 1280, 720
        ];
        assert_eq!(dimensions(&obu(&header.concat())), Some((1280, 720)));
    }

    #[test]
    fn reduced_still_picture_header() {
        assert_eq!(dimensions(&obu("000 1 1 00000 0011 0010 1111 111")), Some((16, 8)));
    }
}
