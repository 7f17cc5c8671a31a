//! What holds for any stream: others read every playlist, a delta and what was there before are the whole, and nothing that is
//! told once is told otherwise later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use m3u8_rs::Playlist;
use proptest::prelude::*;

use super::live::{Live, Plan};
use crate::hls::{Form, keyframes, media, multivariant};
use crate::store::{Targets, View};

fn any_plan() -> impl Strategy<Value = Plan> {
    let parts = proptest::collection::vec(1i64..=500, 1..6);
    (parts, prop::bool::weighted(0.2), prop::bool::weighted(0.1), any::<bool>()).prop_map(
        |(parts, discontinuity, gap, dependent)| Plan {
            parts,
            discontinuity,
            gap,
            dependent,
            init: 0,
        },
    )
}

/// Eight to forty segments, with or without parts, and a moment of its life.
fn any_live() -> impl Strategy<Value = (Live, usize, usize)> {
    let plans = proptest::collection::vec(any_plan(), 8..40);
    let rest =
        (6usize..30, prop::bool::weighted(0.9), 1u32..3, any::<prop::sample::Index>(), 0usize..4);
    (plans, rest).prop_map(|(mut plan, (window, low_latency, segment, moment, parts))| {
        // The encoding changes at every other discontinuity.
        let mut cuts = 0;
        for plan in &mut plan {
            cuts += u32::from(plan.discontinuity);
            plan.init = cuts / 2;
        }
        let part = low_latency.then_some(Duration::from_millis(500));
        let whole = 1 + moment.index(plan.len() - 2);
        let parts = parts.min(plan[whole].parts.len() - 1);
        let parts = if plan[whole].gap { 0 } else { parts };
        let targets = Targets { segment, part, independent: false };
        (Live { plan, window, targets, ..Live::usual(1) }, whole, parts)
    })
}

fn read(text: &str) -> m3u8_rs::MediaPlaylist {
    match m3u8_rs::parse_playlist_res(text.as_bytes()) {
        Ok(Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("{other:?} is no media playlist:\n{text}"),
    }
}

/// What m3u8-rs has read is what the view says.
fn same(view: &View, text: &str, keyframes: bool) {
    let read = read(text);
    assert_eq!(read.target_duration, u64::from(view.targets.segment));
    assert_eq!(read.media_sequence, view.first());
    assert_eq!(read.discontinuity_sequence, view.discontinuity_sequence);
    assert_eq!((read.end_list, read.i_frames_only), (view.ended, keyframes));
    // What has no `EXTINF` yet is a segment without a name to m3u8-rs.
    let whole: Vec<_> = read.segments.iter().filter(|s| !s.uri.is_empty()).collect();
    assert_eq!(whole.len(), view.segments.len());
    for (got, want) in whole.iter().zip(view.segments.iter()) {
        assert_eq!(got.uri, format!("{}-{}.m4s", view.rendition.id, want.msn));
        assert!((f64::from(got.duration) - want.duration.millis() as f64 / 1000.0).abs() < 0.000_1);
        assert_eq!(got.discontinuity, want.discontinuity, "{text}");
        let date = got.program_date_time.expect("every segment has a date");
        assert_eq!(date.timestamp_millis() as u128, want.unix.as_millis());
        let range = got.byte_range.as_ref().map(|range| (range.length, range.offset));
        let keyframe = want.keyframe().filter(|_| keyframes && !want.gap);
        assert_eq!(range, keyframe.map(|bytes| (u64::from(bytes), Some(0))));
    }
}

/// The lines before the first segment's own, and the lines of each segment or of what comes after the last.
fn blocks(text: &str) -> (Vec<&str>, Vec<Vec<&str>>) {
    let own = [
        "#EXTINF",
        "#EXT-X-MAP",
        "#EXT-X-PROGRAM",
        "#EXT-X-DISCONTINUITY\n",
        "#EXT-X-PART:",
        "#EXT-X-GAP",
    ];
    let is_own = |line: &str| own.iter().any(|tag| format!("{line}\n").starts_with(tag));
    let head: Vec<&str> = text.lines().take_while(|line| !is_own(line)).collect();
    let mut blocks = vec![Vec::new()];
    for line in text.lines().skip(head.len()) {
        blocks.last_mut().unwrap().push(line);
        if !line.starts_with('#') {
            blocks.push(Vec::new());
        }
    }
    (head, blocks)
}

fn map<'a>(block: &[&'a str]) -> Option<&'a str> {
    block.iter().copied().find(|line| line.starts_with("#EXT-X-MAP"))
}

/// As a client puts a delta and the playlist that it has together: the segments that are left out are those that it has.
fn merged(before: &str, delta: &str) -> String {
    let number = |text: &str, tag: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(tag));
        line.map_or(0, |number| number.parse::<usize>().expect("a number"))
    };
    let skipped = number(delta, "#EXT-X-SKIP:SKIPPED-SEGMENTS=");
    let gone = number(delta, "#EXT-X-MEDIA-SEQUENCE:") - number(before, "#EXT-X-MEDIA-SEQUENCE:");
    let (_, old) = blocks(before);
    let (mut head, new) = blocks(delta);
    head.retain(|line| !line.starts_with("#EXT-X-SKIP"));
    let mut kept: Vec<Vec<&str>> = old[gone..gone + skipped].to_vec();
    // The map of what is gone still holds; parts that are old are named no more.
    let holds = old[..=gone].iter().rev().find_map(|block| map(block));
    if let (Some(first), Some(holds)) = (kept.first_mut(), holds)
        && map(first).is_none()
    {
        let at = usize::from(first[0] == "#EXT-X-DISCONTINUITY");
        first.insert(at, holds);
    }
    kept.iter_mut().for_each(|block| block.retain(|line| !line.starts_with("#EXT-X-PART:")));
    let lines = head.into_iter().chain(kept.into_iter().flatten()).chain(new.into_iter().flatten());
    lines.map(|line| format!("{line}\n")).collect()
}

