//! What FFmpeg wrote.

use media::MediaTime;

use super::*;

/// The times at which 12 pictures are shown, 25 per second, from the first on.
fn shown(units: &[AccessUnit]) -> Vec<i64> {
    let mut times: Vec<_> = units.iter().map(|unit| unit.pts.millis()).collect();
    times.sort_unstable();
    times.iter().map(|time| time - times[0]).collect()
}

fn steps(units: &[AccessUnit]) -> Vec<MediaTime> {
    units.windows(2).map(|pair| pair[1].dts.since(pair[0].dts)).collect()
}

#[track_caller]
fn check_video(feed: &Feed, track: Track, codec: Codec, size: (u16, u16)) -> Vec<AccessUnit> {
    let formats = feed.formats(track);
    // SVT-AV1's first sequence header says less than that in its pictures, and so the format changes once.
    assert_eq!(formats.len(), if codec == Codec::Av1 { 2 } else { 1 }, "{formats:?}");
    assert!(formats.iter().all(|f| (f.codec, f.dimensions) == (codec, Some(size))));
    let units = feed.units(track);
    assert_eq!(shown(&units), (0..12).map(|n| 40 * n).collect::<Vec<_>>());
    assert!(steps(&units).iter().all(|step| *step == MediaTime::from_millis(40)));
    assert!(units[0].keyframe && !units[1].keyframe);
    assert_eq!(units.iter().filter(|unit| unit.keyframe).count(), 2);
    units
}

#[track_caller]
fn check_sound(feed: &Feed, track: Track, codec: Codec, channels: u8, step: MediaTime) {
    let formats = feed.formats(track);
    assert_eq!(formats.len(), 1, "{formats:?}");
    assert_eq!((formats[0].codec, formats[0].sound), (codec, Some((48_000, channels))));
    let units = feed.units(track);
    assert!(units.len() >= 20, "{}", units.len());
    assert!(steps(&units).iter().all(|s| *s == step), "exact: {:?}", steps(&units));
    assert!(units.iter().all(|unit| unit.keyframe && unit.pts == unit.dts));
}

const AAC_UNIT: MediaTime = MediaTime::new(1024, 48_000);

#[test]
fn classic_avc_with_b_frames_and_aac() {
    let feed = read(AVC_AAC);
    let units = check_video(&feed, VIDEO, Codec::H264, (64, 48));
    assert!(units.iter().any(|unit| unit.pts != unit.dts), "it has B-frames");
    assert!(units.iter().all(|unit| unit.pts >= unit.dts));
    check_sound(&feed, AUDIO, Codec::Aac, 2, AAC_UNIT);
    assert_eq!(feed.dropped_at_all(), []);
    assert_eq!(feed.items.iter().filter(|i| matches!(i, Item::End { .. })).count(), 1);
    // The encoder of the sound begins 1024 samples before the first picture.
    let first = [units[0].pts, feed.units(AUDIO)[0].pts].map(MediaTime::millis);
    assert_eq!(first, [80, 59]);
}

#[test]
fn enhanced_hevc_with_b_frames() {
    let feed = read(HEVC_AAC);
    let units = check_video(&feed, VIDEO, Codec::H265, (64, 48));
    assert!(units.iter().any(|unit| unit.pts != unit.dts), "it has B-frames");
    check_sound(&feed, AUDIO, Codec::Aac, 2, AAC_UNIT);
    assert_eq!(feed.dropped_at_all(), [("metadata", 1)], "colours");
}

#[test]
fn enhanced_av1_and_opus() {
    let feed = read(AV1_OPUS);
    check_video(&feed, VIDEO, Codec::Av1, (64, 48));
    check_sound(&feed, AUDIO, Codec::Opus, 2, MediaTime::from_millis(20));
    assert_eq!(feed.dropped_at_all(), [("metadata", 1), ("channels", 1)]);
    assert!(feed.formats(AUDIO)[0].config.starts_with(b"OpusHead"));
}

#[test]
fn enhanced_vp9_and_opus_of_10_ms() {
    let feed = read(VP9_OPUS);
    check_video(&feed, VIDEO, Codec::Vp9, (64, 48));
    check_sound(&feed, AUDIO, Codec::Opus, 2, MediaTime::from_millis(10));
    assert!(feed.formats(VIDEO)[0].config.is_empty(), "vpcC is not ours to keep");
}

#[test]
fn two_tracks_of_each() {
    let feed = read(MULTITRACK);
    let second = |kind| Track { kind, id: 1 };
    check_video(&feed, VIDEO, Codec::H264, (64, 48));
    check_video(&feed, second(Kind::Video), Codec::H264, (32, 24));
    check_sound(&feed, AUDIO, Codec::Aac, 1, AAC_UNIT);
    check_sound(&feed, second(Kind::Audio), Codec::Opus, 1, MediaTime::from_millis(20));
}

#[test]
fn units_share_the_bytes_of_their_messages() {
    for file in FILES {
        let feed = read(file);
        let within = file.as_ptr_range();
        let units = [feed.units(VIDEO), feed.units(AUDIO)].concat();
        assert!(units.iter().all(|unit| within.contains(&unit.data.as_ptr())));
        let formats = [feed.formats(VIDEO), feed.formats(AUDIO)].concat();
        let copied = |f: &Format| f.config.is_empty() || !within.contains(&f.config.as_ptr());
        assert!(formats.iter().all(copied), "a format must not hold a message");
    }
}
