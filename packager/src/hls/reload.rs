//! What a request for a playlist or a file gets (draft-pantos-hls-rfc8216bis sections 6.2.5.2 and 6.2.6): decided purely, from how
//! far a rendition has come. Who has to wait asks again after every change; what was once worth waiting for
//! is never refused later, for a stream only goes on.

use std::time::Duration;

use crate::hls::directives::{Directives, Fault};
use crate::name::File;
use crate::store::View;

/// How many segments ahead of the last whole one may be waited for.
const AHEAD: u64 = 2;

/// What a request for a playlist gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The playlist as it is.
    Now(Form),
    /// It waits until this is in the playlist; at most for [`patience`], then the answer is 503.
    WaitFor {
        /// Media sequence number.
        msn: u64,
        /// A part of it; `None` waits for the whole segment.
        part: Option<u32>,
    },
    /// 400.
    BadRequest(Fault),
}

/// How a playlist is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// All of it.
    Full,
    /// Old segments are left out, and counted (section 6.2.5.1).
    Delta,
}

/// What a request for a file gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is there.
    There,
    /// It is the next part: the request waits for it.
    Soon,
    /// It was there, and has left the window some time ago.
    Gone,
    /// It is none that was announced.
    Never,
}

/// What a request for a media playlist gets.
pub fn decide(view: &View, asked: &Directives) -> Answer {
    Edge::of(view).decide(asked)
}

/// What a request for a playlist of keyframes gets: it has no parts, so only whole segments are waited for.
pub fn decide_keyframes(view: &View, asked: &Directives) -> Answer {
    Edge::of(view).decide(&Directives { part: None, ..*asked })
}

/// How long a request may wait, from when it came.
pub fn patience(view: &View) -> Duration {
    Duration::from_secs(u64::from(view.targets.segment)) * 3
}

/// What a request for a media file gets. Playlists are none.
pub fn reach(view: &View, file: File) -> Reach {
    let edge = Edge::of(view);
    match file {
        File::Segment(_, msn) if msn < edge.first && view.segment(msn).is_some() => Reach::There,
        File::Segment(_, msn) => edge.segment(msn),
        File::Part(_, msn, part) if parts(view, msn) > u64::from(part) => Reach::There,
        File::Part(_, msn, part) => edge.part(msn, part),
        File::Init(_, number) if view.init(number).is_some() => Reach::There,
        File::Init(..) | File::Playlist(_) | File::Keyframes(_) => Reach::Never,
    }
}

/// How many parts of a segment there are.
fn parts(view: &View, msn: u64) -> u64 {
    view.segment(msn).map_or(0, |segment| segment.part_count() as u64)
}

/// Advance Part Limit: parts of three seconds, or three if they are long.
fn advance(part_target: Duration) -> u64 {
    if part_target >= Duration::from_secs(1) || part_target.is_zero() {
        return 3;
    }
    Duration::from_secs(3).as_nanos().div_ceil(part_target.as_nanos()) as u64
}

/// How far a rendition has come.
#[derive(Clone, Copy, Debug)]
struct Edge {
    /// The oldest segment.
    first: u64,
    /// The one that is being written.
    running: u64,
    /// How many parts it has.
    parts: u64,
    /// How many the one before it has.
    last_parts: u64,
    /// `None` where there are no parts and nothing is waited for.
    part_target: Option<Duration>,
    ended: bool,
}

impl Edge {
    fn of(view: &View) -> Self {
        let (running, parts) = view.next();
        Self {
            first: view.first(),
            running,
            parts: parts as u64,
            last_parts: view.segments.last().map_or(0, |last| last.part_count() as u64),
            part_target: view.targets.part,
            ended: view.ended,
        }
    }

    fn decide(self, asked: &Directives) -> Answer {
        if self.ended {
            return Answer::Now(Form::Full);
        }
        if let Some(fault) = asked.fault {
            return Answer::BadRequest(fault);
        }
        let (Some(target), Some(msn)) = (self.part_target, asked.msn) else {
            return self.whenever(asked.skip && self.part_target.is_some());
        };
        let most = self.running.saturating_sub(1).saturating_add(AHEAD);
        if msn > most {
            return Answer::BadRequest(Fault::FarMsn { asked: msn, most });
        }
        let now = Answer::Now(if asked.skip { Form::Delta } else { Form::Full });
        let Some(part) = asked.part else {
            return if msn < self.running { now } else { Answer::WaitFor { msn, part: None } };
        };
        if msn + 1 < self.running {
            return now;
        }
        let there = match msn {
            msn if msn < self.running => self.last_parts,
            msn if msn == self.running => self.parts,
            _ => 0,
        };
        let most = (there + advance(target)).saturating_sub(1);
        match u32::try_from(part) {
            Ok(_) if part < there => now,
            Ok(_) if part > most => Answer::BadRequest(Fault::FarPart { asked: part, most }),
            // Past the last part of a whole segment: the first of the next. A gap is there, and has none to be waited for.
            Ok(_) if msn < self.running && (self.parts > 0 || there == 0) => now,
            Ok(_) if msn < self.running => Answer::WaitFor { msn: self.running, part: Some(0) },
            Ok(part) => Answer::WaitFor { msn, part: Some(part) },
            Err(_) => Answer::BadRequest(Fault::FarPart { asked: part, most }),
        }
    }

    /// A request that names no segment. A playlist without a whole one breaks players that know no parts.
    fn whenever(self, skip: bool) -> Answer {
        match self.running == self.first {
            true => Answer::WaitFor { msn: self.first, part: None },
            false => Answer::Now(if skip { Form::Delta } else { Form::Full }),
        }
    }

    fn segment(self, msn: u64) -> Reach {
        match msn {
            msn if msn < self.first => Reach::Gone,
            msn if msn < self.running => Reach::There,
            _ => Reach::Never,
        }
    }

    /// A part that is not there.
    fn part(self, msn: u64, part: u32) -> Reach {
        let hinted = self.part_target.is_some() && !self.ended;
        match msn {
            msn if msn < self.first => Reach::Gone,
            msn if hinted && msn == self.running && u64::from(part) == self.parts => Reach::Soon,
            _ => Reach::Never,
        }
    }
}
