//! Several encodings of the same pictures: the same boundaries on all of them, or a gap.

use proptest::prelude::*;

use super::harness::*;
use crate::*;
use media::MediaTime;

const LAYERS: [RenditionId; 3] =
    [VIDEO, RenditionId { index: 1, ..VIDEO }, RenditionId { index: 2, ..VIDEO }];

/// Of each encoding, in ms: how far its clock is off, and how late its encoder answers.
type Off = [(i64, i64); 3];

/// A publisher of three encodings, 25 pictures a second, and sound. `keyframe`: whether encoding `n` has one at picture
/// `frame`; `there`: whether it has that picture at all.
fn publish(
    stream: &mut Stream,
    (from, to): (i64, i64),
    off: &Off,
    keyframe: impl Fn(usize, i64) -> bool,
    there: impl Fn(usize, i64) -> bool,
) {
    for time in (from..to).step_by(20) {
        stream.unit(AUDIO, ms(time), true);
        if time % 40 != 0 {
            continue;
        }
        let frame = time / 40;
        // Now the first comes first, now the last.
        for n in if frame % 3 == 0 { [2, 0, 1] } else { [0, 1, 2] } {
            if there(n, frame) {
                let key = keyframe(n, frame) || frame * 40 == from;
                stream.unit(LAYERS[n], ms((time + off[n].0).max(0)), key);
            }
        }
    }
}

fn media() -> Stream {
    let mut stream = Stream::with(&[
        (LAYERS[0], h264(1)),
        (LAYERS[1], h264(2)),
        (LAYERS[2], h264(3)),
        (AUDIO, opus()),
    ]);
    stream.packager.cadence(Cadence::OnRequest);
    stream
}

/// Every segment with media begins with a keyframe, where the first rendition's does.
fn check(stream: &Stream, stops: Option<usize>) {
    for (n, id) in LAYERS.into_iter().enumerate() {
        // The last picture before a silence lasts to the next boundary.
        stream.check(id, ms(if Some(n) == stops { 2000 } else { 120 }));
        stream.agree(VIDEO, id, ms(100));
        for ((of, msn), segment) in &stream.complete {
            let lead = stream.complete.get(&(VIDEO, *msn));
            let keyed = lead.is_some_and(|lead| lead.independent());
            assert!(*of != id || segment.gap || !keyed || segment.independent(), "{id} {msn}");
        }
    }
}

fn target(stream: &Stream, id: RenditionId) -> Option<MediaTime> {
    let views = stream.packager.views();
    let view = views.into_iter().find(|view| view.rendition.id == id)?;
    Some(crate::timeline::nanos(view.targets.part?))
}

fn gaps(stream: &Stream, id: RenditionId) -> Vec<u64> {
    let mine = stream.complete.iter().filter(|((of, _), segment)| *of == id && segment.gap);
    mine.map(|((_, msn), _)| *msn).collect()
}

#[test]
fn all_begin_with_the_keyframes_that_come_together() {
    let mut stream = media();
    publish(
        &mut stream,
        (0, 12_000),
        &[(0, 0), (-30, 0), (40, 0)],
        |_, f| f % 50 == 0,
        |_, _| true,
    );
    assert_eq!(stream.packager.views().len(), 4);
    stream.end();
    check(&stream, None);
    for id in LAYERS {
        assert_eq!(gaps(&stream, id), [0_u64; 0], "{id}");
    }
    assert!(stream.lengths(VIDEO)[..5].iter().all(|length| *length == 2000));
    assert_eq!((stream.packager.counters().unaligned, stream.broken_hints), (0, 0));
}

#[test]
fn a_keyframe_two_pictures_late_is_that_of_its_boundary() {
    let mut stream = media();
    let late = [0, 2, 1];
    let keyframe = |n: usize, f: i64| f > 2 && f % 50 == late[n];
    publish(&mut stream, (0, 12_000), &Off::default(), keyframe, |_, _| true);
    stream.end();
    check(&stream, None);
    let counters = stream.packager.counters();
    assert_eq!((counters.unaligned, counters.gaps, counters.dependent), (0, 0, 0));
    let start = |id, msn| stream.complete[&(id, msn)].start.millis();
    assert_eq!(LAYERS.map(|id| start(id, 3)), [4000, 4080, 4040]);
}

#[test]
fn who_has_no_keyframe_at_a_boundary_is_a_gap_until_it_has_one() {
    let mut stream = media();
    // The second has its own mind between 3 and 7 s.
    let keyframe = |n: usize, f: i64| match (n, f) {
        (1, 75..175) => f % 50 == 20,
        _ => f % 50 == 0,
    };
    publish(&mut stream, (0, 14_000), &Off::default(), keyframe, |_, _| true);
    stream.end();
    check(&stream, None);
    assert_eq!(gaps(&stream, LAYERS[1]), [3, 4]);
    assert!(gaps(&stream, VIDEO).is_empty() && gaps(&stream, LAYERS[2]).is_empty());
    assert!(stream.complete.values().all(|segment| !segment.discontinuity));
}

#[test]
fn a_layer_that_stops_holds_nobody_up_and_joins_again() {
    for stops in [0, 1, 2] {
        let mut stream = media();
        let there = |n: usize, f: i64| n != stops || !(110..240).contains(&f);
        publish(&mut stream, (0, 8_000), &Off::default(), |_, f| f % 50 == 0, there);
        for id in LAYERS.into_iter().filter(|id| *id != LAYERS[stops]) {
            let view = stream.view(id);
            let behind =
                8_000 - view.running.as_ref().map_or(0, |s| s.start.plus(s.duration).millis());
            assert!(behind < 500, "{id}: {behind} ms while {stops} is silent");
        }
        publish(&mut stream, (8_000, 16_000), &Off::default(), |_, f| f % 50 == 0, there);
        stream.end();
        check(&stream, Some(stops));
        for (n, id) in LAYERS.into_iter().enumerate() {
            let gaps = gaps(&stream, id);
            let (first, last) = (gaps.first().copied(), gaps.last().copied());
            let few =
                if n == stops { first >= Some(3) && last <= Some(5) } else { gaps.is_empty() };
            assert!(few, "{id} while {stops} is silent: {gaps:?}");
        }
    }
}

