//! One rendition on its way in: where its units lie on the stream's timeline. Pictures keep their distances
//! exactly; sound is a chain of packets without holes, and moved by no more than half a packet for it. What
//! jumps is found here; what becomes of it is not decided here.

use std::sync::Arc;

use bytes::Bytes;
use media::{AccessUnit, Format, Kind, MediaTime};

use super::Counters;
use super::cuts::Cuts;
use super::maker::{Maker, Placed};
use super::sound::Sound;
use crate::Error;
use crate::track::{Init, Rendition, RenditionId};

/// What goes back so far is put right behind the unit before; what goes back further is a jump.
const BACK: MediaTime = MediaTime::from_millis(500);
/// So many units in a row are put right behind the one before: then it is a jump after all.
const HELD: u32 = 50;
/// A step forward is a jump where capture times do not confirm it to this.
const AGREE: MediaTime = MediaTime::from_millis(1000);
/// A rendition's times are those of its publisher's others if capture times agree to this.
const TOGETHER: MediaTime = MediaTime::from_millis(2000);
/// More silence is not made at once.
const MOST_SILENCE: i64 = 1_000;

/// What there is to know of the stream while a unit is placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Era<'a> {
    /// Where the present publisher's media begins.
    pub(super) start: MediaTime,
    /// What is added to its times.
    pub(super) offset: MediaTime,
    /// A step further than this is a jump, whatever capture times say.
    pub(super) most: MediaTime,
    pub(super) cuts: &'a Cuts,
    /// The newest time of the rendition that leads.
    pub(super) newest: MediaTime,
}

/// What became of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Taken,
    /// Left out, and counted.
    Left,
    /// Its time has nothing to do with those before it.
    Jump,
}

/// One rendition.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) rendition: Arc<Rendition>,
    /// What comes next is coded like this.
    init: Option<Arc<Init>>,
    /// Takes effect with the next keyframe.
    next_init: Option<Arc<Init>>,
    inits: u32,
    sound: Option<Sound>,
    /// Of the present publisher.
    offset: Option<MediaTime>,
    /// From decoding to showing of its first keyframe: by so much all its pictures are decoded later.
    delay: MediaTime,
    /// Of the newest unit: where it lies, when it was captured, how long the one before it lasted.
    newest: Option<MediaTime>,
    captured: MediaTime,
    pub(super) interval: MediaTime,
    /// Where the newest packet of sound ends.
    end: Option<MediaTime>,
    held: u32,
    /// Pictures are left out until a keyframe comes.
    blind: bool,
    /// It had no media while others went on.
    pub(super) lapsed: bool,
    /// Its newest unit is the first of another format.
    pub(super) opens: bool,
    /// Of the newest keyframe, and how long the one before was earlier.
    keyframe: Option<MediaTime>,
    pub(super) gop: Option<MediaTime>,
    /// The newest time of the rendition that leads, when its newest unit came.
    pub(super) heard: MediaTime,
    pub(super) maker: Maker,
}

impl Lane {
    pub(super) fn new(rendition: Rendition) -> Self {
        let maker = Maker::new(rendition.id);
        Self {
            rendition: Arc::new(rendition),
            init: None,
            next_init: None,
            inits: 0,
            sound: None,
            offset: None,
            delay: MediaTime::ZERO,
            newest: None,
            captured: MediaTime::ZERO,
            interval: MediaTime::from_millis(33),
            end: None,
            held: 0,
            blind: true,
            lapsed: false,
            opens: false,
            keyframe: None,
            gop: None,
            heard: MediaTime::ZERO,
            maker,
        }
    }

    pub(super) fn id(&self) -> RenditionId {
        self.rendition.id
    }

    pub(super) fn kind(&self) -> Kind {
        self.rendition.id.kind
    }

    /// It has pictures, and another rendition leads.
    pub(super) fn follows(&self, acting: RenditionId) -> bool {
        self.kind() == Kind::Video && self.id() != acting
    }

    /// See [`Packager::format`](super::Packager::format).
    pub(super) fn format(&mut self, format: &Format) -> Result<(), Error> {
        if format.codec.kind() != self.kind() {
            return Err(Error::Codec(format.codec));
        }
        let newest = self.next_init.as_ref().or(self.init.as_ref());
        if newest.is_some_and(|init| init.format == *format) {
            return Ok(());
        }
        let init = Init::new(self.inits, format)?;
        self.inits += 1;
        self.next_init = Some(Arc::new(init));
        Ok(())
    }

    pub(super) fn has_format(&self) -> bool {
        self.init.is_some() || self.next_init.is_some()
    }

