//! Publishers whose clocks, networks and programs behave as they do.

mod hours;

use std::time::{Duration, Instant};

use media::Kind;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const VIDEO: Track = Track::main(Kind::Video);
const AUDIO: Track = Track::main(Kind::Audio);
const AAC: Option<(u32, u32)> = Some((1024, 48_000));

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
fn epoch() -> Instant {
    Instant::now()
}

/// A [`Timeline`] whose clock is milliseconds.
struct Bench {
    timeline: Timeline,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { timeline: Timeline::new(), start: epoch() }
    }

    fn mark(&mut self, arrival: u64, track: Track, mark: Mark) -> Place {
        self.timeline.place(self.start + Duration::from_millis(arrival), track, mark)
    }

    /// Where a picture lies, in milliseconds.
    fn video(&mut self, arrival: u64, timestamp: u32) -> i64 {
        self.mark(arrival, VIDEO, picture(timestamp)).dts.millis()
    }

    fn audio(&mut self, arrival: u64, timestamp: u32) -> i64 {
        self.mark(arrival, AUDIO, picture(timestamp)).dts.millis()
    }

    fn jumps(&self) -> u64 {
        self.timeline.counters().jumps
    }
}

fn picture(timestamp: u32) -> Mark {
    Mark { timestamp, nanos: None, composition: 0, span: None }
}

fn sound(timestamp: u32, span: Option<(u32, u32)>) -> Mark {
    Mark { span, ..picture(timestamp) }
}

#[test]
fn wraps_go_on_without_a_step() {
    for last in [u32::MAX, i32::MAX as u32, 0x00ff_ffff] {
        let mut bench = Bench::new();
        let mut times = Vec::new();
        for n in 0..10u32 {
            // The bits above are lost.
            let timestamp = (last - 99).wrapping_add(20 * n) & last;
            times.push(bench.video((20 * n).into(), timestamp));
        }
        assert_eq!(times, (0..10).map(|n| 20 * n).collect::<Vec<_>>(), "{last:#x}");
        assert_eq!(bench.jumps(), 0);
    }
}

#[test]
fn a_small_step_back_is_held_and_moves_nobody_else() {
    let mut bench = Bench::new();
    for n in 0..5 {
        bench.video(40 * n, 40 * n as u32);
        bench.audio(40 * n + 1, 40 * n as u32 + 1);
    }
    assert_eq!(bench.video(200, 100), 161, "right behind the one before");
    assert_eq!(bench.video(200, 160), 162);
    assert_eq!(bench.audio(201, 201), 201);
    assert_eq!(bench.video(240, 240), 240);
    assert_eq!((bench.timeline.counters().held, bench.jumps()), (2, 0));
}

#[test]
fn a_restarted_encoder_goes_on_where_time_is() {
    let mut bench = Bench::new();
    for n in 0..100 {
        bench.video(1000 + 40 * n, 7_200_000 + 40 * n as u32);
        bench.audio(1000 + 40 * n, 7_200_010 + 40 * n as u32);
    }
    // Two seconds later it begins at 0, sound half a frame behind.
    let place = bench.mark(6960, VIDEO, picture(0));
    assert_eq!((place.dts.millis(), place.jump), (5960, Some(-7_203_960 - 2000)));
    let place = bench.mark(6965, AUDIO, picture(20));
    assert_eq!((place.dts.millis(), place.jump), (5980, None), "said once, and moved together");
    assert_eq!(bench.video(7000, 40), 6000);
    assert_eq!(bench.jumps(), 1);
}

#[test]
fn what_was_under_way_before_a_jump_stays_where_it_was() {
    let mut bench = Bench::new();
    for n in 0..10 {
        bench.video(40 * n, 40 * n as u32);
        bench.audio(40 * n, 40 * n as u32);
    }
    assert_eq!(bench.video(400, 5_000_000), 400);
    assert_eq!(bench.audio(400, 400), 400, "the old run's end");
    assert_eq!(bench.video(440, 5_000_040), 440);
    assert_eq!(bench.audio(440, 440), 440);
    assert_eq!(bench.audio(480, 5_000_080), 480);
    assert_eq!(bench.jumps(), 1);
}

