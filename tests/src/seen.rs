//! What a viewer saw of a film (`film`): which pictures, when each is shown, and what of it is byte for byte the publisher's.

use std::time::Duration;

use bytes::Bytes;

use crate::clip::Codec;
use crate::film::{self, FPS};
use crate::flv::{Tag, annexb_slices};
use crate::pictures::{Picture, pictures};
use crate::track::{Packet, Track};
use crate::viewer::Viewer;

/// RTP ticks of a picture.
const FRAME: i64 = 90_000 / FPS as i64;
/// What a viewer has missed is caught up within this time, or given up.
const CATCHES_UP: Duration = Duration::from_secs(3);

/// A picture of a film at a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Which of the film's it is.
    pub number: u16,
    /// RTP timestamp.
    pub timestamp: u32,
}

/// The H.264 pictures of a track, from the first that is complete.
pub fn h264(track: &Track) -> Vec<Picture> {
    assert_eq!(track.missing(), [0u64; 0], "packets lost on loopback");
    let packets: Vec<Packet> =
        track.packets.values().filter(|p| p.pt == Codec::H264.payload_type()).cloned().collect();
    pictures(Codec::H264, &packets)
}

/// How many of these pictures came in the first three seconds: who joins between two keyframes sees the first ones faster than they
/// are, and on a busy machine a still and then the next keyframe. What comes after them is as it was published.
pub fn settled(track: &Track, pictures: &[Picture]) -> usize {
    let at = |picture: &Picture| track.packets[&picture.first].at;
    let end = at(&pictures[0]) + CATCHES_UP;
    pictures.iter().take_while(|picture| at(picture) < end).count()
}

/// Decodes H.264 pictures; each must be one of the film's.
#[track_caller]
pub fn shown(pictures: &[Picture]) -> Vec<Shown> {
    let stream: Vec<u8> = pictures.iter().flat_map(|p| p.data.iter().copied()).collect();
    let numbers = film::numbers("h264", &stream);
    assert_eq!(
        numbers.len(),
        pictures.len(),
        "as many pictures come out of the decoder as went in"
    );
    let both = numbers.into_iter().zip(pictures);
    both.map(|(number, picture)| {
        let number = number.unwrap_or_else(|| {
            panic!("a picture that is none of the film's: {:?}", picture.timestamp)
        });
        Shown { number, timestamp: picture.timestamp }
    })
    .collect()
}

/// Time goes on, and so do the pictures; those after the first `settled` in the order of the film, none left out and none twice, each at
/// its time, to the millisecond of RTMP.
#[track_caller]
pub fn in_step(shown: &[Shown], settled: usize) {
    assert!(
        shown.len() > settled + 30,
        "only {} pictures, {settled} of them in the beginning",
        shown.len()
    );
    for (at, pair) in shown.windows(2).enumerate() {
        let (a, b) = (pair[0], pair[1]);
        let next = b.number == a.number + 1 || b.number == 0;
        let later = at < settled && b.number > a.number;
        assert!(next || later, "picture {} comes after {}", b.number, a.number);
        let step = b.timestamp.wrapping_sub(a.timestamp) as i32;
        assert!(step > 0, "time goes back by {step} at picture {}", b.number);
    }
    // The film begins anew with a small gap, where its sound is longer than its pictures.
    for run in shown[settled..].chunk_by(|a, b| b.number == a.number + 1) {
        for one in run {
            let should = i64::from(one.number - run[0].number) * FRAME;
            let is = i64::from(one.timestamp.wrapping_sub(run[0].timestamp) as i32);
            assert!(
                (is - should).abs() <= 135,
                "picture {} is at {is} ticks instead of {should}",
                one.number
            );
        }
    }
}

/// The slices are those of the film, in its order.
#[track_caller]
pub fn identical(pictures: &[Picture], tags: &[Tag]) {
    let film: Vec<Vec<Bytes>> = tags.iter().filter(|t| t.is_picture()).map(Tag::slices).collect();
    let seen: Vec<Vec<Bytes>> = pictures.iter().map(|p| annexb_slices(&p.data)).collect();
    let first = film.iter().position(|slices| *slices == seen[0]);
    let first = first.expect("the first picture is one of the film's, byte for byte");
    for (at, slices) in seen.iter().enumerate() {
        let number = (first + at) % film.len();
        assert!(*slices == film[number], "picture {number} is not as it was sent");
    }
}

/// Beeps come at the film's pace, in what has come of sound.
#[track_caller]
pub fn beeps_in_step(viewer: &Viewer) {
    let track = viewer.audio();
    assert_eq!(track.missing(), [0u64; 0], "packets lost on loopback");
    let packets: Vec<Bytes> = track.packets.values().map(|p| p.payload.clone()).collect();
    let beeps = film::beeps(&packets);
    // A beep that is cut by the first packet is none; one may lie in the film's seam.
    let wanted = packets.len() / 50 * 3 / 2 - 1;
    assert!(beeps.len() >= wanted.max(2), "{} beeps in {} packets", beeps.len(), packets.len());
    for pair in beeps.windows(2) {
        let apart = (pair[1] - pair[0]) as i64;
        assert!((apart - 32_000).abs() < 1500, "beeps are {apart} samples apart: {beeps:?}");
    }
}