    /// What its units will be placed in: the scale, and how long a packet of sound lasts.
    pub(super) fn span(&self, data: &[u8]) -> Option<MediaTime> {
        let init = self.next_init.as_ref().or(self.init.as_ref())?;
        let sound = Sound::new(&init.format, init.timescale);
        Some(MediaTime::new(sound.span(data), init.timescale))
    }

    /// Up to where its units are known: pictures to the newest one's beginning, sound to its end.
    pub(super) fn reached(&self) -> Option<MediaTime> {
        self.end.or(self.newest)
    }

    pub(super) fn newest(&self) -> Option<MediaTime> {
        self.newest
    }

    /// Another publisher's media begins at `start`.
    pub(super) fn begin_anew(&mut self, start: MediaTime) {
        self.offset = None;
        self.newest = None;
        self.end = None;
        self.blind = true;
        self.lapsed = false;
        self.keyframe = None;
        self.gop = None;
        self.heard = start;
    }

    /// It falls out for a while.
    pub(super) fn lapse(&mut self) {
        self.lapsed = true;
        self.blind = true;
    }

    /// Puts a unit in its place. `here`: where on the timeline its capture time lies.
    pub(super) fn place(
        &mut self,
        unit: &AccessUnit,
        here: MediaTime,
        era: &Era<'_>,
        counters: &mut Counters,
    ) -> Outcome {
        if self.blind && !unit.keyframe {
            counters.blind += 1;
            return Outcome::Left;
        }
        let adopts = self.next_init.is_some() && unit.keyframe;
        let Some(init) = self.next_init.as_ref().filter(|_| adopts).or(self.init.as_ref()) else {
            counters.strange += 1;
            return Outcome::Left;
        };
        let init = Arc::clone(init);
        let offset = self.offset.unwrap_or_else(|| {
            let apart = apart(unit.pts.plus(era.offset), here);
            if apart > TOGETHER { here.since(unit.pts) } else { era.offset }
        });
        let fresh = adopts.then(|| Sound::new(&init.format, init.timescale));
        let outcome = match self.kind() {
            Kind::Video => self.picture(unit, &init, (offset, here), era, counters),
            Kind::Audio => {
                let sound = fresh.as_ref().or(self.sound.as_ref()).cloned();
                sound.map_or(Outcome::Left, |sound| {
                    self.packet(unit, &init, &sound, (offset, here), era, counters)
                })
            }
        };
        if outcome != Outcome::Taken {
            return outcome;
        }
        self.opens = adopts && self.init.is_some();
        if adopts {
            self.init = self.next_init.take();
            self.sound = fresh;
        }
        self.offset = Some(offset);
        self.captured = here;
        self.blind = false;
        self.heard = era.newest;
        outcome
    }

    /// Its times have nothing to do with those before: they are placed by capture times anew.
    pub(super) fn astray(&mut self, era: &Era<'_>) {
        self.offset = None;
        self.blind = true;
        self.heard = era.newest;
    }

    fn picture(
        &mut self,
        unit: &AccessUnit,
        init: &Arc<Init>,
        (offset, here): (MediaTime, MediaTime),
        era: &Era<'_>,
        counters: &mut Counters,
    ) -> Outcome {
        let scale = init.timescale;
        if self.newest.is_none() {
            self.delay = unit.pts.since(unit.dts);
        }
        let moved = offset.in_scale(scale);
        let shown = unit.pts.in_scale(scale).saturating_add(moved);
        let decoded = unit.dts.in_scale(scale).saturating_add(moved);
        let mut at = decoded.saturating_add(self.delay.in_scale(scale));
        let early = era.start.since(MediaTime::from_millis(100));
        match self.newest.map(|newest| newest.in_scale(scale)) {
            None if MediaTime::new(at, scale) < early => {
                counters.early += 1;
                return Outcome::Left;
            }
            None => at = at.max(era.start.in_scale(scale)),
            Some(newest) => {
                let step = MediaTime::new(at.saturating_sub(newest), scale);
                if self.jumps(step, here, era) {
                    return Outcome::Jump;
                }
                if at <= newest {
                    if self.held >= HELD {
                        return Outcome::Jump;
                    }
                    at = newest + 1;
                    self.held += 1;
                    counters.held += 1;
                } else {
                    self.held = 0;
                }
                self.interval = MediaTime::new(at - newest, scale);
            }
        }
        let time = MediaTime::new(at, scale);
        if self.lapsed && self.maker.reached().is_some_and(|reached| time < reached) {
            counters.early += 1;
            return Outcome::Left;
        }
        if unit.keyframe {
            self.gop = self.keyframe.map(|before| time.since(before));
            self.keyframe = Some(time);
        }
        self.newest = Some(time);
        self.maker.push(Placed {
            at,
            composition: clamp(shown.saturating_sub(at)),
            keyframe: unit.keyframe,
            span: None,
            data: unit.data.clone(),
            init: Arc::clone(init),
        });
        Outcome::Taken
    }

