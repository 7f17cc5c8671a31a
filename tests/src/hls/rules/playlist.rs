//! What validators and players look at in media playlists.

use std::collections::BTreeMap;

use super::{Count, Rule};
use crate::hls::playlist::{Playlist, Segment};
use crate::hls::seen::{Rendition, Seen};

/// Decimals are written to a hundred thousandth.
const ROUNDING: f64 = 0.000_02;

pub(super) const RULES: &[Rule] = &[
    Rule { name: "target-duration-fixed", check: target_fixed },
    Rule { name: "part-target-fixed", check: part_target_fixed },
    Rule { name: "server-control-fixed-and-the-same-everywhere", check: control_fixed },
    Rule { name: "part-at-most-target", check: part_at_most_target },
    Rule { name: "part-at-least-85-percent", check: part_at_least_85_percent },
    Rule { name: "segment-within-target-duration", check: segment_within_target },
    Rule { name: "part-hold-back-three-parts", check: hold_back },
    Rule { name: "can-skip-until-six-targets", check: can_skip },
    Rule { name: "can-skip-dateranges", check: can_skip_dateranges },
    Rule { name: "can-block-reload", check: can_block },
    Rule { name: "preload-hint-always", check: hint_always },
    Rule { name: "preload-hint-comes-true", check: hint_comes_true },
    Rule { name: "rendition-reports", check: reports },
    Rule { name: "old-parts-pruned", check: pruned },
    Rule { name: "sound-has-parts", check: sound_has_parts },
    Rule { name: "program-date-time", check: dates },
    Rule { name: "program-date-time-goes-on", check: dates_go_on },
    Rule { name: "six-segments-in-the-window", check: six_segments },
    Rule { name: "first-msn-at-least-one", check: first_msn },
    Rule { name: "media-sequence-counts", check: sequence_counts },
    Rule { name: "nothing-told-is-changed", check: nothing_changes },
    Rule { name: "discontinuity-sequence-from-the-first", check: discontinuity_sequence },
    Rule { name: "discontinuity-at-the-same-instant", check: same_discontinuities },
    Rule { name: "delta-is-shorter-and-true", check: deltas },
];

fn versions<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = (&'a str, &'a Playlist)> {
    let all = seen.renditions.iter();
    all.flat_map(|rendition| rendition.versions.iter().map(|(list, _)| (rendition.path, list)))
}

fn moving<'a>(seen: &'a Seen<'_>) -> impl Iterator<Item = (&'a str, &'a Playlist)> {
    versions(seen).filter(|(_, list)| !list.keyframes)
}

/// One value for all versions of a rendition.
fn fixed<T: PartialEq + std::fmt::Debug>(
    seen: &Seen<'_>,
    value: impl Fn(&Playlist) -> Option<T>,
) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        let first = rendition.versions.first().and_then(|(list, _)| value(list));
        for (list, _) in &rendition.versions {
            let now = value(list);
            count.check(now.is_some() && now == first, || {
                format!("{} had {first:?}, then {now:?}", rendition.path)
            })?;
        }
    }
    Ok(count.0)
}

fn target_fixed(seen: &Seen<'_>) -> Result<usize, String> {
    fixed(seen, |list| list.target)
}

fn part_target_fixed(seen: &Seen<'_>) -> Result<usize, String> {
    fixed(seen, |list| list.part_target)
}

fn control_fixed(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let first = &seen.renditions[0].versions.first().ok_or("no version")?.0.control;
    for (path, list) in versions(seen) {
        count.check(!first.0.is_empty() && list.control == *first, || {
            format!("{path} has {:?}, the first had {first:?}", list.control)
        })?;
    }
    Ok(count.0)
}

fn part_at_most_target(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in moving(seen) {
        let target = list.part_target.ok_or("no PART-TARGET")?;
        for part in list.all().flat_map(|segment| &segment.parts) {
            count.check(part.duration <= target + ROUNDING, || {
                format!("{path}: {} has {} s of {target} s", part.uri, part.duration)
            })?;
        }
    }
    Ok(count.0)
}

fn part_at_least_85_percent(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in moving(seen) {
        let least = list.part_target.ok_or("no PART-TARGET")? * 0.85 - ROUNDING;
        for segment in list.all() {
            // The last of a segment may be shorter; which is the last of one that grows is not known yet.
            for part in segment.parts.iter().rev().skip(1) {
                count.check(part.duration >= least, || {
                    format!("{path}: {} has {} s, less than {least} s", part.uri, part.duration)
                })?;
            }
        }
    }
    Ok(count.0)
}

fn segment_within_target(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in versions(seen) {
        let target = list.target.ok_or("no TARGETDURATION")?;
        for segment in &list.segments {
            count.check(segment.duration.round() as u64 <= target, || {
                format!("{path}: {} has {} s of {target} s", segment.uri, segment.duration)
            })?;
        }
    }
    Ok(count.0)
}

