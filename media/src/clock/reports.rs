//! The sender reports of one source. Two that fit each other are believed; one that contradicts the ticks
//! that went by since the last is not, and only a row of such that fit each other shows that something
//! has moved: the publisher's wall clock, or this source against it.

use super::{MILLISECOND, SECOND};

/// Between two reports: rounding, and senders that take the time when a frame left for that of its
/// capture.
const NOISE: i64 = 20 * MILLISECOND;
/// And what two clocks of one machine may drift apart: 500 ppm.
const DRIFT: i64 = 2000;
/// Without a report for so long, arrivals know better: clocks have drifted by 5 ms at most.
const FRESH: i64 = 10 * SECOND;
/// After so long without one that fits they begin anew.
const LAPSE: i64 = 30 * SECOND;
/// What contradicts the trusted reports needs so many of its own, over so long.
const PROOF: (u32, i64) = (4, 10 * SECOND);

/// What a report has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The reports can be believed from now on.
    Begins,
    /// It fits those before it.
    GoesOn,
    /// A row of reports fits itself and contradicts those of before: wall less media time has grown.
    Moved {
        /// By so many nanoseconds.
        by: i64,
        /// When the first of the row came.
        since: i64,
    },
}

/// The reports of one run of timestamps.
#[derive(Debug, Default)]
pub(super) struct Reports {
    trusted: Option<Row>,
    candidate: Option<Row>,
    /// The last report did not fit: one that does may do so by chance.
    doubted: bool,
    /// Steps of the publisher's wall clock, to be taken off.
    steps: i64,
    /// They agree with the other sources', on the founding of this number.
    pub(super) agreed: Option<u32>,
}

/// Reports that fit each other.
#[derive(Clone, Copy, Debug)]
struct Row {
    since: i64,
    count: u32,
    received: i64,
    /// The last one.
    media: i64,
    wall: i64,
    /// Wall less media time, the last ones' together.
    offset: i64,
}

impl Reports {
    /// Takes a report: the wall clock showed `wall` at the media time.
    pub(super) fn add(&mut self, now: i64, media: i64, wall: i64) -> Option<News> {
        let offset = wall - media;
        let new = Row { since: now, count: 1, received: now, media, wall, offset };
        if [self.trusted, self.candidate].into_iter().flatten().any(|row| row.same(&new)) {
            return None;
        }
        let known = self.trusted.filter(|row| now - row.received <= LAPSE);
        if let Some(row) = known.filter(|row| row.fits(&new)) {
            self.candidate = None;
            if std::mem::take(&mut self.doubted) {
                return None;
            }
            self.trusted = Some(row.with(new));
            return Some(News::GoesOn);
        }
        self.doubted = true;
        let row = match self.candidate {
            Some(row) if row.fits(&new) => row.with(new),
            _ => new,
        };
        self.candidate = Some(row);
        let proven = row.count >= PROOF.0 && now - row.since >= PROOF.1;
        let news = match (self.trusted, known) {
            (None, _) if row.count < 2 => return None,
            (Some(_), _) if !proven => return None,
            (_, None) => {
                self.steps = 0;
                News::Begins
            }
            (_, Some(old)) => News::Moved { by: row.offset - old.offset, since: row.since },
        };
        self.doubted = false;
        self.trusted = self.candidate.take();
        Some(news)
    }

    /// The publisher's wall clock made this step, and the media did not.
    pub(super) fn forget_step(&mut self, by: i64) {
        self.steps = self.steps.saturating_add(by);
    }

    /// Wall less media time, on a wall clock that does not step.
    pub(super) fn offset(&self) -> i64 {
        self.trusted.map_or(0, |row| row.offset.saturating_sub(self.steps))
    }

    /// True if they can be built on now.
    pub(super) fn hold(&self, founded: u32, now: i64) -> bool {
        self.agreed == Some(founded) && self.trusted.is_some_and(|row| now - row.received <= FRESH)
    }
}

impl Row {
    fn fits(&self, next: &Self) -> bool {
        let apart = (next.offset - self.offset).abs();
        apart <= NOISE + (next.media - self.media).abs() / DRIFT
    }

    fn same(&self, other: &Self) -> bool {
        (self.media, self.wall) == (other.media, other.wall)
    }

    /// Half of what the next one adds counts, so that noise and chance do less harm.
    fn with(self, next: Self) -> Self {
        let offset = self.offset + (next.offset - self.offset) / 2;
        Self { since: self.since, count: self.count.saturating_add(1), offset, ..next }
    }
}
