//! One publisher's media: from what its session says to the bus, the line and the meter, and what the hub has to
//! know of it. Which pictures WebRTC viewers can have as they are is decided here.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use media::payload::h264;
use media::{AccessUnit, Codec, EncodingId, Format, Kind, config};
use rtmp::flv;
use signaling::SessionId;

use crate::hub::{Publishing, Said};
use crate::line::Capture;
use crate::units::{AUDIO, Entry, Track, VIDEO};

/// Units that become no packets are a sign of life too, said this often.
const HEARD: Duration = Duration::from_millis(100);

/// One publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    session: SessionId,
    hub: Publishing,
    capture: Capture,
    pictures: Vec<Pictures>,
    /// What the hub has been told of the main tracks.
    codecs: [Option<Codec>; 2],
    reorders: bool,
    /// Tracks that are not carried.
    refused: BTreeSet<Track>,
    /// What it is still to be told.
    said: Vec<Said>,
    /// When packets or a sign of life last went out.
    heard: Option<Instant>,
    /// Units came that are no packets.
    silent: bool,
    /// Packets are made of its units.
    watched: bool,
}

/// Something that the hub says.
pub(super) enum Told {
    /// It has ended it, and why.
    Ended(String),
    /// See [`Publisher::watch`].
    Watched,
}

/// What is known of the order of a track's pictures.
#[derive(Debug)]
struct Pictures {
    track: Track,
    codec: Codec,
    /// How many pictures may come before one that is shown earlier, if the format says.
    declared: Option<u8>,
    reorders: bool,
    withheld: bool,
}

impl Publisher {
    pub(super) fn new(session: SessionId, hub: Publishing) -> Self {
        Self {
            session,
            hub,
            capture: Capture::new(),
            pictures: Vec::new(),
            codecs: [None; 2],
            reorders: false,
            refused: BTreeSet::new(),
            said: Vec::new(),
            heard: None,
            silent: false,
            watched: false,
        }
    }

    /// What the hub says next. Safe to cancel.
    pub(super) async fn told(&mut self) -> Told {
        let Publishing { end, watched, .. } = &mut self.hub;
        tokio::select! {
            why = end => Told::Ended(why.unwrap_or_else(|_| "the server is shutting down".to_owned())),
            // Once it is over, however it ended, it must not be polled again.
            Ok(()) = &mut *watched, if !watched.is_terminated() => Told::Watched,
        }
    }

    /// A viewer by WebRTC has come, the first one: packets are made of what comes from now on, and of the pictures
    /// that are kept. It stays so when that one leaves: who comes next finds a ring that is whole.
    pub(super) fn watch(&mut self, now: Instant) {
        if std::mem::replace(&mut self.watched, true) {
            return;
        }
        for Entry { track, unit, captured, arrived, .. } in self.hub.writer.kept() {
            if track.0 == Kind::Video {
                self.forward(track, &unit, captured, Some(arrived));
            }
        }
        self.flush(now, false);
    }

    /// Somebody waits for what it sends.
    pub(super) fn is_taken(&self) -> bool {
        self.watched || self.hub.writer.is_read()
    }

    /// What a track's units are from now on.
    pub(super) fn format(&mut self, track: Track, format: &Format) {
        let id = encoding(track);
        self.admit(track);
        self.said.push(Said::Note("track", describe(track, format)));
        self.hub.meter.format(track, id, format);
        self.hub.writer.format(track, format.clone());
        if on_the_line(track) {
            self.hub.line.format(track, id, format.clone());
        }
        if track.0 == Kind::Audio {
            return;
        }
        let facts = config::facts(format.codec, &format.config).ok();
        let declared = facts.and_then(|facts| facts.reorder);
        self.pictures.retain(|p| p.track != track);
        let (reorders, withheld) = (false, false);
        let codec = format.codec;
        self.pictures.push(Pictures { track, codec, declared, reorders, withheld });
    }

    /// A unit that has come `now`.
    pub(super) fn unit(&mut self, now: Instant, track: Track, unit: AccessUnit) {
        let goes_back = self.hub.meter.count(now, track, &unit);
        let captured = self.capture.of(now, &unit);
        self.learn_order(track, &unit, goes_back);
        self.tell_codec(track);
        if !(self.watched && self.forward(track, &unit, captured, None)) {
            self.silent = true;
        }
        self.hub.writer.unit(now, track, unit, captured);
    }

