//! One test for each thing that can come, and what becomes of it.

use super::harness::*;
use crate::*;
use media::MediaTime;

/// Pictures and sound as OBS sends them, by RTMP: 30 fps in whole ms, AAC; `from` to `to` in ms.
fn obs(stream: &mut Stream, from: i64, to: i64, gop: i64) {
    let (mut frame, mut packet) = ((from * 3 + 99) / 100, (from * 44_100 / 1000 + 1023) / 1024);
    loop {
        let (video, audio) = (ms(frame * 100 / 3), MediaTime::new(packet * 1024, 44_100));
        if video.min(audio) >= ms(to) {
            return;
        }
        if video <= audio {
            stream.unit(VIDEO, video, frame % gop == 0);
            frame += 1;
        } else {
            stream.unit(AUDIO, audio, true);
            packet += 1;
        }
    }
}

#[test]
fn a_stream_of_obs() {
    let mut stream = Stream::with(&[(VIDEO, h264(1)), (AUDIO, aac(44_100))]);
    obs(&mut stream, 0, 20_000, 60);
    let view = stream.view(VIDEO);
    assert_eq!(view.targets.part.unwrap().as_millis(), 223, "33.3 ms are 15 % of it");
    assert_eq!((view.targets.segment, view.targets.independent), (6, true));
    assert_eq!(view.frame_rate, Some(30_000));
    stream.end();
    stream.check(VIDEO, ms(34));
    stream.check(AUDIO, MediaTime::new(1024, 44_100));
    stream.agree(VIDEO, AUDIO, ms(24));
    assert_eq!(stream.lengths(VIDEO)[..9], [2000; 9]);
    assert_eq!(stream.broken_hints, 0);
    assert_eq!(stream.packager.counters(), Counters::default());
}

/// As a browser captures: 30 fps, each picture up to 13 ms early or late, some left out. Returns when they come.
fn uneven(stream: &mut Stream, seed: u64, left_out: i64) -> Vec<i64> {
    let (mut state, mut times) = (seed, Vec::new());
    for frame in 0..60 * 30 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let off = (state >> 33) as i64 % 26_000 - 13_000;
        if left_out == 0 || frame % left_out != left_out - 1 {
            let time = frame * 33_333 + 13_000 + off;
            stream.unit(VIDEO, MediaTime::new(time, 1_000_000), frame % 60 == 0);
            times.push(time);
        }
    }
    times
}

#[test]
fn pictures_that_come_unevenly_make_parts_as_short_as_even_ones() {
    for (seed, left_out) in (0..20).flat_map(|seed| [(seed, 0), (seed, 71), (seed, 11)]) {
        let mut stream = Stream::with(&[(VIDEO, h264(1))]);
        let times = uneven(&mut stream, seed, left_out);
        let part = stream.view(VIDEO).targets.part.unwrap().as_millis();
        assert!((200..=260).contains(&part), "{part}");
        stream.end();
        // As if all frames were as long as 15 % of a part; but two left out before a keyframe, which cannot be moved.
        stream.check(VIDEO, ms(part as i64 * if left_out == 0 { 15 } else { 40 } / 100));
        let least = MediaTime::from_nanos(part as i64 * 850_000);
        let parts = stream.complete.values().flat_map(|s| s.parts.split_last().unwrap().1);
        let (short, all): (Vec<_>, Vec<_>) = parts.partition(|part| part.duration < least);
        assert!(short.len() * 50 < all.len(), "{} beside {}", short.len(), all.len());
        let decoded = stream.decoded(VIDEO);
        assert_eq!(decoded.len(), times.len());
        let off = decoded.iter().zip(&times).map(|(here, there)| here - (there - times[0]));
        let off: Vec<i64> = off.filter(|off| off.abs() > 100).collect();
        assert!(off.iter().all(|off| off.abs() <= 40_000), "{off:?}");
        assert!(off.len() * 8 < times.len(), "{} of {}", off.len(), times.len());
        assert_eq!((stream.packager.counters().held, stream.broken_hints), (0, 0));
    }
}

