//! The units of a publisher that sends packets: its best picture and its sound, put together again from RTP
//! while somebody wants them, and no longer. Who cannot go on without a keyframe has one asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::depacketize::{Depacketizer, Output};
use media::{AccessUnit, Codec, EncodingId, Format, Kind, MediaTime};
use sfu::Origin;
use sfu::feed::{Batch, Info, Packet};
use signaling::SessionId;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::net::{self, Media};
use crate::units::{self, AUDIO, Bus, Limits, Track, VIDEO, Writer};

/// Batches that may wait: a second or so of a publisher.
const BATCHES: usize = 256;
/// Nobody has wanted them for so long: the tap is closed. Whoever reloads a page gets the same one.
const LINGER: Duration = Duration::from_secs(5);
/// A publisher that has just come is not at home yet; it is asked for again after this.
const AGAIN: Duration = Duration::from_millis(100);
/// Between two requests for a keyframe: the first may get lost, and the keyframe needs its time.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// Taps a publisher; its units go on the bus for as long as somebody holds that.
pub(super) fn start(media: Media, publisher: SessionId, limits: Limits) -> Bus {
    start_with(media, publisher, limits, LINGER)
}

fn start_with(media: Media, publisher: SessionId, limits: Limits, linger: Duration) -> Bus {
    let (writer, bus) = units::bus(limits);
    tokio::spawn(run(media, publisher, writer, linger));
    bus
}

async fn run(media: Media, publisher: SessionId, writer: Writer, linger: Duration) {
    let (to, mut batches) = mpsc::channel(BATCHES);
    loop {
        match media.tap(publisher, to.clone()).await {
            Ok(true) => break,
            Ok(false) if !writer.end_if_unwanted() => sleep(AGAIN).await,
            _ => return,
        }
    }
    drop(to);
    let mut tap = Tap::new(writer);
    let mut idle = None;
    loop {
        tokio::select! {
            batch = batches.recv() => match batch {
                Some(batch) => tap.batch(net::now(), &batch),
                None => return,
            },
            () = tap.writer.keyframe_wanted() => tap.wanted = true,
            () = sleep(linger) => {}
        }
        let now = net::now();
        for encoding in tap.asks(now) {
            if media.send(sfu::Command::WantKeyframe { publisher, encoding }).await.is_err() {
                return;
            }
        }
        idle = (!tap.writer.is_wanted()).then(|| idle.unwrap_or(now));
        let over = idle.is_some_and(|since| now.saturating_duration_since(since) >= linger);
        if over && tap.writer.end_if_unwanted() {
            return;
        }
    }
}

/// One publisher's packets on their way to units.
struct Tap {
    writer: Writer,
    encodings: Vec<Info>,
    /// Picture and sound.
    lanes: [Option<Lane>; 2],
    /// A better picture, which comes next, with its keyframe.
    aim: Option<Lane>,
    /// The first packet's time: units count from there.
    epoch: Option<Instant>,
    /// A reader needs a keyframe.
    wanted: bool,
    /// When one was last asked for.
    asked: Option<Instant>,
}

/// The one encoding that stands for its track.
struct Lane {
    index: usize,
    id: EncodingId,
    codec: Codec,
    generation: u32,
    depacketizer: Depacketizer,
    newest: Option<MediaTime>,
    blind: bool,
    /// What it is, as long as it is only aimed at.
    format: Option<Format>,
}

impl Tap {
    fn new(writer: Writer) -> Self {
        Self {
            writer,
            encodings: Vec::new(),
            lanes: [const { None }; 2],
            aim: None,
            epoch: None,
            wanted: false,
            asked: None,
        }
    }

    fn batch(&mut self, now: Instant, batch: &Arc<Batch>) {
        if let Some(encodings) = &batch.encodings {
            self.encodings.clone_from(encodings);
            self.choose(Kind::Video);
            self.choose(Kind::Audio);
        }
        batch.packets.iter().for_each(|packet| self.packet(now, packet));
    }

