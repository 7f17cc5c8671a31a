//! Who does what when: who leads, where that makes segments begin, and how far each rendition may go. All here
//! happens on media time; nothing waits for a rendition that does not come.

use std::time::{Duration, Instant};

use media::{Kind, MediaTime};

use super::cuts::Rules;
use super::gather::{Expected, Gathering, Held, PIECE};
use super::lane::{Era, Lane, Outcome};
use super::maker::Turn;
use super::{Cadence, Event, Packager};
use crate::store::Targets;
use crate::timeline::{Line, nanos};
use crate::track::RenditionId;

/// Other pictures of the same publisher may be so far ahead of those that lead; then they lead from then on.
const SIBLING: MediaTime = MediaTime::from_millis(300);
/// Another rendition may be so far ahead of the one that leads; then it leads itself.
const PATIENCE: MediaTime = MediaTime::from_millis(1000);
/// After so much without a packet, sound is filled with silence.
const QUIET: MediaTime = MediaTime::from_millis(500);
/// With so much media of the first rendition, the others are not waited for any longer.
const COMPANY: MediaTime = MediaTime::from_millis(1000);
/// Between two requests for a keyframe without which nothing goes on.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// Events that nobody takes are not kept for ever.
const MOST_EVENTS: usize = 16;
/// The first segment of a stream lasts so long, where there are parts.
const FIRST: Duration = Duration::from_secs(1);
/// And so many parts at least: players stay three and a half behind.
const FIRST_PARTS: u32 = 4;
/// Sound that leads may have come so many segments further; what is between is one segment.
const MOST_CUTS: usize = 8;
/// A part of the bytes of the window, one in so many, may wait for a beginning.
const WAITING: usize = 4;

/// The present publisher's media.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// Where it begins.
    start: MediaTime,
    /// What is added to its times.
    offset: MediaTime,
    /// Who leads.
    home: RenditionId,
    /// Who does while that one does not come.
    acting: RenditionId,
    /// Up to where it is decided where segments begin.
    pub(super) newest: MediaTime,
}

impl Packager {
    /// A unit of a rendition that is there.
    pub(super) fn take(&mut self, held: Held) {
        match self.running {
            Some(running) => self.run(running, held),
            None => self.gather(held),
        }
    }

    fn gather(&mut self, held: Held) {
        let blind = held.id.kind == Kind::Video
            && !held.unit.keyframe
            && self.gathering.first(held.id).is_none();
        if blind {
            self.counters.blind += 1;
            self.ask_now(held.id, held.captured);
            return;
        }
        let renditions = self.renditions();
        let mut gathering = std::mem::take(&mut self.gathering);
        self.counters.overflow += gathering.push(held, &self.expected(&renditions));
        self.gathering = gathering;
        self.try_begin();
    }

    /// Begins as soon as enough is known.
    pub(super) fn try_begin(&mut self) {
        if let Some(lead) = self.gathering.lead(&self.expected(&self.renditions())) {
            self.begin(lead);
        }
    }

    pub(super) fn renditions(&self) -> Vec<(RenditionId, bool)> {
        self.lanes.iter().map(|lane| (lane.id(), lane.has_format())).collect()
    }