#[test]
fn what_was_seen_before_is_an_observation() {
    for (gop, target) in [(1000, 2), (2000, 2), (2034, 2), (4000, 4), (10_000, 6)] {
        let mut stream = media();
        stream.packager.expect(std::time::Duration::from_millis(gop as u64));
        both(&mut stream, (0, 30_000), gop / 40);
        assert_eq!(stream.view(VIDEO).targets.segment, target, "{gop}");
        finish(stream);
    }
    // A cadence that does not go on is cut all the same.
    let mut stream = media();
    stream.packager.expect(std::time::Duration::from_secs(2));
    both(&mut stream, (0, 30_000), 200);
    assert_eq!(stream.view(VIDEO).targets.segment, 2);
    finish(stream);
}

#[test]
fn the_first_part_is_there_after_a_glance() {
    let mut stream = Stream::with(&[(VIDEO, h264(1)), (AUDIO, aac(44_100))]);
    obs(&mut stream, 0, 300, 60);
    assert!(stream.packager.views().is_empty());
    obs(&mut stream, 300, 340, 60);
    let views = stream.packager.views();
    assert_eq!(views.len(), 2);
    assert!(views.iter().all(|view| view.next() == (1, 1)));
}

/// Pictures every so many ms from `from` to `to`, a keyframe every so many pictures.
fn pictures(stream: &mut Stream, (from, to): (i64, i64), every: i64, gop: i64) {
    let mut frame = (from + every - 1) / every;
    while frame * every < to {
        stream.unit(VIDEO, ms(frame * every), frame % gop == 0);
        frame += 1;
    }
}

fn sound(stream: &mut Stream, id: RenditionId, (from, to): (i64, i64)) {
    for at in (from..to).step_by(20) {
        stream.unit(id, ms(at), true);
    }
}

/// Pictures and sound by turns, 25 fps and Opus.
fn both(stream: &mut Stream, (from, to): (i64, i64), gop: i64) {
    for at in (from..to).step_by(20) {
        if at % 40 == 0 {
            stream.unit(VIDEO, ms(at), at / 40 % gop == 0);
        }
        stream.unit(AUDIO, ms(at), true);
    }
}

fn media() -> Stream {
    Stream::with(&[(VIDEO, h264(1)), (AUDIO, opus())])
}

fn finish(mut stream: Stream) -> Stream {
    stream.end();
    stream.check(VIDEO, ms(40));
    stream.check(AUDIO, ms(20));
    stream.agree(VIDEO, AUDIO, ms(20));
    stream
}

fn flags(stream: &Stream, id: RenditionId) -> Vec<bool> {
    let mine = stream.complete.iter().filter(|((of, _), _)| *of == id);
    mine.map(|(_, segment)| segment.discontinuity).collect()
}

#[test]
fn a_keyframe_that_does_not_come_is_not_waited_for() {
    let mut stream = media();
    both(&mut stream, (0, 30_000), 10_000);
    let stream = finish(stream);
    assert_eq!(stream.lengths(VIDEO)[..4], [6160; 4]);
    assert_eq!(stream.packager.counters().dependent, 4);
    assert_eq!(stream.broken_hints, 0);
}

#[test]
fn sound_alone_is_cut_by_time() {
    for (format, from) in [(opus(), 0), (aac(48_000), 0)] {
        let mut stream = Stream::with(&[(AUDIO, format)]);
        sound(&mut stream, AUDIO, (from, 10_000));
        stream.end();
        stream.check(AUDIO, ms(22));
        let lengths = stream.lengths(AUDIO);
        assert!((979..=1021).contains(&lengths[0]), "nobody waits longer: {lengths:?}");
        assert!(lengths[1..5].iter().all(|length| (1979..=2021).contains(length)), "{lengths:?}");
        assert_eq!(stream.complete[&(AUDIO, 2)].parts.len(), 12); // 85 % are enough
        assert_eq!(stream.broken_hints, 0);
    }
}

#[test]
fn pictures_alone() {
    let mut stream = Stream::with(&[(VIDEO, h264(1))]);
    pictures(&mut stream, (0, 10_000), 40, 50);
    let stream = finish(stream);
    assert_eq!(stream.lengths(VIDEO)[..4], [2000; 4]);
    assert_eq!(stream.broken_hints, 0);
}

