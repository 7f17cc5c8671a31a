//! A simulated publisher against the truth: lips and voice, and all layers, within 20 ms whatever happens.

mod world;

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use self::world::{LAW, Line, Random, Said, World, epoch};
use super::*;

const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// By then two reports of each have come, and 100 ms are slewed.
const SETTLED: i64 = 25 * SECOND;

/// Audio and three layers, each with its own timestamps and an encoder of its own speed.
fn simulcast() -> Vec<Line> {
    vec![
        Line::audio().starts_at(0x8765_4321),
        Line::video(20).starts_at(1),
        Line::video(45).starts_at(0xdead_beef),
        Line::video(90).starts_at(0x7fff_0000),
    ]
}

#[track_caller]
fn holds(world: &mut World, from: i64, end: i64, what: &str) {
    let worst = world.worst(from, end);
    assert!(worst <= LAW, "{what}: {} µs apart", worst / 1000);
}

/// The reports of these lines are wrong in this way for a minute; in step before, meanwhile and afterwards.
fn survives<W>(what: &str, lines: fn(usize) -> bool, wrong: W)
where
    W: FnMut(usize, Said, &mut Random) -> Option<Said> + Clone + 'static,
{
    for seed in 1..=6 {
        let (mut world, mut wrong) = (World::seeded(seed, 0, simulcast()), wrong.clone());
        world.fault = Box::new(move |now, line, said, random| {
            let faulty = (MINUTE..2 * MINUTE).contains(&now) && lines(line);
            if faulty { wrong(line, said, random) } else { Some(said) }
        });
        holds(&mut world, SETTLED, 4 * MINUTE, what);
    }
}

#[test]
fn layers_and_sound_fall_into_step() {
    let mut world = World::new(simulcast());
    let before = world.worst(0, 2 * SECOND);
    assert!(before > LAW, "the encoders do not differ");
    holds(&mut world, SETTLED, 3 * MINUTE, "all reports are right");
}

#[test]
fn without_reports_arrivals_count() {
    let mut world = World::new(vec![Line::audio(), Line::video(12).drifts(200)]);
    world.fault = Box::new(|_, _, _, _| None);
    holds(&mut world, 10 * SECOND, 20 * MINUTE, "no report ever");
}

#[test]
fn reports_for_sound_only() {
    let mut world = World::new(vec![Line::audio(), Line::video(12)]);
    world.fault = Box::new(|_, line, said, _| (line == 0).then_some(said));
    holds(&mut world, SETTLED, 5 * MINUTE, "no report of the video");
}

#[test]
fn what_reports_taught_stays_when_they_stop() {
    for silent in [|_| true, |line| line == 0, |line| line > 0] as [fn(usize) -> bool; 3] {
        let mut world = World::new(simulcast());
        for (line, ppm) in world.lines.iter_mut().zip([200, -200, -150, 100]) {
            line.ppm = ppm;
        }
        world.fault =
            Box::new(move |now, line, said, _| (now < MINUTE || !silent(line)).then_some(said));
        holds(&mut world, SETTLED, 30 * MINUTE, "reports stop after a minute");
    }
}

#[test]
fn wrong_reports_do_not_hurt() {
    let lines: [fn(usize) -> bool; 3] = [|_| true, |line| line == 0, |line| line == 2];
    for lines in lines {
        survives("NTP zero", lines, |_, said, _| {
            Some(Said { wall: -2_208_988_800 * SECOND, ..said })
        });
        survives("1970", lines, |_, said, _| Some(Said { wall: 0, ..said }));
        survives("another century", lines, |_, said, _| Some(Said { wall: -HOUR, ..said }));
        survives("any time", lines, |_, said, random| {
            Some(Said { wall: said.wall + random.below(10 * SECOND) - 5 * SECOND, ..said })
        });
        survives("an hour off", lines, |_, said, _| Some(Said { wall: said.wall + HOUR, ..said }));
        survives("another clock", lines, |_, said, _| {
            Some(Said { timestamp: said.timestamp.wrapping_add(0x1234_5678), ..said })
        });
        survives("any timestamp", lines, |_, said, random| {
            Some(Said { timestamp: random.next() as u32, ..said })
        });
        survives("another rate", lines, |_, said, _| {
            Some(Said { timestamp: said.timestamp.wrapping_mul(3), ..said })
        });
        let mut first = None;
        survives("the same again and again", lines, move |_, said, _| {
            Some(*first.get_or_insert(said))
        });
        let mut counts = [0; 4];
        survives("one of three", lines, move |line, said, _| {
            counts[line] += 1;
            let off = if counts[line] % 3 == 0 { 300 * MILLISECOND } else { 0 };
            Some(Said { wall: said.wall + off, ..said })
        });
    }
}

