//! What is kept in memory, what elsewhere, and what is not kept: with an owner who stores what it is told to.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::harness::*;
use crate::hls::{self, Form, Reach};
use crate::name::File;
use crate::*;

/// Seconds of pictures and sound, in segments of two seconds.
fn play(stream: &mut Stream, from: i64, to: i64) {
    for frame in from * 25..to * 25 {
        stream.unit(VIDEO, ms(frame * 40), frame % 50 == 0);
        stream.unit(AUDIO, ms(frame * 40), true);
        stream.unit(AUDIO, ms(frame * 40 + 20), true);
    }
}

fn stream(window: u64) -> Stream {
    let config = Config { window: std::time::Duration::from_secs(window), ..near() };
    let mut stream = Stream::new(config);
    stream.add(VIDEO, &h264(1));
    stream.add(AUDIO, &opus());
    stream
}

/// The owner: everything beyond so much memory goes into files, which go with their segments.
#[derive(Default)]
struct Owner(BTreeMap<(RenditionId, u64), Vec<u8>>);

impl Owner {
    fn store(&mut self, stream: &mut Stream, memory: usize) {
        while let Some((id, segment)) = stream.packager.surplus(memory) {
            let file = segment.chain().flatten().copied().collect();
            assert!(stream.packager.stored(id, segment.msn));
            self.0.insert((id, segment.msn), file);
            stream.look(at(0));
        }
        self.0.retain(|(id, msn), _| *msn >= stream.packager.oldest(*id));
    }

    /// Every file of a view has the bytes that it had when it was made.
    fn check(&self, stream: &Stream, id: RenditionId) -> usize {
        let view = stream.view(id);
        let mut stored = 0;
        for segment in view.spare.iter().chain(view.segments.iter()) {
            let whole = &stream.complete[&(id, segment.msn)];
            let mut names =
                vec![(File::Segment(id, segment.msn), whole.chain().flatten().copied().collect())];
            for (number, part) in (0..).zip(&whole.parts) {
                names.push((File::Part(id, segment.msn, number), part.bytes.to_vec()));
            }
            for (name, expected) in names {
                assert_eq!(hls::reach(&view, name), Reach::There);
                if let Some(extent) = view.stored(name) {
                    let file = &self.0[&(id, extent.msn)];
                    assert_eq!(extent.file, file.len() as u64);
                    let at = |place: u64| usize::try_from(place).unwrap();
                    assert_eq!(file[at(extent.within.start)..at(extent.within.end)], expected);
                    stored += 1;
                }
            }
            let beyond = File::Part(id, segment.msn, u32::try_from(whole.parts.len()).unwrap());
            assert!(hls::reach(&view, beyond) != Reach::There && view.stored(beyond).is_none());
            assert_eq!(segment.len(), whole.len());
            assert_eq!(segment.keyframe(), whole.keyframe());
            assert_eq!(segment.independent(), whole.independent());
            assert_eq!(segment.part_count(), whole.part_count());
        }
        stored
    }
}

const ALL: Limits = Limits { memory: usize::MAX, stored: u64::MAX };

#[test]
fn what_is_stored_is_served_and_listed_as_before() {
    let (mut kept, mut spilled) = (stream(600), stream(600));
    spilled.packager.limit(ALL);
    let mut owner = Owner::default();
    for second in 0..60 {
        play(&mut kept, second, second + 1);
        play(&mut spilled, second, second + 1);
        owner.store(&mut spilled, 0);
    }
    for id in [VIDEO, AUDIO] {
        let (one, other) = (kept.view(id), spilled.view(id));
        assert!(one.segments.len() > 25, "{}", one.segments.len());
        for form in [Form::Full, Form::Delta] {
            assert_eq!(hls::media(&one, &[], form, ""), hls::media(&other, &[], form, ""));
            assert_eq!(hls::keyframes(&one, form, ""), hls::keyframes(&other, form, ""));
        }
        assert_eq!(one.bandwidth, other.bandwidth);
        assert!(owner.check(&spilled, id) > 100);
        let here = other.segments.iter().filter(|segment| segment.stored.is_none()).count();
        assert_eq!(here, 6, "the newest are in memory whatever happens");
    }
    let (kept, spilled) = (kept.packager.held(), spilled.packager.held());
    assert!(spilled.memory * 2 < kept.memory && kept.stored == 0, "{kept:?} {spilled:?}");
    let files: usize = owner.0.values().map(Vec::len).sum();
    assert_eq!(spilled.stored, files as u64);
}

#[test]
fn the_window_goes_on_with_what_is_stored_and_ends_by_its_age() {
    let mut stream = stream(30);
    stream.packager.limit(ALL);
    let mut owner = Owner::default();
    for second in 0..120 {
        play(&mut stream, second, second + 1);
        owner.store(&mut stream, 0);
    }
    assert_eq!(stream.view(VIDEO).segments.len(), 15);
    let files = |id| {
        let view = stream.view(id);
        view.spare.iter().chain(view.segments.iter()).filter(|s| s.stored.is_some()).count()
    };
    assert_eq!(owner.0.len(), files(VIDEO) + files(AUDIO), "no file without its segment");
    assert!(files(VIDEO) > 20, "what has left the window stays for its time");
    assert!(!stream.packager.is_short());
    stream.end();
    owner.check(&stream, VIDEO);
}