    fn packet(&mut self, now: Instant, packet: &Packet) {
        let Some(lane) = self.lane(packet.encoding) else { return };
        let mut out = Vec::new();
        lane.depacketizer.push(&packet.rtp, &mut out);
        let epoch = *self.epoch.get_or_insert(packet.rtp.time);
        for output in out {
            self.reach(packet.encoding, &output);
            let lane = self.lanes.iter_mut().flatten().find(|l| l.index == packet.encoding);
            let Some(unit) = lane.and_then(|lane| lane.take(output, epoch, &mut self.writer))
            else {
                continue;
            };
            let (track, unit, captured) = unit;
            self.wanted &= !(track == VIDEO && unit.keyframe);
            self.writer.unit(now, track, unit, captured);
        }
    }

    fn lane(&mut self, encoding: usize) -> Option<&mut Lane> {
        let [video, audio] = &mut self.lanes;
        let mut all = [video, audio, &mut self.aim].into_iter().flatten();
        all.find(|lane| lane.index == encoding)
    }

    /// What is aimed at takes over with its keyframe.
    fn reach(&mut self, encoding: usize, output: &Output) {
        let Some(mut aim) = self.aim.take_if(|aim| aim.index == encoding) else { return };
        match output {
            Output::Frame(frame) if frame.keyframe => {
                let track = track(aim.codec);
                aim.format.take().into_iter().for_each(|format| self.writer.format(track, format));
                let [video, _] = &mut self.lanes;
                aim.newest = video.as_ref().and_then(|lane| lane.newest);
                *video = Some(aim);
                return;
            }
            Output::Format(format) => aim.format = Some(format.clone()),
            Output::Frame(_) => {}
        }
        self.aim = Some(aim);
    }

    /// Keeps the encoding as long as it lives and none is better, else takes the best of those that do:
    /// with its keyframe, where there is one to show until then.
    fn choose(&mut self, kind: Kind) {
        let own = |info: &Info| info.kind == kind && info.origin == Origin::Source && !info.gone;
        let all = self.encodings.iter().enumerate().filter(|(_, info)| own(info));
        let best = all.max_by_key(|(_, info)| (info.active, info.rank));
        let slot = &mut self.lanes[usize::from(kind == Kind::Audio)];
        let here = slot.as_ref().and_then(|lane| {
            self.encodings.get(lane.index).filter(|info| own(info) && lane.is(info))
        });
        let before = if kind == Kind::Video { self.aim.take() } else { None };
        let Some((index, best)) = best else {
            *slot = None;
            return;
        };
        let aimed = before.filter(|aim| aim.index == index && aim.is(best));
        let next = || aimed.unwrap_or_else(|| Lane::new(index, best));
        match here {
            Some(here) if here.id == best.id => {}
            Some(here) if here.active => {
                if kind == Kind::Video && is_better(best, here) {
                    self.aim = Some(next());
                }
            }
            _ => {
                let newest = slot.as_ref().and_then(|lane| lane.newest);
                *slot = Some(Lane { newest, ..next() });
            }
        }
    }

    /// Of which encodings a keyframe is to be asked for now.
    fn asks(&mut self, now: Instant) -> Vec<EncodingId> {
        let [video, _] = &self.lanes;
        let blind = video.as_ref().filter(|lane| lane.blind || self.wanted);
        let all: Vec<EncodingId> = blind.into_iter().chain(&self.aim).map(|lane| lane.id).collect();
        let due = self.asked.is_none_or(|at| now.saturating_duration_since(at) >= ASK_INTERVAL);
        if all.is_empty() || !due {
            return Vec::new();
        }
        self.asked = Some(now);
        all
    }
}

/// More pixels, or clearly more bits for as many: a little more now and then is no reason to change.
fn is_better(one: &Info, other: &Info) -> bool {
    let ((more, bits), (pixels, fewer)) = (one.rank, other.rank);
    one.active && (more > pixels || more == pixels && bits > fewer.saturating_mul(3) / 2)
}

