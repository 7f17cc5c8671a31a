//! What the first bytes of an RTP payload say: does a keyframe start here, how large is the
//! picture, which picture ids does it carry. One file per codec; nothing is ever decoded.

pub(crate) mod av1;
pub(crate) mod bits;
pub mod h264;
pub(crate) mod h265;
pub(crate) mod vp8;
pub(crate) mod vp9;

use crate::Codec;

/// What one packet's payload says, without decoding it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadInfo {
    /// A decoder can start with this packet: it holds the first bytes of a keyframe, or the
    /// parameter sets (H.264 SPS, H.265 VPS/SPS) or sequence header (AV1) that precede one. Later
    /// slices of the same keyframe do not count. Always true for audio.
    pub keyframe_start: bool,
    /// This packet holds an H.264 SPS or an H.265 VPS, so no packet before it belongs to the same keyframe (but an
    /// access unit delimiter or SEI, which nobody needs). Another keyframe start of H.264 or H.265
    /// may follow parameter sets that came in packets of their own.
    pub parameter_sets: bool,
    /// Width and height in pixels, where this packet says it (cropping applied). Of the largest
    /// layer in VP9 with spatial layers. Not read from H.265.
    pub dimensions: Option<(u16, u16)>,
    /// Picture ids of VP8 and VP9, which must stay continuous across a switch.
    pub ids: PictureIds,
    /// H.264: the first bytes of a B slice are in this packet. Not read from H.265, whose encoders
    /// write B slices without reordering too.
    pub b_frame: bool,
    /// Opus: this packet is coded in stereo (RFC 6716 section 3.1).
    pub stereo: bool,
}

/// Picture ids of a VP8 (RFC 7741) or VP9 (RFC 9628) payload descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PictureIds {
    /// Value of the picture id field.
    pub picture_id: Option<u16>,
    /// The field is 15 bits wide, not 7.
    pub long: bool,
    /// Value of `TL0PICIDX`.
    pub tl0_pic_idx: Option<u8>,
}

/// Reads what `payload` says. Never fails: what cannot be read is `PayloadInfo::default()`.
pub fn inspect(codec: Codec, payload: &[u8]) -> PayloadInfo {
    match codec {
        Codec::H264 => h264::inspect(payload),
        Codec::H265 => h265::inspect(payload),
        Codec::Vp8 => vp8::inspect(payload),
        Codec::Vp9 => vp9::inspect(payload),
        Codec::Av1 => av1::inspect(payload),
        Codec::Opus => PayloadInfo {
            keyframe_start: true,
            stereo: payload.first().is_some_and(|toc| toc & 0x04 != 0),
            ..PayloadInfo::default()
        },
        // Not in RTP.
        Codec::Aac => PayloadInfo::default(),
    }
}

/// Writes `ids` over the picture ids of a VP8 or VP9 `payload`, field widths kept (values are
/// truncated to the width that is there); fields that are absent on either side stay as they are.
pub fn write_ids(codec: Codec, payload: &mut [u8], ids: PictureIds) {
    let places = match codec {
        Codec::Vp8 => vp8::places(payload),
        Codec::Vp9 => vp9::places(payload),
        _ => None,
    };
    if let Some(places) = places {
        places.write(payload, ids);
    }
}

/// Where in a payload its picture ids lie.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    /// Offset of the field's first byte, and whether it has a second one.
    picture_id: Option<(usize, bool)>,
    tl0_pic_idx: Option<usize>,
}

impl Places {
    fn read(self, payload: &[u8]) -> PictureIds {
        let (picture_id, long) = match self.picture_id {
            Some((at, true)) => {
                let bytes = payload.get(at..at + 2);
                (bytes.map(|b| u16::from_be_bytes([b[0] & 0x7f, b[1]])), true)
            }
            Some((at, false)) => (payload.get(at).map(|b| u16::from(b & 0x7f)), false),
            None => (None, false),
        };
        let tl0_pic_idx = self.tl0_pic_idx.and_then(|at| payload.get(at).copied());
        PictureIds { picture_id, long, tl0_pic_idx }
    }

    fn write(self, payload: &mut [u8], ids: PictureIds) {
        if let (Some((at, long)), Some(id)) = (self.picture_id, ids.picture_id) {
            let [high, low] = id.to_be_bytes();
            match payload.get_mut(at..) {
                // The top bit says how wide the field is and stays.
                Some([first, second, ..]) if long => {
                    *first = 0x80 | high;
                    *second = low;
                }
                Some([first, ..]) if !long => *first = low & 0x7f,
                _ => {}
            }
        }
        if let (Some(at), Some(idx)) = (self.tl0_pic_idx, ids.tl0_pic_idx)
            && let Some(byte) = payload.get_mut(at)
        {
            *byte = idx;
        }
    }
}
