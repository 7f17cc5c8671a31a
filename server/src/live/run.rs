//! The task of one stream that is packaged: it reads the units of whoever publishes the stream, in one epoch for as long
//! as the stream lives, and shows what becomes of them. The bus bounds how far it may be behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use media::{Format, Kind};
use packager::{Anchor, Cadence, Counters, Epoch, Event, Packager, Rendition, RenditionId};
use signaling::{Problem, SessionId};
use tokio::sync::watch;
use tokio::time::sleep_until;

use super::cast::{self, Cast};
use super::channel::{Channel, Phase, Show};
use super::hold::Hold;
use super::spill::{Spill, Written};
use super::{Drop as Why, KEPT, LINGER, Shared, Terms};
use crate::clock;
use crate::hub::{Source, Stage};
use crate::units::{self, Item, Reader, Start, Track, VIDEO};

/// How often it is looked whether anybody is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Packages a stream until nobody wants it any more, or there is nothing.
pub(super) async fn run(shared: Arc<Shared>, channel: Arc<Channel>) {
    let closing = Closing { shared: &shared, channel: &channel };
    match shared.hub.audience(channel.name()).await {
        Ok(stage) => {
            tracing::info!(stream = %channel.name(), "an audience comes: packaging begins");
            let mut desk = Desk::new(&shared, &channel, stage);
            desk.work().await;
            drop(desk);
            tracing::info!(stream = %channel.name(), "packaging ends");
        }
        Err(problem) => channel.enter(Phase::Over(problem)),
    }
    drop(closing);
}

/// However it ends, nobody waits for it any more, and the stream has no audience.
struct Closing<'a> {
    shared: &'a Shared,
    channel: &'a Arc<Channel>,
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.shared.close(self.channel, || true);
        if !matches!(&*self.channel.phase().borrow(), Phase::Over(_)) {
            self.channel.enter(Phase::Over(over(self.channel.name().as_str())));
        }
        let (hub, name) = (self.shared.hub.clone(), self.channel.name().clone());
        tokio::spawn(async move { hub.audience_left(&name).await });
    }
}

struct Desk<'a> {
    shared: &'a Shared,
    channel: &'a Arc<Channel>,
    stage: watch::Receiver<Stage>,
    /// Somebody waits for a first playlist.
    wanted: watch::Receiver<bool>,
    seat: Option<Seat>,
    work: Option<Work>,
}

/// One publisher's units.
struct Seat {
    publisher: SessionId,
    reader: Option<Reader>,
    formats: BTreeMap<Track, Arc<Format>>,
    /// Units it was too slow for, as far as they are counted.
    lost: u64,
    /// Until it is known what there is.
    held: Option<Hold>,
}

/// One epoch in the making.
struct Work {
    packager: Packager,
    cast: Cast,
    show: Arc<Show>,
    spill: Spill,
    version: u64,
    counted: Counters,
    /// Since when there is something to be seen, when it is to be shown, and whether it is.
    ready: Option<Instant>,
    due: Option<Instant>,
    on: bool,
}

impl<'a> Desk<'a> {
    fn new(shared: &'a Shared, channel: &'a Arc<Channel>, stage: watch::Receiver<Stage>) -> Self {
        let wanted = channel.wanted();
        let mut desk = Self { shared, channel, stage, wanted, seat: None, work: None };
        desk.sit();
        desk
    }

    async fn work(&mut self) {
        let mut look = clock::now() + LOOK;
        loop {
            let wake = self.wakes().map_or(look, |due| due.min(look));
            tokio::select! {
                changed = self.stage.changed() => match changed {
                    Ok(()) => self.sit(),
                    Err(_) => return self.end(),
                },
                Ok(()) = self.wanted.changed() => self.hurry(),
                item = read(&mut self.seat) => self.read(item),
                done = written(&mut self.work) => self.written(&done),
                () = sleep_until(wake.into()) => {}
            }
            let now = clock::now();
            self.settle(now);
            self.keep(now);
            self.show(now);
            self.ask().await;
            if look <= now {
                look = now + LOOK;
                self.count();
                if self.is_over(now) {
                    return;
                }
            }
        }
    }

    /// Reads whoever publishes now.
    fn sit(&mut self) {
        let stage = self.stage.borrow_and_update().clone();
        let Some(Source { publisher, bus }) = stage.source else {
            self.seat = None;
            if !stage.waits {
                self.end();
            }
            return;
        };
        if self.seat.as_ref().is_some_and(|seat| seat.publisher == publisher) {
            // What is made of its sound may be another thing now.
            return self.cast();
        }
        tracing::info!(stream = %self.channel.name(), %publisher, "its units are packaged");
        let reader = Some(bus.subscribe(Start::Group, &cast::tracks(stage.whip)));
        let held = Some(Hold::default());
        self.seat = Some(Seat { publisher, reader, formats: BTreeMap::new(), lost: 0, held });
        match &mut self.work {
            Some(work) => {
                work.cast.anew();
                work.packager.discontinuity();
            }
            // Another life of the stream: who asks now waits for it, and is not given the one that has ended.
            None => self.channel.enter(Phase::Starting),
        }
    }

