//! What a publisher of ours sends: H.264-shaped video and Opus-shaped audio in the sizes and at the
//! times of a browser. The NAL headers, parameter sets and slice types are right, the picture data
//! is noise: an SFU reads no further.

use media::{Codec, payload};

/// Chromium fills packets of 1200 bytes: this is left for the payload.
const MAX_PAYLOAD: usize = 1172;
/// Constrained baseline 3.1, 1280x720.
const SPS: [u8; 13] = [0x67, 0x42, 0xe0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xe4, 0, 0, 0, 0];
const SPS_LENGTH: usize = 9;
const PPS: [u8; 4] = [0x68, 0xce, 0x3c, 0x80];
/// A keyframe is so many times as large as another frame.
const KEYFRAME: f64 = 6.0;
/// Frames of Opus: 20 ms.
const AUDIO_EVERY: u64 = 20_000;

/// Where in a payload the time of sending stands: behind every header that a server reads.
const MARK_AT: usize = 12;
const MARK: [u8; 4] = *b"wbT1";
const MARK_END: usize = MARK_AT + MARK.len() + 8;

/// Writes the time of sending (CLOCK_REALTIME, µs) into a payload, if it has room and nothing
/// that a server reads is there.
pub fn stamp(codec: Codec, payload: &mut [u8], now: u64) {
    let head = codec != Codec::Opus && payload::inspect(codec, payload).keyframe_start;
    let unit = payload.first().map_or(0, |b| b & 0x1f);
    let sets = codec == Codec::H264 && !matches!(unit, 1 | 5 | 28);
    if head || sets || payload.len() < MARK_END {
        return;
    }
    payload[MARK_AT..MARK_AT + 4].copy_from_slice(&MARK);
    payload[MARK_AT + 4..MARK_END].copy_from_slice(&now.to_be_bytes());
}

/// When the payload was sent, if it is one of ours.
pub fn sent_at(payload: &[u8]) -> Option<u64> {
    let (mark, time) = payload.get(MARK_AT..MARK_END)?.split_at(4);
    (mark == MARK).then(|| time.first_chunk().map(|t| u64::from_be_bytes(*t)))?
}

/// Packets that belong to one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// µs since the start.
    pub at: u64,
    /// Video or audio.
    pub video: bool,
    /// In ticks of the codec's clock since the start.
    pub timestamp: u32,
    /// Payloads, and whether the marker bit is set.
    pub packets: Vec<(Vec<u8>, bool)>,
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Video bits per second.
    pub bitrate: u32,
    /// Frames per second.
    pub fps: u32,
    /// Frames from one keyframe to the next.
    pub gop: u32,
    /// With audio.
    pub audio: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { bitrate: 2_500_000, fps: 30, gop: 60, audio: true }
    }
}

impl Shape {
    /// From one keyframe to the next and one frame more, in µs: publishers that begin at equal shares
    /// of this after each other have neither their keyframes nor their pictures in common.
    pub fn period_us(&self) -> u64 {
        1_000_000 * u64::from(self.gop + 1) / u64::from(self.fps.max(1))
    }
}

/// An endless stream of frames.
#[derive(Clone, Debug)]
pub struct Generator {
    shape: Shape,
    frame: u64,
    since_keyframe: u32,
    sound: u64,
    random: u64,
}

impl Generator {
    /// The same `seed` gives the same stream.
    pub fn new(shape: Shape, seed: u64) -> Self {
        Self { shape, frame: 0, since_keyframe: 0, sound: 0, random: seed }
    }

    /// The next frame is a keyframe.
    pub fn keyframe(&mut self) {
        self.since_keyframe = 0;
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0.85 to 1.15.
    fn wobble(&mut self) -> f64 {
        0.85 + 0.3 * (self.random() % 1000) as f64 / 1000.0
    }

    fn noise(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            // No zero bytes: nothing in it can look like a start code.
            bytes.extend(self.random().to_le_bytes().map(|b| b | 1));
        }
        bytes.truncate(length);
        bytes
    }

    fn picture(&mut self, at: u64) -> Frame {
        let Shape { bitrate, fps, gop, .. } = self.shape;
        let keyframe = self.since_keyframe == 0;
        self.since_keyframe = (self.since_keyframe + 1) % gop.max(1);
        let per_gop = f64::from(bitrate) / 8.0 * f64::from(gop) / f64::from(fps);
        let plain = per_gop / (f64::from(gop) - 1.0 + KEYFRAME);
        let size = plain * if keyframe { KEYFRAME } else { 1.0 } * self.wobble();
        let mut packets = Vec::new();
        if keyframe {
            packets.push((parameter_sets(), false));
        }
        // IDR or not; the slice starts with macroblock 0 and says I or P.
        let (header, slice) = if keyframe { (0x65, 0x88) } else { (0x41, 0x98) };
        let mut body = self.noise((size as usize).max(64));
        body[0] = slice;
        fragments(header, &body, &mut packets);
        if let Some((_, marker)) = packets.last_mut() {
            *marker = true;
        }
        Frame { at, video: true, timestamp: (at * 90 / 1000) as u32, packets }
    }

