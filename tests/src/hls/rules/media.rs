//! What the media files themselves say, against what the playlists say of them.

use std::collections::BTreeMap;

use super::playlist::slack;
use super::{Count, Rule};
use crate::hls::boxes::Fragment;
use crate::hls::playlist::Segment;
use crate::hls::seen::{Rendition, Seen};

pub(super) const RULES: &[Rule] = &[
    Rule { name: "part-lasts-as-long-as-it-says", check: part_durations },
    Rule { name: "segment-lasts-as-long-as-it-says", check: segment_durations },
    Rule { name: "segment-is-the-chain-of-its-parts", check: chain },
    Rule { name: "decode-times-go-on", check: continuous },
    Rule { name: "independent-parts-have-a-keyframe", check: independent },
    Rule { name: "one-timeline-for-all", check: one_timeline },
    Rule { name: "dates-are-the-media-clock", check: dates },
    Rule { name: "no-edit-lists", check: no_edit_lists },
    Rule { name: "composition-offsets-are-signed", check: signed },
    Rule { name: "all-that-is-named-is-there", check: all_there },
];

fn seconds(rendition: &Rendition<'_>, segment: &Segment, fragments: &[Fragment]) -> Option<f64> {
    let scale = rendition.init(segment)?.timescale;
    let ticks = fragments.iter().map(Fragment::duration).sum::<u64>();
    Some(ticks as f64 / f64::from(scale))
}

fn part_durations(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        for segment in rendition.segments().values() {
            for part in &segment.parts {
                let fragments = rendition.fragments(&part.uri);
                let Some(real) = fragments.and_then(|all| seconds(rendition, segment, all)) else {
                    continue;
                };
                count.check((real - part.duration).abs() < 0.001, || {
                    format!("{} says {} and lasts {real:.5}", part.uri, part.duration)
                })?;
            }
        }
    }
    Ok(count.0)
}

fn segment_durations(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        for segment in rendition.segments().values() {
            let fragments = rendition.fragments(&segment.uri);
            let Some(real) = fragments.and_then(|all| seconds(rendition, segment, all)) else {
                continue;
            };
            count.check((real - segment.duration).abs() < 0.001, || {
                format!("{} says {} and lasts {real:.5}", segment.uri, segment.duration)
            })?;
        }
    }
    Ok(count.0)
}

/// Where every part was fetched: together they are the segment, byte for byte.
fn chain(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        for segment in rendition.segments().values().filter(|segment| !segment.parts.is_empty()) {
            let get = |uri: &str| seen.files.get(rendition.resolve(uri).as_str()).map(|f| &f.body);
            let parts: Option<Vec<&Vec<u8>>> = segment.parts.iter().map(|p| get(&p.uri)).collect();
            let (Some(whole), Some(parts)) = (get(&segment.uri), parts) else { continue };
            let chain: Vec<u8> = parts.into_iter().flatten().copied().collect();
            count.check(*whole == chain, || {
                format!("{}: {} bytes, its parts have {}", segment.uri, whole.len(), chain.len())
            })?;
        }
    }
    Ok(count.0)
}

/// Over the borders of parts and of segments.
fn continuous(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        let mut expected: Option<(u64, u64)> = None;
        for segment in rendition.segments().values() {
            let Some(fragments) = rendition.fragments(&segment.uri) else {
                expected = None;
                continue;
            };
            for (number, fragment) in fragments.iter().enumerate() {
                let cut = number == 0 && segment.discontinuity;
                let before = expected.filter(|(msn, _)| !cut && *msn + 1 >= segment.msn);
                if let Some((_, end)) = before {
                    count.check(fragment.base == end, || {
                        format!("{} goes on at {}, not {end}", segment.uri, fragment.base)
                    })?;
                }
                expected = Some((segment.msn, fragment.base + fragment.duration()));
            }
        }
    }
    Ok(count.0)
}

