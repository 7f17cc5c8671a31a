//! One publisher: which SSRC is which encoding, which of them are alive, and which shards watch.

pub mod clock;
pub mod encoding;
pub mod keyframes;
pub mod parameter_sets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::rtp::Extensions;
use media::{Activity, Codec, EncodingId, Kind, RtpPacket, payload};
use signaling::{Agreement, Payload, SessionId};

use self::clock::Clock;
use self::encoding::Encoding;
use crate::feed::{self, Batch};
use crate::local;
use crate::packet::Packet;
use crate::recorder::{Decision, Recorder};
use crate::shard::TapId;
use crate::stats::{Drop, EncodingSnapshot, EncodingState, Origin};

/// An encoding is silent when the newest packet of its siblings is this much newer than its own.
/// Compared with its siblings, not with the clock: a still screen makes all of them pause.
const SILENT: Duration = Duration::from_millis(500);
/// Media pauses when none has come for so long: ten pictures of a slow camera; or, where pictures come
/// more slowly, for twice as long as between two of them.
const PAUSE: Duration = Duration::from_millis(300);
/// The same of media that is read in larger pieces.
const HELD_PAUSE: Duration = Duration::from_millis(700);
/// What lies between packets of sound, and more.
const NO_PAUSE: Duration = Duration::from_millis(50);
/// More slowly than this nobody sends.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Of a publisher nothing is heard when nothing authentic has come for so long: a client that sends
/// media or reports says something more often, and within two seconds a loss is to be known.
const UNHEARD: Duration = Duration::from_millis(1500);
/// More than browsers send: three video layers and one audio. And more than is ever bridged.
const MAX_ENCODINGS: usize = 16;
/// A bridged encoding of which nothing has come for so much longer than of the publisher has ended,
/// whether that was said or not.
const ABANDONED: Duration = Duration::from_secs(10);

/// One publisher.
#[derive(Debug)]
pub struct Publisher {
    /// Audio and video, in the order of their first packets; an index stays valid.
    pub encodings: Vec<Encoding>,
    /// Other shards with viewers of it.
    pub subscribers: BTreeSet<usize>,
    /// Who else gets its batches.
    pub taps: Vec<TapId>,
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
    /// When media came last that is of no use here, and whether it is held.
    unseen: Option<(Instant, bool)>,
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
    /// The first packet of this codec, at the start or after another one of its kind. Not of bridged ones.
    pub codec: Option<Codec>,
    /// The first packet since the last batch.
    pub first: bool,
    /// The first packet at all, or after a pause. Not of bridged ones.
    pub resumed: bool,
}

impl Publisher {
    /// A publisher that may send what `agreement` says.
    pub fn new(agreement: &Agreement) -> Self {
        Self {
            encodings: Vec::new(),
            subscribers: BTreeSet::new(),
            taps: Vec::new(),
            outbox: Vec::new(),
            changed: false,
            said: Vec::new(),
            unsaid: false,
            payloads: agreement.media.iter().flat_map(|m| m.payloads.iter().cloned()).collect(),
            clock: Clock::default(),
            activity: Activity::Quiet,
            unseen: None,
            pace: Pace::default(),
            suspects: Vec::new(),
        }
    }

    /// Takes a packet of its peer into the outbox.
    ///
    /// # Errors
    /// The reason why it is dropped.
    pub fn receive(&mut self, packet: Packet, recorder: &mut Recorder) -> Result<Change, Drop> {
        // Taken out and put back: nothing below looks at them.
        let payloads = std::mem::take(&mut self.payloads);
        let payload = payloads.iter().find(|p| p.pt == packet.pt).ok_or(Drop::UnknownPayload);
        let taken = payload.and_then(|payload| self.take(packet, Some(payload), recorder));
        self.payloads = payloads;
        taken
    }

    /// Takes a packet that was made in this server. Of which origin, and by which encoder.
    ///
    /// # Errors
    /// The reason why it is dropped.
    pub fn make(
        &mut self,
        now: Instant,
        made: local::Packet,
        (origin, source): (Origin, u32),
        recorder: &mut Recorder,
    ) -> Result<Change, Drop> {
        let (codec, kind) = (made.codec, made.codec.kind());
        if made.payload.is_empty() || made.payload.len() > local::MAX_PAYLOAD {
            return Err(Drop::RtpUnusable);
        }
        let found = self.find((kind, origin, made.encoding));
        let known = found.map(|index| &self.encodings[index].payload);
        let profile = local::profile(codec, &made.payload);
        let payload = match known.filter(|known| known.codec == codec && profile.is_none()) {
            Some(_) => None,
            None => Some(local::payload(codec, profile).ok_or(Drop::UnknownPayload)?),
        };
        // For the clock it is another source than those beside it. Never 0.
        let place = found.unwrap_or(self.encodings.len()) as u32 + 1;
        let packet = Packet {
            kind,
            encoding: made.encoding,
            origin,
            ssrc: place << 24 | source & 0x00ff_ffff,
            pt: 0,
            seq: None,
            timestamp: made.timestamp,
            marker: made.marker,
            arrival: made.arrived.map_or(now, |arrived| arrived.min(now)),
            captured: made.captured.or((origin == Origin::Bridge).then_some(now)),
            payload: made.payload,
            extensions: Extensions::default(),
            report: None,
        };
        self.take(packet, payload.as_ref(), recorder)
    }