fn track(codec: Codec) -> Track {
    match codec.kind() {
        Kind::Video => VIDEO,
        Kind::Audio => AUDIO,
    }
}

impl Lane {
    fn new(index: usize, info: &Info) -> Self {
        Self {
            index,
            id: info.id,
            codec: info.payload.codec,
            generation: info.generation,
            depacketizer: Depacketizer::new(info.payload.codec),
            newest: None,
            blind: true,
            format: None,
        }
    }

    fn is(&self, info: &Info) -> bool {
        (self.codec, self.generation) == (info.payload.codec, info.generation)
    }

    fn take(
        &mut self,
        output: Output,
        epoch: Instant,
        writer: &mut Writer,
    ) -> Option<(Track, AccessUnit, Instant)> {
        let track = track(self.codec);
        let frame = match output {
            Output::Format(format) => {
                writer.format(track, format);
                return None;
            }
            Output::Frame(frame) => frame,
        };
        // What is missing before it may be what it needs.
        self.blind |= frame.gap;
        if track.0 == Kind::Video && self.blind && !frame.keyframe {
            return None;
        }
        self.blind = false;
        let mut time = since(epoch, frame.time);
        // The stream's clock is slewed, a little and slowly; decoders want time to go on.
        if let Some(newest) = self.newest.filter(|newest| time <= *newest) {
            time = newest.plus(MediaTime::from_nanos(1));
        }
        self.newest = Some(time);
        let keyframe = frame.keyframe || track.0 == Kind::Audio;
        let unit = AccessUnit { dts: time, pts: time, keyframe, data: frame.data };
        Some((track, unit, frame.time))
    }
}