#[test]
fn sound_that_comes_before_its_pictures_waits_for_the_boundary() {
    let mut stream = media();
    for at in (0..10_000).step_by(20) {
        stream.unit(AUDIO, ms(at), true);
        let late = at - 300;
        if late >= 0 && late % 40 == 0 {
            stream.unit(VIDEO, ms(late), late % 2000 == 0);
        }
    }
    let stream = finish(stream);
    assert_eq!(stream.lengths(AUDIO)[..4], [2000; 4]);
    assert_eq!(stream.broken_hints, 0);
}

#[test]
fn pictures_in_another_order_than_they_are_shown_lie_where_they_are_shown() {
    let mut stream = media();
    // Decoded at once, shown 80 ms later at the keyframe, and back and forth from there.
    for n in 0..250_i64 {
        let later = [80, 160, 40, 0][(n % 4) as usize];
        let dts = n * 40;
        let (dts, pts) = (ms(dts), ms(dts + later));
        stream.unit_at(VIDEO, dts, pts, n % 48 == 0, at(pts.nanos() / 1000));
        stream.unit(AUDIO, dts, true);
        stream.unit(AUDIO, dts.plus(ms(20)), true);
    }
    let stream = finish(stream);
    let first = &stream.complete[&(VIDEO, 1)];
    assert_eq!((first.start, first.unix.as_millis()), (ms(0), 1_700_000_000_080));
    assert_eq!(stream.complete[&(AUDIO, 1)].start, ms(0), "what was before is trimmed");
    assert_eq!(stream.packager.counters().early, 4);
    use mp4_atom::ReadFrom;
    let moof = mp4_atom::Moof::read_from(&mut &first.parts[0].bytes[..]).unwrap();
    let shown = moof.traf[0].trun[0].samples.iter().map(|sample| sample.cts.unwrap_or(0) / 90);
    assert_eq!(shown.take(4).collect::<Vec<_>>(), [0, 80, -40, -80]);
}

#[test]
fn another_publisher_is_a_discontinuity_of_all_renditions() {
    let mut stream = media();
    both(&mut stream, (0, 3_000), 50);
    stream.packager.discontinuity();
    // Five seconds later, on times of its own, and with sound first.
    let moved = |time: i64| at((8_000 + time) * 1000);
    for time in (0..5_000).step_by(20) {
        let there = ms(time + 77_000);
        stream.unit_at(AUDIO, there, there, true, moved(time));
        if time % 40 == 0 {
            stream.unit_at(VIDEO, there, there, time % 2000 == 200, moved(time));
        }
    }
    let stream = finish(stream);
    assert_eq!(flags(&stream, VIDEO), [false, false, true, false, false]);
    assert_eq!(stream.lengths(VIDEO)[..4], [2000, 1000, 2000, 2000]);
    assert_eq!(stream.complete[&(VIDEO, 3)].unix.as_millis(), 1_700_000_008_200);
    assert_eq!(stream.complete[&(VIDEO, 3)].init.number, 0, "the same format, the same file");
}

#[test]
fn a_publisher_whose_clock_is_behind_does_not_overwrite_the_past() {
    let mut stream = media();
    both(&mut stream, (0, 3_000), 50);
    stream.packager.discontinuity();
    both(&mut stream, (0, 3_000), 50);
    let stream = finish(stream);
    let third = &stream.complete[&(VIDEO, 3)];
    assert_eq!((third.start, third.unix.as_secs()), (ms(3_000), 1_700_000_000));
}

#[test]
fn times_that_jump_are_a_discontinuity() {
    for jump in [-1_000_000, -900, 5_000_000, 3_600_000 * 30] {
        let mut stream = media();
        both(&mut stream, (0, 3_000), 50);
        for time in (3_000..8_000).step_by(20) {
            let there = ms(time + jump);
            if time % 40 == 0 {
                let key = time % 2000 == 1000;
                stream.unit_at(VIDEO, there, there, key, at(time * 1000));
            }
            stream.unit_at(AUDIO, there, there, true, at(time * 1000));
        }
        let stream = finish(stream);
        assert_eq!(flags(&stream, VIDEO), [false, false, true, false, false], "{jump}");
        let third = &stream.complete[&(VIDEO, 3)];
        assert_eq!((third.start.millis(), third.unix.as_millis()), (3_000, 1_700_000_003_000));
        let audio = stream.lengths(AUDIO).iter().sum::<i64>();
        assert_eq!(audio, 8_000, "{jump}");
    }
}