#[test]
fn the_publishers_wall_clock_is_set() {
    for step in [150 * MILLISECOND, -400 * MILLISECOND, 3 * SECOND, -HOUR, 1000 * HOUR] {
        let mut world = World::new(simulcast());
        world.wall_step = (MINUTE, step);
        holds(&mut world, SETTLED, 5 * MINUTE, &format!("set by {} ms", step / MILLISECOND));
    }
}

#[test]
fn sound_of_another_wall_clock_leaves_the_layers_in_step() {
    for off in [-HOUR, 10 * SECOND] {
        let mut world = World::new(simulcast());
        world.held = |line| line > 0;
        world.lines[0].report_every = SECOND / 5;
        world.fault = Box::new(move |_, line, said, _| {
            let off = if line == 0 { off } else { 0 };
            Some(Said { wall: said.wall + off, ..said })
        });
        // Sound reports first, and is believed until two others contradict.
        holds(&mut world, MINUTE, 5 * MINUTE, "sound is off");
    }
}

#[test]
fn reports_that_were_wrong_at_first_are_mended() {
    let mut world = World::new(simulcast());
    world.fault = Box::new(|now, line, said, _| {
        let off = if line == 2 && now < 9 * SECOND { 700 * MILLISECOND } else { 0 };
        Some(Said { wall: said.wall + off, ..said })
    });
    holds(&mut world, 90 * SECOND, 5 * MINUTE, "wrong for nine seconds");
}

#[test]
fn clocks_that_drift_for_two_hours() {
    let lines = vec![
        Line::audio().drifts(200).starts_at(0xffff_0000),
        Line::video(60).drifts(-200).starts_at(0xf000_0000),
    ];
    let mut world = World::new(lines);
    world.wall_ppm = 100;
    holds(&mut world, SETTLED, 2 * HOUR, "drift");
    // Against our clock too: nothing runs away in two hours.
    let errors = world.errors();
    assert!(errors.iter().all(|e| (0..50 * MILLISECOND).contains(e)), "{errors:?}");
}

#[test]
fn timestamps_wrap_at_the_worst_moments() {
    // Around the second report, the settling, and half way round, where signs turn.
    for seconds in [0, 1, 5, 7, 30] {
        for ticks in [0_u32, 1, 959, 2999, 3000, 1 << 31] {
            let before = |rate: u32| 0_u32.wrapping_sub(rate * seconds).wrapping_sub(ticks);
            let video = |delay| Line::video(delay).starts_at(before(90_000));
            let lines = vec![Line::audio().starts_at(before(48_000)), video(20), video(80)];
            let mut world = World::new(lines);
            holds(&mut world, SETTLED, MINUTE, "wraps");
        }
    }
}

#[test]
fn pauses_of_one_encoding() {
    for length in [2 * SECOND, 20 * SECOND, 2 * MINUTE] {
        let mut world = World::new(simulcast());
        world.lines[2].paused = Box::new(move |now| (MINUTE..MINUTE + length).contains(&now));
        world.lines[0].paused =
            Box::new(move |now| (2 * MINUTE..2 * MINUTE + length).contains(&now));
        holds(&mut world, SETTLED, 6 * MINUTE, "pauses");
    }
}

#[test]
fn a_shared_screen_of_one_frame_a_second() {
    let mut screen = Line::video(70);
    screen.period = SECOND;
    let mut world = World::new(vec![Line::audio(), screen]);
    holds(&mut world, 40 * SECOND, 10 * MINUTE, "1 fps");
}

#[test]
fn a_suspended_publisher() {
    let away = |now| (MINUTE..MINUTE + HOUR).contains(&now);
    let mut world = World::new(simulcast());
    world.lines.iter_mut().for_each(|line| line.paused = Box::new(away));
    holds(&mut world, SETTLED, MINUTE, "before");
    holds(&mut world, MINUTE, HOUR + 5 * MINUTE, "timestamps went on");

    // Its timestamps stood still meanwhile, and so did its wall clock.
    let mut world = World::new(simulcast());
    holds(&mut world, SETTLED, MINUTE, "before");
    world.zero += Duration::from_secs(3600);
    let worst = world.worst(MINUTE, MINUTE + 2 * SECOND);
    assert!(worst <= 50 * MILLISECOND, "by arrival: {worst}");
    holds(&mut world, MINUTE + 5 * SECOND, 5 * MINUTE, "timestamps stood still");
}

#[test]
fn timestamps_that_jump_by_hours() {
    for jump in [5_000_000_u32, 0x4000_0000, 0xc000_0000, 0x8000_0000] {
        let mut world = World::new(simulcast());
        holds(&mut world, SETTLED, MINUTE, "before");
        world.lines[1].start = world.lines[1].start.wrapping_add(jump);
        // One packet cannot show how late it is; the next seconds do.
        let worst = world.worst(MINUTE, MINUTE + 5 * SECOND);
        assert!(worst <= 60 * MILLISECOND, "by arrival: {worst}");
        holds(&mut world, MINUTE + 5 * SECOND, 3 * MINUTE, "after the jump");
    }
}

