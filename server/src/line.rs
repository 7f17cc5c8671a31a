//! From access units to the media threads: units become RTP payloads once per stream, with exact capture
//! times, and go on as what a WHIP publisher sends does. One message per read batch. A picture that would
//! go back in time never gets out: viewers of WebRTC would see it jump.

use std::time::Instant;

use media::clock::{Source, StreamClock};
use media::packetize::{MTU, Packetizer, Payload};
use media::{AccessUnit, Codec, EncodingId, Format, Kind, MediaTime};
use sfu::{Made, Origin, Packet};
use signaling::SessionId;

use crate::net::Media;
use crate::units::Track;

/// Ticks per second of the clock that times are told by: exact for every frame rate in use.
const RATE: u32 = 90_000;

/// When units were captured, on the server's clock: one clock for all tracks of a publisher, so that lips
/// and voice agree exactly.
#[derive(Debug)]
pub(crate) struct Capture {
    clock: StreamClock,
    source: Source,
}

impl Capture {
    pub(crate) fn new() -> Self {
        Self { clock: StreamClock::new(), source: Source::new(RATE) }
    }

    /// When the picture or sound of a unit that has come `now` was captured: decoding times tell how
    /// promptly units come, what is shown later was captured later by as much.
    pub(crate) fn of(&mut self, now: Instant, unit: &AccessUnit) -> Instant {
        // RTP's timestamps wrap, and this clock expects it.
        let timestamp = unit.dts.in_scale(RATE) as u32;
        let decoded = self.clock.captured(&mut self.source, now, timestamp);
        let shown = unit.pts.since(unit.dts).nanos();
        let distance = std::time::Duration::from_nanos(shown.unsigned_abs());
        let moved =
            if shown < 0 { decoded.checked_sub(distance) } else { decoded.checked_add(distance) };
        moved.unwrap_or(decoded)
    }
}

/// One publisher's way, or one bridge's, to the media threads.
#[derive(Debug)]
pub(crate) struct Line {
    media: Media,
    made: Made,
    encodings: Vec<Encoding>,
    payloads: Vec<Payload>,
}

#[derive(Debug)]
struct Encoding {
    track: Track,
    id: EncodingId,
    format: Format,
    packetizer: Packetizer,
    /// Of the last picture that went out.
    newest: Option<MediaTime>,
    /// Pictures are left out until a keyframe comes.
    blind: bool,
    /// Something of it is among the packets that wait.
    waiting: bool,
}

impl Line {
    /// What a publisher sends itself.
    pub(crate) fn of_source(media: Media, publisher: SessionId) -> Self {
        Self::new(media, publisher, Origin::Source)
    }

    /// What a bridge makes of it.
    pub(crate) fn of_bridge(media: Media, publisher: SessionId) -> Self {
        Self::new(media, publisher, Origin::Bridge)
    }

    fn new(media: Media, publisher: SessionId, origin: Origin) -> Self {
        let made = Made { publisher, origin, source: 0, packets: Vec::new() };
        Self { media, made, encodings: Vec::new(), payloads: Vec::new() }
    }

    /// What the units of a track are from now on, and under which name viewers choose them. What WebRTC
    /// does not carry has no line.
    pub(crate) fn format(&mut self, track: Track, id: EncodingId, format: Format) {
        let known = self.encodings.iter().position(|e| e.track == track);
        if !Codec::WEBRTC.contains(&format.codec) {
            if let Some(index) = known {
                self.encodings.remove(index);
            }
            return;
        }
        match known.map(|index| &mut self.encodings[index]) {
            Some(encoding) if encoding.format.codec == format.codec => {
                encoding.id = id;
                encoding.format = format;
            }
            Some(encoding) => *encoding = Encoding::new(track, id, format),
            None => self.encodings.push(Encoding::new(track, id, format)),
        }
    }

    /// Another encoder makes what comes from now on: decoders begin anew.
    pub(crate) fn begins_anew(&mut self) {
        self.flush();
        self.made.source = self.made.source.wrapping_add(1);
        for encoding in &mut self.encodings {
            encoding.newest = None;
            encoding.blind = true;
        }
    }

    /// Pictures of this track are left out until the next keyframe.
    pub(crate) fn await_keyframe(&mut self, track: Track) {
        self.encodings.iter_mut().filter(|e| e.track == track).for_each(|e| e.blind = true);
    }

    /// Takes a unit; false if it is left out, because it would go back in time or waits for a keyframe.
    pub(crate) fn unit(&mut self, track: Track, unit: &AccessUnit, captured: Instant) -> bool {
        let Some(encoding) = self.encodings.iter_mut().find(|e| e.track == track) else {
            return false;
        };
        if !encoding.admits(unit) {
            return false;
        }
        encoding.packetizer.push(&encoding.format, unit, &mut self.payloads);
        encoding.waiting |= !self.payloads.is_empty();
        let codec = encoding.format.codec;
        // Timestamps of RTP wrap.
        let timestamp = unit.pts.in_scale(codec.clock_rate()) as u32;
        let packet = |payload: Payload| Packet {
            encoding: encoding.id,
            codec,
            timestamp,
            marker: payload.marker,
            payload: payload.bytes,
            captured: Some(captured),
        };
        self.made.packets.extend(self.payloads.drain(..).map(packet));
        true
    }

    /// Units came that never become packets.
    pub(crate) async fn heard(&self) {
        let publisher = self.made.publisher;
        // Without media threads the server ends.
        let _ = self.media.send(sfu::Command::Heard { publisher, media: true }).await;
    }

    /// Sends what has been taken since the last time; false if that is nothing. Where the media thread has no
    /// room it is lost, and pictures go on with a keyframe.
    pub(crate) fn flush(&mut self) -> bool {
        if self.made.packets.is_empty() {
            return false;
        }
        let Made { publisher, origin, source, .. } = self.made;
        let packets = std::mem::take(&mut self.made.packets);
        let sent = self.media.try_media(Made { publisher, origin, source, packets });
        for encoding in &mut self.encodings {
            encoding.blind |= std::mem::take(&mut encoding.waiting) && !sent;
        }
        true
    }
}

impl Encoding {
    fn new(track: Track, id: EncodingId, format: Format) -> Self {
        let packetizer = Packetizer::new(format.codec, MTU);
        Self { track, id, format, packetizer, newest: None, blind: true, waiting: false }
    }

    /// Sound always; pictures that a decoder can use, and that are shown after all before them.
    fn admits(&mut self, unit: &AccessUnit) -> bool {
        if self.track.0 == Kind::Audio {
            return true;
        }
        let later = self.newest.is_none_or(|newest| unit.pts > newest);
        if !unit.keyframe && (self.blind || !later) {
            return false;
        }
        self.blind = false;
        self.newest = Some(unit.pts);
        true
    }
}
