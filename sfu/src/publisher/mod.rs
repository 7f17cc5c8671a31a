//! One publisher: which SSRC is which encoding, which of them are alive, and which shards watch.

pub mod clock;
pub mod encoding;
pub mod keyframes;
pub mod parameter_sets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Activity, Codec, Kind, RtpPacket, payload};
use signaling::{Agreement, Payload, SessionId};

use self::clock::Clock;
use self::encoding::Encoding;
use crate::feed::{self, Batch};
use crate::recorder::{Decision, Recorder};
use crate::rtc::Packet;
use crate::stats::{Drop, EncodingState};

/// An encoding is silent when the newest packet of its siblings is this much newer than its own.
/// Compared with its siblings, not with the clock: a still screen makes all of them pause.
const SILENT: Duration = Duration::from_millis(500);
/// Media pauses when none has come for so long: ten pictures of a slow camera; or, where pictures come
/// more slowly, for twice as long as between two of them.
const PAUSE: Duration = Duration::from_millis(300);
/// What lies between packets of sound, and more.
const NO_PAUSE: Duration = Duration::from_millis(50);
/// More slowly than this nobody sends.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Of a publisher nothing is heard when nothing authentic has come for so long: a client that sends
/// media or reports says something more often, and within two seconds a loss is to be known.
const UNHEARD: Duration = Duration::from_millis(1500);
/// More than browsers send: three video layers and one audio.
const MAX_ENCODINGS: usize = 16;

/// One publisher.
#[derive(Debug)]
pub struct Publisher {
    /// Audio and video, in the order of their first packets; an index stays valid.
    pub encodings: Vec<Encoding>,
    /// Other shards with viewers of it.
    pub subscribers: BTreeSet<usize>,
    /// Packets that wait for the end of the batch.
    outbox: Vec<feed::Packet>,
    /// Viewers do not know yet what the encodings are like now.
    changed: bool,
    /// What [`Publisher::news`] said last, and whether there may be more to say.
    said: Vec<EncodingState>,
    unsaid: bool,
    payloads: Vec<Payload>,
    clock: Clock,
    activity: Activity,
    pace: Pace,
    /// Encodings that looked silent at the last look: one look may be unlucky.
    suspects: Vec<usize>,
}

/// How much time lies between two pictures: a slow screen is not silent.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    last: Option<Instant>,
    /// The last pause, and what pauses are like of late; both fade with packets that follow closely.
    pause: Duration,
    usual: Duration,
}

/// What a packet changed besides being forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The first packet of this codec, at the start or after another one of its kind.
    pub codec: Option<Codec>,
    /// The first packet since the last batch.
    pub first: bool,
    /// The first packet at all, or after a pause.
    pub resumed: bool,
}

impl Publisher {
    /// A publisher that may send what `agreement` says.
    pub fn new(agreement: &Agreement) -> Self {
        Self {
            encodings: Vec::new(),
            subscribers: BTreeSet::new(),
            outbox: Vec::new(),
            changed: false,
            said: Vec::new(),
            unsaid: false,
            payloads: agreement.media.iter().flat_map(|m| m.payloads.iter().cloned()).collect(),
            clock: Clock::default(),
            activity: Activity::Quiet,
            pace: Pace::default(),
            suspects: Vec::new(),
        }
    }

    /// Takes a packet into the outbox.
    ///
    /// # Errors
    /// The reason why it is dropped.
    pub fn receive(&mut self, mut packet: Packet, recorder: &mut Recorder) -> Result<Change, Drop> {
        let payload =
            self.payloads.iter().find(|p| p.pt == packet.pt).ok_or(Drop::UnknownPayload)?;
        let first = self.outbox.is_empty() && !self.changed;
        let found =
            self.encodings.iter().position(|e| (e.kind, e.id) == (packet.kind, packet.encoding));
        let known = found.map(|index| self.encodings[index].payload.codec);
        let codec = Some(payload.codec).filter(|codec| Some(*codec) != known);
        let index = match found {
            Some(index) => index,
            None if self.encodings.len() >= MAX_ENCODINGS => return Err(Drop::UnknownPayload),
            None => {
                let (id, kind) = (packet.encoding, packet.kind);
                self.encodings.push(Encoding::new(id, kind, payload.clone(), packet.arrival));
                self.changed = true;
                let (codec, ssrc) = (payload.codec, packet.ssrc);
                recorder.record(packet.arrival, Decision::Encoding { id, codec, ssrc });
                self.encodings.len() - 1
            }
        };
        let encoding = &mut self.encodings[index];
        let (now, id) = (packet.arrival, encoding.id);
        let before = (encoding.payload.pt, encoding.ssrc);
        if encoding.turns(&packet, payload).ok_or(Drop::Late)? {
            self.changed = true;
            if before.0 != packet.pt {
                recorder.record(now, Decision::Codec { id, codec: payload.codec });
            }
            if before.1 != packet.ssrc {
                recorder.record(now, Decision::Source { id, ssrc: packet.ssrc });
            }
        }
        packet.seq = encoding.number(packet.seq).ok_or(Drop::Late)?;
        if !encoding.active {
            encoding.active = true;
            self.changed = true;
            recorder.record(now, Decision::Back(id));
        }
        self.pace.packet(now);
        let resumed = std::mem::replace(&mut self.activity, Activity::Media) != Activity::Media;
        let before = (encoding.dimensions, encoding.keyframes_begun() == 0);
        let packet = read(packet, encoding.payload.codec, &mut self.clock);
        let start = encoding.received(&packet);
        self.changed |= encoding.dimensions != before.0;
        if before != (encoding.dimensions, encoding.keyframes_begun() == 0)
            && encoding.kind == Kind::Video
        {
            let (width, height) = encoding.dimensions.unwrap_or_default();
            recorder.record(now, Decision::Picture { id, width, height });
        }
        self.outbox.push(feed::Packet {
            encoding: index,
            kind: encoding.kind,
            start,
            position: encoding.arrived(),
            pad: 0,
            prefix: if start { encoding.prefix(&packet) } else { None },
            rtp: packet,
        });
        Ok(Change { codec, first, resumed })
    }

