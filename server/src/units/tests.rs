//! Readers beside a writer: who comes between keyframes, who is slow, who comes when it is over.

use bytes::Bytes;
use media::{Codec, MediaTime};

use super::*;

const LIMITS: Limits = Limits { bytes: 1 << 20, time: Duration::from_secs(12) };

struct Studio {
    writer: Writer,
    bus: Bus,
    start: Instant,
}

fn format(codec: Codec, config: &'static [u8]) -> Format {
    let (dimensions, sound) = match codec.kind() {
        Kind::Video => (Some((640, 360)), None),
        Kind::Audio => (None, Some((48_000, 2))),
    };
    Format { codec, config: Bytes::from_static(config), dimensions, sound }
}

impl Studio {
    fn new(limits: Limits) -> Self {
        let (mut writer, bus) = bus(limits);
        writer.format(VIDEO, format(Codec::H264, b"one"));
        writer.format(AUDIO, format(Codec::Aac, b"aac"));
        Self { writer, bus, start: crate::clock::now() }
    }

    fn send(&mut self, track: Track, ms: u64, keyframe: bool, size: usize) {
        let time = MediaTime::from_millis(ms as i64);
        let unit = AccessUnit { dts: time, pts: time, keyframe, data: vec![0; size].into() };
        let now = self.start + Duration::from_millis(ms);
        self.writer.unit(now, track, unit, now);
    }

    /// A picture and a packet of sound every 40 ms, a keyframe every second.
    fn play(&mut self, ms: std::ops::Range<u64>) {
        for ms in ms.step_by(40) {
            self.send(VIDEO, ms, ms % 1000 == 0, 1000);
            self.send(AUDIO, ms, true, 100);
        }
    }

    fn reader(&self, start: Start) -> Reader {
        self.bus.subscribe(start, &[VIDEO, AUDIO])
    }
}

/// Everything there is: `v0` a keyframe at 0 ms, `p40` another picture, `a40` sound, `F` and `f` formats.
fn read(reader: &mut Reader) -> Vec<String> {
    let text = |item| match item {
        Item::Format((Kind::Video, _), _) => "F".to_owned(),
        Item::Format((Kind::Audio, _), _) => "f".to_owned(),
        Item::Unit(track, unit, _) => {
            let kind = match (track.0, unit.keyframe) {
                (Kind::Audio, _) => "a",
                (Kind::Video, true) => "v",
                (Kind::Video, false) => "p",
            };
            format!("{kind}{}", unit.pts.millis())
        }
    };
    std::iter::from_fn(|| reader.read()).map(text).collect()
}

#[test]
fn who_comes_between_two_keyframes_begins_at_the_newest_with_its_formats() {
    let mut studio = Studio::new(LIMITS);
    studio.play(0..1100);
    let mut reader = studio.reader(Start::Keyframe);
    assert_eq!(read(&mut reader), ["F", "v1000", "f", "a1000", "p1040", "a1040", "p1080", "a1080"]);
    studio.play(1120..1160);
    assert_eq!(read(&mut reader), ["p1120", "a1120"]);
    assert_eq!(reader.lost(), 0);
    let only = studio.bus.subscribe(Start::Keyframe, &[AUDIO]);
    assert_eq!(only.lost(), 0);
}

/// Nobody reads meanwhile: it is kept for whoever comes.
#[test]
fn who_makes_files_has_a_whole_group_of_pictures_and_knows_how_far_apart_they_come() {
    let mut studio = Studio::new(LIMITS);
    studio.play(0..1100);
    let mut reader = studio.reader(Start::Group);
    assert_eq!(read(&mut reader)[..4], ["F", "v0", "f", "a0"]);
    assert_eq!(reader.cadence(VIDEO), None, "that takes two seconds");
    drop(reader);
    studio.play(1120..3100);
    let mut reader = studio.reader(Start::Group);
    assert_eq!(reader.cadence(VIDEO), Some(Duration::from_secs(1)));
    let all = read(&mut reader);
    assert_eq!((&all[1], all.len()), (&"v2000".to_owned(), 2 + 2 * 28), "and no more than one");
    assert_eq!(read(&mut studio.reader(Start::Keyframe))[1], "v3000");
    // Where there is no room for it, it is the newest.
    let mut small = Studio::new(Limits { bytes: 40_000, ..LIMITS });
    small.play(0..1100);
    assert_eq!(read(&mut small.reader(Start::Group))[1], "v1000");
}

#[test]
fn who_wants_what_is_live_gets_sound_at_once_and_pictures_from_the_next_keyframe_on() {
    let mut studio = Studio::new(LIMITS);
    studio.play(0..920);
    let mut reader = studio.reader(Start::Live);
    assert_eq!(read(&mut reader), [""; 0]);
    studio.play(920..1050);
    let all = ["f", "a920", "a960", "F", "v1000", "a1000", "p1040", "a1040"];
    assert_eq!(read(&mut reader), all);
}