#[test]
fn a_jump_that_one_track_hardly_sees_moves_both() {
    // 490 ms forward: with its own step the picture sees more than 500, the sound less.
    for sound_first in [true, false] {
        let mut bench = Bench::new();
        for n in 0..50 {
            bench.video(20 * n, 20 * n as u32);
            bench.audio(20 * n, 20 * n as u32);
        }
        bench.video(1000, 1000);
        let (video, audio) = if sound_first {
            let audio = bench.audio(1000, 1480);
            (bench.video(1020, 1510), audio)
        } else {
            (bench.video(1020, 1510), bench.audio(1020, 1480))
        };
        assert_eq!(video - audio, 30, "sound first: {sound_first}");
    }
}

#[test]
fn what_was_wrongly_taken_for_a_jump_does_not_part_the_tracks() {
    let mut bench = Bench::new();
    bench.audio(0, 0);
    bench.video(0, 0);
    // The first units came late; a picture is missing, and the sound has not said that time went on.
    assert_eq!(bench.video(100, 1000), 100);
    assert_eq!(bench.jumps(), 1);
    let mut apart = 0;
    for n in 1..100u32 {
        let clock = u64::from(n) * 20;
        let audio = bench.audio(100 + clock, 20 * n);
        let video = bench.video(100 + clock, 1000 + 20 * n);
        apart = (video - i64::from(1000 + 20 * n)) - (audio - i64::from(20 * n));
    }
    assert_ne!(apart, 0, "they are apart as long as their timestamps are");
    for n in 100..120u32 {
        let clock = u64::from(n) * 20;
        let audio = bench.audio(100 + clock, 1000 + 20 * n);
        let video = bench.video(100 + clock, 1000 + 20 * n);
        apart = video - audio;
    }
    assert_eq!(apart, 0, "and together as soon as those are");
}

#[test]
fn a_pause_is_no_jump() {
    let mut bench = Bench::new();
    bench.video(0, 0);
    bench.audio(0, 0);
    // Twenty seconds of nothing; then a slide every three seconds, and a stall that ends in a burst.
    assert_eq!(bench.video(20_000, 20_000), 20_000);
    assert_eq!(bench.audio(20_001, 20_001), 20_001);
    assert_eq!(bench.video(23_000, 23_000), 23_000);
    assert_eq!(bench.video(31_000, 26_000), 26_000);
    assert_eq!(bench.video(31_000, 29_000), 29_000);
    assert_eq!(bench.audio(31_000, 30_900), 30_900);
    assert_eq!(bench.jumps(), 0);
}

#[test]
fn a_file_sent_as_fast_as_it_goes_keeps_its_times() {
    let mut bench = Bench::new();
    for n in 0..50_000 {
        assert_eq!(bench.video(u64::from(n) / 10, 40 * n), i64::from(40 * n));
        assert_eq!(bench.audio(u64::from(n) / 10, 40 * n + 300), i64::from(40 * n + 300));
    }
    // Three seconds without a picture.
    for n in 50_000..50_075 {
        bench.audio(5000, 40 * n + 300);
    }
    assert_eq!(bench.video(5000, 40 * 50_075), 40 * 50_075);
    assert_eq!(bench.jumps(), 0);
}

#[test]
fn tracks_of_unrelated_clocks_both_go_on_as_they_arrive() {
    let mut bench = Bench::new();
    for n in 0..1000u32 {
        let arrival = u64::from(n) * 40;
        assert_eq!(bench.video(arrival, 40 * n), i64::from(40 * n));
        assert_eq!(bench.audio(arrival, 900_000_000 + 40 * n), i64::from(40 * n));
    }
    assert_eq!(bench.jumps(), 0, "nothing jumped, it began so");
}

