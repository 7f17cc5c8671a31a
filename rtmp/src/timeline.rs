//! RTMP's timestamps as times that do not wrap, jump or go back: one [`Timeline`] per publisher, and
//! what the flv room says of a unit in, `dts` and `pts` out.
//!
//! A publisher's timestamps are the truth about how its tracks lie to one another, and arrival is the
//! truth about how time goes on. So tracks that share a run of timestamps share one offset, and
//! only where timestamps leave what arrival can explain, a new run begins, placed where arrival says; the
//! other tracks follow into it by themselves. No clock is read here, and no codec known.

mod run;
mod sound;
#[cfg(test)]
mod tests;

use std::time::Instant;

use media::MediaTime;

use self::run::{Promptness, Run};
use self::sound::Sound;
use crate::flv::Track;

/// A step of a track's timestamps up to here is taken as it is, in either direction; what goes back so
/// far is held. Pictures and sound come at least every 400 ms where anybody watches live.
const STEP: i64 = 500;
/// So far may a track lie from the others when it begins, or follows them into a new run: OBS and
/// FFmpeg interleave within this.
const TOGETHER: i64 = 10_000;
/// Media may be so much more prompt than what came before it, and still be what it says it is.
const EARLY: i64 = 500;
/// No reordering moves a picture further than this (16 frames at two per second).
const COMPOSITION: i64 = 10_000;

/// What a unit says about its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The message's timestamp in milliseconds.
    pub timestamp: u32,
    /// To be added, in nanoseconds (Enhanced RTMP's `TimestampOffsetNano`), where it is said.
    pub nanos: Option<u32>,
    /// From decoding to showing, in milliseconds.
    pub composition: i32,
    /// Sound of a known length: how many samples, and how many of those make a second.
    pub span: Option<(u32, u32)>,
}

/// Where a unit lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Always later than that of the unit before, within a track.
    pub dts: MediaTime,
    /// May be earlier than `dts` only where the publisher says so.
    pub pts: MediaTime,
    /// Here a jump of so many milliseconds was taken out. Once for all tracks.
    pub jump: Option<i64>,
}

/// What was not taken as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Jumps taken out.
    pub jumps: u64,
    /// Units that were not later than the one before, and were put right behind it.
    pub held: u64,
    /// Sound whose timestamps left the count of its samples by more than 15 ms: a gap, or a clock
    /// that stutters.
    pub resynced: u64,
    /// Composition times that cannot be, taken as 0.
    pub composition: u64,
}

/// The timeline of one publisher; its first unit is at 0.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The first arrival; arrivals are counted in milliseconds since then.
    origin: Option<Instant>,
    /// Those that a track is in, and the newest, which is the last.
    runs: Vec<Run>,
    lines: Vec<(Track, Line)>,
    counters: Counters,
}

/// One track.
#[derive(Debug)]
struct Line {
    /// Which run it is in.
    run: u64,
    /// Its newest timestamp, unwrapped.
    raw: i64,
    /// Where the newest unit lies, in milliseconds and to the full.
    at: i64,
    dts: MediaTime,
    promptness: Promptness,
    sound: Option<Sound>,
}

impl Timeline {
    /// Begins with the first unit placed.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was not taken as it came, so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Where a unit of `track` lies that arrived `now`. To be called in the order of arrival.
    pub fn place(&mut self, now: Instant, track: Track, mark: Mark) -> Place {
        let origin = *self.origin.get_or_insert(now);
        let arrival = now.saturating_duration_since(origin).as_millis();
        let arrival = i64::try_from(arrival).unwrap_or(i64::MAX / 2);
        let jumps = self.counters.jumps;
        let (index, at, taken) = self.locate(arrival, track, mark.timestamp);
        let dts = self.settle(index, at, mark);
        Place {
            dts,
            pts: dts.plus(MediaTime::from_millis(self.composition(mark.composition))),
            jump: (self.counters.jumps != jumps).then_some(taken),
        }
    }

    /// The line of `track`, where it is now in milliseconds, and how far it jumped if it did.
    fn locate(&mut self, arrival: i64, track: Track, timestamp: u32) -> (usize, i64, i64) {
        let Some(index) = self.lines.iter().position(|(t, _)| *t == track) else {
            return self.begin(arrival, track, timestamp);
        };
        let line = &self.lines[index].1;
        let (was, step) = (line.at, run::distance(timestamp, line.raw));
        let newest = self.runs.last().filter(|newest| newest.id != line.run);
        let follow = newest.map(|newest| run::distance(timestamp, newest.raw));
        let follows = follow.is_some_and(|f| f.abs() <= TOGETHER && f.abs() < step.abs());
        if !follows && self.goes_on(index, arrival, timestamp, step) {
            let raw = line.raw + step;
            return (index, self.enter(index, arrival, raw, false), 0);
        }
        if !follows {
            let wanted = arrival - line.promptness.reference();
            self.counters.jumps += 1;
            self.start_run(timestamp, wanted.max(was + 1));
        }
        let newest = self.runs.last().expect("the line is in a run, and one was begun else");
        let (id, raw) = (newest.id, newest.raw + run::distance(timestamp, newest.raw));
        self.lines[index].1.run = id;
        let at = self.enter(index, arrival, raw, true);
        self.runs.retain(|run| run.id == id || self.lines.iter().any(|(_, l)| l.run == run.id));
        (index, at, step - (at - was))
    }