#[test]
fn a_format_is_told_before_the_units_that_need_it_also_to_who_reads_later() {
    let mut studio = Studio::new(LIMITS);
    studio.send(VIDEO, 0, true, 10);
    let mut reader = studio.bus.subscribe(Start::Keyframe, &[VIDEO]);
    studio.writer.format(VIDEO, format(Codec::H264, b"one"));
    studio.send(VIDEO, 40, false, 10);
    studio.writer.format(VIDEO, format(Codec::H265, b"two"));
    studio.send(VIDEO, 80, true, 10);
    let items: Vec<Item> = std::iter::from_fn(|| reader.read()).collect();
    let codecs: Vec<Option<Codec>> = items
        .iter()
        .map(|item| match item {
            Item::Format(_, format) => Some(format.codec),
            Item::Unit(..) => None,
        })
        .collect();
    assert_eq!(
        codecs,
        [Some(Codec::H264), None, None, Some(Codec::H265), None],
        "no change, no word"
    );
}

#[test]
fn a_slow_reader_jumps_to_the_next_keyframe_and_counts() {
    let mut studio = Studio::new(LIMITS);
    let mut reader = studio.reader(Start::Live);
    studio.play(0..200);
    assert_eq!(read(&mut reader).len(), 12);
    // Two seconds late are forgiven.
    studio.play(200..2200);
    assert_eq!(read(&mut reader).len(), 100);
    // More are not: 2200 to 4960, of which what lies before 4000 is lost.
    studio.play(2200..4961);
    let all = read(&mut reader);
    assert_eq!(all[..2], ["v4000", "a4000"]);
    assert_eq!(reader.lost(), 2 * (4000 - 2200) / 40);
}

#[test]
fn without_a_keyframe_ahead_a_slow_reader_goes_on_live_with_sound() {
    let mut studio = Studio::new(LIMITS);
    studio.send(VIDEO, 0, true, 1000);
    let mut reader = studio.reader(Start::Keyframe);
    assert_eq!(read(&mut reader), ["F", "v0"]);
    for ms in (40..4000).step_by(40) {
        studio.send(VIDEO, ms, false, 1000);
    }
    assert_eq!(read(&mut reader), [""; 0]);
    assert_eq!(reader.lost(), 99);
    studio.send(VIDEO, 4000, false, 10);
    studio.send(AUDIO, 4000, true, 10);
    studio.send(VIDEO, 4040, true, 10);
    assert_eq!(read(&mut reader), ["f", "a4000", "v4040"]);
}

#[test]
fn who_begins_far_behind_may_take_its_time_to_catch_up() {
    let mut studio = Studio::new(LIMITS);
    for ms in (0..8000).step_by(40) {
        studio.send(VIDEO, ms, ms == 0, 1000);
    }
    let mut reader = studio.reader(Start::Keyframe);
    for _ in 0..50 {
        assert!(reader.read().is_some());
    }
    assert_eq!(read(&mut reader).len(), 200 + 1 - 50);
    assert_eq!(reader.lost(), 0);
}

#[test]
fn what_is_kept_is_bounded_in_bytes_and_time() {
    let entries = |studio: &Studio| {
        let log = studio.bus.0.log();
        log.head() - log.first()
    };
    let mut small = Studio::new(Limits { bytes: 10_000, ..LIMITS });
    small.play(0..10_000);
    assert!(entries(&small) <= 20, "{}", entries(&small));
    // No keyframe but the first: all is kept up to the bound.
    let mut long = Studio::new(LIMITS);
    for ms in (0..20_000).step_by(40) {
        long.send(VIDEO, ms, ms == 0, 10);
    }
    assert!(entries(&long) <= 301, "{}", entries(&long));
    let mut reader = long.reader(Start::Keyframe);
    assert_eq!(read(&mut reader), [""; 0], "its keyframe is gone");
    // Sound alone: the last two seconds, for those who are a little late; nothing for nobody.
    let mut sound = Studio::new(LIMITS);
    let play = |ms: std::ops::Range<u64>, sound: &mut Studio| {
        for ms in ms.step_by(20) {
            sound.send(AUDIO, ms, true, 10);
        }
    };
    play(0..10_000, &mut sound);
    assert_eq!(entries(&sound), 0);
    let _reader = sound.reader(Start::Live);
    play(10_000..20_000, &mut sound);
    assert_eq!(entries(&sound), 100);
    // What somebody has not read and is gone is counted.
    let mut late = small.reader(Start::Live);
    assert_eq!(read(&mut late), [""; 0]);
    small.play(10_000..12_000);
    read(&mut late);
    assert!(late.lost() > 50, "{}", late.lost());
}

#[test]
fn a_track_without_a_format_is_nobodys_and_tracks_are_bounded() {
    let mut studio = Studio::new(LIMITS);
    studio.send((Kind::Video, 3), 0, true, 10);
    for index in 1..=255 {
        studio.writer.format((Kind::Video, index), format(Codec::H264, b"x"));
    }
    assert_eq!(studio.bus.0.log().formats.len(), 16);
    assert_eq!(studio.bus.0.log().head(), 0);
}