/// A part says so if and only if a decoder can start in it; the first of a segment at its beginning.
fn independent(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.pictures() {
        for segment in rendition.segments().values() {
            let h264 = rendition.init(segment).is_some_and(|init| &init.entry == b"avc1");
            for part in &segment.parts {
                let Some(fragments) = rendition.fragments(&part.uri) else { continue };
                let samples: Vec<_> = fragments.iter().flat_map(|f| &f.samples).collect();
                let sync = samples.iter().any(|sample| sample.sync);
                count.check(sync == part.independent, || {
                    format!("{}: independent {}, keyframe {sync}", part.uri, part.independent)
                })?;
                let true_flags = samples.iter().all(|sample| !h264 || sample.sync == sample.idr());
                count.check(true_flags, || format!("{}: flags and pictures differ", part.uri))?;
            }
        }
    }
    Ok(count.0)
}

/// Where a segment begins on the timeline, by its number.
fn starts(rendition: &Rendition<'_>) -> BTreeMap<u64, (f64, Segment)> {
    let start = |segment: Segment| {
        let scale = rendition.init(&segment)?.timescale;
        let base = rendition.fragments(&segment.uri)?.first()?.base;
        Some((segment.msn, (base as f64 / f64::from(scale), segment)))
    };
    rendition.segments().into_values().filter_map(start).collect()
}

/// The same number is the same moment everywhere, but for the length of one frame of sound or of pictures.
fn one_timeline(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let all: Vec<_> = seen.moving().map(|rendition| (rendition.path, starts(rendition))).collect();
    let (_, first) = all.first().ok_or("no rendition")?;
    for (path, starts) in &all {
        for (msn, (start, _)) in starts {
            let zero = *msn > 1 || *start < 1.0;
            count.check(zero, || format!("{path}: the first segment begins at {start:.3} s"))?;
            let Some((other, _)) = first.get(msn) else { continue };
            count.check((start - other).abs() < 0.1, || {
                format!("{path}: segment {msn} begins at {start:.3} s, elsewhere at {other:.3} s")
            })?;
        }
    }
    Ok(count.0)
}

/// Between two discontinuities, dates and decode times go at the same pace, in all renditions alike.
fn dates(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        let (mut offset, mut before): (Option<f64>, Option<f64>) = (None, None);
        for (start, segment) in starts(rendition).into_values() {
            let date = segment.date.ok_or("no date")? as f64 / 1000.0;
            let known = offset.filter(|_| !segment.discontinuity).unwrap_or(date - start);
            // Gaps have no media to compare with: what is off adds up over them.
            let length = start - before.replace(start).unwrap_or(start);
            count.check((date - start - known).abs() < slack(length.max(0.0)), || {
                format!("{}: date and clock are {:.4} s apart", segment.uri, date - start - known)
            })?;
            offset = Some(date - start);
        }
    }
    Ok(count.0)
}

fn no_edit_lists(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, init) in seen.renditions.iter().flat_map(|rendition| &rendition.inits) {
        count.check(!init.edits, || format!("{path} has one"))?;
    }
    Ok(count.0)
}

fn signed(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, fragments) in seen.renditions.iter().flat_map(|rendition| &rendition.fragments) {
        for fragment in fragments {
            count.check(fragment.version == 1, || format!("{path}: trun {}", fragment.version))?;
        }
    }
    Ok(count.0)
}

/// What a playlist has named was there when it was asked for; a part that was only hinted at may not have come.
fn all_there(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (rendition, raw) in seen.renditions.iter().zip(&seen.recording.renditions) {
        let segments = rendition.segments();
        let named = segments.values().filter(|segment| !segment.gap).flat_map(|segment| {
            segment.parts.iter().map(|part| &part.uri).chain(Some(&segment.uri)).chain(&segment.map)
        });
        let named: Vec<String> = named.map(|uri| rendition.resolve(uri)).collect();
        for file in raw.media.iter().filter(|file| named.contains(&file.path)) {
            count.check(file.status == 200, || format!("{} got {}", file.path, file.status))?;
        }
    }
    Ok(count.0)
}