#[test]
fn one_that_comes_later_joins_at_a_boundary() {
    let mut stream = Stream::with(&[(LAYERS[0], h264(1)), (AUDIO, opus())]);
    stream.packager.cadence(Cadence::OnRequest);
    let only = |last: usize| move |n: usize, _: i64| n <= last;
    publish(&mut stream, (0, 5_000), &Off::default(), |_, f| f % 50 == 0, only(0));
    stream.add(LAYERS[1], &h264(2));
    publish(&mut stream, (5_000, 12_000), &Off::default(), |_, f| f % 50 == 0, only(1));
    stream.end();
    check(&stream, None);
    let first = stream.complete.keys().find(|(id, _)| *id == LAYERS[1]);
    assert_eq!(first, Some(&(LAYERS[1], 4)), "at 6 s");
    assert!(gaps(&stream, LAYERS[1]).is_empty());
}

#[test]
fn another_format_of_one_is_a_discontinuity_of_all_at_a_boundary() {
    let mut stream = media();
    publish(&mut stream, (0, 5_000), &Off::default(), |_, f| f % 50 == 0, |_, _| true);
    stream.packager.format(LAYERS[1], &h264(9)).unwrap();
    let keyframe = |n: usize, f: i64| f % 50 == 0 || n == 1 && f == 125;
    publish(&mut stream, (5_000, 12_000), &Off::default(), keyframe, |_, _| true);
    stream.end();
    check(&stream, None);
    for id in LAYERS {
        let breaks = stream.complete.iter().filter(|((of, _), s)| *of == id && s.discontinuity);
        assert_eq!(breaks.map(|((_, msn), _)| *msn).collect::<Vec<_>>(), [4], "{id}");
    }
    assert_eq!(stream.complete[&(LAYERS[1], 4)].init.number, 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Clocks that are off, encoders that answer late, have keyframes of their own and pictures that are missing: each
    /// begins its segments within a tenth of a second of the boundary, and none with pictures that nobody could begin with but who has those before.
    #[test]
    fn boundaries_are_the_same_whatever_encodings_do(
        off in prop::array::uniform3((-45_i64..45, 0_i64..4)),
        own in prop::collection::btree_set((0_usize..3, 5_i64..500), 0..12),
        silent in prop::collection::vec((0_usize..3, 20_i64..500, 5_i64..120), 0..4),
        asked in any::<bool>(),
    ) {
        let mut stream = media();
        stream.packager.cadence(if asked { Cadence::OnRequest } else { Cadence::Own });
        let keyframe = |n: usize, f: i64| f % 50 == off[n].1 || own.contains(&(n, f));
        let there = |n: usize, f: i64| !silent.iter().any(|(of, from, long)| *of == n && (*from..from + long).contains(&f));
        publish(&mut stream, (0, 20_000), &off, keyframe, there);
        stream.end();
        for id in LAYERS {
            stream.agree(VIDEO, id, ms(200));
            stream.agree(AUDIO, id, ms(240));
        }
        for ((id, msn), segment) in &stream.complete {
            // What begins without a keyframe goes on from what came before, as in those that lead.
            let before = stream.complete.get(&(*id, msn - 1)).is_some_and(|before| !before.gap);
            prop_assert!(segment.gap || segment.independent() || before, "{} {}", id, msn);
            let quiet = silent.is_empty() && own.is_empty() && off.iter().all(|(_, late)| late.abs_diff(off[0].1) < 1);
            prop_assert!(!quiet || segment.independent() && !segment.gap, "{} {}", id, msn);
        }
    }

    /// Pictures of a follower that come unevenly, and then none for a while: all that is known is shown but for less than
    /// a part, and nothing waits for the next picture.
    #[test]
    fn nothing_waits_for_a_picture_that_is_late(gaps in prop::collection::vec(20_i64..100, 30..120)) {
        for stops in gaps.len() - 12..gaps.len() {
            let (waits, target) = waits_after(&gaps[..stops]);
            prop_assert!(waits <= target, "{waits:?} of {target:?} after {stops}");
        }
    }
}

/// How long before a follower's newest picture what is shown of it ends, when none has come for 900 ms; and how long a
/// part is. `gaps`: between its pictures, in ms.
fn waits_after(gaps: &[i64]) -> (MediaTime, MediaTime) {
    let mut stream = Stream::with(&[(LAYERS[0], h264(1)), (LAYERS[1], h264(2))]);
    stream.packager.cadence(Cadence::OnRequest);
    let (mut time, mut lead, mut key) = (0, 0, 0);
    for gap in gaps.iter().chain(&[900]) {
        stream.unit(LAYERS[1], ms(time), time >= key);
        key += if time >= key { 2000 } else { 0 };
        while lead < time + gap {
            stream.unit(VIDEO, ms(lead), lead % 2000 == 0);
            lead += 40;
        }
        time += gap;
    }
    // The newest one's end is not known.
    let newest = ms(time - 900);
    let shown = stream.view(LAYERS[1]);
    let end = shown.all().next_back().map(|last| last.start.plus(last.duration)).unwrap();
    (newest.since(end), target(&stream, LAYERS[1]).unwrap())
}