#[tokio::test]
async fn readers_wait_and_come_to_an_end_with_the_publisher() {
    let mut studio = Studio::new(LIMITS);
    let mut reader = studio.reader(Start::Live);
    let task = tokio::spawn(async move {
        let mut count = 0;
        while reader.next().await.is_some() {
            count += 1;
        }
        count
    });
    tokio::task::yield_now().await;
    studio.play(0..400);
    let bus = studio.bus.clone();
    drop(studio);
    assert_eq!(task.await.unwrap(), 22);
    let mut late = bus.subscribe(Start::Live, &[VIDEO]);
    assert!(late.next().await.is_none());
}

#[test]
fn late_is_what_came_long_ago_and_not_what_is_shown_early() {
    // One picture a second, shown three seconds after it comes, as with B-frames.
    let mut studio = Studio::new(LIMITS);
    let mut reader = studio.reader(Start::Live);
    read(&mut reader);
    let mut sound = 0;
    for ms in (0..10_000).step_by(20) {
        let (now, time) =
            (studio.start + Duration::from_millis(ms), MediaTime::from_millis(ms as i64));
        if ms % 1000 == 0 {
            let pts = time.plus(MediaTime::from_millis(3000));
            let unit = AccessUnit { dts: time, pts, keyframe: true, data: vec![0; 10].into() };
            studio.writer.unit(now, VIDEO, unit, now + Duration::from_secs(3));
        }
        studio.send(AUDIO, ms, true, 10);
        sound += read(&mut reader).iter().filter(|item| item.starts_with('a')).count();
    }
    assert_eq!((sound, reader.lost()), (500, 0));
}

#[test]
fn tiny_units_cost_more_than_their_bytes() {
    let mut studio = Studio::new(Limits { bytes: 100_000, time: Duration::from_secs(600) });
    for ms in 0..20_000 {
        studio.send(VIDEO, ms, ms == 0, 1);
    }
    let log = studio.bus.0.log();
    let kept = log.head() - log.first();
    assert!(kept <= 100_000 / 160, "{kept}");
}

#[test]
fn a_bus_that_nobody_holds_ends_for_good_and_one_that_is_taken_does_not() {
    let studio = Studio::new(LIMITS);
    let weak = studio.bus.downgrade();
    assert!(!studio.writer.end_if_unwanted());
    let Studio { writer, bus, .. } = studio;
    drop(bus);
    let taken = weak.upgrade().expect("it goes on");
    assert!(!writer.end_if_unwanted());
    drop(taken);
    assert!(writer.end_if_unwanted());
    assert!(weak.upgrade().is_none(), "also while its writer is still there");
}

#[tokio::test]
async fn who_cannot_go_on_without_a_keyframe_has_one_asked_for() {
    let mut studio = Studio::new(LIMITS);
    let asked = |studio: &Studio| futures_now(studio.writer.keyframe_wanted());
    let mut reader = studio.reader(Start::Keyframe);
    assert!(asked(&studio), "there is none yet");
    studio.send(VIDEO, 0, false, 10);
    studio.send(VIDEO, 40, true, 10);
    studio.send(VIDEO, 80, false, 10);
    read(&mut reader);
    assert!(asked(&studio), "the first was no keyframe");
    let mut late = studio.reader(Start::Keyframe);
    read(&mut late);
    assert!(!asked(&studio), "both have one");
    reader.await_keyframe();
    studio.send(VIDEO, 120, false, 10);
    read(&mut reader);
    assert!(asked(&studio));
    let made = units_of_a_bridge(&mut studio);
    assert_eq!(made, ["F"; 0]);
    assert!(!asked(&studio), "the publisher cannot help there");
}

/// Whether it is there already.
fn futures_now(future: impl Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut context).is_ready()
}

/// What a reader of a bridged track without a keyframe gets.
fn units_of_a_bridge(studio: &mut Studio) -> Vec<String> {
    let track = bridged(Codec::H264);
    studio.writer.format(track, format(Codec::H264, b"made"));
    let mut reader = studio.bus.subscribe(Start::Keyframe, &[track]);
    studio.send(track, 160, false, 10);
    read(&mut reader)
}

#[test]
fn what_is_kept_begins_with_the_newest_keyframe_and_has_no_format_of_before() {
    let mut studio = Studio::new(LIMITS);
    let pictures = |studio: &Studio| {
        let kept = studio.writer.kept().into_iter().filter(|entry| entry.track == VIDEO);
        kept.map(|entry| entry.unit.pts.millis()).collect::<Vec<_>>()
    };
    assert!(studio.writer.kept().is_empty());
    studio.play(0..1100);
    assert_eq!(pictures(&studio), [1000, 1040, 1080]);
    assert_eq!(studio.writer.kept().len(), 6, "and the sound beside them");
    studio.writer.format(VIDEO, format(Codec::H264, b"two"));
    assert!(pictures(&studio).is_empty(), "no decoder goes on with them");
    studio.send(VIDEO, 1120, true, 1000);
    assert_eq!(pictures(&studio), [1120]);
}