    /// The track is not carried.
    pub(super) fn refused(&mut self, track: Track, refusal: &flv::Refusal) {
        self.refused.insert(track);
        self.said.push(Said::Refused(track, Some(refusal.to_string())));
    }

    /// What was refused is it no more.
    fn admit(&mut self, track: Track) {
        if self.refused.remove(&track) {
            self.said.push(Said::Refused(track, None));
        }
    }

    /// The track is over.
    pub(super) fn end(&mut self, track: Track) {
        self.admit(track);
        self.hub.meter.end(track);
        self.pictures.retain(|p| p.track != track);
    }

    /// Ends a batch: what came goes out, or that something came. `held`: it may be a while until it is read again.
    pub(super) fn flush(&mut self, now: Instant, held: bool) {
        let due = self.heard.is_none_or(|at| now.saturating_duration_since(at) >= HEARD);
        if self.hub.line.flush() {
            self.heard = Some(now);
            self.silent = false;
        } else if due && std::mem::take(&mut self.silent) {
            self.heard = Some(now);
            self.hub.line.heard(held);
        }
    }

    /// What the hub has to be told.
    pub(super) fn news(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// How long pictures have come of which none is a keyframe.
    pub(super) fn blind(&self, now: Instant) -> Duration {
        self.hub.meter.blind(now)
    }

    pub(super) fn session(&self) -> SessionId {
        self.session
    }

    /// Whether its pictures come in another order than they are shown in: only evidence counts, for encoders
    /// announce what they then do not do.
    fn learn_order(&mut self, track: Track, unit: &AccessUnit, goes_back: bool) {
        let Some(pictures) = self.pictures.iter_mut().find(|p| p.track == track) else { return };
        let b_slice =
            || pictures.codec == Codec::H264 && h264::access_unit(&unit.data).is_some_and(|p| p.b);
        // Once seen it holds, and slices need not be read any more.
        pictures.reorders = pictures.reorders
            || goes_back
            || match pictures.declared {
                Some(0) => false,
                Some(_) => unit.pts != unit.dts,
                None => b_slice(),
            };
        if track == VIDEO && pictures.reorders != self.reorders {
            self.reorders = pictures.reorders;
            self.said.push(Said::Reorders(self.reorders));
        }
    }

    fn tell_codec(&mut self, track: Track) {
        let (index, codec) = match track {
            VIDEO => (0, self.pictures.iter().find(|p| p.track == track).map(|p| p.codec)),
            AUDIO => (1, self.hub.meter.codec(track)),
            _ => return,
        };
        if codec.is_some() && self.codecs[index] != codec {
            self.codecs[index] = codec;
            self.said.extend(codec.map(Said::Codec));
        }
    }

    /// True if it becomes packets, now or with the next keyframe.
    fn forward(
        &mut self,
        track: Track,
        unit: &AccessUnit,
        captured: Instant,
        arrived: Option<Instant>,
    ) -> bool {
        if !on_the_line(track) {
            return false;
        }
        if let Some(pictures) = self.pictures.iter_mut().find(|p| p.track == track) {
            let withheld = pictures.reorders && self.hub.bridged.load(Ordering::Relaxed);
            if std::mem::replace(&mut pictures.withheld, withheld) && !withheld {
                self.hub.line.await_keyframe(track);
            }
            if withheld {
                return false;
            }
        }
        self.hub.line.take(track, unit, captured, arrived)
    }
}

/// By which name viewers choose a track: further tracks of pictures are like layers of a simulcast.
fn encoding((kind, index): Track) -> EncodingId {
    let further = (kind == Kind::Video && index > 0).then(|| EncodingId::new(&format!("t{index}")));
    further.flatten().unwrap_or(EncodingId::MAIN)
}

/// For the log.
fn describe((kind, index): Track, format: &Format) -> String {
    let what = match (format.dimensions, format.sound) {
        (Some((width, height)), _) => format!(", {width}x{height}"),
        (_, Some((rate, channels))) => format!(", {rate} Hz, {channels} channels"),
        _ => String::new(),
    };
    let kind = match kind {
        Kind::Video => "pictures",
        Kind::Audio => "sound",
    };
    format!("track {index} of {kind} is {}{what}", format.codec)
}

/// Viewers of WebRTC have one sound and choose among the pictures.
fn on_the_line(track: Track) -> bool {
    track.0 == Kind::Video || track == AUDIO
}