    /// Whether a step of a line's timestamps stays in its run.
    fn goes_on(&self, index: usize, arrival: i64, timestamp: u32, step: i64) -> bool {
        let line = &self.lines[index].1;
        if step.abs() <= STEP {
            return true;
        }
        let Some(run) = self.runs.iter().find(|run| run.id == line.run) else { return false };
        let others_are_there = run::distance(timestamp, run.raw).abs() <= STEP;
        let lag = arrival - (line.raw + step + run.offset);
        step > 0 && (others_are_there || lag >= line.promptness.shortest() - EARLY)
    }

    /// A track that was not there before.
    fn begin(&mut self, arrival: i64, track: Track, timestamp: u32) -> (usize, i64, i64) {
        let near = |run: &Run| run::distance(timestamp, run.raw).abs() <= TOGETHER;
        if !self.runs.last().is_some_and(near) {
            let promptest = self.lines.iter().map(|(_, line)| line.promptness.reference()).min();
            self.start_run(timestamp, promptest.map_or(0, |lag| arrival - lag));
        }
        let run = self.runs.last().expect("one was begun if there was none");
        let raw = run.raw + run::distance(timestamp, run.raw);
        let at = raw + run.offset;
        let line = Line {
            run: run.id,
            raw,
            at,
            dts: MediaTime::from_millis(at - 1),
            promptness: Promptness::new(arrival, arrival - at),
            sound: None,
        };
        self.lines.push((track, line));
        let index = self.lines.len() - 1;
        (index, self.enter(index, arrival, raw, false), 0)
    }

    /// Begins a run in which `timestamp` lies at `at`.
    fn start_run(&mut self, timestamp: u32, at: i64) {
        let id = self.runs.last().map_or(0, |run| run.id + 1);
        let raw = i64::from(timestamp);
        self.runs.push(Run { id, offset: at - raw, raw });
    }

    /// A line moves to `raw` in its run; where that is.
    fn enter(&mut self, index: usize, arrival: i64, raw: i64, anew: bool) -> i64 {
        let line = &mut self.lines[index].1;
        line.raw = raw;
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == line.run) {
            run.raw = raw;
            line.at = raw + run.offset;
        }
        if anew {
            line.promptness.begin_again(arrival, arrival - line.at);
            line.sound = None;
        } else {
            line.promptness.add(arrival, arrival - line.at);
        }
        line.at
    }

    /// The exact time, never that of the unit before or earlier.
    fn settle(&mut self, index: usize, at: i64, mark: Mark) -> MediaTime {
        let line = &mut self.lines[index].1;
        let (mut dts, resynced) = line.exact(at, mark);
        self.counters.resynced += u64::from(resynced);
        if dts <= line.dts {
            self.counters.held += 1;
            // A sample, or a millisecond; never less than RTP can tell apart.
            let least = MediaTime::new(1, dts.scale().min(90_000));
            let before = MediaTime::new(line.dts.in_scale(dts.scale()), dts.scale());
            dts = before.plus(least);
            if dts <= line.dts {
                // This scale is coarser, and was rounded down.
                dts = dts.plus(least);
            }
        }
        line.dts = dts;
        dts
    }

    /// What can be of a composition time.
    fn composition(&mut self, millis: i32) -> i64 {
        let millis = i64::from(millis);
        if millis.abs() <= COMPOSITION {
            return millis;
        }
        self.counters.composition += 1;
        0
    }
}

impl Line {
    /// Where a unit is in all the precision that there is: to the nanosecond where that is said, else sound by
    /// the count of its samples; and whether those had to be set anew.
    fn exact(&mut self, at: i64, mark: Mark) -> (MediaTime, bool) {
        let span = mark.span.filter(|(samples, rate)| *samples > 0 && *rate > 0);
        match (mark.nanos, span) {
            (None, Some((samples, rate))) => {
                let sound = self.sound.take().filter(|sound| sound.rate() == rate);
                let sound = self.sound.insert(sound.unwrap_or_else(|| Sound::new(rate)));
                let (ticks, resynced) = sound.place(MediaTime::from_millis(at), samples);
                (MediaTime::new(ticks, rate), resynced)
            }
            (None, None) => {
                self.sound = None;
                (MediaTime::from_millis(at), false)
            }
            (Some(nanos), span) => {
                self.sound = None;
                let exact = at.saturating_mul(1_000_000).saturating_add(i64::from(nanos));
                let exact = MediaTime::from_nanos(exact);
                // Samples are whole.
                let sound = |(_, rate)| MediaTime::new(exact.in_scale(rate), rate);
                (span.map_or(exact, sound), false)
            }
        }
    }
}