    /// `payload`: what it comes in; `None`: what its encoding came in until now.
    fn take(
        &mut self,
        mut packet: Packet,
        payload: Option<&Payload>,
        recorder: &mut Recorder,
    ) -> Result<Change, Drop> {
        let own = packet.origin == Origin::Source;
        let first = self.outbox.is_empty() && !self.changed;
        let found = self.find((packet.kind, packet.origin, packet.encoding));
        let before = found.map(|index| self.encodings[index].payload.codec);
        let index = match found {
            Some(index) => index,
            None => self.begin(&packet, payload.ok_or(Drop::UnknownPayload)?, recorder)?,
        };
        self.turn(index, &packet, payload, recorder)?;
        let encoding = &mut self.encodings[index];
        let (now, id) = (packet.arrival, encoding.id);
        let seq = encoding.number(packet.seq).ok_or(Drop::Late)?;
        packet.seq = Some(seq);
        if !encoding.active {
            encoding.active = true;
            self.changed = true;
            recorder.record(now, Decision::Back(id));
        }
        let resumed = own && self.media(now);
        let encoding = &mut self.encodings[index];
        let codec = Some(encoding.payload.codec).filter(|codec| own && Some(*codec) != before);
        let picture = (encoding.dimensions, encoding.keyframes_begun() == 0);
        let b_frames = encoding.has_b_frames();
        let packet = read(packet, seq, encoding.payload.codec, &mut self.clock);
        let start = encoding.received(&packet);
        self.changed |= encoding.dimensions != picture.0;
        self.unsaid |= encoding.has_b_frames() != b_frames;
        if picture != (encoding.dimensions, encoding.keyframes_begun() == 0)
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

    /// An encoding of which nothing has come before; its index.
    fn begin(
        &mut self,
        packet: &Packet,
        payload: &Payload,
        recorder: &mut Recorder,
    ) -> Result<usize, Drop> {
        let beside = self.encodings.iter().filter(|e| e.origin == packet.origin);
        if beside.count() >= MAX_ENCODINGS {
            return Err(Drop::UnknownPayload);
        }
        let (id, codec, ssrc) = (packet.encoding, payload.codec, packet.ssrc);
        recorder.record(
            packet.arrival,
            match packet.origin {
                Origin::Source => Decision::Encoding { id, codec, ssrc },
                Origin::Bridge => Decision::Bridged { id, codec },
            },
        );
        self.encodings.push(Encoding::new(packet, payload.clone()));
        self.changed = true;
        Ok(self.encodings.len() - 1)
    }

    /// Takes what is different with this packet's encoding from here on.
    fn turn(
        &mut self,
        index: usize,
        packet: &Packet,
        payload: Option<&Payload>,
        recorder: &mut Recorder,
    ) -> Result<(), Drop> {
        let encoding = &mut self.encodings[index];
        let before = (encoding.payload.pt, encoding.ssrc, encoding.gone);
        if !encoding.turns(packet, payload).ok_or(Drop::Late)? {
            return Ok(());
        }
        self.changed = true;
        let (now, id, codec) = (packet.arrival, encoding.id, encoding.payload.codec);
        if before.2 {
            encoding.active = true;
            recorder.record(now, Decision::Bridged { id, codec });
            return Ok(());
        }
        if before.0 != encoding.payload.pt {
            recorder.record(now, Decision::Codec { id, codec });
        }
        if before.1 != packet.ssrc {
            recorder.record(now, Decision::Source { id, ssrc: packet.ssrc });
        }
        Ok(())
    }

    /// Media has come; true if it had paused.
    fn media(&mut self, now: Instant) -> bool {
        self.pace.packet(now);
        std::mem::replace(&mut self.activity, Activity::Media) != Activity::Media
    }

    /// Media has come that is of no use here; true if it had paused. `held`: it comes in larger pieces.
    pub fn heard_media(&mut self, now: Instant, held: bool) -> bool {
        self.unseen = Some((now, held));
        self.media(now)
    }

    /// A bridged encoding has ended; true if viewers do not know yet.
    pub fn unbridge(
        &mut self,
        now: Instant,
        (kind, id): (Kind, EncodingId),
        recorder: &mut Recorder,
    ) -> bool {
        let found = self.find((kind, Origin::Bridge, id));
        let ended = found.is_some_and(|index| self.encodings[index].end());
        if ended {
            recorder.record(now, Decision::Unbridged(id));
            self.changed = true;
        }
        ended
    }

    /// The place of an encoding, which it keeps.
    pub fn find(&self, wanted: (Kind, Origin, EncodingId)) -> Option<usize> {
        self.encodings.iter().position(|e| (e.kind, e.origin, e.id) == wanted)
    }

    /// What it sends itself.
    pub fn own(&self) -> impl Iterator<Item = &Encoding> {
        self.encodings.iter().filter(|e| e.origin == Origin::Source)
    }

    /// When media came last.
    pub fn last_media(&self) -> Option<Instant> {
        self.own().map(|e| e.last_arrival).chain(self.unseen.map(|(at, _)| at)).max()
    }

    /// As the API shows them.
    pub fn snapshots(&self) -> Vec<EncodingSnapshot> {
        self.encodings.iter().filter(|e| !e.gone).map(Encoding::snapshot).collect()
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
        let there = self.encodings.iter().filter(|e| !e.gone);
        let now: Vec<EncodingState> = there.map(Encoding::state).collect();
        let same = now.len() == self.said.len()
            && now.iter().zip(&self.said).all(|(now, said)| !now.is_news(said));
        if same {
            return None;
        }
        self.said.clone_from(&now);
        Some(now)
    }

    /// Much has come at once that was kept: what its rate was then is what it is.
    pub fn measure(&mut self, now: Instant) {
        self.encodings.iter_mut().for_each(|e| e.measure(now));
        self.changed = true;
    }

    /// To be called about once a second.
    pub fn update_rates(&mut self, now: Instant) {
        self.encodings.iter_mut().for_each(|e| e.update_rates(now));
        self.changed = true;
    }

    /// Packets that never came and those that did, of all encodings that it sends.
    pub fn losses(&self) -> (u64, u64) {
        let each = self.own().map(Encoding::losses);
        each.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Looks for encodings that have fallen silent; true if the next batch says so. Those that the publisher
    /// sends are siblings. A bridged one has none: its encoder may stumble while all else goes on.
    pub fn look_for_silence(&mut self, now: Instant, recorder: &mut Recorder) -> bool {
        let abandoned = self.look_for_abandoned(now, recorder);
        let video = |e: &Encoding| e.kind == Kind::Video && e.origin == Origin::Source;
        let newest = self.encodings.iter().filter(|e| video(e)).map(|e| e.last_arrival).max();
        let Some(newest) = newest else { return abandoned };
        let silent =
            |e: &Encoding| video(e) && newest.saturating_duration_since(e.last_arrival) > SILENT;
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
        changed || abandoned
    }

    /// Ends bridged encodings that nobody feeds any more while the publisher goes on.
    fn look_for_abandoned(&mut self, now: Instant, recorder: &mut Recorder) -> bool {
        let Some(newest) = self.last_media() else { return false };
        let mut changed = false;
        for encoding in self.encodings.iter_mut().filter(|e| e.origin == Origin::Bridge) {
            let behind = newest.saturating_duration_since(encoding.last_arrival);
            if behind > ABANDONED && encoding.end() {
                recorder.record(now, Decision::Unbridged(encoding.id));
                changed = true;
            }
        }
        self.changed |= changed;
        changed
    }

    /// What is heard of it now, where that is news. `heard`: when something authentic last came.
    pub fn look_for_life(&mut self, now: Instant, heard: Instant) -> Option<Activity> {
        let since = |at: Instant| now.saturating_duration_since(at);
        let activity = match self.last_media() {
            Some(media) if since(media) < self.patience(media) => Activity::Media,
            _ if since(heard) < UNHEARD => Activity::Quiet,
            _ => Activity::Silent,
        };
        (std::mem::replace(&mut self.activity, activity) != activity).then_some(activity)
    }

    /// How long there may be nothing after media that came then.
    fn patience(&self, media: Instant) -> Duration {
        let pause = if self.unseen == Some((media, true)) { HELD_PAUSE } else { PAUSE };
        pause.max(self.pace.usual * 2)
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
fn read(packet: Packet, seq: u64, codec: Codec, clock: &mut Clock) -> RtpPacket {
    RtpPacket {
        time: clock.captured(&packet, codec.clock_rate()),
        seq,
        timestamp: packet.timestamp,
        marker: packet.marker,
        arrival: packet.arrival,
        info: payload::inspect(codec, &packet.payload),
        payload: packet.payload,
        extensions: packet.extensions,
    }
}