/// Every line that tells of a segment or a part, by the name of what it tells of.
fn told(text: &str) -> BTreeMap<String, String> {
    let mut told = BTreeMap::new();
    let (mut about, mut map) = (String::new(), String::new());
    for line in text.lines() {
        if line.starts_with("#EXT-X-PART:") {
            let name = line.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next());
            told.insert(name.expect("a part has a name").to_owned(), line.to_owned());
        } else if line.starts_with("#EXT-X-MAP") {
            map = line.to_owned();
        } else if !line.starts_with('#') {
            told.insert(line.to_owned(), format!("{map}\n{about}"));
            about.clear();
        } else if ["#EXTINF", "#EXT-X-PROGRAM", "#EXT-X-GAP"].iter().any(|t| line.starts_with(t))
            || line == "#EXT-X-DISCONTINUITY"
        {
            about.push_str(line);
            about.push('\n');
        }
    }
    told
}

fn discontinuities(text: &str) -> BTreeMap<String, usize> {
    let mut number = read(text).discontinuity_sequence as usize;
    let mut numbers = BTreeMap::new();
    for line in text.lines() {
        number += usize::from(line == "#EXT-X-DISCONTINUITY");
        if !line.starts_with('#') {
            numbers.insert(line.to_owned(), number);
        }
    }
    numbers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn others_read_what_we_write((live, whole, parts) in any_live()) {
        for views in [live.at(whole, parts), live.ended()] {
            for view in &views {
                same(view, &media(view, &views, Form::Full, ""), false);
                same(view, &keyframes(view, Form::Full, ""), true);
            }
            let text = multivariant(&views, "");
            let Ok(Playlist::MasterPlaylist(read)) = m3u8_rs::parse_playlist_res(text.as_bytes()) else {
                panic!("no multivariant playlist:\n{text}");
            };
            prop_assert_eq!(read.variants.len(), 3);
            prop_assert_eq!(read.alternatives.len(), 2);
            prop_assert_eq!(read.variants.iter().filter(|v| v.is_i_frame).count(), 1);
            prop_assert!(read.variants.iter().all(|v| v.bandwidth > 0 && v.codecs.is_some()));
        }
    }

    /// What a client holds is at most half of the skip boundary old.
    #[test]
    fn a_delta_and_what_was_there_before_are_the_whole((live, whole, parts) in any_live()) {
        let now = live.at(whole, parts);
        let half = i64::from(live.targets.segment) * 3000;
        for before in 1..=whole {
            let age: i64 = live.plan[before..whole].iter().flat_map(|plan| &plan.parts).sum();
            if age > half || before + live.window <= whole {
                continue;
            }
            let then = live.at(before, 0);
            for (view, old) in now.iter().zip(&then) {
                let delta = media(view, &now, Form::Delta, "");
                let held = media(old, &then, Form::Full, "");
                prop_assert_eq!(merged(&held, &delta), media(view, &now, Form::Full, ""));
                let delta = keyframes(view, Form::Delta, "");
                let held = keyframes(old, Form::Full, "");
                prop_assert_eq!(merged(&held, &delta), keyframes(view, Form::Full, ""));
            }
        }
    }

    #[test]
    fn what_is_told_once_is_never_told_otherwise((live, _, _) in any_live()) {
        let mut heads: [Option<Vec<String>>; 2] = [None, None];
        let mut all: BTreeMap<(bool, String), String> = BTreeMap::new();
        let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
        let mut sequence = 0;
        for whole in 1..live.plan.len() {
            for parts in 0..live.plan[whole].parts.len() {
                let parts = if live.plan[whole].gap { 0 } else { parts };
                let views: Vec<Arc<View>> = live.at(whole, parts);
                let texts = [media(&views[0], &views, Form::Full, ""), keyframes(&views[0], Form::Full, "")];
                for (index, text) in texts.iter().enumerate() {
                    let (head, _) = blocks(text);
                    let fixed = head.iter().filter(|line| !line.contains("-SEQUENCE:"));
                    let fixed: Vec<String> = fixed.map(|line| (*line).to_owned()).collect();
                    let known = heads[index].get_or_insert_with(|| fixed.clone());
                    prop_assert_eq!(known, &fixed);
                    for (name, says) in told(text) {
                        let known = all.entry((index == 1, name)).or_insert_with(|| says.clone());
                        prop_assert_eq!(known, &says);
                    }
                }
                for (name, number) in discontinuities(&texts[0]) {
                    prop_assert_eq!(*numbers.entry(name).or_insert(number), number);
                }
                let first = read(&texts[0]).media_sequence;
                prop_assert!(first >= sequence.max(1), "it goes back to {}", first);
                sequence = first;
            }
        }
    }

    #[test]
    fn the_same_views_are_the_same_text((live, whole, parts) in any_live()) {
        let (one, other) = (live.at(whole, parts), live.at(whole, parts));
        for form in [Form::Full, Form::Delta] {
            prop_assert_eq!(media(&one[0], &one, form, ""), media(&other[0], &other, form, ""));
        }
    }
}