    fn packet(
        &mut self,
        unit: &AccessUnit,
        init: &Arc<Init>,
        sound: &Sound,
        (offset, here): (MediaTime, MediaTime),
        era: &Era<'_>,
        counters: &mut Counters,
    ) -> Outcome {
        let scale = init.timescale;
        let span = sound.span(&unit.data);
        let moved = offset.in_scale(scale);
        let mut at = unit.dts.in_scale(scale).saturating_add(moved);
        let end = match self.end {
            Some(end) => end.in_scale(scale),
            None => {
                // AAC's priming, and whatever else was before the first picture.
                if at.saturating_add(span / 2) < era.start.in_scale(scale) {
                    counters.early += 1;
                    return Outcome::Left;
                }
                let time = MediaTime::new(at, scale).max(era.start);
                era.cuts.of(time).map_or(at, |cut| cut.at.in_scale(scale))
            }
        };
        let gap = at.saturating_sub(end);
        if self.end.is_some() && self.jumps(MediaTime::new(gap, scale), here, era) {
            return Outcome::Jump;
        }
        if gap < -span / 2 {
            // Late, but alive: no silence is needed in its place.
            self.heard = era.newest;
            counters.early += 1;
            return Outcome::Left;
        }
        // Silence of another format than what is there would belong behind the cut that is to come.
        let other = self.init.as_ref().is_some_and(|known| !Arc::ptr_eq(known, init));
        let filled = if other { 0 } else { self.fill(sound, init, (end, gap), counters) };
        if filled > 0 || gap <= span / 2 {
            at = end.saturating_add(filled);
        }
        self.put(at, span, unit.data.clone(), init);
        Outcome::Taken
    }

    /// Silence from `end` on over as much of the gap as can be; returns how many ticks that is.
    fn fill(
        &mut self,
        sound: &Sound,
        init: &Arc<Init>,
        (end, gap): (i64, i64),
        counters: &mut Counters,
    ) -> i64 {
        let Some((silence, length)) = sound.silence() else { return 0 };
        let count = gap.saturating_add(length / 2) / length;
        if !(1..=MOST_SILENCE).contains(&count) {
            return 0;
        }
        for n in 0..count {
            self.put(end + n * length, length, silence.clone(), init);
        }
        counters.filled += count.unsigned_abs();
        count * length
    }

    fn put(&mut self, at: i64, span: i64, data: Bytes, init: &Arc<Init>) {
        self.newest = Some(MediaTime::new(at, init.timescale));
        self.end = Some(MediaTime::new(at.saturating_add(span), init.timescale));
        self.maker.push(Placed {
            at,
            composition: 0,
            keyframe: true,
            span: Some(span),
            data,
            init: Arc::clone(init),
        });
    }

    /// Sound that has fallen silent goes on with silence up to `to`, where it can; from `start` on if it has
    /// not begun. False if it cannot.
    pub(super) fn keep_up(
        &mut self,
        start: MediaTime,
        to: MediaTime,
        counters: &mut Counters,
    ) -> bool {
        let Some(init) = self.next_init.take_if(|_| self.init.is_none()) else {
            return self.go_on(start, to, counters);
        };
        if self.kind() == Kind::Audio {
            self.sound = Some(Sound::new(&init.format, init.timescale));
            self.init = Some(init);
            return self.go_on(start, to, counters);
        }
        self.next_init = Some(init);
        false
    }

    fn go_on(&mut self, start: MediaTime, to: MediaTime, counters: &mut Counters) -> bool {
        let (Some(init), Some(sound)) = (self.init.clone(), self.sound.clone()) else {
            return false;
        };
        let Some((_, length)) = sound.silence() else { return false };
        let scale = init.timescale;
        let end = self.end.unwrap_or(start).in_scale(scale);
        // Whole packets only, none beyond.
        let gap = to.in_scale(scale).saturating_sub(end) / length * length;
        if gap > MOST_SILENCE * length {
            return false;
        }
        self.fill(&sound, &init, (end, gap), counters);
        true
    }

    /// Whether a step from where the newest unit said that the next would be is none that media makes.
    fn jumps(&self, step: MediaTime, here: MediaTime, era: &Era<'_>) -> bool {
        let confirmed = apart(step, here.since(self.captured)) <= AGREE;
        let back = MediaTime::from_nanos(step.nanos().saturating_neg());
        let far = step > era.most && !self.lapsed;
        back > BACK || far || step > AGREE && !confirmed
    }
}

fn apart(one: MediaTime, other: MediaTime) -> MediaTime {
    let nanos = one.nanos().saturating_sub(other.nanos());
    MediaTime::from_nanos(nanos.saturating_abs())
}

fn clamp(composition: i64) -> i32 {
    composition.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}