#[test]
fn a_resolution_change_every_second_is_a_discontinuity_every_second() {
    let mut stream = media();
    for second in 0..10 {
        stream.packager.format(VIDEO, &h264(second as u8 | 1 << 4)).unwrap();
        both(&mut stream, (second * 1000, second * 1000 + 1000), 25);
    }
    let stream = finish(stream);
    assert_eq!(stream.lengths(VIDEO), [1000; 10]);
    assert_eq!(flags(&stream, AUDIO)[1..], [true; 9]);
    assert_eq!(stream.complete[&(VIDEO, 10)].init.number, 10);
    assert_eq!(stream.view(VIDEO).discontinuity_sequence, 0);
    assert_eq!(stream.broken_hints, 0);
}

#[test]
fn sound_of_another_format_breaks_all_renditions_at_the_next_picture() {
    let mut stream =
        Stream::with(&[(VIDEO, h264(1)), (AUDIO, opus()), (SECOND_AUDIO, aac(48_000))]);
    for time in (0..6_000).step_by(20) {
        if time == 3_020 {
            stream.packager.format(SECOND_AUDIO, &aac(44_100)).unwrap();
        }
        if time % 40 == 0 {
            stream.unit(VIDEO, ms(time), time % 2000 == 0);
        }
        stream.unit(AUDIO, ms(time), true);
        stream.unit(SECOND_AUDIO, ms(time), true);
    }
    let stream = finish(stream);
    stream.agree(VIDEO, SECOND_AUDIO, ms(40));
    assert_eq!(flags(&stream, VIDEO), [false, false, true]);
    assert_eq!(stream.lengths(VIDEO)[..2], [2000, 1040]);
    assert_eq!(stream.complete[&(SECOND_AUDIO, 3)].init.number, 1);
}

#[test]
fn sound_that_dies_goes_on_as_silence_and_comes_back() {
    let mut stream = media();
    both(&mut stream, (0, 3_000), 50);
    pictures(&mut stream, (3_000, 9_000), 40, 50);
    both(&mut stream, (9_000, 12_000), 50);
    let stream = finish(stream);
    assert_eq!(stream.lengths(AUDIO).iter().sum::<i64>(), 12_000);
    assert_eq!(stream.packager.counters(), Counters { filled: 300, ..Counters::default() });
}

#[test]
fn a_bridge_that_begins_late_and_lags_is_filled_once_and_then_heard() {
    let mut stream =
        Stream::with(&[(VIDEO, h264(1)), (AUDIO, opus()), (SECOND_AUDIO, aac(48_000))]);
    let frame = |n: i64| MediaTime::new(n * 1024, 48_000);
    let mut next = 0;
    for time in (0..10_000).step_by(20) {
        if time % 40 == 0 {
            stream.unit(VIDEO, ms(time), time % 2000 == 0);
        }
        stream.unit(AUDIO, ms(time), true);
        // It begins with what is then, and from there on is 700 ms behind.
        while frame(next).millis() + 700 < time {
            if frame(next).millis() >= 500 {
                stream.unit(SECOND_AUDIO, frame(next), true);
            }
            next += 1;
        }
    }
    let stream = finish(stream);
    stream.agree(VIDEO, SECOND_AUDIO, ms(22));
    stream.check(SECOND_AUDIO, ms(22));
    let counters = stream.packager.counters();
    assert!(counters.filled < 60 && counters.early < 60, "{counters:?}");
}

#[test]
fn what_cannot_be_filled_is_a_gap_and_holds_nobody_up() {
    let six = media::config::aac::Config::lc(48_000, 6).unwrap().build().unwrap();
    let six = media::config::format(media::Codec::Aac, six).unwrap();
    let mut stream = Stream::with(&[(VIDEO, h264(1)), (AUDIO, six)]);
    for n in 0..150 {
        if n % 2 == 0 {
            stream.unit(VIDEO, MediaTime::new(n * 1024, 48_000), n % 94 == 0);
        }
        stream.unit(AUDIO, MediaTime::new(n * 1024, 48_000), true);
    }
    for n in 150..600 {
        stream.unit(VIDEO, MediaTime::new(n * 1024, 48_000), n % 94 == 0);
    }
    assert_eq!(stream.view(AUDIO).next().0, stream.view(VIDEO).next().0);
    stream.end();
    stream.check(VIDEO, ms(43));
    stream.agree(VIDEO, AUDIO, ms(22));
    let gaps: Vec<bool> = (1..=4).map(|msn| stream.complete[&(AUDIO, msn)].gap).collect();
    assert_eq!(gaps, [false, false, true, true]);
}