    /// Takes what was read, and what lies there already.
    fn read(&mut self, item: Option<Item>) {
        let Some(item) = item else {
            // The publisher is gone; the stage says what becomes of the stream.
            self.seat.iter_mut().for_each(|seat| seat.reader = None);
            return;
        };
        let now = clock::now();
        self.take(item);
        // What lies there may be many seconds: as soon as its kinds are known it is not held any more.
        self.settle(now);
        while let Some(item) =
            self.seat.as_mut().and_then(|seat| seat.reader.as_mut()).and_then(Reader::read)
        {
            self.take(item);
            self.settle(now);
        }
    }

    fn take(&mut self, item: Item) {
        let Some(seat) = &mut self.seat else { return };
        if let Some(held) = &mut seat.held {
            return held.push(clock::now(), item);
        }
        match item {
            Item::Format(track, format) => {
                seat.formats.insert(track, format);
                self.cast();
            }
            Item::Unit(track, unit, captured) => {
                let Some(work) = &mut self.work else { return };
                for (from, id) in work.cast.routes() {
                    if *from == track {
                        work.packager.unit(*id, &unit, captured);
                    }
                }
            }
        }
    }

    /// As soon as it is known what there is, it goes in.
    fn settle(&mut self, now: Instant) {
        let announced = self.announced();
        let Some(seat) = &mut self.seat else { return };
        let Some(held) = &seat.held else { return };
        let layers = seat.reader.as_ref().map_or(0, Reader::layers);
        if !held.is_over(now, announced, layers) {
            return;
        }
        let pictures = announced || held.has_pictures();
        let held = seat.held.take().map(|held| held.release(layers)).unwrap_or_default();
        // Which of several encodings is the best is known when all are.
        for item in &held {
            if let Item::Format(track, format) = item {
                seat.formats.insert(*track, Arc::clone(format));
            }
        }
        let wanted = *self.wanted.borrow();
        let terms = self.channel.terms();
        let work = self.work.get_or_insert_with(|| Work::new(self.shared, terms, wanted));
        if pictures {
            work.add(RenditionId::VIDEO);
        }
        held.into_iter().for_each(|item| self.take(item));
    }

    /// The publisher is known to send pictures.
    fn announced(&self) -> bool {
        self.stage.borrow().sends.iter().any(|codec| codec.kind() == Kind::Video)
    }

    /// Who waits shall not wait for all that could be learned of the stream first.
    fn hurry(&mut self) {
        self.work.iter_mut().for_each(|work| work.packager.show());
    }

    /// Who plays what, by what is known now.
    fn cast(&mut self) {
        let (Some(seat), Some(work)) = (&self.seat, &mut self.work) else { return };
        if seat.held.is_some() {
            return;
        }
        let (soon, whip) = {
            let stage = self.stage.borrow();
            (stage.bridged.contains(&media::Codec::Aac), stage.whip)
        };
        for id in work.cast.choose(&seat.formats, soon) {
            work.add(id);
        }
        if let Some(track) = work.cast.pictures() {
            work.add(RenditionId::VIDEO);
            // A bridge makes keyframes when asked, whoever publishes.
            let asked = whip || track != VIDEO;
            work.packager.cadence(if asked { Cadence::OnRequest } else { Cadence::Own });
            let reader = seat.reader.as_ref();
            if let Some(gop) = reader.and_then(|reader| reader.cadence(track)) {
                work.packager.expect(gop);
            }
        }
        for (track, id) in work.cast.routes() {
            let Some(format) = seat.formats.get(track) else { continue };
            if let Err(refusal) = work.packager.format(*id, format) {
                let (stream, codec) = (self.channel.name(), format.codec);
                tracing::warn!(%stream, %codec, rendition = %id, "cannot be packaged: {refusal}");
            }
        }
    }

    /// What memory does not hold goes to disk.
    fn keep(&mut self, now: Instant) {
        let Some(work) = &mut self.work else { return };
        if work.spill.turn(&mut work.packager, now) {
            let (stream, why) = (self.channel.name(), self.shared.disk.shortage());
            tracing::warn!(%stream, "its window is shorter than live.window: live.memory_mb is used up, and {why}");
        }
    }

    fn written(&mut self, done: &Written) {
        self.work.iter_mut().for_each(|work| work.spill.note(done, &mut work.packager));
    }

    /// Shows what has become of it.
    fn show(&mut self, now: Instant) {
        let Some(work) = &mut self.work else { return };
        if work.version != work.packager.version() {
            work.version = work.packager.version();
            let views = work.packager.views();
            if !views.is_empty() {
                work.show.publish(views);
                work.ready.get_or_insert(now);
            }
        }
        if let Some(ready) = work.ready.filter(|_| !work.on) {
            let stage = self.stage.borrow();
            let reader = self.seat.as_ref().and_then(|seat| seat.reader.as_ref());
            let layers = reader.map_or(0, Reader::layers);
            let there = work.show.renditions();
            let waits = cast::patience(&there, &stage.sends, &stage.bridged, layers);
            work.due = Some(ready + waits);
            if ready + waits <= now {
                work.on = true;
                self.channel.enter(Phase::On(Arc::clone(&work.show)));
            }
        }
    }

