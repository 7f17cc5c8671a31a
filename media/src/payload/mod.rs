//! What the first bytes of an RTP payload say: does a keyframe start here, how large is the
//! picture, which picture ids does it carry. One file per codec; nothing is ever decoded.

use crate::Codec;

/// What one packet's payload says, without decoding it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadInfo {
    /// A decoder can start with this packet: it holds the first bytes of a keyframe, or the
    /// parameter sets (H.264 SPS, H.265 VPS/SPS) or sequence header (AV1) that precede one.
    /// Always true for audio.
    pub keyframe_start: bool,
    /// Width and height in pixels, where this packet says it (cropping applied).
    pub dimensions: Option<(u16, u16)>,
    /// Picture ids of VP8 and VP9, which must stay continuous across a switch.
    pub ids: PictureIds,
    /// H.264/H.265: this packet holds (part of) a B slice that says so in its header.
    pub b_frame: bool,
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
    let _ = payload;
    PayloadInfo { keyframe_start: codec == Codec::Opus, ..PayloadInfo::default() }
}

/// Writes `ids` over the picture ids of a VP8 or VP9 `payload`, field widths kept (values are
/// truncated to the width that is there); fields that are absent on either side stay as they are.
pub fn write_ids(codec: Codec, payload: &mut [u8], ids: PictureIds) {
    let _ = (codec, payload, ids);
}