    fn sound(&mut self, at: u64) -> Frame {
        let length = 100 + (self.random() % 80) as usize;
        let mut payload = self.noise(length);
        // CELT, full band, 20 ms, stereo, one frame (RFC 6716 section 3.1).
        payload[0] = 0xfc;
        Frame {
            at,
            video: false,
            timestamp: (at * 48 / 1000) as u32,
            packets: vec![(payload, false)],
        }
    }
}

impl Iterator for Generator {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        let picture = self.frame * 1_000_000 / u64::from(self.shape.fps.max(1));
        let sound = self.sound * AUDIO_EVERY;
        if self.shape.audio && sound < picture {
            self.sound += 1;
            return Some(self.sound(sound));
        }
        self.frame += 1;
        Some(self.picture(picture))
    }
}

/// SPS and PPS of what is generated.
pub fn parameters() -> (&'static [u8], &'static [u8]) {
    (&SPS[..SPS_LENGTH], &PPS)
}

/// SPS and PPS in one packet: STAP-A, RFC 6184 section 5.7.1.
fn parameter_sets() -> Vec<u8> {
    let sps = &SPS[..SPS_LENGTH];
    let mut payload = vec![0x78, 0, sps.len() as u8];
    payload.extend_from_slice(sps);
    payload.extend_from_slice(&[0, PPS.len() as u8]);
    payload.extend_from_slice(&PPS);
    payload
}

/// FU-A, RFC 6184 section 5.8, in about equal pieces: the last ones are a byte longer.
fn fragments(header: u8, body: &[u8], packets: &mut Vec<(Vec<u8>, bool)>) {
    let count = body.len().div_ceil(MAX_PAYLOAD - 2).max(1);
    if count == 1 {
        return packets.push(([&[header], body].concat(), false));
    }
    let (size, longer) = (body.len() / count, body.len() % count);
    let mut rest = body;
    for i in 0..count {
        let (piece, after) = rest.split_at(size + usize::from(i >= count - longer));
        rest = after;
        let start = if i == 0 { 0x80 } else { 0 };
        let end = if i == count - 1 { 0x40 } else { 0 };
        let fu = [(header & 0xe0) | 28, start | end | (header & 0x1f)];
        packets.push(([&fu, piece].concat(), false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_the_keyframes_are_as_asked() {
        let shape = Shape { gop: 30, ..Shape::default() };
        let mut generator = Generator::new(shape, 1);
        let frames: Vec<Frame> = generator.by_ref().take_while(|f| f.at < 10_000_000).collect();
        let video: Vec<&Frame> = frames.iter().filter(|f| f.video).collect();
        assert_eq!((video.len(), frames.len() - video.len()), (300, 500));
        let bytes: usize = video.iter().flat_map(|f| &f.packets).map(|(p, _)| p.len()).sum();
        let rate = bytes as f64 * 8.0 / 10.0;
        assert!((2.4e6..2.7e6).contains(&rate), "{rate}");
        for (i, frame) in video.iter().enumerate() {
            let info = payload::inspect(Codec::H264, &frame.packets[0].0);
            assert_eq!(info.keyframe_start, i % 30 == 0, "frame {i}");
            assert!(i % 30 != 0 || info.dimensions == Some((1280, 720)));
            let markers: Vec<bool> = frame.packets.iter().map(|p| p.1).collect();
            assert!(markers.iter().rev().skip(1).all(|m| !m) && markers[markers.len() - 1]);
            assert!(frame.packets.iter().all(|(p, _)| p.len() <= MAX_PAYLOAD));
        }
        generator.keyframe();
        let next = generator.find(|f| f.video).unwrap();
        assert!(payload::inspect(Codec::H264, &next.packets[0].0).keyframe_start);
    }

    #[test]
    fn the_time_of_sending_is_found_again_and_hides_nothing() {
        for frame in Generator::new(Shape::default(), 2).take(200) {
            let codec = if frame.video { Codec::H264 } else { Codec::Opus };
            for (mut payload, _) in frame.packets {
                let before = payload::inspect(codec, &payload);
                stamp(codec, &mut payload, 77);
                assert_eq!(payload::inspect(codec, &payload), before);
                let stamped = !frame.video || !before.keyframe_start;
                assert_eq!(sent_at(&payload), stamped.then_some(77));
            }
        }
        assert_eq!(sent_at(&[0; 100]), None);
    }
}
