//! VP9 payloads: the descriptor of RFC 9628 section 4.2 and the uncompressed frame header of the
//! VP9 bitstream specification, section 6.2.

use super::bits::Bits;
use super::{PayloadInfo, Places};

/// The payload descriptor.
pub(crate) struct Descriptor {
    /// B: this packet starts a layer frame.
    pub(crate) frame_start: bool,
    /// P: the layer frame uses earlier pictures.
    predicted: bool,
    /// SID, 0 where there are no layers.
    pub(crate) spatial_layer: u8,
    places: Places,
    /// Of the largest spatial layer, where the scalability structure says it.
    pub(crate) dimensions: Option<(u16, u16)>,
    /// Where the VP9 data begins.
    pub(crate) len: usize,
}

/// The start of a frame's uncompressed header.
pub(crate) struct Header {
    pub(crate) keyframe: bool,
    pub(crate) dimensions: Option<(u16, u16)>,
}

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Some(descriptor) = parse(payload) else {
        return PayloadInfo::default();
    };
    let mut info = PayloadInfo { ids: descriptor.places.read(payload), ..PayloadInfo::default() };
    info.dimensions = descriptor.dimensions;
    if descriptor.frame_start && !descriptor.predicted && descriptor.spatial_layer == 0 {
        // P is 0 in intra-only frames too, and some senders never set it: the frame's own header
        // decides, where it can be read.
        let header = payload.get(descriptor.len..).and_then(header);
        info.keyframe_start = header.as_ref().is_none_or(|h| h.keyframe);
        info.dimensions = info.dimensions.or(header.and_then(|h| h.dimensions));
    }
    info
}

pub(super) fn places(payload: &[u8]) -> Option<Places> {
    parse(payload).map(|d| d.places)
}

pub(crate) fn parse(payload: &[u8]) -> Option<Descriptor> {
    let first = *payload.first()?;
    let bit = |n: u8| first & (0x80 >> n) != 0;
    let (has_id, predicted, has_layers, flexible) = (bit(0), bit(1), bit(2), bit(3));
    let (frame_start, has_structure) = (bit(4), bit(6));

    let mut places = Places::default();
    let mut spatial_layer = 0;
    let mut len = 1;
    if has_id {
        let long = payload.get(len)? & 0x80 != 0;
        places.picture_id = Some((len, long));
        len += if long { 2 } else { 1 };
    }
    if has_layers {
        spatial_layer = payload.get(len)? >> 1 & 0x07;
        len += 1;
        if !flexible {
            places.tl0_pic_idx = Some(len);
            len += 1;
        }
    }
    if flexible && predicted {
        // Up to three references, each saying by its last bit whether another follows.
        for _ in 0..3 {
            let more = payload.get(len)? & 1 != 0;
            len += 1;
            if !more {
                break;
            }
        }
    }
    let mut dimensions = None;
    if has_structure {
        let structure = structure(payload.get(len..)?)?;
        dimensions = structure.0;
        len += structure.1;
    }
    let whole = len <= payload.len();
    whole.then_some(Descriptor { frame_start, predicted, spatial_layer, places, dimensions, len })
}

/// The scalability structure: the largest layer's dimensions, and its own length.
fn structure(bytes: &[u8]) -> Option<(Option<(u16, u16)>, usize)> {
    let first = *bytes.first()?;
    let layers = usize::from(first >> 5) + 1;
    let (has_sizes, has_pictures) = (first & 0x10 != 0, first & 0x08 != 0);
    let mut len = 1;
    let mut dimensions = None;
    if has_sizes {
        let sizes = bytes.get(len..len + 4 * layers)?;
        dimensions = sizes
            .chunks_exact(4)
            .map(|s| (u16::from_be_bytes([s[0], s[1]]), u16::from_be_bytes([s[2], s[3]])))
            .max_by_key(|(width, height)| u32::from(*width) * u32::from(*height));
        len += 4 * layers;
    }
    if has_pictures {
        let pictures = *bytes.get(len)?;
        len += 1;
        for _ in 0..pictures {
            let references = usize::from(bytes.get(len)? >> 2 & 0x03);
            len += 1 + references;
        }
    }
    Some((dimensions, len))
}