#[test]
fn pictures_that_stop_leave_sound_and_come_back_with_a_keyframe() {
    let mut stream = media();
    stream.packager.cadence(Cadence::OnRequest);
    both(&mut stream, (0, 3_000), 50);
    sound(&mut stream, AUDIO, (3_000, 9_000));
    assert_eq!(stream.view(AUDIO).next().0, 5);
    let asked = stream.events.iter().any(|(_, when)| *when >= at(4_000_000));
    assert!(asked, "it is asked for at once");
    for time in (9_000..12_000).step_by(20) {
        if time % 40 == 0 {
            stream.unit(VIDEO, ms(time), time == 9_200);
        }
        stream.unit(AUDIO, ms(time), true);
    }
    stream.end();
    stream.check(AUDIO, ms(20));
    stream.agree(VIDEO, AUDIO, ms(20));
    let video = |msn| &stream.complete[&(VIDEO, msn)];
    assert_eq!([2, 3, 4].map(|msn| video(msn).gap), [false, true, true]);
    let back = stream.complete.values().find(|s| s.start == ms(9_200)).unwrap();
    assert!(back.independent() && !back.discontinuity);
}

#[test]
fn pictures_that_a_bridge_makes_late_join_the_sound_that_has_begun() {
    let mut stream = Stream::new(near());
    stream.packager.add(Rendition { id: VIDEO, label: String::new(), language: None });
    stream.add(AUDIO, &opus());
    sound(&mut stream, AUDIO, (0, 5_000));
    assert_eq!(stream.packager.views().len(), 1, "two seconds are enough for who waits");
    stream.packager.cadence(Cadence::OnRequest);
    stream.packager.format(VIDEO, &h264(1)).unwrap();
    for time in (5_000..15_000).step_by(20) {
        if time % 40 == 0 {
            // It lags by half a second.
            stream.unit_at(
                VIDEO,
                ms(time - 480),
                ms(time - 480),
                time % 1800 == 1400,
                at((time - 480) * 1000),
            );
        }
        stream.unit(AUDIO, ms(time), true);
    }
    let (video, audio) = (stream.view(VIDEO), stream.view(AUDIO));
    assert_eq!((video.next().0, video.targets.segment), (audio.next().0, 6));
    assert!(video.first() > 1 && video.segments.iter().all(|segment| !segment.discontinuity));
    // What it joins in has begun; from the second keyframe on they are its own.
    assert!(video.segments.iter().skip(2).all(|segment| segment.independent()));
    stream.end();
    stream.check(VIDEO, ms(40));
    stream.complete.remove(&(VIDEO, video.first()));
    stream.agree(VIDEO, AUDIO, ms(20));
}

#[test]
fn a_frame_a_second_is_a_part_of_its_own() {
    let mut stream = media();
    for time in (0..20_000).step_by(20) {
        if time % 1000 == 0 {
            stream.unit(VIDEO, ms(time), time % 5000 == 0);
        }
        stream.unit(AUDIO, ms(time), true);
    }
    assert_eq!(stream.view(VIDEO).targets.part.unwrap().as_millis(), 1100);
    stream.end();
    stream.check(VIDEO, ms(1000));
    stream.check(AUDIO, ms(20));
    stream.agree(VIDEO, AUDIO, ms(20));
    assert_eq!(stream.lengths(VIDEO)[..3], [5000; 3]);
    assert!(stream.complete[&(VIDEO, 1)].parts.iter().all(|part| part.duration == ms(1000)));
}