#[test]
fn a_publisher_who_comes_again_with_other_timestamps() {
    let mut world = World::new(simulcast());
    holds(&mut world, SETTLED, MINUTE, "before");
    let before = world.errors();
    let again = simulcast().into_iter().map(|line| {
        let start = line.start.wrapping_mul(77);
        line.starts_at(start)
    });
    world.reconnects(again.collect(), MINUTE + SECOND);
    holds(&mut world, MINUTE + SECOND + SETTLED, 3 * MINUTE, "after");
    for (before, after) in before.iter().zip(world.errors()) {
        assert!((before - after).abs() <= LAW, "{before} before, {after} after");
    }
}

/// FFmpeg reads half a second ahead while it connects, and sends all of it at once.
#[test]
fn a_burst_at_the_beginning_is_seen_through_at_once() {
    let zero = epoch();
    let (mut clock, mut source) = (StreamClock::new(), Source::new(90_000));
    let picture = 33 * MILLISECOND + 333_333;
    for n in 0..60 {
        let media = n * picture;
        // Fifteen pictures within 15 ms, the others in time.
        let arrival =
            if n < 15 { n * MILLISECOND } else { media - 14 * picture + 14 * MILLISECOND };
        let arrived = at(zero, SECOND + arrival).unwrap();
        let ticks = (media * 90_000 / SECOND) as u32;
        let captured = clock.captured(&mut source, arrived, ticks);
        let early = since(zero, captured) - since(zero, arrived);
        assert!(early.abs() <= MILLISECOND, "picture {n}: {early} ns from its arrival");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever reports say, what is told moves against the timestamps by at most 25 ms in a second; in the first
    /// second it may also become earlier at once, by what a packet came more promptly than all before.
    #[test]
    fn nothing_jumps(seed in any::<u64>(), honest in 0..3_u64) {
        let mut random = Random(seed);
        let zero = epoch();
        let (mut clock, mut sources) = (StreamClock::new(), [48_000, 90_000, 90_000].map(Source::new));
        let mut told: [Option<(i64, i64)>; 3] = [None; 3];
        let (mut began, mut shortest) = ([None; 3], [i64::MAX; 3]);
        let (mut sent, mut now) = (SECOND, 0);
        for _ in 0..4000 {
            sent += random.below(200 * MILLISECOND);
            let which = random.below(3) as usize;
            let rate = i64::from(sources[which].rate);
            let ticks = sent * rate / SECOND;
            now = i64::max(now, sent + random.below(500 * MILLISECOND));
            let instant = at(zero, now).unwrap();
            if random.below(20) == 0 {
                let off = match random.next() % 3 {
                    kind if kind < honest => 0,
                    1 => random.below(3 * SECOND),
                    _ => random.next().cast_signed() >> 4,
                };
                let wall = (1_767_225_600 * SECOND + sent).wrapping_add(off).unsigned_abs();
                let ntp = SystemTime::UNIX_EPOCH + Duration::from_nanos(wall);
                clock.report(&mut sources[which], instant, ntp, ticks as u32);
                continue;
            }
            let captured = clock.captured(&mut sources[which], instant, ticks as u32);
            let captured = since(zero, captured) - ticks * SECOND / rate;
            if let Some((last, before)) = told[which] {
                let most = 25 * MILLISECOND * (now - last) / SECOND;
                let prompt = i64::max(0, shortest[which] - (now - ticks * SECOND / rate));
                let sooner = if now - began[which].unwrap_or(now) < SECOND { prompt } else { 0 };
                prop_assert!((-most - sooner - 2..=most + 2).contains(&(captured - before)));
            }
            told[which] = Some((now, captured));
            began[which].get_or_insert(now);
            shortest[which] = i64::min(shortest[which], now - ticks * SECOND / rate);
        }
    }
}

#[test]
fn hostile_reports_and_timestamps_never_panic() {
    let mut random = Random(1);
    let zero = epoch();
    let (mut clock, mut source) = (StreamClock::new(), Source::new(0));
    for _ in 0..100_000 {
        let now = at(zero, random.below(HOUR)).unwrap();
        let timestamp = random.next() as u32;
        let _ = clock.captured(&mut source, now, timestamp);
        let wall = Duration::from_nanos(random.next() >> 1);
        let ntp = SystemTime::UNIX_EPOCH.checked_add(wall).unwrap();
        clock.report(&mut source, now, ntp, timestamp.wrapping_add(random.below(4) as u32));
    }
}