fn hold_back(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in moving(seen) {
        let back = list.control.number("PART-HOLD-BACK").unwrap_or(0.0);
        let target = list.part_target.ok_or("no PART-TARGET")?;
        count
            .check(back + ROUNDING >= 3.0 * target, || format!("{path}: {back} s of {target} s"))?;
    }
    Ok(count.0)
}

fn can_skip(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in versions(seen) {
        let skip = list.control.number("CAN-SKIP-UNTIL").unwrap_or(0.0);
        let target = list.target.ok_or("no TARGETDURATION")?;
        count.check(skip >= 6.0 * target as f64, || format!("{path}: {skip} s of {target} s"))?;
    }
    Ok(count.0)
}

fn says_yes(seen: &Seen<'_>, name: &str) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in versions(seen) {
        count.check(list.control.get(name) == Some("YES"), || {
            format!("{path}: {:?}", list.control)
        })?;
    }
    Ok(count.0)
}

fn can_skip_dateranges(seen: &Seen<'_>) -> Result<usize, String> {
    says_yes(seen, "CAN-SKIP-DATERANGES")
}

fn can_block(seen: &Seen<'_>) -> Result<usize, String> {
    says_yes(seen, "CAN-BLOCK-RELOAD")
}

fn hint_always(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in moving(seen).filter(|(_, list)| !list.ended) {
        let parts = list.hints.iter().filter(|hint| hint.get("TYPE") == Some("PART"));
        count.check(parts.count() == 1, || format!("{path}: {:?}", list.hints))?;
    }
    Ok(count.0)
}

/// What was hinted at is the next part of the next version, unless the publisher changed in between.
fn hint_comes_true(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        for pair in rendition.versions.windows(2) {
            let [(before, _), (after, _)] = pair else { continue };
            let Some(hinted) = before.hints.first().and_then(|hint| hint.get("URI")) else {
                continue;
            };
            let (msn, part) = before.next();
            let come = after.all().find(|segment| segment.msn == msn);
            let come = come.and_then(|segment| segment.parts.get(part as usize));
            let cut = after.all().any(|segment| segment.discontinuity && segment.msn > msn);
            let Some(come) = come else { continue };
            count.check(come.uri == hinted || cut, || {
                format!("{}: {hinted} was hinted at, {} came", rendition.path, come.uri)
            })?;
        }
    }
    Ok(count.0)
}

fn reports(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let paths: Vec<&str> = seen.moving().map(|rendition| rendition.path).collect();
    for rendition in seen.moving() {
        for (list, _) in rendition.versions.iter().filter(|(list, _)| !list.ended) {
            let told = list.reports.iter().filter_map(|report| report.get("URI"));
            let mut told: Vec<String> = told.map(|uri| rendition.resolve(uri)).collect();
            told.sort();
            let mut want = paths.clone();
            want.retain(|path| *path != rendition.path);
            want.sort_unstable();
            count.check(told == want, || format!("{}: {told:?}, not {want:?}", rendition.path))?;
            for report in &list.reports {
                let known =
                    report.number("LAST-MSN").is_some() && report.number("LAST-PART").is_some();
                count.check(known, || format!("{}: {report:?}", rendition.path))?;
            }
        }
    }
    Ok(count.0)
}

fn pruned(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in moving(seen).filter(|(_, list)| list.segments.len() > 3) {
        let old = &list.segments[..list.segments.len() - 3];
        let named = old.iter().find(|segment| !segment.parts.is_empty());
        count.check(named.is_none(), || format!("{path}: {named:?} still has its parts"))?;
    }
    Ok(count.0)
}

fn sound_has_parts(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.sound() {
        let parts = rendition.last().all().map(|segment| segment.parts.len()).sum::<usize>();
        count.check(parts > 0, || format!("{} has none", rendition.path))?;
    }
    Ok(count.0)
}

fn dates(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in versions(seen) {
        for segment in list.all() {
            count.check(segment.date.is_some(), || format!("{path}: segment {}", segment.msn))?;
        }
    }
    Ok(count.0)
}

/// How far dates may be off over so many seconds of media: a clock that was judged wrong in the beginning is put
/// right by and by, and milliseconds are cut off.
pub(super) fn slack(seconds: f64) -> f64 {
    0.005 * seconds + 0.002
}

/// A segment begins when the one before it ends.
fn dates_go_on(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in &seen.renditions {
        let all: Vec<Segment> = rendition.segments().into_values().collect();
        for pair in all.windows(2).filter(|pair| !pair[1].discontinuity) {
            let [before, after] = pair else { continue };
            let step = after.date.unwrap_or(0) - before.date.unwrap_or(0);
            let off = step as f64 / 1000.0 - before.duration;
            count
                .check(after.msn > before.msn + 1 || off.abs() < slack(before.duration), || {
                    format!("{}: {} begins {off:.3} s off", rendition.path, after.msn)
                })?;
        }
    }
    Ok(count.0)
}

