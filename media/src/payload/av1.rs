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
