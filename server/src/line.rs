//! From access units to the media threads: units become RTP payloads once per stream, with exact capture
//! times, and go on as what a WHIP publisher sends does. One message per read batch. A picture that would
//! go back in time never gets out: viewers of WebRTC would see it jump.

use std::time::Instant;

use media::clock::{self, Source, StreamClock};
use media::packetize::{MTU, Packetizer, Payload};
use media::payload::h264;
use media::{AccessUnit, Codec, EncodingId, Format, Kind, MediaTime};
use sfu::{Made, Origin, Packet};
use signaling::SessionId;

use crate::net::Media;
use crate::units::Track;

/// Ticks per second of the clock that times are told by: exact for every frame rate in use.
const RATE: u32 = 90_000;
/// Between the numbers of two bridges: each may begin anew so often without taking the next one's.
const RESTARTS: u32 = 1 << 8;

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
        clock::at(decoded, unit.pts.since(unit.dts).nanos()).unwrap_or(decoded)
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
        Self::new(media, publisher, (Origin::Source, 0))
    }

    /// What a bridge makes of it. `start`: another number than any bridge of this publisher has had.
    pub(crate) fn of_bridge(media: Media, publisher: SessionId, start: u32) -> Self {
        Self::new(media, publisher, (Origin::Bridge, start.wrapping_mul(RESTARTS)))
    }

    fn new(media: Media, publisher: SessionId, (origin, source): (Origin, u32)) -> Self {
        let made = Made { publisher, origin, source, packets: Vec::new() };
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

    /// Takes a unit that comes just now; false if it is left out, because it would go back in time or waits for
    /// a keyframe.
    pub(crate) fn unit(&mut self, track: Track, unit: &AccessUnit, captured: Instant) -> bool {
        self.take(track, unit, captured, None)
    }

    /// The same of one that came earlier.
    pub(crate) fn take(
        &mut self,
        track: Track,
        unit: &AccessUnit,
        captured: Instant,
        arrived: Option<Instant>,
    ) -> bool {
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
            arrived,
        };
        self.made.packets.extend(self.payloads.drain(..).map(packet));
        true
    }

    /// Units came that become no packets. `held`: it may be a while until the next time.
    pub(crate) fn heard(&self, held: bool) {
        self.media.try_heard(self.made.publisher, held);
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

    /// Sound always; pictures that a decoder can use, and that are shown after all before them. Where others
    /// may need one that is left out, they are left out too, up to the next keyframe: better no picture than
    /// a smeared one.
    fn admits(&mut self, unit: &AccessUnit) -> bool {
        if self.track.0 == Kind::Audio {
            return true;
        }
        let later = self.newest.is_none_or(|newest| unit.pts > newest);
        if !unit.keyframe && (self.blind || !later) {
            self.blind |= self.is_needed(unit);
            return false;
        }
        self.blind = false;
        self.newest = Some(unit.pts);
        true
    }

    /// Whether other pictures may need this one; only H.264 says so plainly.
    fn is_needed(&self, unit: &AccessUnit) -> bool {
        let picture = h264::access_unit(&unit.data).filter(|_| self.format.codec == Codec::H264);
        picture.is_none_or(|picture| picture.reference)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::units::VIDEO;

    fn unit(dts: i64, pts: i64, nal: &[u8]) -> AccessUnit {
        let (dts, pts) = (MediaTime::from_millis(dts), MediaTime::from_millis(pts));
        let mut data = Vec::new();
        media::nal::append(&mut data, nal);
        AccessUnit { dts, pts, keyframe: nal[0] & 31 == 5, data: data.into() }
    }

    /// An IDR picture, one that others refer to, one that nobody needs: first slices.
    const IDR: [u8; 3] = [0x65, 0x88, 0x84];
    const REFERENCE: [u8; 3] = [0x41, 0x9a, 0x24];
    const DISPOSABLE: [u8; 3] = [0x01, 0x9e, 0x44];

    fn encoding() -> Encoding {
        let format = Format {
            codec: Codec::H264,
            config: bytes::Bytes::new(),
            dimensions: None,
            sound: None,
        };
        Encoding::new(VIDEO, EncodingId::MAIN, format)
    }

    /// Which of them go out, in ms of their showing.
    fn out(units: &[AccessUnit]) -> Vec<i64> {
        let mut encoding = encoding();
        let went = units.iter().filter(|unit| encoding.admits(unit));
        went.map(|unit| unit.pts.millis()).collect()
    }

    #[test]
    fn pictures_that_go_back_are_left_out_and_nobody_needed_them() {
        let gop = [
            unit(0, 40, &IDR),
            unit(40, 160, &REFERENCE),
            unit(80, 80, &DISPOSABLE),
            unit(120, 120, &DISPOSABLE),
            unit(160, 240, &REFERENCE),
            unit(200, 200, &DISPOSABLE),
        ];
        assert_eq!(out(&gop), [40, 160, 240]);
    }

    #[test]
    fn after_a_lost_reference_nothing_is_right_until_the_next_keyframe() {
        let gop = [
            unit(0, 40, &REFERENCE),
            unit(40, 80, &IDR),
            unit(80, 240, &REFERENCE),
            unit(120, 160, &REFERENCE),
            unit(160, 120, &DISPOSABLE),
            unit(200, 400, &REFERENCE),
            unit(240, 440, &IDR),
            unit(280, 480, &REFERENCE),
        ];
        assert_eq!(out(&gop), [80, 240, 440, 480], "and none before the first keyframe");
    }

    #[test]
    fn what_is_shown_together_was_captured_together_whatever_came_when() {
        let start = crate::clock::now();
        let mut capture = Capture::new();
        let mut at = |came: u64, dts: i64, pts: i64| {
            capture.of(start + Duration::from_millis(came), &unit(dts, pts, &IDR))
        };
        let sound = at(0, 80, 80);
        // Decoded earlier, come a little later.
        let picture = at(3, 0, 80);
        assert_eq!(picture, sound);
        assert_eq!(at(5, 40, 160) - picture, Duration::from_millis(80));
        // Within its first second a burst shows that the beginning was late; both move together.
        let (sound, picture) = (at(10, 500, 500), at(11, 420, 500));
        assert_eq!(picture, sound);
    }

    #[test]
    fn a_timeline_that_wraps_in_rtp_goes_on() {
        let start = crate::clock::now();
        let mut capture = Capture::new();
        // 2^32 ticks of 90 kHz are 47,721 s.
        let mut before = None;
        for second in 0..100_i64 {
            let ms = (47_700 + second) * 1000;
            let came = start + Duration::from_secs(second as u64);
            let captured = capture.of(came, &unit(ms, ms, &IDR));
            if let Some(before) = before.replace(captured) {
                assert_eq!(captured - before, Duration::from_secs(1));
            }
        }
    }

    #[tokio::test]
    async fn a_bridge_that_comes_back_is_heard_again() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sockets = vec![crate::net::Socket::new(socket).unwrap()];
        let (media, mut events) = crate::net::start(sockets, sfu::Config::default()).unwrap();
        let publisher = SessionId::from_random(1 << 96);
        let add = sfu::Command::Add(Box::new(sfu::Add::local(publisher)));
        media.send(add).await.unwrap();
        while events.recv().await.unwrap() != sfu::Event::Connected(publisher) {}
        let (track, encoding) = ((Kind::Audio, 0x82), EncodingId::new("opus").unwrap());
        let opus = Format {
            codec: Codec::Opus,
            config: bytes::Bytes::new(),
            dimensions: None,
            sound: Some((48_000, 2)),
        };
        for start in [1, 2, 3] {
            let mut line = Line::of_bridge(media.clone(), publisher, start);
            line.format(track, encoding, opus.clone());
            line.begins_anew();
            assert!(line.unit(track, &unit(0, 0, &[0xfc, 0xff, 0xfe]), crate::net::now()));
            line.flush();
            let there = |is: bool| {
                move |event: &sfu::Event| match event {
                    sfu::Event::Encodings { encodings, .. } => {
                        encodings.iter().any(|e| e.origin == Origin::Bridge && e.active) == is
                    }
                    _ => false,
                }
            };
            let within = Duration::from_secs(10);
            let come = async { while !there(true)(&events.recv().await.unwrap()) {} };
            tokio::time::timeout(within, come).await.expect("it is there");
            let kind = Kind::Audio;
            media.send(sfu::Command::Unbridge { publisher, encoding, kind }).await.unwrap();
            let gone = async { while !there(false)(&events.recv().await.unwrap()) {} };
            tokio::time::timeout(within, gone).await.expect("it is gone");
        }
        media.stop().await;
    }
}
