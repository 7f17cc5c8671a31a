//! VP8 payloads: the descriptor of RFC 7741 section 4.2 and the frame header of RFC 6386
//! section 9.1.

use super::{PayloadInfo, Places};

/// The payload descriptor.
pub(crate) struct Descriptor {
    /// This packet starts the first partition, and with it the frame.
    pub(crate) frame_start: bool,
    places: Places,
    /// Where the VP8 data begins.
    pub(crate) len: usize,
}

pub(super) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Some(descriptor) = parse(payload) else {
        return PayloadInfo::default();
    };
    let frame = payload.get(descriptor.len..).unwrap_or_default();
    let keyframe_start = descriptor.frame_start && is_keyframe(frame);
    PayloadInfo {
        keyframe_start,
        dimensions: if keyframe_start { dimensions(frame) } else { None },
        ids: descriptor.places.read(payload),
        ..PayloadInfo::default()
    }
}

pub(super) fn places(payload: &[u8]) -> Option<Places> {
    parse(payload).map(|d| d.places)
}

pub(crate) fn parse(payload: &[u8]) -> Option<Descriptor> {
    let first = *payload.first()?;
    let frame_start = first & 0x10 != 0 && first & 0x07 == 0;
    let mut places = Places::default();
    let mut len = 1;
    if first & 0x80 != 0 {
        let present = *payload.get(1)?;
        len = 2;
        if present & 0x80 != 0 {
            let long = payload.get(len)? & 0x80 != 0;
            places.picture_id = Some((len, long));
            len += if long { 2 } else { 1 };
        }
        if present & 0x40 != 0 {
            places.tl0_pic_idx = Some(len);
            len += 1;
        }
        if present & 0x30 != 0 {
            len += 1;
        }
    }
    (len <= payload.len()).then_some(Descriptor { frame_start, places, len })
}

/// By the inverse key frame flag, P: 0 in keyframes.
pub(crate) fn is_keyframe(frame: &[u8]) -> bool {
    frame.first().is_some_and(|b| b & 1 == 0)
}

/// From a keyframe's header: three bytes of frame tag, the start code, then two little-endian
/// numbers of 14 bits below two bits of scaling.
pub(crate) fn dimensions(frame: &[u8]) -> Option<(u16, u16)> {
    let &[0x9d, 0x01, 0x2a, w0, w1, h0, h1] = frame.get(3..10)? else {
        return None;
    };
    let size = |low, high| u16::from_le_bytes([low, high]) & 0x3fff;
    Some((size(w0, w1), size(h0, h1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::PictureIds;

    /// The first bytes of a 640x354 keyframe and of the frame behind it, by libvpx.
    const KEY: [u8; 12] = [0x50, 0xb1, 0, 0x9d, 1, 0x2a, 0x80, 2, 0x62, 1, 0, 0x47];
    const DELTA: [u8; 6] = [0x31, 0x34, 0, 0x1e, 0x11, 0xd0];

    fn packet(descriptor: &[u8], frame: &[u8]) -> Vec<u8> {
        [descriptor, frame].concat()
    }

    #[test]
    fn keyframe_behind_the_shortest_descriptor() {
        let info = inspect(&packet(&[0x10], &KEY));
        assert!(info.keyframe_start);
        assert_eq!(info.dimensions, Some((640, 354)));
        assert_eq!(info.ids, PictureIds::default());
    }

    #[test]
    fn only_the_first_packet_of_a_keyframe_starts_it() {
        // S clear, S set in a later partition, and a delta frame.
        for (descriptor, frame) in [(0x00, &KEY[..]), (0x11, &KEY[..]), (0x10, &DELTA[..])] {
            let info = inspect(&packet(&[descriptor], frame));
            assert_eq!(info, PayloadInfo::default(), "descriptor {descriptor:#x}");
        }
    }

    #[test]
    fn a_browsers_descriptor() {
        let info = inspect(&packet(&[0x90, 0xf0, 0x91, 0x23, 0x45, 0x61], &KEY));
        assert!(info.keyframe_start);
        assert_eq!(info.dimensions, Some((640, 354)));
        let ids = PictureIds { picture_id: Some(0x1123), long: true, tl0_pic_idx: Some(0x45) };
        assert_eq!(info.ids, ids);
    }

    #[test]
    fn seven_bit_picture_id() {
        let info = inspect(&packet(&[0x90, 0x80, 0x7f], &DELTA));
        assert_eq!(info.ids, PictureIds { picture_id: Some(0x7f), ..PictureIds::default() });
    }

    #[test]
    fn scaling_bits_are_no_part_of_the_size() {
        let mut key = KEY;
        key[7] |= 0xc0;
        key[9] |= 0x40;
        assert_eq!(inspect(&packet(&[0x10], &key)).dimensions, Some((640, 354)));
    }
}
