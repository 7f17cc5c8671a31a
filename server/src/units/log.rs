//! The log behind a bus: the units since the newest keyframe and a little before it, and the last two seconds for
//! readers who are a little late.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{AccessUnit, Format, Kind, MediaTime};

use super::keyframes::Keyframes;
use super::{LAG, Limits, Track};

/// More tracks than any publisher has reason to send: what comes beyond is dropped.
const MAX_TRACKS: usize = 16;
/// What one entry costs beside its coded bytes, with what holds those: thousands of tiny units are no small thing.
const COST: usize = size_of::<Entry>() + 48;

/// What lies between the newest keyframe and one so much older is kept too: who makes files of it has a whole segment
/// at once.
const BACK: MediaTime = MediaTime::from_millis(800);

/// One unit with what is needed to decode it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) track: Track,
    pub(super) format: Arc<Format>,
    pub(crate) unit: AccessUnit,
    pub(crate) captured: Instant,
    /// When it came. Late is told by this: what is shown later was captured later, and comes no later for it.
    pub(crate) arrived: Instant,
}

impl Entry {
    /// A decoder of pictures can begin with it.
    pub(super) fn opens(&self) -> bool {
        self.track.0 == Kind::Video && self.unit.keyframe
    }

    fn bytes(&self) -> usize {
        COST + self.unit.data.len()
    }
}

#[derive(Debug)]
pub(super) struct Log {
    limits: Limits,
    /// The number of the oldest entry, among all that ever came.
    first: u64,
    entries: VecDeque<Entry>,
    bytes: usize,
    pub(super) formats: BTreeMap<Track, Arc<Format>>,
    /// By track of pictures.
    keyframes: BTreeMap<Track, Keyframes>,
    /// When the last one came, which the lag is measured from.
    newest: Option<Instant>,
    pub(super) ended: bool,
}

impl Log {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            first: 0,
            entries: VecDeque::new(),
            bytes: 0,
            formats: BTreeMap::new(),
            keyframes: BTreeMap::new(),
            newest: None,
            ended: false,
        }
    }

    pub(super) fn format(&mut self, track: Track, format: Format) {
        let full = self.formats.len() >= MAX_TRACKS && !self.formats.contains_key(&track);
        if full || self.formats.get(&track).is_some_and(|known| **known == format) {
            return;
        }
        self.formats.insert(track, Arc::new(format));
    }

    /// Nobody begins with this track any more, until it comes anew.
    pub(super) fn silence(&mut self, track: Track) {
        self.formats.remove(&track);
        self.keyframes.remove(&track);
    }

    /// The number behind the last unit, where this one was taken. `read`: there are readers, who may be late.
    pub(super) fn push(
        &mut self,
        arrived: Instant,
        (track, unit, captured): (Track, AccessUnit, Instant),
        read: bool,
    ) -> Option<u64> {
        let format = Arc::clone(self.formats.get(&track)?);
        let entry = Entry { track, format, unit, captured, arrived };
        if track.0 == Kind::Video {
            let number = entry.opens().then(|| self.head());
            self.keyframes.entry(track).or_default().saw(entry.unit.dts, number);
        }
        self.bytes += entry.bytes();
        self.newest = Some(self.newest.map_or(arrived, |newest| newest.max(arrived)));
        self.entries.push_back(entry);
        self.trim(if read { LAG } else { Duration::ZERO });
        Some(self.head())
    }

    /// The number that the next unit gets.
    pub(super) fn head(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The number of the oldest unit that is still there.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(index)
    }

    /// Nothing else has been said of its track since.
    pub(super) fn is_current(&self, entry: &Entry) -> bool {
        self.formats.get(&entry.track).is_some_and(|format| Arc::ptr_eq(format, &entry.format))
    }

    /// How long before the newest this unit came.
    pub(super) fn late(&self, entry: &Entry) -> Duration {
        let newest = self.newest.unwrap_or(entry.arrived);
        newest.saturating_duration_since(entry.arrived)
    }

    /// Where somebody who wants these tracks can begin: at the first of their newest keyframes that are
    /// still there.
    pub(super) fn beginning_of(&self, tracks: &[Track]) -> Option<u64> {
        let of = self.keyframes.iter().filter(|(track, _)| tracks.contains(track));
        of.filter_map(|(_, keyframes)| self.there(keyframes.newest())).min()
    }

    /// The same for all tracks.
    pub(super) fn beginning(&self) -> Option<u64> {
        let all = self.keyframes.values();
        all.filter_map(|keyframes| self.there(keyframes.newest())).min()
    }

    /// Where somebody can begin who wants a whole group of these tracks' pictures before the newest keyframe, or as much
    /// as there is.
    pub(super) fn beginning_before(&self, tracks: &[Track]) -> Option<u64> {
        let of = self.keyframes.iter().filter(|(track, _)| tracks.contains(track));
        of.filter_map(|(_, keyframes)| self.kept_from(keyframes)).min()
    }

    /// See [`Keyframes::cadence`].
    pub(super) fn cadence(&self, track: Track) -> Option<Duration> {
        self.keyframes.get(&track)?.cadence()
    }

    /// The oldest unit of a track that is kept on purpose.
    fn kept_from(&self, keyframes: &Keyframes) -> Option<u64> {
        self.there(keyframes.before(BACK)).or_else(|| self.there(keyframes.newest()))
    }

    fn there(&self, number: Option<u64>) -> Option<u64> {
        number.filter(|number| *number >= self.first)
    }

    /// Lets go of what nobody can begin with any more and nobody who is `late` by so much still reads, and of
    /// whatever is too much.
    fn trim(&mut self, late: Duration) {
        let begins = self.keyframes.values().filter_map(|k| self.kept_from(k)).min();
        while let Some(oldest) = self.entries.front() {
            let age = self.late(oldest);
            let spent = begins.is_none_or(|number| self.first < number) && age >= late;
            let too_much = self.bytes > self.limits.bytes || age > self.limits.time;
            if !(spent || too_much) {
                return;
            }
            self.bytes -= oldest.bytes();
            self.entries.pop_front();
            self.first += 1;
        }
    }
}
