//! What there is to be seen of one stream: the present epoch with the newest view of each of its renditions, and those
//! that have ended and are kept for a while. The stream's task writes, requests read and wait.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use media::MediaTime;
use packager::hls::Form;
use packager::{Epoch, RenditionId, Stored, View};
use signaling::Problem;
use tokio::sync::watch;

use super::Terms;
use super::crowd::{Crowd, Room};
use super::spill::Holding;
use super::text::{Length, Text, Texts};
use crate::status;

/// A playlist of more segments than these takes so long to write that others would notice.
const LONG: usize = 500;

/// One stream on the audience's way.
#[derive(Debug)]
pub(crate) struct Channel {
    name: stream::Name,
    terms: Terms,
    phase: watch::Sender<Phase>,
    /// Epochs that have ended, and until when they are kept.
    past: Mutex<Vec<(Arc<Show>, Instant)>>,
    born: Instant,
    /// When somebody last wanted something of it, in ms since then.
    touched: AtomicU64,
    /// Somebody waits, or has waited, for a first playlist.
    wanted: watch::Sender<bool>,
    crowd: Mutex<Crowd>,
    room: Room,
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// How far a channel is.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// There is nothing to be seen yet.
    Starting,
    /// There is, or was until its end.
    On(Arc<Show>),
    /// There will be nothing, and why.
    Over(Problem),
}

/// One epoch.
#[derive(Debug)]
pub(crate) struct Show {
    epoch: Epoch,
    sheets: RwLock<Sheets>,
    front: Mutex<Option<Arc<Front>>>,
    /// Memory and files, as long as anything of it can be seen.
    holding: Option<Arc<Holding>>,
}

type Sheets = BTreeMap<RenditionId, watch::Sender<Arc<Sheet>>>;

/// One rendition at one moment.
#[derive(Debug)]
pub(crate) struct Sheet {
    pub(crate) view: Arc<View>,
    /// All renditions at the same moment, for reports.
    all: Arc<[Arc<View>]>,
    texts: Arc<Texts<(Playlist, String)>>,
}

/// Which playlist of a rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Playlist {
    /// Its segments.
    Media(Form),
    /// Its keyframes.
    Keyframes(Form),
}

/// What stands above the renditions.
#[derive(Debug)]
pub(crate) struct Front {
    views: Arc<[Arc<View>]>,
    texts: Arc<Texts<String>>,
}