fn since(epoch: Instant, time: Instant) -> MediaTime {
    let nanos = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    MediaTime::from_nanos(match time.checked_duration_since(epoch) {
        Some(later) => nanos(later),
        None => -nanos(epoch.saturating_duration_since(time)),
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use media::config::avc;
    use tokio::time::timeout;

    use super::*;
    use crate::line::Line;
    use crate::net::Socket;
    use crate::units::{Item, Reader, Start};

    const LIMITS: Limits = Limits { bytes: 1 << 20, time: Duration::from_secs(12) };
    const PATIENCE: Duration = Duration::from_secs(10);

    fn h264() -> Format {
        let sps = [
            0x67, 0x42, 0xc0, 0x16, 0xda, 2, 0x80, 0xbf, 0xe2, 0x30, 0x11, 0, 0, 3, 0, 1, 0, 0, 3,
            0, 0x14, 0x0f, 0x16, 0x2e, 0xa0,
        ];
        let pps = [0x68, 0xce, 0x0f, 0xc8];
        let sets = |set: &[u8]| vec![Bytes::copy_from_slice(set)];
        let record = avc::Record::from_sets(sets(&sps), sets(&pps)).unwrap();
        media::config::format(Codec::H264, record.build()).unwrap()
    }

    fn unit(ms: i64, keyframe: bool) -> AccessUnit {
        let mut nal = vec![if keyframe { 0x65 } else { 0x41 }, 0x88, 0x80];
        nal.resize(3000, ms as u8 | 1);
        let mut data = Vec::new();
        media::nal::append(&mut data, &nal);
        let time = MediaTime::from_millis(ms);
        AccessUnit { dts: time, pts: time, keyframe, data: data.into() }
    }

    /// Whatever becomes packets becomes units again, from the newest keyframe on, with the times in between.
    #[tokio::test]
    async fn a_publisher_of_packets_has_units_while_somebody_wants_them() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sockets = vec![Socket::new(socket).unwrap()];
        let (media, mut events) = net::start(sockets, sfu::Config::default()).unwrap();
        let publisher = SessionId::from_random(1 << 96);
        media.send(sfu::Command::Add(Box::new(sfu::Add::local(publisher)))).await.unwrap();
        while events.recv().await.unwrap() != sfu::Event::Connected(publisher) {}

        let mut line = Line::of_source(media.clone(), publisher);
        line.format(VIDEO, EncodingId::MAIN, h264());
        let start = net::now();
        let mut send = |ms: i64| {
            let captured = start + Duration::from_millis(ms as u64);
            assert!(line.unit(VIDEO, &unit(ms, [0, 200].contains(&ms)), captured));
            assert!(line.flush());
        };
        (0..320).step_by(40).for_each(&mut send);
        let bus = start_tap(&media, publisher);
        let mut reader = bus.subscribe(Start::Keyframe, &[VIDEO, AUDIO]);
        let mut seen: Vec<(i64, i64, bool)> = Vec::new();
        for more in [320, 360, 400] {
            send(more);
        }
        while seen.last().is_none_or(|(ms, ..)| *ms < 360) {
            let item = timeout(PATIENCE, reader.next()).await.expect("units come");
            match item.expect("it goes on") {
                Item::Format(_, format) => assert_eq!(format.dimensions, Some((640, 354))),
                Item::Unit(_, got, captured) => {
                    let ms = captured.saturating_duration_since(start).as_millis() as i64;
                    assert_eq!(got.data, unit(ms, got.keyframe).data);
                    seen.push((ms, got.pts.millis(), got.keyframe));
                }
            }
        }
        let (zero, _, first) = seen[0];
        // What has not left its thread's last batch comes with the tap.
        assert!(first && [0, 200].contains(&zero), "{seen:?}");
        assert!(seen.iter().all(|(ms, pts, _)| *pts == ms - zero), "{seen:?}");

        // Nobody wants them any more; whoever comes later gets a tap of their own.
        let weak = bus.downgrade();
        drop((bus, reader));
        send(440);
        assert!(weak.upgrade().is_some(), "not at once");
        let gone = async {
            while !weak.is_gone() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the tap is closed");
        media.stop().await;
    }

    /// A media thread with one publisher.
    async fn home() -> (Media, mpsc::Receiver<sfu::Event>, SessionId) {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let sockets = vec![Socket::new(socket).unwrap()];
        let (media, mut events) = net::start(sockets, sfu::Config::default()).unwrap();
        let publisher = SessionId::from_random(1 << 96);
        media.send(sfu::Command::Add(Box::new(sfu::Add::local(publisher)))).await.unwrap();
        while events.recv().await.unwrap() != sfu::Event::Connected(publisher) {}
        (media, events, publisher)
    }

    /// The next picture, and how wide it is.
    async fn picture(reader: &mut Reader, width: &mut Option<u16>) -> (i64, bool) {
        loop {
            let item = timeout(PATIENCE, reader.next()).await.expect("units come");
            match item.expect("it goes on") {
                Item::Format(_, format) => *width = format.dimensions.map(|(width, _)| width),
                Item::Unit(_, unit, _) => return (unit.pts.millis(), unit.keyframe),
            }
        }
    }

    #[tokio::test]
    async fn who_cannot_go_on_has_the_publisher_asked_for_a_keyframe() {
        let (media, mut events, publisher) = home().await;
        let mut line = Line::of_source(media.clone(), publisher);
        line.format(VIDEO, EncodingId::MAIN, h264());
        let start = net::now();
        let mut send = |ms: i64| {
            assert!(line.unit(VIDEO, &unit(ms, ms == 0), start + Duration::from_millis(ms as u64)));
            line.flush();
        };
        send(0);
        let bus = start_tap(&media, publisher);
        let (mut reader, mut width) = (bus.subscribe(Start::Keyframe, &[VIDEO]), None);
        send(40);
        assert_eq!(picture(&mut reader, &mut width).await, (0, true));
        reader.await_keyframe();
        let mut ms = 80;
        let asked = async {
            loop {
                tokio::select! {
                    event = events.recv() => {
                        if let sfu::Event::KeyframeWanted { encoding, origin, .. } = event.unwrap() {
                            return (encoding, origin);
                        }
                    }
                    () = sleep(Duration::from_millis(40)) => {
                        send(ms);
                        ms += 40;
                        while reader.read().is_some() {}
                    }
                }
            }
        };
        let asked = timeout(PATIENCE, asked).await.expect("somebody asks");
        assert_eq!(asked, (EncodingId::MAIN, Origin::Source));
        media.stop().await;
    }

    #[tokio::test]
    async fn a_better_picture_that_comes_later_is_taken_with_its_keyframe() {
        let (media, _events, publisher) = home().await;
        let mut line = Line::of_source(media.clone(), publisher);
        let small: &[&[u8]] = &[
            b"\x67\x64\x00\x0a\xac\xd9\x44\x7b\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x22\x59\x60",
            b"\x68\xeb\xe3\xcb\x22\xc0",
        ];
        let [sps, pps] = [small[0], small[1]].map(|set| vec![Bytes::copy_from_slice(set)]);
        let record = avc::Record::from_sets(sps, pps).unwrap();
        let small = media::config::format(Codec::H264, record.build()).unwrap();
        let better: Track = (Kind::Video, 1);
        line.format(VIDEO, EncodingId::new("low").unwrap(), small);
        line.format(better, EncodingId::new("high").unwrap(), h264());
        let start = net::now();
        let mut send = |track: Track, ms: i64, keyframe: bool| {
            line.unit(track, &unit(ms, keyframe), start + Duration::from_millis(ms as u64));
            line.flush();
        };
        let bus = start_tap(&media, publisher);
        let (mut reader, mut width) = (bus.subscribe(Start::Keyframe, &[VIDEO]), None);
        send(VIDEO, 0, true);
        send(VIDEO, 40, false);
        assert!(picture(&mut reader, &mut width).await.1);
        assert_eq!(width, Some(64), "there is nothing better yet");
        // Its first keyframes may be past before its size is known.
        let (mut last, mut ms) = (0, 80);
        let first = loop {
            send(VIDEO, ms, false);
            send(better, ms, ms % 160 == 0);
            ms += 40;
            assert!(ms < 20_000, "it stays with what it has");
            let (shown, keyframe) = picture(&mut reader, &mut width).await;
            assert!(shown >= last, "{shown} after {last}");
            last = shown;
            if width == Some(640) {
                break keyframe;
            }
        };
        assert!(first, "it begins with its keyframe");
        media.stop().await;
    }

    /// What a bridge makes is not what the publisher sends, and what is gone is nobody's.
    #[test]
    fn only_what_the_publisher_sends_is_taken() {
        let (writer, _bus) = units::bus(LIMITS);
        let mut tap = Tap::new(writer);
        let info = |id: &str, origin, gone, rank| Info {
            id: EncodingId::new(id).unwrap(),
            kind: Kind::Video,
            origin,
            gone,
            payload: sfu::local::payload(Codec::H264, None).unwrap(),
            generation: 0,
            active: true,
            rank: (rank, 0),
            bitrate_bps: 0,
        };
        let mut chosen = |encodings: &[Info]| {
            tap.encodings = encodings.to_vec();
            tap.choose(Kind::Video);
            tap.lanes[0].as_ref().map(|lane| lane.id.to_string())
        };
        let bridged = info("h264", Origin::Bridge, false, 9);
        assert_eq!(chosen(std::slice::from_ref(&bridged)), None);
        assert_eq!(chosen(&[bridged, info("q", Origin::Source, false, 1)]).as_deref(), Some("q"));
    }

    fn start_tap(media: &Media, publisher: SessionId) -> Bus {
        start_with(media.clone(), publisher, LIMITS, Duration::from_millis(200))
    }
}