    pub(super) fn expected<'a>(&self, renditions: &'a [(RenditionId, bool)]) -> Expected<'a> {
        Expected {
            renditions,
            shown: self.shown,
            known: self.targets.is_some(),
            gop: self.gop,
            bytes: self.config.bytes / WAITING,
        }
    }

    /// What has gathered begins, with the first keyframe of `lead`.
    pub(super) fn begin(&mut self, lead: RenditionId) {
        let gathering = std::mem::take(&mut self.gathering);
        let (Some(first), Some(captured)) = (gathering.first(lead), gathering.promptest(lead))
        else {
            return;
        };
        if self.targets.is_none() {
            let renditions = self.renditions();
            let expected = self.expected(&renditions);
            self.targets = Some(gathering.targets(lead, &self.config, self.cadence, &expected));
        }
        let mut line = self.line.unwrap_or(Line::new(&self.anchor, captured));
        // On a tick of its own, so that its distances stay exact.
        let scale = first.unit.pts.scale().max(90_000);
        let start = MediaTime::new(line.begin(captured, self.end).in_scale(scale), scale);
        let offset = start.since(first.unit.pts);
        self.lanes.iter_mut().for_each(|lane| lane.begin_anew(start));
        self.cuts.push(start, line.wall, true, Some(lead).filter(|id| id.kind == Kind::Video));
        self.line = Some(line);
        let running = Running { start, offset, home: lead, acting: lead, newest: start };
        self.running = Some(running);
        gathering.held.into_iter().for_each(|held| self.take(held));
    }

    /// All media of the present publisher ends here.
    pub(super) fn close(&mut self) {
        let (Some(running), Some(targets), Some(line)) =
            (self.running.take(), self.targets, self.line)
        else {
            return;
        };
        let part = targets.part.unwrap_or(PIECE);
        let segment = self.rules(targets).limit;
        let (cuts, counters) = (&self.cuts, &mut self.counters);
        let zero = line.unix;
        let acting = running.acting;
        let follows = false;
        let mut turn = Turn { cuts, settled: None, part, segment, zero, last: None, follows };
        let mut end = self.end.max(cuts.last().map_or(self.end, |cut| cut.at));
        let mut has_last = false;
        for lane in &mut self.lanes {
            turn.last = lane.newest().map(|newest| newest.plus(lane.interval));
            turn.follows = lane.follows(acting);
            lane.maker.drain(&turn, counters);
            has_last |= lane.maker.has_last(&turn, counters);
            end = end.max(lane.maker.reached().unwrap_or(end));
        }
        if has_last {
            self.lanes.iter_mut().for_each(|lane| lane.maker.finish(&turn, end, counters));
        }
        self.end = end;
        self.cuts.unused = !has_last;
    }

    fn run(&mut self, running: Running, held: Held) {
        let (Some(line), Some(targets)) = (self.line, self.targets) else { return };
        let here = line.here(held.captured);
        let era = Era {
            start: running.start,
            offset: running.offset,
            most: MediaTime::new(i64::from(targets.segment), 1),
            cuts: &self.cuts,
            newest: running.newest,
        };
        let Some(index) = self.lanes.iter().position(|lane| lane.id() == held.id) else { return };
        let lane = &mut self.lanes[index];
        let mut outcome = lane.place(&held.unit, here, &era, &mut self.counters);
        if outcome == Outcome::Jump {
            self.counters.jumps += 1;
            if held.id == running.home {
                self.close();
                self.gathering = Gathering::default();
                self.gather(held);
                return;
            }
            lane.astray(&era);
            outcome = lane.place(&held.unit, here, &era, &mut self.counters);
        }
        match outcome {
            Outcome::Taken => self.follow(index, &held),
            Outcome::Left if held.id == running.home => self.ask_now(held.id, held.captured),
            Outcome::Left => {}
            Outcome::Jump => self.counters.early += 1,
        }
        self.turn();
    }

    /// Goes on from a unit that has its place: who leads now, and does a segment begin?
    fn follow(&mut self, index: usize, held: &Held) {
        let Some(mut running) = self.running else { return };
        let alive = self.pictures_go_on(index);
        let Some(lane) = self.lanes.get_mut(index) else { return };
        let id = held.id;
        let reached = lane.reached().unwrap_or(running.newest);
        let lapsed = std::mem::take(&mut lane.lapsed);
        let near = reached.plus(PATIENCE) >= running.newest;
        let ahead = |by| reached > running.newest.plus(by);
        // Who has left pictures out can lead from a keyframe on.
        let fit = held.unit.keyframe || !lane.maker.lost;
        let mut returns = false;
        if id.kind == Kind::Video
            && running.acting.kind == Kind::Audio
            && fit
            && (running.home.kind == Kind::Audio || id != running.home)
        {
            (running.home, running.acting, returns) = (id, id, true);
        } else if id == running.home && running.acting != id && near {
            (running.acting, returns) = (id, lapsed);
        } else if lane.follows(running.acting) && running.acting.kind == Kind::Video {
            if fit && ahead(SIBLING) {
                returns = lane.maker.lost;
                (running.home, running.acting) = (id, id);
            }
        } else if id != running.acting && ahead(PATIENCE) && !alive {
            running.acting = id;
        }
        if running.acting == id {
            self.decide(index, held, returns);
            running.newest = running.newest.max(reached);
        } else if lane.opens && lane.kind() == Kind::Video {
            if !lane.newest().is_some_and(|at| self.cuts.breaks_near(at)) {
                self.cuts.marked = true;
            }
        } else if lane.opens {
            let next = lane.maker.msn().and_then(|msn| self.cuts.get(msn + 1));
            self.cuts.forced |= !next.is_some_and(|cut| cut.discontinuity);
        }
        self.running = Some(running);
    }

    /// Whether other pictures than this rendition's are about as far: they lead then, and no sound does.
    fn pictures_go_on(&self, index: usize) -> bool {
        let Some(reached) = self.lanes.get(index).and_then(Lane::reached) else { return false };
        let acting = self.running.map(|running| running.acting);
        let others = self.lanes.iter().filter(|lane| lane.kind() == Kind::Video);
        let mut others = others.filter(|lane| Some(lane.id()) != acting && !lane.maker.lost);
        others.any(|lane| lane.newest().is_some_and(|newest| newest.plus(PATIENCE) > reached))
    }

    /// The one that leads has a new unit: where do segments begin?
    fn decide(&mut self, index: usize, held: &Held, returns: bool) {
        let (Some(line), Some(targets)) = (self.line, self.targets) else { return };
        let rules = self.rules(targets);
        let lane = &self.lanes[index];
        let (Some(at), Some(reached), Some(last)) =
            (lane.newest(), lane.reached(), self.cuts.last())
        else {
            return;
        };
        let (msn, begun) = (last.msn, last.at);
        let settled = self.running.map_or(begun, |running| running.newest);
        let breaks = lane.opens || self.cuts.forced;
        if lane.kind() == Kind::Audio {
            if breaks {
                self.cuts.push(at, line.wall, true, None);
            }
            for _ in 0..MOST_CUTS {
                let length = self.rules(targets).segment;
                let next = self.cuts.last().map(|last| last.at.plus(length));
                // What lies before that is in files already.
                let next = next.map(|next| next.max(settled));
                let Some(next) = next.filter(|next| *next <= reached) else { break };
                self.cuts.push(next, line.wall, false, None);
            }
            if self.cuts.last().is_some_and(|last| reached.since(last.at) > rules.limit) {
                self.cuts.push(at, line.wall, false, None);
            }
        } else {
            let before = lane.maker.pending().map(|unit| unit.time());
            if at.since(begun) > rules.limit
                && let Some(before) = before
            {
                // A frame has lasted longer than a part.
                self.cuts.push(before, line.wall, false, None);
            }
            let elapsed = self.cuts.last().map_or(MediaTime::ZERO, |last| at.since(last.at));
            let due = held.unit.keyframe && rules.is_due(elapsed, lane.gop);
            // No keyframe has come in time, and the next frame may be too long.
            let late = elapsed.plus(targets.part.map_or(MediaTime::ZERO, nanos)) > rules.limit;
            if breaks || returns || due || late {
                self.cuts.push(at, line.wall, breaks, Some(held.id).filter(|_| held.unit.keyframe));
            }
            if self.cuts.ask(&rules, at) {
                self.event(Event::Keyframe(held.id));
            }
        }
        if let (Some(last), Some(line)) =
            (self.cuts.last().filter(|cut| cut.msn != msn), &mut self.line)
        {
            line.slew(at, held.captured, last.at.since(begun));
        }
    }

    fn rules(&self, targets: Targets) -> Rules {
        let mut segment = self.config.segment;
        // Nobody sees anything before the first segment is whole: it is as short as players' distance allows.
        if let Some(part) = targets.part.filter(|_| self.cuts.last().is_none_or(|cut| cut.msn == 1))
        {
            segment = segment.min((part * FIRST_PARTS).max(FIRST));
        }
        Rules::new(nanos(segment), targets.segment, self.cadence)
    }

    /// Everybody goes as far as is decided; who has nothing is not waited for.
    fn turn(&mut self) {
        let (Some(running), Some(targets), Some(line)) = (self.running, self.targets, self.line)
        else {
            return;
        };
        let part = targets.part.unwrap_or(PIECE);
        let settled = Some(running.newest);
        let segment = self.rules(targets).limit;
        let (cuts, counters) = (&self.cuts, &mut self.counters);
        let mut turn =
            Turn { cuts, settled, part, segment, zero: line.unix, last: None, follows: false };
        let mut missing = None;
        for lane in &mut self.lanes {
            let quiet = running.newest.since(lane.heard);
            turn.follows = lane.follows(running.acting);
            if lane.id() != running.acting && quiet > QUIET && lane.has_format() {
                let cut = lane.maker.msn().and_then(|msn| cuts.get(msn)).or(cuts.last());
                let start = cut.map_or(running.start, |cut| cut.at);
                let goes_on = lane.keep_up(start, running.newest, counters);
                let msn = lane.maker.msn();
                let behind = msn.is_some_and(|msn| cuts.get(msn + 1).is_some());
                if !goes_on && quiet > PATIENCE && behind {
                    lane.maker.lapse(&turn, counters);
                    lane.lapse();
                    // Those that come back beside other pictures are asked with those, ahead of the next boundary.
                    let alone = running.acting.kind == Kind::Audio && lane.kind() == Kind::Video;
                    missing = alone.then_some(lane.id()).or(missing);
                }
            }
            lane.maker.turn(&turn, counters);
        }
        if let Some(id) = missing.filter(|_| self.cadence == Cadence::OnRequest) {
            self.event(Event::Keyframe(id));
        }
    }

    /// Nothing goes on without a keyframe.
    fn ask_now(&mut self, id: RenditionId, now: Instant) {
        let again = |asked: Instant| now.saturating_duration_since(asked) >= ASK_AGAIN;
        if self.cadence == Cadence::OnRequest && self.asked.is_none_or(again) {
            self.asked = Some(now);
            self.event(Event::Keyframe(id));
        }
    }

    fn event(&mut self, event: Event) {
        if self.events.len() < MOST_EVENTS {
            self.events.push_back(event);
        }
    }

    /// Shows what there is, and lets go of what is too old.
    pub(super) fn publish(&mut self) {
        let Some(targets) = self.targets else { return };
        self.trim();
        self.ready |= self.ended || self.is_ready();
        if !self.ready {
            return;
        }
        let mut changed = false;
        for lane in &mut self.lanes {
            changed |= lane.maker.shelf.show(&self.epoch, &lane.rendition, targets, self.ended);
        }
        self.version += u64::from(changed);
    }

    fn is_ready(&self) -> bool {
        let Some(running) = self.running else { return false };
        let has = |id| self.lane(id).is_some_and(|lane| lane.maker.shelf.has_media());
        let mut known = self.lanes.iter().filter(|lane| lane.has_format());
        let alone = running.newest.since(running.start) >= COMPANY;
        has(running.home) && (alone || known.all(|lane| lane.maker.shelf.has_media()))
    }
}