    /// Takes what came since the last batch; `None` if there is nothing to say.
    pub fn batch(&mut self, publisher: SessionId) -> Option<Batch> {
        if self.outbox.is_empty() && !self.changed {
            return None;
        }
        // Stable: in the order of arrival within an encoding.
        self.outbox.sort_by_key(|p| p.encoding);
        self.outbox.chunk_by_mut(|a, b| a.encoding == b.encoding).for_each(feed::level);
        let changed = std::mem::take(&mut self.changed);
        self.unsaid |= changed;
        Some(Batch {
            publisher,
            encodings: changed.then(|| self.encodings.iter().map(Encoding::info).collect()),
            packets: self.outbox.drain(..).map(Arc::new).collect(),
        })
    }

    /// What the encodings are like, if that is something else than the last time. Cheap while nothing
    /// happens.
    pub fn news(&mut self) -> Option<Vec<EncodingState>> {
        if !std::mem::take(&mut self.unsaid) {
            return None;
        }
        let now: Vec<EncodingState> = self.encodings.iter().map(Encoding::state).collect();
        let same = now.len() == self.said.len()
            && now.iter().zip(&self.said).all(|(now, said)| !now.is_news(said));
        if same {
            return None;
        }
        self.said.clone_from(&now);
        Some(now)
    }

    /// To be called about once a second.
    pub fn update_rates(&mut self, now: Instant) {
        self.encodings.iter_mut().for_each(|e| e.update_rates(now));
        self.changed = true;
    }

    /// Packets that never came and those that did, of all encodings.
    pub fn losses(&self) -> (u64, u64) {
        let each = self.encodings.iter().map(Encoding::losses);
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Looks for encodings that have fallen silent; true if the next batch says so.
    pub fn look_for_silence(&mut self, now: Instant, recorder: &mut Recorder) -> bool {
        let video = || self.encodings.iter().filter(|e| e.kind == Kind::Video);
        let Some(newest) = video().map(|e| e.last_arrival).max() else { return false };
        let silent = |e: &Encoding| {
            e.kind == Kind::Video && newest.saturating_duration_since(e.last_arrival) > SILENT
        };
        let now_silent: Vec<usize> = (0..self.encodings.len())
            .filter(|i| self.encodings[*i].active && silent(&self.encodings[*i]))
            .collect();
        let confirmed = now_silent.iter().filter(|i| self.suspects.contains(i));
        let mut changed = false;
        for index in confirmed {
            self.encodings[*index].active = false;
            changed = true;
            recorder.record(now, Decision::Silent(self.encodings[*index].id));
        }
        self.changed |= changed;
        self.suspects = now_silent;
        changed
    }

    /// What is heard of it now, where that is news. `heard`: when something authentic last came.
    pub fn look_for_life(&mut self, now: Instant, heard: Instant) -> Option<Activity> {
        let since = |at: Instant| now.saturating_duration_since(at);
        let media = self.encodings.iter().map(|e| e.last_arrival).max();
        let activity = match media {
            Some(media) if since(media) < PAUSE.max(self.pace.usual * 2) => Activity::Media,
            _ if since(heard) < UNHEARD => Activity::Quiet,
            _ => Activity::Silent,
        };
        (std::mem::replace(&mut self.activity, activity) != activity).then_some(activity)
    }
}

impl Pace {
    fn packet(&mut self, now: Instant) {
        let pause = now.saturating_duration_since(self.last.replace(now).unwrap_or(now));
        if pause < NO_PAUSE {
            self.pause -= self.pause / 64;
            self.usual -= self.usual / 64;
            return;
        }
        // One long pause is an outage, two in a row are how it sends.
        let usual = pause.min(std::mem::replace(&mut self.pause, pause));
        self.usual = self.usual.max(usual.min(LONGEST_PAUSE));
    }
}

/// Reads the payload once, for all viewers.
fn read(packet: Packet, codec: Codec, clock: &mut Clock) -> RtpPacket {
    RtpPacket {
        time: clock.captured(&packet, codec.clock_rate()),
        seq: packet.seq,
        timestamp: packet.timestamp,
        marker: packet.marker,
        arrival: packet.arrival,
        info: payload::inspect(codec, &packet.payload),
        payload: packet.payload,
        extensions: packet.extensions,
    }
}