#[test]
fn late_arrivals_after_jumps_do_not_add_up() {
    let mut bench = Bench::new();
    let (mut base, mut random) = (0u32, Random(7));
    for n in 0..36_000u32 {
        if n % 150 == 149 {
            base = random.next();
        }
        let (at, late) = (u64::from(n) * 40, u64::from(random.next() % 300));
        let place = bench.video(at + late, base.wrapping_add(40 * n));
        let off = place - at as i64;
        assert!((-300..=600).contains(&off), "{off} ms after {} jumps", bench.jumps());
    }
    assert!(bench.jumps() > 200);
}

#[test]
fn sound_is_exact_whichever_way_milliseconds_were_rounded() {
    for rate in [48_000, 44_100, 22_050] {
        for add in [0, rate / 2, rate - 1] {
            let mut bench = Bench::new();
            let mut last = None;
            for n in 0..20_000u64 {
                let timestamp = (n * 1024 * 1000 + u64::from(add)) / u64::from(rate);
                let mark = sound(timestamp as u32, Some((1024, rate)));
                let dts = bench.mark(timestamp, AUDIO, mark).dts;
                assert_eq!(dts.scale(), rate);
                let ticks = dts.ticks();
                assert!(last.is_none_or(|last| ticks - last == 1024), "{rate} {add} {n}");
                last = Some(ticks);
            }
            assert_eq!(bench.timeline.counters(), Counters::default());
        }
    }
}

#[test]
fn sound_that_stutters_is_smoothed_and_gaps_are_kept() {
    let mut bench = Bench::new();
    let mut random = Random(3);
    let mut last = 0;
    for n in 0..5_000u64 {
        let exact = n * 1024 * 1000 / 48_000;
        let timestamp = exact as u32 + random.next() % 9;
        let ticks = bench.mark(exact, AUDIO, sound(timestamp, AAC)).dts.ticks();
        assert!(n == 0 || (1000..=1048).contains(&(ticks - last)), "{n}: {}", ticks - last);
        last = ticks;
    }
    assert_eq!(bench.timeline.counters().resynced, 0);
    // One unit is missing.
    let missing = 5_001 * 1024 * 1000 / 48_000;
    let ticks = bench.mark(missing, AUDIO, sound(missing as u32 + 4, AAC)).dts.ticks();
    assert!((1900..=2300).contains(&(ticks - last)), "{}", ticks - last);
    assert_eq!(bench.timeline.counters().resynced, 1);
}

#[test]
fn composition_times_are_bounded() {
    let mut bench = Bench::new();
    let mut shown = |composition| {
        let place = bench.mark(0, VIDEO, Mark { composition, ..picture(0) });
        place.pts.since(place.dts).millis()
    };
    assert_eq!([80, -40, 10_000].map(&mut shown), [80, -40, 10_000]);
    assert_eq!([10_001, -0x80_0000, 0x7f_ffff].map(&mut shown), [0, 0, 0]);
    assert_eq!(bench.timeline.counters().composition, 3);
}

/// A generator of numbers, always the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }
}

proptest! {
    #[test]
    fn decoding_never_goes_back_whatever_comes(
        units in vec((0..2_000u64, 0..4u8, any::<u32>(), any::<Option<u32>>(), any::<i32>(), 0..3u8), 1..200),
    ) {
        let mut bench = Bench::new();
        let mut arrival = 0;
        let mut last = [None::<MediaTime>; 4];
        for (later, track, timestamp, nanos, composition, span) in units {
            arrival += later;
            let id = track;
            let track = Track { kind: if id % 2 == 0 { Kind::Audio } else { Kind::Video }, id };
            let span = [None, AAC, Some((timestamp, 44_100))][usize::from(span)];
            let mark = Mark { timestamp, nanos, composition, span };
            let place = bench.mark(arrival, track, mark);
            let last = &mut last[usize::from(id)];
            prop_assert!(last.is_none_or(|last| place.dts > last));
            *last = Some(place.dts);
            prop_assert!(place.pts.since(place.dts).millis().abs() <= COMPOSITION);
            // Timestamps are anything, and still time goes on as arrival says.
            let ahead = place.dts.millis() - arrival as i64;
            prop_assert!(ahead <= 200 * (STEP + EARLY), "{} ms ahead", ahead);
        }
    }
}
