//! What a leg tells its session's log: what was selected and why, and how long it took to be shown.

use std::time::{Duration, Instant};

use media::{EncodingId, Kind};

use super::selector::Reason;
use crate::feed::Feed;
use crate::recorder::{Decision, Recorder, millis};

/// What was told last, and what is waited for.
#[derive(Debug, Default)]
pub(super) struct Story {
    chosen: Option<(usize, Reason)>,
    /// The encoding that is waited for, and since when.
    aimed: Option<(usize, Instant)>,
}

impl Story {
    /// An encoding was selected; told where that is news.
    pub(super) fn chose(
        &mut self,
        now: Instant,
        feed: &Feed,
        choice: (usize, Reason),
        log: &mut Recorder,
    ) {
        let (index, reason) = choice;
        if let Some(encoding) = feed.encodings.get(index).filter(|_| self.chosen != Some(choice)) {
            self.chosen = Some(choice);
            if encoding.info.kind == Kind::Video {
                log.record(now, Decision::Layer { id: encoding.info.id, reason });
            }
        }
    }

    /// Since when a keyframe of this encoding is waited for.
    pub(super) fn awaits(&mut self, now: Instant, awaited: Option<usize>) {
        if self.aimed.map(|(index, _)| index) != awaited {
            self.aimed = awaited.map(|index| (index, now));
        }
    }

    /// It is shown from now on.
    pub(super) fn shown(
        &mut self,
        now: Instant,
        feed: &Feed,
        index: usize,
        ring: bool,
        log: &mut Recorder,
    ) {
        let Some((_, since)) = self.aimed.take() else { return };
        let Some(encoding) = feed.encodings.get(index) else { return };
        let (id, after_ms) = (encoding.info.id, millis(since, now));
        log.record(
            now,
            match encoding.info.kind {
                Kind::Video => Decision::Switched { id, after_ms, ring },
                Kind::Audio => Decision::Sound,
            },
        );
    }

    /// The encoding that is waited for, and for how long.
    pub(super) fn awaiting(&self, now: Instant, feed: &Feed) -> Option<(EncodingId, Duration)> {
        let (index, since) = self.aimed?;
        let id = feed.encodings.get(index)?.info.id;
        Some((id, now.saturating_duration_since(since)))
    }
}