/// `None` if these are no readable VP9 frame (cut short, or encrypted by the sender).
pub(crate) fn header(frame: &[u8]) -> Option<Header> {
    let mut bits = Bits::new(frame);
    if bits.read(2)? != 2 {
        return None;
    }
    let profile = bits.read(1)? | bits.read(1)? << 1;
    if profile == 3 {
        bits.skip(1)?;
    }
    let show_existing_frame = bits.flag()?;
    if show_existing_frame {
        return Some(Header { keyframe: false, dimensions: None });
    }
    let keyframe = !bits.flag()?;
    let dimensions = if keyframe && profile == 0 { dimensions(&mut bits) } else { None };
    Some(Header { keyframe, dimensions })
}

/// Profile 0, from behind `frame_type`.
fn dimensions(bits: &mut Bits<'_>) -> Option<(u16, u16)> {
    const SYNC_CODE: u32 = 0x49_8342;
    const RGB: u32 = 7;
    // show_frame, error_resilient_mode
    bits.skip(2)?;
    if bits.read(24)? != SYNC_CODE || bits.read(3)? == RGB {
        return None;
    }
    // color_range
    bits.skip(1)?;
    let (width, height) = (bits.read(16)? + 1, bits.read(16)? + 1);
    Some((u16::try_from(width).ok()?, u16::try_from(height).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PictureIds;

    /// The first bytes of a 640x354 keyframe and of the frame behind it, by libvpx.
    const KEY: [u8; 10] = [0x82, 0x49, 0x83, 0x42, 0x00, 0x27, 0xf0, 0x16, 0x16, 0x06];
    const DELTA: [u8; 6] = [0x86, 0x00, 0x40, 0x92, 0xf1, 0x21];

    fn packet(descriptor: &[u8], frame: &[u8]) -> Vec<u8> {
        [descriptor, frame].concat()
    }

    #[test]
    fn keyframe_in_flexible_mode() {
        // I F B E
        let info = inspect(&packet(&[0x9c, 0x91, 0x23], &KEY));
        assert!(info.keyframe_start);
        assert_eq!(info.dimensions, Some((640, 354)));
        let ids = PictureIds { picture_id: Some(0x1123), long: true, tl0_pic_idx: None };
        assert_eq!(info.ids, ids);
    }

    #[test]
    fn keyframe_with_two_layers_in_a_scalability_structure() {
        // I L B V; T0 S0; two sizes and a picture group of two with one and two references.
        let structure =
            [0x38, 1, 0x40, 0, 0xb4, 2, 0x80, 1, 0x68, 2, 0x04, 1, 0x28, 1, 2].as_slice();
        let descriptor = [&[0xaa, 0x85, 0x39, 0x00, 0x77], structure].concat();
        let info = inspect(&packet(&descriptor, &KEY));
        assert!(info.keyframe_start);
        assert_eq!(info.dimensions, Some((640, 360)), "the largest layer, not the frame's own");
        let ids = PictureIds { picture_id: Some(0x539), long: true, tl0_pic_idx: Some(0x77) };
        assert_eq!(info.ids, ids);
        assert_eq!(parse(&packet(&descriptor, &KEY)).map(|d| d.len), Some(descriptor.len()));
    }

    #[test]
    fn an_upper_spatial_layer_is_no_start() {
        // As above, S1 that depends on S0.
        assert!(!inspect(&packet(&[0xa8, 0x85, 0x39, 0x03, 0x77], &KEY)).keyframe_start);
    }

    #[test]
    fn a_predicted_frame_and_a_later_packet_are_no_start() {
        // I P F B with two references, I P B, and I F alone.
        let flexible = [0xd8, 0x11, 0x03, 0x04];
        assert!(!inspect(&packet(&flexible, &KEY)).keyframe_start);
        assert_eq!(parse(&packet(&flexible, &KEY)).map(|d| d.len), Some(4));
        // Three are the most, whatever the third one's last bit says.
        let three = [0xd8, 0x11, 0x03, 0x05, 0x07];
        assert_eq!(parse(&packet(&three, &KEY)).map(|d| d.len), Some(5));
        assert!(!inspect(&packet(&[0xc8, 0x11], &KEY)).keyframe_start);
        assert!(!inspect(&packet(&[0x90, 0x11], &KEY)).keyframe_start);
    }

    #[test]
    fn a_sender_that_never_sets_p_is_seen_through() {
        assert!(!inspect(&packet(&[0x9c, 0x91, 0x23], &DELTA)).keyframe_start);
    }

    #[test]
    fn tl0_pic_idx_only_without_flexible_mode() {
        let info = inspect(&packet(&[0xb8, 0x11, 0x00], &KEY));
        assert_eq!(info.ids.tl0_pic_idx, None);
        assert!(info.keyframe_start, "the frame begins right behind the layer indices");
        assert_eq!(info.dimensions, Some((640, 354)));
    }
}
