//! Media as containers carry it: access units, and what a decoder must know before the first of them.
//! RTP packets are the other form (`rtp`); neither has all that the other says, so both are kept.

use bytes::Bytes;

use crate::{Codec, MediaTime};

/// One coded picture, or one packet of sound. Cheap to clone: the bytes are shared.
///
/// What `data` is:
/// - H.264, H.265: NAL units, each behind its length in four bytes, big-endian (ISO/IEC 14496-15); parameter
///   sets are in the [`Format`], and may be here too.
/// - AV1: OBUs with their sizes, without temporal delimiters (AV1-ISOBMFF).
/// - VP8, VP9: the frame as it is (VP9: the superframe).
/// - AAC: one raw access unit, without ADTS. Opus: one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUnit {
    /// When it is decoded; never goes back within a track.
    pub dts: MediaTime,
    /// When it is shown.
    pub pts: MediaTime,
    /// A decoder can start here. Always true for sound.
    pub keyframe: bool,
    /// The coded bytes, never empty.
    pub data: Bytes,
}

/// What a decoder must know of a track before its first unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// The codec.
    pub codec: Codec,
    /// The decoder configuration as MP4 carries it. H.264: AVCDecoderConfigurationRecord, H.265:
    /// HEVCDecoderConfigurationRecord (ISO/IEC 14496-15); AV1: AV1CodecConfigurationRecord; AAC:
    /// AudioSpecificConfig (ISO/IEC 14496-3); Opus: the identification header of RFC 7845 section 5.1,
    /// with its magic. VP8, VP9: empty.
    pub config: Bytes,
    /// Pixels, as coded and cropped; `None` for sound, and where nothing has said it yet.
    pub dimensions: Option<(u16, u16)>,
    /// Hz and number of channels; `None` for pictures.
    pub sound: Option<(u32, u8)>,
}
