//! The media playlist of a rendition, whole or as a delta (draft-pantos-hls-rfc8216bis sections 4.4.3 to 4.4.5, 6.2.5.1).

use std::sync::Arc;
use std::time::Duration;

use media::MediaTime;

use crate::hls::preset::hold_back;
use crate::hls::reload::Form;
use crate::hls::text::{Date, Lines, Seconds, Uri};
use crate::name::File;
use crate::store::{Segment, View};
use crate::track::{Init, RenditionId};

/// Parts are named in the running segment and so many whole ones before it: nobody joins further back.
const WITH_PARTS: usize = 3;

/// `CAN-SKIP-UNTIL`, in target durations; the draft wants six at least.
const SKIP_TARGETS: u32 = 6;

/// The media playlist. `all` are the views of the same moment, for the reports on the other renditions. `query` is
/// put behind every name, as it is: empty, or for example `token=…`, already percent-encoded.
///
/// A delta of a playlist that has nothing to skip is the whole playlist.
pub fn media(view: &View, all: &[Arc<View>], form: Form, query: &str) -> String {
    let low_latency = view.targets.part.is_some();
    let skipped = skipped(view, form);
    let mut lines = Lines::with_capacity(1024 + 256 * (view.segments.len() - skipped));
    head(&mut lines, view);
    if let Some(part) = view.targets.part {
        lines.push(format_args!("#EXT-X-PART-INF:PART-TARGET={}", Seconds(part)));
    }
    sequences(&mut lines, view, skipped);
    let mut before = skipped.checked_sub(1).map(|last| &view.segments[last]);
    let with_parts = view.segments.len().saturating_sub(WITH_PARTS);
    for (index, segment) in view.all().enumerate().skip(skipped) {
        let parts = low_latency && index >= with_parts;
        if segment.complete || parts {
            write(&mut lines, view.rendition.id, segment, before, parts, query);
        }
        before = Some(segment);
    }
    if view.ended {
        lines.push(format_args!("#EXT-X-ENDLIST"));
    } else if low_latency {
        hint(&mut lines, view, query);
    }
    if low_latency {
        all.iter().for_each(|other| report(&mut lines, view, other, query));
    }
    lines.into_string()
}

/// What stands at the top of every playlist of a rendition, and never changes.
pub(super) fn head(lines: &mut Lines, view: &View) {
    let target = Duration::from_secs(u64::from(view.targets.segment));
    // 9 is the first with `EXT-X-SKIP`, 6 with `EXT-X-MAP` for any segment.
    let version = if view.targets.part.is_some() { 9 } else { 6 };
    lines.push(format_args!("#EXTM3U"));
    lines.push(format_args!("#EXT-X-VERSION:{version}"));
    lines.push(format_args!("#EXT-X-TARGETDURATION:{}", view.targets.segment));
    if let Some(part) = view.targets.part {
        lines.push(format_args!(
            "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={},CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK={}",
            Seconds(target * SKIP_TARGETS),
            Seconds(hold_back(part)),
        ));
    }
}

/// Where a playlist begins, and what a delta leaves out.
pub(super) fn sequences(lines: &mut Lines, view: &View, skipped: usize) {
    lines.push(format_args!("#EXT-X-MEDIA-SEQUENCE:{}", view.first()));
    lines.push(format_args!("#EXT-X-DISCONTINUITY-SEQUENCE:{}", view.discontinuity_sequence));
    if skipped > 0 {
        lines.push(format_args!("#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"));
    }
}

/// What stands before a segment, in playlists of pictures that move and of those that do not.
pub(super) fn opening(
    lines: &mut Lines,
    of: RenditionId,
    segment: &Segment,
    before: Option<&Init>,
    query: &str,
) {
    if segment.discontinuity {
        lines.push(format_args!("#EXT-X-DISCONTINUITY"));
    }
    let number = segment.init.number;
    if before.is_none_or(|init| init.number != number) {
        lines.push(format_args!("#EXT-X-MAP:URI=\"{}\"", Uri(File::Init(of, number), query)));
    }
    lines.push(format_args!("#EXT-X-PROGRAM-DATE-TIME:{}", Date(segment.unix)));
}

fn write(
    lines: &mut Lines,
    of: RenditionId,
    segment: &Segment,
    before: Option<&Arc<Segment>>,
    parts: bool,
    query: &str,
) {
    opening(lines, of, segment, before.map(|segment| &*segment.init), query);
    for (number, part) in (0u32..).zip(&segment.parts).take_while(|_| parts) {
        lines.push(format_args!(
            "#EXT-X-PART:DURATION={},URI=\"{}\"{}",
            Seconds(positive(part.duration)),
            Uri(File::Part(of, segment.msn, number), query),
            if part.independent { ",INDEPENDENT=YES" } else { "" },
        ));
    }
    if !segment.complete {
        return;
    }
    if segment.gap {
        lines.push(format_args!("#EXT-X-GAP"));
    }
    lines.push(format_args!("#EXTINF:{},", Seconds(positive(segment.duration))));
    lines.push(format_args!("{}", Uri(File::Segment(of, segment.msn), query)));
}

/// The part that comes next: a request for it waits.
fn hint(lines: &mut Lines, view: &View, query: &str) {
    let (msn, part) = view.next();
    let part = u32::try_from(part).unwrap_or(u32::MAX);
    let next = File::Part(view.rendition.id, msn, part);
    lines.push(format_args!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{}\"", Uri(next, query)));
}

/// How far another rendition is, for who changes over to it.
fn report(lines: &mut Lines, view: &View, other: &View, query: &str) {
    let Some(last) = other.all().next_back().filter(|_| other.rendition.id != view.rendition.id)
    else {
        return;
    };
    let uri = Uri(File::Playlist(other.rendition.id), query);
    // A gap has none; but a report must name one, and who asks for what follows it is told of the next segment.
    let part = last.parts.len().saturating_sub(1);
    lines.push(format_args!(
        "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={},LAST-PART={part}",
        last.msn,
    ));
}

/// How many of the oldest segments a delta leaves out: those that lie further from the end than
/// `CAN-SKIP-UNTIL`. None where that is not offered, or nothing comes any more.
pub(super) fn skipped(view: &View, form: Form) -> usize {
    if form == Form::Full || view.targets.part.is_none() || view.ended {
        return 0;
    }
    let boundary = MediaTime::new(i64::from(view.targets.segment * SKIP_TARGETS), 1);
    let zero = MediaTime::from_nanos(0);
    let mut distance = view.running.as_ref().map_or(zero, |running| zero.plus(running.duration));
    for (index, segment) in view.segments.iter().enumerate().rev() {
        if distance > boundary {
            return index + 1;
        }
        distance = distance.plus(segment.duration);
    }
    0
}

/// A duration as the clock has it; none is below zero.
pub(super) fn positive(time: MediaTime) -> Duration {
    Duration::from_nanos(u64::try_from(time.nanos()).unwrap_or(0))
}
