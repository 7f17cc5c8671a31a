//! The playlist of a rendition's keyframes, for seeking with pictures (draft-pantos-hls-rfc8216bis section 4.4.3.6). Each
//! segment is one entry under its own number: the bytes up to the end of the keyframe that it begins with. A segment
//! that begins with none is a gap here.

use crate::hls::media::{head, opening, positive, sequences, skipped};
use crate::hls::reload::Form;
use crate::hls::text::{Lines, Seconds, Uri};
use crate::name::File;
use crate::store::{Segment, View};

/// The playlist of keyframes. `form` and `query` as for [`media`](crate::hls::media()).
pub fn keyframes(view: &View, form: Form, query: &str) -> String {
    let skipped = skipped(view, form);
    let mut lines = Lines::with_capacity(512 + 192 * (view.segments.len() - skipped));
    head(&mut lines, view);
    lines.push(format_args!("#EXT-X-I-FRAMES-ONLY"));
    sequences(&mut lines, view, skipped);
    let mut before = skipped.checked_sub(1).map(|last| &*view.segments[last].init);
    for segment in &view.segments[skipped..] {
        opening(&mut lines, view.rendition.id, segment, before, query);
        entry(&mut lines, view, segment, query);
        before = Some(&*segment.init);
    }
    if view.ended {
        lines.push(format_args!("#EXT-X-ENDLIST"));
    }
    lines.into_string()
}

fn entry(lines: &mut Lines, view: &View, segment: &Segment, query: &str) {
    let keyframe = segment.keyframe().filter(|_| !segment.gap);
    if keyframe.is_none() {
        lines.push(format_args!("#EXT-X-GAP"));
    }
    lines.push(format_args!("#EXTINF:{},", Seconds(positive(segment.duration))));
    if let Some(bytes) = keyframe {
        lines.push(format_args!("#EXT-X-BYTERANGE:{bytes}@0"));
    }
    let file = File::Segment(view.rendition.id, segment.msn);
    lines.push(format_args!("{}", Uri(file, query)));
}

/// The most bits per second that reading it takes, over the window; `None` without a keyframe.
pub(super) fn peak(view: &View) -> Option<u64> {
    let rate = |segment: &Segment| {
        let nanos = positive(segment.duration).as_nanos().max(1);
        let bits = u128::from(segment.keyframe()?) * 8;
        u64::try_from(bits * 1_000_000_000 / nanos).ok()
    };
    view.segments.iter().filter_map(|segment| rate(segment)).max().map(|rate| rate.max(1))
}
