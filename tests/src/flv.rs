//! FLV files (Adobe's "Video File Format", annex E) as tags, which are the messages of RTMP.

use bytes::Bytes;

/// A tag: one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// 8 sound, 9 pictures, 18 script data.
    pub kind: u8,
    /// When it is decoded, in ms.
    pub time: u32,
    /// The payload.
    pub body: Bytes,
}

impl Tag {
    /// Pictures, or what a decoder must know of them.
    pub fn is_video(&self) -> bool {
        self.kind == 9
    }

    /// A coded picture in H.264.
    pub fn is_picture(&self) -> bool {
        self.is_video() && self.body[0] & 0x8f == 7 && self.body[1] == 1
    }

    /// A decoder can start with it.
    pub fn is_keyframe(&self) -> bool {
        self.is_video() && (self.body[0] >> 4) & 7 == 1
    }

    /// What a decoder must know before the first picture or sound, in H.264 and AAC.
    pub fn is_config(&self) -> bool {
        match self.kind {
            9 => self.body[0] & 0x8f == 7 && self.body[1] == 0,
            8 => self.body[0] >> 4 == 10 && self.body[1] == 0,
            _ => false,
        }
    }

    /// That no pictures in H.264 come any more.
    pub fn end_of_pictures(time: u32) -> Self {
        Self { kind: 9, time, body: Bytes::from_static(&[0x17, 2, 0, 0, 0]) }
    }

    /// How much later than it is decoded an H.264 picture is shown, in ms.
    pub fn composition(&self) -> i32 {
        i32::from_be_bytes([self.body[2], self.body[3], self.body[4], 0]) >> 8
    }

    /// The slices of an H.264 picture, parameter sets and remarks left out.
    pub fn slices(&self) -> Vec<Bytes> {
        let mut slices = Vec::new();
        let mut at = 5;
        while at + 4 < self.body.len() {
            let length = self.body[at..at + 4].try_into().expect("four bytes");
            let length = u32::from_be_bytes(length) as usize;
            let unit = self.body.slice(at + 4..at + 4 + length);
            if is_slice(&unit) {
                slices.push(unit);
            }
            at += 4 + length;
        }
        slices
    }
}

/// A NAL unit of H.264 that holds a part of a picture.
fn is_slice(unit: &[u8]) -> bool {
    matches!(unit.first().map(|b| b & 0x1f), Some(1 | 5))
}

/// The slices of an H.264 picture in Annex B form.
pub fn annexb_slices(picture: &Bytes) -> Vec<Bytes> {
    let mut starts = Vec::new();
    let mut at = 0;
    while at + 3 <= picture.len() {
        if picture[at..at + 3] == [0, 0, 1] {
            starts.push(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    let ends = starts.iter().skip(1).map(|start| {
        let end = start - 3;
        if picture[end - 1] == 0 { end - 1 } else { end }
    });
    let ends: Vec<usize> = ends.chain([picture.len()]).collect();
    let units = starts.iter().zip(ends).map(|(start, end)| picture.slice(*start..end));
    units.filter(|unit| is_slice(unit)).collect()
}

/// The tags of a file.
pub fn tags(file: &Bytes) -> Vec<Tag> {
    assert_eq!(&file[..3], b"FLV", "no FLV file");
    let three = |at: usize| u32::from_be_bytes([0, file[at], file[at + 1], file[at + 2]]);
    let mut tags = Vec::new();
    // The header, and the size of no tag before the first.
    let mut at = 9 + 4;
    while at + 11 <= file.len() {
        let length = three(at + 1) as usize;
        let time = three(at + 4) | u32::from(file[at + 7]) << 24;
        let body = file.slice(at + 11..at + 11 + length);
        tags.push(Tag { kind: file[at] & 0x1f, time, body });
        at += 11 + length + 4;
    }
    tags
}
