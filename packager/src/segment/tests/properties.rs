//! The properties that hold for whatever comes.

use proptest::prelude::*;

use super::harness::*;
use crate::*;
use media::MediaTime;

/// What happens to a publisher between two pictures.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next picture comes after so many ticks of 90 kHz; a keyframe?
    Frame(i64, bool),
    /// Sound comes so many packets ahead of pictures, or behind.
    Lead(i64),
}

fn steps(longest: i64) -> impl Strategy<Value = Vec<Step>> {
    let frame = (900..=longest, prop::bool::weighted(0.05)).prop_map(|(t, k)| Step::Frame(t, k));
    let lead = (-5_i64..=10).prop_map(Step::Lead);
    prop::collection::vec(prop_oneof![30 => frame, 1 => lead], 50..400)
}

/// Pictures by these steps, sound of 20 ms and of AAC beside them.
fn play(steps: &[Step], cadence: Cadence) -> Stream {
    let mut stream =
        Stream::with(&[(VIDEO, h264(1)), (AUDIO, opus()), (SECOND_AUDIO, aac(44_100))]);
    stream.packager.cadence(cadence);
    let (mut time, mut lead, mut first) = (0, 0, true);
    let mut next = [0_i64; 2];
    for step in steps {
        match *step {
            Step::Lead(packets) => lead = packets * 1800,
            Step::Frame(ticks, keyframe) => {
                time += if first { 0 } else { ticks };
                stream.unit(VIDEO, MediaTime::new(time, 90_000), keyframe || first);
                first = false;
            }
        }
        let upto = MediaTime::new(time + lead, 90_000);
        let packet = |n: i64| MediaTime::new(n * 960, 48_000);
        while packet(next[0]) <= upto {
            stream.unit(AUDIO, packet(next[0]), true);
            next[0] += 1;
        }
        let packet = |n: i64| MediaTime::new(n * 1024, 44_100);
        while packet(next[1]) <= upto {
            stream.unit(SECOND_AUDIO, packet(next[1]), true);
            next[1] += 1;
        }
    }
    stream.end();
    stream
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Frames no further apart than a part is long: all bounds, all boundaries the same, nothing lost.
    #[test]
    fn within_the_bounds_all_is_as_promised(steps in steps(18_000), asked in any::<bool>()) {
        let cadence = if asked { Cadence::OnRequest } else { Cadence::Own };
        let stream = play(&steps, cadence);
        let longest = steps.iter().filter_map(|step| match step {
            Step::Frame(ticks, _) => Some(*ticks),
            Step::Lead(_) => None,
        });
        stream.check(VIDEO, MediaTime::new(longest.max().unwrap_or(0), 90_000));
        stream.check(AUDIO, ms(20));
        stream.check(SECOND_AUDIO, MediaTime::new(1024, 44_100));
        stream.agree(VIDEO, AUDIO, ms(20));
        stream.agree(VIDEO, SECOND_AUDIO, ms(24));
        prop_assert_eq!(stream.broken_hints, 0);
        let counters = stream.packager.counters();
        prop_assert_eq!((counters.jumps, counters.long_parts), (0, 0));
        let last = stream.complete.keys().map(|(_, msn)| *msn).max();
        prop_assert!(stream.complete.values().all(|s| !s.gap || Some(s.msn) == last));
        prop_assert_eq!((counters.held, counters.blind, counters.strange), (0, 0, 0));
        prop_assert!(stream.complete.values().all(|segment| !segment.discontinuity));
        let samples = steps.iter().filter(|step| matches!(step, Step::Frame(..))).count();
        prop_assert_eq!(stream.samples(VIDEO), samples);
    }

    /// Frames 20 to 60 ms apart, in whatever order: all parts are 85 % of their target at least, but for those at the end
    /// of a segment; and no frame is moved by more than half of what it could last.
    #[test]
    fn uneven_pictures_make_even_parts(gaps in prop::collection::vec(1_800_i64..=5_400, 100..600)) {
        let mut stream = Stream::with(&[(VIDEO, h264(1))]);
        let mut times = vec![0];
        gaps.iter().for_each(|gap| times.push(times[times.len() - 1] + gap));
        for (n, time) in times.iter().enumerate() {
            stream.unit(VIDEO, MediaTime::new(*time, 90_000), n % 50 == 0);
        }
        stream.end();
        stream.check(VIDEO, ms(60));
        let target = stream.view(VIDEO).targets.part.unwrap().as_nanos() as i64;
        for segment in stream.complete.values() {
            for part in segment.parts.iter().rev().skip(2) {
                prop_assert!(part.duration.nanos() * 100 >= target * 85, "{:?} of {target}", part.duration);
            }
        }
        let decoded = stream.decoded(VIDEO);
        prop_assert_eq!(decoded.len(), times.len());
        let apart = decoded.iter().zip(&times).map(|(here, there)| here - there * 100 / 9);
        prop_assert!(apart.map(i64::abs).all(|micros| micros <= 30_001));
    }

    /// Whatever numbers come: no panic, no broken list, no time that goes back.
    #[test]
    fn whatever_comes_lists_are_whole(
        units in prop::collection::vec(
            (0_u8..4, any::<i64>(), -100_000_000_i64..100_000_000, any::<bool>(), 0_u8..20, any::<u32>()),
            1..300,
        ),
    ) {
        let mut stream = Stream::with(&[(VIDEO, h264(1)), (AUDIO, opus()), (SECOND_AUDIO, aac(44_100))]);
        let ids = [VIDEO, AUDIO, SECOND_AUDIO, RenditionId { index: 9, ..VIDEO }];
        let mut time = 0_i64;
        for (which, wild, step, key, odd, scale) in units {
            time = time.saturating_add(step.rem_euclid(200_000));
            let exact = MediaTime::new(time, 1_000_000);
            let (dts, pts, captured) = match odd {
                0 => (MediaTime::new(wild, scale), exact, at(time)),
                1 => (exact, MediaTime::new(wild, scale), at(time)),
                2 => (exact, exact, at(time + step % 1_000_000)),
                3 => (MediaTime::new(time + step, 1_000_000), exact, at(time)),
                _ => (exact, exact, at(time)),
            };
            match odd {
                4 if key => stream.packager.discontinuity(),
                5 => drop(stream.packager.format(ids[usize::from(which % 3)], &h264(which))),
                6 => drop(stream.packager.format(AUDIO, &aac(48_000))),
                _ => {}
            }
            stream.unit_at(ids[usize::from(which)], dts, pts, key || which > 0, captured);
        }
        stream.end();
        for id in [VIDEO, AUDIO, SECOND_AUDIO] {
            stream.check(id, MediaTime::new(3_600, 1));
        }
    }
}