impl Channel {
    pub(super) fn new(name: stream::Name, terms: Terms, now: Instant, room: usize) -> Self {
        Self {
            name,
            terms,
            phase: watch::Sender::new(Phase::Starting),
            past: Mutex::default(),
            born: now,
            touched: AtomicU64::new(0),
            wanted: watch::Sender::new(false),
            crowd: Mutex::default(),
            room: Room::new(room),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    pub(crate) fn name(&self) -> &stream::Name {
        &self.name
    }

    /// What holds for it.
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How far it is, to wait on.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// An epoch that can still be seen.
    pub(crate) fn show(&self, epoch: &str) -> Option<Arc<Show>> {
        let is = |show: &Arc<Show>| show.epoch.as_str() == epoch;
        if let Phase::On(show) = &*self.phase.borrow()
            && is(show)
        {
            return Some(Arc::clone(show));
        }
        lock(&self.past).iter().map(|(show, _)| show).find(|show| is(show)).cloned()
    }

    /// A client has asked for a playlist.
    pub(crate) fn saw(&self, now: Instant, address: IpAddr, agent: &[u8]) {
        lock(&self.crowd).saw(now, address, agent);
    }

    pub(super) fn room(&self) -> &Room {
        &self.room
    }

    pub(super) fn answered(&self, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Somebody wants something of it.
    pub(super) fn touch(&self, now: Instant) {
        self.touched.fetch_max(self.age(now), Ordering::Relaxed);
    }

    /// Somebody waits for a first playlist.
    pub(super) fn want(&self) {
        self.wanted.send_if_modified(|wanted| !std::mem::replace(wanted, true));
    }

    /// Whether somebody does, or has.
    pub(super) fn wanted(&self) -> watch::Receiver<bool> {
        self.wanted.subscribe()
    }

    /// Nobody has wanted anything of it for so long, and nobody waits.
    pub(super) fn is_idle(&self, now: Instant, linger: Duration) -> bool {
        let idle = self.age(now).saturating_sub(self.touched.load(Ordering::Relaxed));
        Duration::from_millis(idle) >= linger && self.room.taken() == 0
    }

    fn age(&self, now: Instant) -> u64 {
        let age = now.saturating_duration_since(self.born).as_millis();
        u64::try_from(age).unwrap_or(u64::MAX)
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// An epoch has ended; it is kept until then.
    pub(super) fn keep(&self, show: Arc<Show>, until: Instant) {
        lock(&self.past).push((show, until));
    }

    /// Lets go of what has been kept for long enough; true if nothing is left.
    pub(super) fn tidy(&self, now: Instant) -> bool {
        let mut past = lock(&self.past);
        past.retain(|(_, until)| *until > now);
        past.is_empty()
    }

    /// What the API says; `None` while there is nothing to be seen.
    pub(super) fn status(&self, now: Instant) -> Option<status::Hls> {
        let Phase::On(show) = self.phase.borrow().clone() else { return None };
        let views = show.views();
        let length = |view: &Arc<View>| {
            let sum = |sum: MediaTime, one: MediaTime| sum.plus(one);
            view.all().map(|s| s.duration).fold(MediaTime::from_nanos(0), sum).millis()
        };
        let here = |view: &Arc<View>| -> u64 {
            view.all().filter(|s| s.stored.is_none()).map(|s| s.len()).sum()
        };
        let stored = |view: &Arc<View>| -> u64 {
            view.all().filter_map(|s| s.stored.as_ref()).map(Stored::len).sum()
        };
        let renditions = views.iter().map(|view| status::Rendition {
            name: view.rendition.id.to_string(),
            codec: view.init.codec().name(),
            width: view.init.format.dimensions.map(|(width, _)| width),
            height: view.init.format.dimensions.map(|(_, height)| height),
            bandwidth_bps: view.bandwidth.average,
        });
        let targets = views.first().map(|view| view.targets);
        let target = targets.map_or(0, |targets| u64::from(targets.segment));
        let viewers = lock(&self.crowd).count(now, Duration::from_secs(target));
        Some(status::Hls {
            viewers,
            epoch: show.epoch.to_string(),
            renditions: renditions.collect(),
            part_target_ms: targets
                .and_then(|targets| targets.part)
                .map(|part| u64::try_from(part.as_millis()).unwrap_or(u64::MAX)),
            window_seconds: views.iter().map(length).max().unwrap_or(0) as f64 / 1000.0,
            window_short: show.holding.as_ref().is_some_and(|holding| holding.is_short()),
            window_bytes: views.iter().map(here).sum(),
            stored_bytes: views.iter().map(stored).sum(),
            waiting: self.room.taken(),
            requests: self.requests.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        })
    }
}

impl Show {
    /// `holding`: what goes when nothing of it can be seen any more.
    pub(super) fn new(epoch: Epoch, holding: Option<Arc<Holding>>) -> Self {
        Self { epoch, sheets: RwLock::default(), front: Mutex::default(), holding }
    }

    /// The newest sheet of a rendition.
    pub(crate) fn sheet(&self, rendition: RenditionId) -> Option<Arc<Sheet>> {
        self.read().get(&rendition).map(|sheets| Arc::clone(&sheets.borrow()))
    }

    /// The same, and those that follow.
    pub(crate) fn sheets(&self, rendition: RenditionId) -> Option<watch::Receiver<Arc<Sheet>>> {
        self.read().get(&rendition).map(watch::Sender::subscribe)
    }

    fn read(&self) -> RwLockReadGuard<'_, Sheets> {
        self.sheets.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What stands above the renditions; `None` before there are any.
    pub(crate) fn front(&self) -> Option<Arc<Front>> {
        lock(&self.front).clone()
    }

    /// Which renditions there are.
    pub(super) fn renditions(&self) -> Vec<RenditionId> {
        self.read().keys().copied().collect()
    }

    /// Shows these views. Only who waits for a rendition that has changed is woken.
    pub(super) fn publish(&self, views: Vec<Arc<View>>) {
        let views: Arc<[Arc<View>]> = views.into();
        let lead = |views: &[Arc<View>]| {
            let lead = views.first();
            let last = lead.map(|view| (view.segments.last().map(|s| s.msn), view.ended));
            (views.len(), last)
        };
        let sheet = |view: &Arc<View>| Sheet::new(Arc::clone(view), Arc::clone(&views));
        let mut fresh = Vec::new();
        // All who wait are woken here, and ask at once: nobody is to be in their way.
        let sheets = self.read();
        for view in views.iter() {
            match sheets.get(&view.rendition.id) {
                Some(known) if is_same(&known.borrow().view, view) => {
                    known.send_if_modified(|known| {
                        *known = Arc::new(Sheet { texts: Arc::clone(&known.texts), ..sheet(view) });
                        false
                    });
                }
                Some(known) => drop(known.send_replace(Arc::new(sheet(view)))),
                None => fresh.push(view),
            }
        }
        drop(sheets);
        if !fresh.is_empty() {
            let fresh = fresh.into_iter();
            let fresh =
                fresh.map(|view| (view.rendition.id, watch::Sender::new(Arc::new(sheet(view)))));
            self.sheets.write().unwrap_or_else(PoisonError::into_inner).extend(fresh);
        }
        // Nothing that is old is held on to, for its bytes may lie on disk by now; but what has been written of it holds.
        // It comes last: what it names is there.
        let mut front = lock(&self.front);
        let same = front.as_ref().filter(|front| lead(&front.views) == lead(&views));
        let texts = same.map(|front| Arc::clone(&front.texts)).unwrap_or_default();
        *front = Some(Arc::new(Front { views: Arc::clone(&views), texts }));
    }

    fn views(&self) -> Vec<Arc<View>> {
        self.read().values().map(|sheet| Arc::clone(&sheet.borrow().view)).collect()
    }
}

/// True if the same playlist is written from both.
fn is_same(one: &Arc<View>, other: &Arc<View>) -> bool {
    let of = |view: &View| (view.first(), view.next(), view.ended, view.discontinuity_sequence);
    Arc::ptr_eq(one, other) || of(one) == of(other)
}

impl Sheet {
    fn new(view: Arc<View>, all: Arc<[Arc<View>]>) -> Self {
        Self { view, all, texts: Arc::default() }
    }

    /// A playlist, with this query behind every name in it.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) async fn text(&self, playlist: Playlist, query: &str) -> io::Result<Arc<Text>> {
        let text = self.texts.get((playlist, query.to_owned()));
        let write = || {
            let (view, all) = (Arc::clone(&self.view), Arc::clone(&self.all));
            let query = query.to_owned();
            move || match playlist {
                Playlist::Media(form) => packager::hls::media(&view, &all, form, &query),
                Playlist::Keyframes(form) => packager::hls::keyframes(&view, form, &query),
            }
        };
        text.written(self.length(playlist), write).await?;
        Ok(text)
    }

    /// A delta has little of a long window, while there is one.
    fn length(&self, playlist: Playlist) -> Length {
        let (Playlist::Media(form) | Playlist::Keyframes(form)) = playlist;
        let all = form == Form::Full || self.view.ended || self.view.targets.part.is_none();
        if all && self.view.segments.len() > LONG { Length::Long } else { Length::Short }
    }
}

impl Front {
    /// The multivariant playlist.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) async fn text(&self, query: &str) -> io::Result<Arc<Text>> {
        let text = self.texts.get(query.to_owned());
        let write = || {
            let (views, query) = (Arc::clone(&self.views), query.to_owned());
            move || packager::hls::multivariant(&views, &query)
        };
        text.written(Length::Short, write).await?;
        Ok(text)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under these locks leaves a value half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(now: Instant) -> Channel {
        let terms = Terms::of(&crate::config::Live::default());
        Channel::new(stream::Name::new("demo").unwrap(), terms, now, 1)
    }

    #[test]
    fn nobody_is_there_who_has_not_asked_lately_and_does_not_wait() {
        let linger = Duration::from_secs(30);
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let channel = channel(start);
        assert!(!channel.is_idle(at(29), linger) && channel.is_idle(at(30), linger));
        channel.touch(at(20));
        assert!(!channel.is_idle(at(49), linger) && channel.is_idle(at(50), linger));
        let place = channel.room().enter();
        assert!(!channel.is_idle(at(90), linger), "somebody waits");
        drop(place);
        assert!(channel.is_idle(at(90), linger));
    }

    #[test]
    fn an_epoch_that_has_ended_is_found_until_its_time_is_over() {
        let start = crate::clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let channel = channel(start);
        let show = |name| Arc::new(Show::new(Epoch::new(name).unwrap(), None));
        let (one, two) = (show("one"), show("two"));
        channel.enter(Phase::On(Arc::clone(&one)));
        assert!(channel.show("one").is_some() && channel.show("two").is_none());
        channel.keep(one, at(60));
        channel.enter(Phase::On(two));
        assert!(channel.show("one").is_some() && channel.show("two").is_some());
        assert!(!channel.tidy(at(59)) && channel.show("one").is_some());
        assert!(channel.tidy(at(60)) && channel.show("one").is_none());
    }
}