    /// Asks for the keyframes that the packager wants.
    async fn ask(&mut self) {
        let (Some(work), Some(seat)) = (&mut self.work, &self.seat) else { return };
        let mut wanted = false;
        while let Some(event) = work.packager.poll() {
            wanted |= matches!(event, Event::Keyframe(_));
        }
        match (wanted, work.cast.pictures(), &seat.reader) {
            (true, Some(track), Some(reader)) if units::is_own(track) => reader.ask_keyframe(),
            (true, Some(_), _) => self.shared.hub.audience_keyframe(self.channel.name()).await,
            _ => {}
        }
    }

    /// What is in no file is counted, with its reason.
    fn count(&mut self) {
        if let Some(seat) = &mut self.seat {
            let lost = seat.reader.as_ref().map_or(seat.lost, Reader::lost);
            self.shared.dropped(Why::Slow, lost.saturating_sub(seat.lost));
            seat.lost = lost;
        }
        if let Some(work) = &mut self.work {
            let (now, before) = (work.packager.counters(), work.counted);
            work.counted = now;
            for (why, now, before) in [
                (Why::Strange, now.strange, before.strange),
                (Why::Blind, now.blind, before.blind),
                (Why::Early, now.early, before.early),
                (Why::Overflow, now.overflow, before.overflow),
            ] {
                self.shared.dropped(why, now.saturating_sub(before));
            }
        }
    }

    /// The stream has ended: what there is stays for a while.
    fn end(&mut self) {
        self.count();
        self.seat = None;
        let Some(mut work) = self.work.take() else { return };
        work.packager.end();
        let views = work.packager.views();
        if !views.is_empty() {
            work.show.publish(views);
            self.channel.enter(Phase::On(Arc::clone(&work.show)));
            self.channel.keep(work.show, clock::now() + KEPT);
        }
    }

    /// Nobody wants it any more, or there is nothing more of it.
    fn is_over(&self, now: Instant) -> bool {
        let nothing_kept = self.channel.tidy(now);
        if self.work.is_none() && self.seat.is_none() {
            let waits = self.stage.borrow().waits;
            return nothing_kept && !waits && self.shared.close(self.channel, || true);
        }
        let idle = || self.channel.is_idle(now, LINGER);
        !self.channel.terms().always && self.shared.close(self.channel, idle)
    }

    /// When there is something to do without anything happening.
    fn wakes(&self) -> Option<Instant> {
        let held = self.seat.as_ref().and_then(|seat| seat.held.as_ref());
        let alone = held.and_then(|held| held.wakes(self.announced()));
        let shown = self.work.as_ref().filter(|work| !work.on).and_then(|work| work.due);
        alone.into_iter().chain(shown).min()
    }
}

async fn read(seat: &mut Option<Seat>) -> Option<Item> {
    match seat.as_mut().and_then(|seat| seat.reader.as_mut()) {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

async fn written(work: &mut Option<Work>) -> Written {
    match work {
        Some(work) => work.spill.written().await,
        None => std::future::pending().await,
    }
}

impl Work {
    fn new(shared: &Shared, terms: &Terms, wanted: bool) -> Self {
        let anchor = Anchor { instant: clock::now(), unix: clock::since_epoch() };
        let epoch = epoch();
        let mut packager = Packager::new(terms.packager, epoch.clone(), anchor);
        if wanted {
            packager.show();
        }
        let spill = Spill::new(&shared.disk, &shared.memory, &epoch);
        let show = Arc::new(Show::new(epoch, Some(spill.holding())));
        let counted = Counters::default();
        let cast = Cast::default();
        Self { packager, cast, show, spill, version: 0, counted, ready: None, due: None, on: false }
    }

    fn add(&mut self, id: RenditionId) {
        let label = match id.kind {
            Kind::Video => "Video",
            Kind::Audio => "Audio",
        };
        self.packager.add(Rendition { id, label: label.to_owned(), language: None });
    }
}

/// A name that no other epoch has, of this run of the server or another one.
fn epoch() -> Epoch {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
    let mut random = [0; 12];
    rand::fill(&mut random).expect("the system has random numbers");
    let text: String =
        random.iter().map(|byte| char::from(DIGITS[usize::from(byte & 31)])).collect();
    Epoch::new(&text).expect("digits and small letters")
}

/// What its playlists are answered with from then on.
pub(crate) fn over(name: &str) -> Problem {
    let detail = format!("{name} is not packaged any more; ask for its index.m3u8 again");
    Problem::new(404, "stream-over", "The stream is over", detail)
}
