//! AV1 payloads: the aggregation header of the AOM "RTP Payload Format For AV1", section 4.4, and
//! the sequence header of the AV1 bitstream specification, section 5.5.

use super::PayloadInfo;
use super::bits::Bits;
use crate::config;

/// Types of OBUs.
pub(crate) const SEQUENCE_HEADER: u8 = 1;
pub(crate) const TEMPORAL_DELIMITER: u8 = 2;
pub(crate) const FRAME_HEADER: u8 = 3;
pub(crate) const FRAME: u8 = 6;
pub(crate) const TILE_LIST: u8 = 8;
pub(crate) const PADDING: u8 = 15;

/// The type of an OBU, by its first byte.
pub(crate) const fn kind(first: u8) -> u8 {
    first >> 3 & 0x0f
}

/// What a sequence header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    /// `seq_profile`.
    pub(crate) profile: u8,
    /// `seq_level_idx` and `seq_tier` of the first operating point.
    pub(crate) level: u8,
    pub(crate) high_tier: bool,
    /// `reduced_still_picture_header`: one still picture, whose frame header has no type.
    pub(crate) still: bool,
    /// `max_frame_width` and `max_frame_height`.
    pub(crate) dimensions: Option<(u16, u16)>,
    /// Absent where the bytes end before it.
    pub(crate) colour: Option<Colour>,
}

/// `color_config` (section 5.5.2), as far as an AV1CodecConfigurationRecord repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) high_bitdepth: bool,
    pub(crate) twelve_bit: bool,
    pub(crate) monochrome: bool,
    /// Horizontally and vertically.
    pub(crate) subsampling: (bool, bool),
    pub(crate) sample_position: u8,
    pub(crate) description: Option<config::Colour>,
}

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
    let header = starts.find(|e| e.first().is_some_and(|b| kind(*b) == SEQUENCE_HEADER));
    PayloadInfo {
        keyframe_start: !elements.is_empty() && new_sequence || header.is_some(),
        dimensions: header.and_then(sequence_header).and_then(|s| s.dimensions),
        ..PayloadInfo::default()
    }
}

/// The OBU elements of a packet; ends at the first one that is cut short.
pub(crate) struct Elements<'a> {
    pub(crate) rest: &'a [u8],
    /// With a count in the header (W), the last element has no length before it.
    pub(crate) left: Option<u8>,
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
pub(crate) fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(8).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, i + 1));
        }
    }
    None
}

/// Writes a number in the fewest bytes.
pub(crate) fn put_leb128(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The whole OBUs of a low-overhead stream; ends at one that is cut short. The last may have no size.
pub(crate) const fn obus(data: &[u8]) -> Obus<'_> {
    Obus { rest: data }
}

/// See [`obus`]. `rest` is what was not read; behind the end of it, that is what was cut short.
pub(crate) struct Obus<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Iterator for Obus<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let header = *self.rest.first()?;
        let at = if header & 0x04 != 0 { 2 } else { 1 };
        let len = if header & 0x02 != 0 {
            let (size, used) = leb128(self.rest.get(at..)?)?;
            (at + used).checked_add(size)?
        } else {
            self.rest.len().max(at)
        };
        let (obu, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(obu)
    }
}

/// Writes an OBU with its size, whether it came with one or not; nothing if it is cut short.
pub(crate) fn append(out: &mut Vec<u8>, obu: &[u8]) {
    let (Some(header), Some(body)) = (obu.first(), body(obu)) else {
        return;
    };
    out.push(header | 0x02);
    if header & 0x04 != 0 {
        out.push(obu[1]);
    }
    put_leb128(out, body.len());
    out.extend_from_slice(body);
}

/// Where the payload of an OBU lies that is whole: behind its header and its size, if it has one.
pub(crate) fn body(obu: &[u8]) -> Option<&[u8]> {
    let header = *obu.first()?;
    let at = if header & 0x04 != 0 { 2 } else { 1 };
    let rest = obu.get(at..)?;
    if header & 0x02 == 0 {
        return Some(rest);
    }
    let (size, used) = leb128(rest)?;
    // A size beyond the end is tolerated: the start may be all that is there.
    rest.get(used..).map(|body| &body[..body.len().min(size)])
}