#[test]
fn who_is_asked_is_asked_ahead_of_each_boundary() {
    let mut stream = media();
    stream.packager.cadence(Cadence::OnRequest);
    let mut wanted = false;
    for time in (0..20_000).step_by(20) {
        if time % 40 == 0 {
            // The answer is the next picture but one.
            let key =
                time == 0 || wanted && stream.events.last().unwrap().1 < at((time - 40) * 1000);
            wanted &= !key;
            let asked = stream.events.len();
            stream.unit(VIDEO, ms(time), key);
            wanted |= stream.events.len() > asked;
        }
        stream.unit(AUDIO, ms(time), true);
    }
    assert_eq!(stream.view(VIDEO).targets.segment, 3);
    let stream = finish(stream);
    let lengths = stream.lengths(VIDEO);
    assert_eq!(lengths[0], 880, "nobody sees anything before it is whole");
    assert!(lengths[1..10].iter().all(|length| *length == 1800), "{lengths:?}");
    assert_eq!(stream.packager.counters().dependent, 0);
}

#[test]
fn the_window_is_bounded_in_time_and_bytes() {
    let mut stream = media();
    both(&mut stream, (0, 120_000), 50);
    let view = stream.view(VIDEO);
    assert_eq!((view.segments.len(), view.first()), (15, 45));
    assert_eq!(stream.view(AUDIO).first(), 45);
    let has = |msn| view.segment(msn).is_some_and(|segment| segment.msn == msn);
    assert!(has(42) && has(44) && has(60), "what has just left it can be fetched");
    assert!(!has(41) && !has(61) && !has(0));
    assert_eq!(view.oldest(), 42);
    let config = Config { bytes: 20_000, ..near() };
    let mut stream = Stream::new(config);
    stream.add(VIDEO, &h264(1));
    pictures(&mut stream, (0, 60_000), 40, 50);
    assert_eq!(stream.view(VIDEO).segments.len(), 6, "never fewer");
}

#[test]
fn without_parts_segments_are_whole() {
    let mut stream =
        Stream::new(Config { part: None, segment: std::time::Duration::from_secs(4), ..near() });
    stream.add(VIDEO, &h264(1));
    pictures(&mut stream, (0, 20_000), 40, 50);
    let view = stream.view(VIDEO);
    assert_eq!((view.targets.part, view.targets.segment), (None, 6));
    assert_eq!(stream.lengths(VIDEO), [4000; 4]);
}

#[test]
fn encodings_with_the_same_keyframes_have_the_same_segments() {
    let small = RenditionId { index: 1, ..VIDEO };
    let mut stream = Stream::with(&[(VIDEO, h264(1)), (small, h264(2)), (AUDIO, opus())]);
    for time in (0..12_000).step_by(20) {
        if time % 40 == 0 {
            // Which of them comes first changes, and the smaller one's clock is a little off.
            let pair = [(VIDEO, time * 1000), (small, time * 1000 + 300)];
            let second = usize::from(time % 120 == 0);
            for (id, micros) in [pair[second], pair[1 - second]] {
                stream.unit(id, MediaTime::new(micros, 1_000_000), time % 2000 == 0);
            }
        }
        stream.unit(AUDIO, ms(time), true);
    }
    let stream = finish(stream);
    stream.check(small, ms(40));
    stream.agree(VIDEO, small, ms(1));
    assert_eq!(stream.lengths(small)[..5], [2000; 5]);
    assert_eq!(stream.packager.counters(), Counters::default());
    assert_eq!(stream.broken_hints, 0);
}

#[test]
fn what_was_learned_of_a_clock_later_moves_the_time_of_day_slowly() {
    let mut stream = Stream::with(&[(VIDEO, h264(1))]);
    for time in (0..60_000).step_by(40) {
        // Captured 200 ms earlier than what the first second said.
        let early = if time < 1_000 { 0 } else { 200 };
        stream.unit_at(VIDEO, ms(time), ms(time), time % 2000 == 0, at((time - early) * 1000));
    }
    stream.end();
    let off = |segment: &Segment| {
        segment.start.millis() + 1_700_000_000_000 - segment.unix.as_millis() as i64
    };
    let all: Vec<i64> = stream.complete.values().map(|segment| off(segment)).collect();
    assert!(all.windows(2).all(|pair| (0..=10).contains(&(pair[1] - pair[0]))), "{all:?}");
    assert_eq!(all.last(), Some(&200));
}