#[test]
fn who_stores_nothing_has_a_short_window_and_is_told() {
    let mut stream = stream(600);
    play(&mut stream, 0, 60);
    let held = stream.packager.listed();
    assert!(!stream.packager.is_short());
    stream.packager.limit(Limits { memory: held.memory / 2, stored: u64::MAX });
    assert!(stream.packager.listed().memory <= held.memory / 2 && stream.packager.is_short());
    assert_eq!(stream.view(VIDEO).first(), stream.view(AUDIO).first());
    // With room again it grows to what is wanted; only then nothing is to be said any more.
    stream.packager.limit(ALL);
    play(&mut stream, 60, 600);
    assert!(stream.packager.is_short());
    play(&mut stream, 600, 800);
    assert!(!stream.packager.is_short());
}

#[test]
fn less_room_elsewhere_takes_the_oldest() {
    let mut stream = stream(600);
    stream.packager.limit(ALL);
    let mut owner = Owner::default();
    play(&mut stream, 0, 60);
    owner.store(&mut stream, 0);
    let (held, first) = (stream.packager.held(), stream.view(VIDEO).first());
    stream.packager.limit(Limits { stored: held.stored / 2, ..ALL });
    owner.store(&mut stream, 0);
    assert!(stream.packager.held().stored <= held.stored / 2 && stream.packager.is_short());
    assert!(stream.view(VIDEO).first() > first + 5);
    assert!(owner.check(&stream, VIDEO) > 10);
    stream.packager.limit(Limits { stored: 0, ..ALL });
    assert_eq!((stream.packager.held().stored, stream.view(VIDEO).segments.len()), (0, 6));
}

/// What has left the window is known for as long as the window was, unless that takes more memory than is given for it.
#[test]
fn the_index_of_what_has_left_the_window_has_a_bound() {
    for (memory, bound) in [(usize::MAX, usize::MAX), (200_000, 25_000)] {
        let mut stream = stream(200);
        stream.packager.limit(Limits { memory, ..ALL });
        let mut owner = Owner::default();
        for second in 0..600 {
            play(&mut stream, second, second + 1);
            owner.store(&mut stream, 0);
        }
        let index = stream.packager.held().minus(stream.packager.listed()).memory;
        assert!(index <= bound, "{index} bytes");
        let (video, audio) = (stream.view(VIDEO), stream.view(AUDIO));
        assert_eq!((video.segments.len(), video.oldest()), (100, audio.oldest()));
        assert!(video.spare.len() > if bound == usize::MAX { 99 } else { 15 });
        owner.check(&stream, VIDEO);
        let files = video.spare.iter().chain(video.segments.iter()).filter(|s| s.stored.is_some());
        let of_video = owner.0.keys().filter(|(id, _)| *id == VIDEO).count();
        assert_eq!(files.count(), of_video, "no file is left over");
    }
}

#[test]
fn what_was_stored_too_late_is_not_wanted() {
    let mut stream = stream(30);
    play(&mut stream, 0, 20);
    let (id, segment) = stream.packager.surplus(0).unwrap();
    play(&mut stream, 20, 120);
    assert!(!stream.packager.stored(id, segment.msn));
    assert!(!stream.packager.stored(id, u64::MAX - 1));
    assert!(stream.packager.surplus(usize::MAX).is_none());
    let next = stream.packager.surplus(0).unwrap().1;
    assert!(next.msn >= stream.packager.oldest(VIDEO), "{}", next.msn);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bounds are and whenever they change, everything is within them, down to six segments.
    #[test]
    fn within_any_limits(
        steps in prop::collection::vec((1_i64..12, 0_usize..200_000, 0_u64..200_000, 0_usize..200_000), 1..12),
    ) {
        let mut stream = stream(60);
        let mut owner = Owner::default();
        let mut time = 0;
        for (seconds, memory, stored, soft) in steps {
            play(&mut stream, time, time + seconds);
            time += seconds;
            stream.packager.limit(Limits { memory, stored });
            owner.store(&mut stream, soft);
            let (held, listed) = (stream.packager.held(), stream.packager.listed());
            let shown = stream.packager.views();
            if let Some(view) = shown.iter().max_by_key(|view| view.segments.len()) {
                let least = view.segments.len() <= 6;
                prop_assert!(least || listed.memory <= memory && held.stored <= stored, "{held:?}");
                owner.check(&stream, view.rendition.id);
            }
            let sum: usize = owner.0.values().map(Vec::len).sum();
            prop_assert_eq!(held.stored, sum as u64);
        }
    }
}
