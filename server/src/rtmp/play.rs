//! One player: reads the bus of whoever publishes its stream, goes on with the next one when that changes, and takes of
//! each kind what it can: the publisher's own track, else what a bridge makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{AccessUnit, Codec, Format, Kind, MediaTime};
use rtmp::flv;
use rtmp::session::Session;
use signaling::SessionId;

use crate::hub::Playing;
use crate::units::{self, AUDIO, Item, Reader, Start, Track, VIDEO};

/// The tracks that a player may get something of, best first.
const TRACKS: [Track; 4] = [VIDEO, AUDIO, units::bridged(Codec::H264), units::bridged(Codec::Aac)];

/// What it can take.
pub(super) fn codecs(session: &Session) -> Vec<Codec> {
    let all = Codec::WEBRTC.into_iter().chain([Codec::Aac]);
    all.filter(|codec| session.takes(*codec)).collect()
}

/// One player.
#[derive(Debug)]
pub(super) struct Player {
    session: SessionId,
    hub: Playing,
    codecs: Vec<Codec>,
    reader: Option<Reader>,
    /// What has been read and is to be sent.
    item: Option<Item>,
    /// Of the publisher that is read now.
    formats: BTreeMap<Track, Arc<Format>>,
    /// What the player was told last.
    told: BTreeMap<Kind, Arc<Format>>,
    times: Times,
    lost: u64,
}

/// From the publishers' times to one line that goes on whoever publishes.
#[derive(Debug, Default)]
struct Times {
    /// The player's zero.
    epoch: Option<Instant>,
    /// What is added to the present publisher's times.
    offset: Option<MediaTime>,
    /// The newest that was sent.
    newest: Option<MediaTime>,
}

impl Player {
    pub(super) fn new(session: SessionId, hub: Playing, codecs: Vec<Codec>) -> Self {
        let mut player = Self {
            session,
            hub,
            codecs,
            reader: None,
            item: None,
            formats: BTreeMap::new(),
            told: BTreeMap::new(),
            times: Times::default(),
            lost: 0,
        };
        player.seat();
        player
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Waits for something to send; with no `room`, only for what makes it end. Safe to cancel.
    ///
    /// # Errors
    /// Why the hub ended it.
    pub(super) async fn next(&mut self, room: bool) -> Result<(), String> {
        loop {
            if self.item.is_some() && room {
                return Ok(());
            }
            let Self { hub, reader, .. } = self;
            tokio::select! {
                why = &mut hub.end => {
                    return Err(why.unwrap_or_else(|_| "the server is shutting down".to_owned()));
                }
                changed = hub.source.changed() => {
                    if changed.is_err() {
                        return Err("the server is shutting down".to_owned());
                    }
                    self.seat();
                }
                item = read(reader), if room => match item {
                    Some(item) => self.item = Some(item),
                    None => {
                        self.reader = None;
                        hub.played.waits();
                    }
                },
            }
        }
    }

    /// Sends what was read.
    pub(super) fn send(&mut self, now: Instant, session: &mut Session) {
        match self.item.take() {
            Some(Item::Format(track, format)) => {
                self.formats.insert(track, format);
            }
            Some(Item::Unit(track, unit, captured)) => {
                self.unit(now, session, track, &unit, captured);
            }
            None => {}
        }
        let lost = self.reader.as_ref().map_or(0, Reader::lost);
        if lost > 0 {
            self.hub.played.lost(self.lost + lost);
        }
    }

    /// Reads whoever publishes now.
    fn seat(&mut self) {
        self.lost += self.reader.as_ref().map_or(0, Reader::lost);
        let source = self.hub.source.borrow_and_update();
        let bus = source.as_ref().map(|source| &source.bus);
        self.reader = bus.map(|bus| bus.subscribe(Start::Keyframe, &TRACKS));
        if self.reader.is_none() {
            self.hub.played.waits();
        }
        self.item = None;
        self.formats.clear();
        self.times.offset = None;
    }

    fn unit(
        &mut self,
        now: Instant,
        session: &mut Session,
        track: Track,
        unit: &AccessUnit,
        captured: Instant,
    ) {
        let kind = track.0;
        if self.chosen(kind) != Some(track) {
            return;
        }
        let Some(format) = self.formats.get(&track) else { return };
        if !self.told.get(&kind).is_some_and(|told| Arc::ptr_eq(told, format)) {
            // Pictures of another format are of use from a keyframe on.
            if !unit.keyframe {
                return;
            }
            let told = session.send_format(0, format);
            self.told.insert(kind, Arc::clone(format));
            if let Err(refusal) = told {
                tracing::debug!(session = %self.session, "a player cannot be told a format: {refusal}");
                return;
            }
        }
        let unit = self.times.place(unit, captured);
        if session.send_unit(flv::Track { kind, id: 0 }, &unit) {
            self.hub.played.sent(now, unit.data.len());
        }
    }

    /// Which track of a kind it gets.
    fn chosen(&self, kind: Kind) -> Option<Track> {
        let takes = |track: &&Track| {
            let format = self.formats.get(track).filter(|_| track.0 == kind);
            format.is_some_and(|format| self.codecs.contains(&format.codec))
        };
        TRACKS.iter().find(takes).copied()
    }
}

async fn read(reader: &mut Option<Reader>) -> Option<Item> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}

impl Times {
    /// The unit on the player's line. Within one publisher distances stay exactly what they are.
    fn place(&mut self, unit: &AccessUnit, captured: Instant) -> AccessUnit {
        let epoch = *self.epoch.get_or_insert(captured);
        let offset = *self.offset.get_or_insert_with(|| {
            let shown = nanos(captured.saturating_duration_since(epoch));
            let offset = shown.since(unit.pts);
            // Nothing goes back, also where the next publisher's clock says so.
            let early = self.newest.map(|newest| newest.since(unit.dts.plus(offset)));
            match early.filter(|early| *early > MediaTime::ZERO) {
                Some(early) => offset.plus(early).plus(MediaTime::from_millis(1)),
                None => offset,
            }
        });
        let dts = unit.dts.plus(offset);
        self.newest = Some(self.newest.map_or(dts, |newest| newest.max(dts)));
        AccessUnit { dts, pts: unit.pts.plus(offset), ..unit.clone() }
    }
}

fn nanos(duration: Duration) -> MediaTime {
    MediaTime::from_nanos(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}