/// A segment leaves only if six stay.
fn six_segments(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in &seen.renditions {
        for pair in rendition.versions.windows(2) {
            let [(before, _), (after, _)] = pair else { continue };
            let left = after.msn > before.msn;
            count.check(!left || after.segments.len() >= 6, || {
                format!("{}: only {} segments are left", rendition.path, after.segments.len())
            })?;
        }
    }
    Ok(count.0)
}

fn first_msn(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for (path, list) in versions(seen) {
        count.check(list.msn >= Some(1), || format!("{path}: {:?}", list.msn))?;
    }
    Ok(count.0)
}

/// The number goes up by what has left, and never back.
fn sequence_counts(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in &seen.renditions {
        for pair in rendition.versions.windows(2) {
            let [(before, _), (after, _)] = pair else { continue };
            let numbers: BTreeMap<&str, u64> =
                before.segments.iter().map(|segment| (segment.uri.as_str(), segment.msn)).collect();
            let same = after.segments.iter().all(|segment| {
                numbers.get(segment.uri.as_str()).is_none_or(|msn| *msn == segment.msn)
            });
            count
                .check(same && after.msn >= before.msn && after.next() >= before.next(), || {
                    format!("{}: from {:?} to {:?}", rendition.path, before.msn, after.msn)
                })?;
        }
    }
    Ok(count.0)
}

fn nothing_changes(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in &seen.renditions {
        let mut segments: BTreeMap<u64, Segment> = BTreeMap::new();
        let mut parts = BTreeMap::new();
        for segment in rendition.versions.iter().flat_map(|(list, _)| list.all()) {
            for (number, part) in segment.parts.iter().enumerate() {
                let known = parts.entry((segment.msn, number)).or_insert_with(|| part.clone());
                count.check(known == part, || format!("{known:?} is {part:?} now"))?;
            }
            if segment.uri.is_empty() {
                continue;
            }
            let bare = Segment { parts: Vec::new(), ..segment.clone() };
            let known = segments.entry(segment.msn).or_insert_with(|| bare.clone());
            count.check(*known == bare, || format!("{known:?} is {bare:?} now"))?;
        }
    }
    Ok(count.0)
}

/// It is there from the first version on, and no segment's own number ever changes.
fn discontinuity_sequence(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in &seen.renditions {
        let mut numbers = BTreeMap::new();
        for (list, _) in &rendition.versions {
            let mut number = list.discontinuity_sequence.ok_or("no DISCONTINUITY-SEQUENCE")?;
            for segment in list.all() {
                number += u64::from(segment.discontinuity);
                let known = *numbers.entry(segment.msn).or_insert(number);
                count.check(known == number, || {
                    format!("{}: segment {} had {known}, now {number}", rendition.path, segment.msn)
                })?;
            }
        }
    }
    Ok(count.0)
}

fn same_discontinuities(seen: &Seen<'_>) -> Result<usize, String> {
    let cuts = |rendition: &Rendition<'_>| {
        let all = rendition.segments();
        let first = all.keys().next().copied().unwrap_or(0);
        let cuts = all.values().filter(|segment| segment.discontinuity);
        (first, cuts.map(|segment| (segment.msn, segment.date.unwrap_or(0))).collect::<Vec<_>>())
    };
    let mut count = Count::default();
    let (start, first) = cuts(&seen.renditions[0]);
    for rendition in &seen.renditions {
        let (begin, own) = cuts(rendition);
        let from = begin.max(start) + 1;
        let last = seen.renditions[0].segments().len().min(rendition.segments().len()) as u64;
        let common = |cuts: &[(u64, i64)]| -> Vec<(u64, i64)> {
            let end = start.min(begin) + last;
            cuts.iter().filter(|(msn, _)| (from..end).contains(msn)).copied().collect()
        };
        let (own, first) = (common(&own), common(&first));
        let near = own.iter().zip(&first).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 100);
        count.check(own.len() == first.len() && near, || {
            format!("{}: {own:?}, elsewhere {first:?}", rendition.path)
        })?;
    }
    Ok(count.0)
}

/// A delta that was put together is what a client would hold: its numbers and names follow on those before.
fn deltas(seen: &Seen<'_>) -> Result<usize, String> {
    let mut found = 0;
    for rendition in seen.moving() {
        found += rendition.deltas;
        for pair in rendition.versions.windows(2) {
            let [(before, _), (after, _)] = pair else { continue };
            let (first, last) =
                (after.msn.unwrap_or(0), before.segments.last().map_or(0, |s| s.msn));
            for msn in first..=last {
                let find = |list: &Playlist| list.segments.iter().find(|s| s.msn == msn).cloned();
                let bare = |s: Segment| Segment { parts: Vec::new(), ..s };
                let (old, new) = (find(before).map(bare), find(after).map(bare));
                if old.is_some() && old != new {
                    return Err(format!("{}: {old:?} became {new:?}", rendition.path));
                }
            }
        }
    }
    Ok(found)
}