/// Reads a sequence header OBU, its own header included.
pub(crate) fn sequence_header(obu: &[u8]) -> Option<Sequence> {
    let mut bits = Bits::new(body(obu)?);
    let profile = bits.read(3)? as u8;
    bits.skip(1)?;
    let still = bits.flag()?;
    let (level, high_tier) =
        if still { (bits.read(5)? as u8, false) } else { operating_points(&mut bits)? };
    let (width_bits, height_bits) = (bits.read(4)? + 1, bits.read(4)? + 1);
    let (width, height) = (bits.read(width_bits)? + 1, bits.read(height_bits)? + 1);
    let dimensions = u16::try_from(width).ok().zip(u16::try_from(height).ok());
    let colour = skip_tools(&mut bits, still).and_then(|()| colour(&mut bits, profile));
    Some(Sequence { profile, level, high_tier, still, dimensions, colour })
}

/// From behind the size to `color_config`.
fn skip_tools(bits: &mut Bits<'_>, still: bool) -> Option<()> {
    let frame_id_numbers = !still && bits.flag()?;
    if frame_id_numbers {
        bits.skip(7)?;
    }
    // use_128x128_superblock, enable_filter_intra, enable_intra_edge_filter
    bits.skip(3)?;
    if !still {
        // interintra_compound, masked_compound, warped_motion, dual_filter
        bits.skip(4)?;
        let order_hint = bits.flag()?;
        if order_hint {
            bits.skip(2)?;
        }
        let choose_screen_content_tools = bits.flag()?;
        let screen_content_tools = choose_screen_content_tools || bits.flag()?;
        if screen_content_tools {
            let choose_integer_mv = bits.flag()?;
            if !choose_integer_mv {
                bits.skip(1)?;
            }
        }
        if order_hint {
            bits.skip(3)?;
        }
    }
    // enable_superres, enable_cdef, enable_restoration
    bits.skip(3)
}

fn colour(bits: &mut Bits<'_>, profile: u8) -> Option<Colour> {
    /// BT.709 primaries, the transfer of sRGB, no matrix: RGB.
    const RGB: [u8; 3] = [1, 13, 0];
    let high_bitdepth = bits.flag()?;
    let twelve_bit = profile == 2 && high_bitdepth && bits.flag()?;
    let monochrome = profile != 1 && bits.flag()?;
    let mut code_points = None;
    if bits.flag()? {
        code_points = Some([bits.read(8)? as u8, bits.read(8)? as u8, bits.read(8)? as u8]);
    }
    let mut full_range = true;
    let mut subsampling = (true, true);
    let mut sample_position = 0;
    if !monochrome && code_points == Some(RGB) {
        subsampling = (false, false);
    } else {
        full_range = bits.flag()?;
        if !monochrome {
            subsampling = match profile {
                0 => (true, true),
                1 => (false, false),
                _ if twelve_bit => {
                    let horizontal = bits.flag()?;
                    (horizontal, horizontal && bits.flag()?)
                }
                _ => (true, false),
            };
            if subsampling == (true, true) {
                sample_position = bits.read(2)? as u8;
            }
        }
    }
    let description = code_points.map(|[primaries, transfer, matrix]| config::Colour {
        primaries,
        transfer,
        matrix,
        full_range,
    });
    Some(Colour {
        high_bitdepth,
        twelve_bit,
        monochrome,
        subsampling,
        sample_position,
        description,
    })
}

/// From `timing_info_present_flag` to the last operating point: level and tier of the first.
fn operating_points(bits: &mut Bits<'_>) -> Option<(u8, bool)> {
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
    let mut first = None;
    for _ in 0..operating_points {
        bits.skip(12)?;
        let level = bits.read(5)? as u8;
        let high_tier = level > 7 && bits.flag()?;
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
        first = first.or(Some((level, high_tier)));
    }
    first
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
        let sequence = sequence_header(&obu(&header.concat())).unwrap();
        assert_eq!(sequence.dimensions, Some((1280, 720)));
        assert_eq!((sequence.profile, sequence.level, sequence.high_tier), (0, 8, true));
        assert_eq!(sequence.colour, None, "it ends before");
    }

    #[test]
    fn colours() {
        for (header, level) in [(&SVT[..], 1), (&AOM, 5)] {
            let sequence = sequence_header(header).unwrap();
            assert_eq!((sequence.profile, sequence.level, sequence.high_tier), (0, level, false));
            let colour = sequence.colour.unwrap();
            assert_eq!((colour.high_bitdepth, colour.monochrome), (false, false));
            assert_eq!(colour.subsampling, (true, true));
        }
    }

    #[test]
    fn reduced_still_picture_header() {
        let sequence = sequence_header(&obu("000 1 1 00000 0011 0010 1111 111")).unwrap();
        assert_eq!((sequence.dimensions, sequence.still), (Some((16, 8)), true));
    }
}
