//! The table of what a request for a playlist gets, row by row, and the hinted part.

use std::time::Duration;

use super::{Count, Rule};
use crate::hls::client::Exchange;
use crate::hls::playlist::{Playlist, resolve};
use crate::hls::seen::Seen;
use crate::hls::watch::Probe;

pub(super) const RULES: &[Rule] = &[
    Rule { name: "no-number-or-part-alone-is-400", check: refused },
    Rule { name: "far-segment-is-400", check: far_segment },
    Rule { name: "far-part-is-400", check: far_part },
    Rule { name: "past-the-last-part-is-the-next-segment", check: past_last },
    Rule { name: "segment-alone-waits-for-all-of-it", check: whole },
    Rule { name: "older-than-the-window-is-now", check: old },
    Rule { name: "a-reload-has-what-it-waited-for", check: reloads },
    Rule { name: "woken-only-by-a-change", check: woken },
    Rule { name: "hinted-part-waits-and-then-comes-at-once", check: hinted },
];

pub(super) const ENDING: &[Rule] = &[
    Rule { name: "not-ready-in-three-targets-is-503", check: never },
    Rule { name: "endlist-on-stop", check: endlist },
    Rule { name: "after-the-end-directives-are-ignored", check: ended },
];

/// An answer that waits for nothing. Machines that test are slow at times.
const AT_ONCE: Duration = Duration::from_millis(1500);

fn are_400(seen: &Seen<'_>, probe: Probe) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(probe) {
        count.check(answer.status == 400 && answer.whole < AT_ONCE, || said(answer))?;
    }
    Ok(count.0)
}

fn said(answer: &Exchange) -> String {
    let start: String = answer.text().chars().take(300).collect();
    format!("{} got {} after {:?}: {start}", answer.path, answer.status, answer.head)
}

fn refused(seen: &Seen<'_>) -> Result<usize, String> {
    are_400(seen, Probe::Refused)
}

fn far_segment(seen: &Seen<'_>) -> Result<usize, String> {
    are_400(seen, Probe::FarSegment)
}

fn far_part(seen: &Seen<'_>) -> Result<usize, String> {
    are_400(seen, Probe::FarPart)
}

fn list(answer: &Exchange) -> Result<Playlist, String> {
    match answer.status {
        200 => Playlist::parse(&answer.text()),
        _ => Err(said(answer)),
    }
}

fn past_last(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::PastLast) {
        let msn = answer.asked("_HLS_msn").unwrap_or(0) + 1;
        count.check(list(answer)?.has(msn, Some(0)), || format!("no {msn}.0: {}", said(answer)))?;
    }
    Ok(count.0)
}

fn whole(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Whole) {
        let msn = answer.asked("_HLS_msn").unwrap_or(0);
        count.check(list(answer)?.has(msn, None), || format!("no {msn}: {}", said(answer)))?;
    }
    Ok(count.0)
}

fn old(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Old) {
        count.check(answer.head < AT_ONCE && list(answer).is_ok(), || said(answer))?;
    }
    Ok(count.0)
}

fn reloads(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for reload in seen.recording.renditions.iter().flat_map(|rendition| &rendition.reloads) {
        let Some(msn) = reload.asked("_HLS_msn") else { continue };
        let list = list(reload)?;
        count.check(list.ended || list.has(msn, reload.asked("_HLS_part")), || said(reload))?;
    }
    Ok(count.0)
}

/// Who waits for the next part is answered when there is one more, not before and not long after: each answer is
/// another version.
fn woken(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in seen.moving() {
        for pair in rendition.versions.windows(2) {
            let [(before, _), (after, reload)] = pair else { continue };
            if reload.asked("_HLS_msn").is_some() && !after.ended {
                count.check(after.next() > before.next(), || said(reload))?;
            }
        }
    }
    Ok(count.0)
}

/// Parts that were asked for before they were there: the head came when all of it was there. On a busy machine a few may be held up on their way.
fn hinted(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in &seen.recording.renditions {
        let media: Vec<&Exchange> = rendition.media.iter().collect();
        let hints = rendition.reloads.iter().filter(|reload| reload.status == 200);
        let hints = hints.filter_map(|reload| Playlist::parse(&reload.text()).ok());
        let hints: Vec<String> = hints
            .flat_map(|list| list.hints)
            .filter_map(|hint| hint.get("URI").map(|uri| resolve(&rendition.path, uri)))
            .collect();
        let waited = media
            .iter()
            .filter(|file| file.head > Duration::from_millis(30) && hints.contains(&file.path));
        let waited: Vec<&Exchange> = waited.filter(|file| file.status == 200).copied().collect();
        let body = |file: &&Exchange| file.whole - file.head;
        let slow: Vec<_> =
            waited.iter().filter(|f| body(f) >= Duration::from_millis(150)).collect();
        if waited.is_empty() {
            continue;
        }
        count.check(slow.len() * 10 <= waited.len(), || {
            let all: Vec<_> = slow.iter().map(|file| (&file.path, body(file))).collect();
            format!("{} of {} took long after they had begun: {all:?}", slow.len(), waited.len())
        })?;
    }
    Ok(count.0)
}

fn never(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    let target = seen.renditions.first().and_then(|rendition| rendition.last().target);
    let most = Duration::from_secs(3 * target.unwrap_or(0));
    for answer in seen.recording.answers(Probe::Never) {
        let in_time = answer.head + AT_ONCE > most && answer.head < most + 2 * AT_ONCE;
        count.check(answer.status == 503 && in_time, || said(answer))?;
    }
    Ok(count.0)
}

fn endlist(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for rendition in &seen.renditions {
        let last = rendition.last();
        count.check(last.ended && last.hints.is_empty(), || {
            format!("{}: {last:?}", rendition.path)
        })?;
    }
    Ok(count.0)
}

fn ended(seen: &Seen<'_>) -> Result<usize, String> {
    let mut count = Count::default();
    for answer in seen.recording.answers(Probe::Ended) {
        let list = list(answer)?;
        count.check(list.ended && list.skipped == 0 && answer.head < AT_ONCE, || said(answer))?;
    }
    Ok(count.0)
}
