//! The units of a publisher that sends packets: its best picture and its sound, put together again from RTP
//! while somebody wants them, and no longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::depacketize::{Depacketizer, Output};
use media::{AccessUnit, Codec, Kind, MediaTime};
use sfu::feed::{Batch, Info};
use signaling::SessionId;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::net::Media;
use crate::units::{self, AUDIO, Bus, Limits, Track, VIDEO, Writer};

/// Batches that may wait: a second or so of a publisher.
const BATCHES: usize = 256;
/// Nobody has wanted them for so long: the tap is closed.
const LINGER: Duration = Duration::from_secs(5);
/// A publisher that has just come is not at home yet; it is asked for again after this.
const AGAIN: Duration = Duration::from_millis(100);

/// Taps a publisher; its units go on the bus for as long as somebody holds that.
pub(super) fn start(media: Media, publisher: SessionId, limits: Limits) -> Bus {
    let (writer, bus) = units::bus(limits);
    tokio::spawn(run(media, publisher, writer));
    bus
}

async fn run(media: Media, publisher: SessionId, writer: Writer) {
    let (to, mut batches) = mpsc::channel(BATCHES);
    loop {
        match media.tap(publisher, to.clone()).await {
            Ok(true) => break,
            Ok(false) if writer.is_wanted() => tokio::time::sleep(AGAIN).await,
            _ => return,
        }
    }
    drop(to);
    let mut tap = Tap { writer, encodings: Vec::new(), lanes: [const { None }; 2], epoch: None };
    loop {
        match timeout(LINGER, batches.recv()).await {
            Ok(Some(batch)) => tap.batch(&batch),
            Ok(None) => return,
            Err(_) if tap.writer.is_wanted() => {}
            Err(_) => return,
        }
        if !tap.writer.is_wanted() {
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
    /// The first packet's time: units count from there.
    epoch: Option<Instant>,
}

/// The one encoding that stands for its track.
struct Lane {
    index: usize,
    codec: Codec,
    generation: u32,
    depacketizer: Depacketizer,
    newest: Option<MediaTime>,
    blind: bool,
}

impl Tap {
    fn batch(&mut self, batch: &Arc<Batch>) {
        if let Some(encodings) = &batch.encodings {
            self.encodings.clone_from(encodings);
            self.choose(Kind::Video);
            self.choose(Kind::Audio);
        }
        let mut out = Vec::new();
        for packet in &batch.packets {
            let Self { lanes, writer, epoch, .. } = self;
            let Some(lane) = lanes.iter_mut().flatten().find(|l| l.index == packet.encoding) else {
                continue;
            };
            let epoch = *epoch.get_or_insert(packet.rtp.time);
            lane.depacketizer.push(&packet.rtp, &mut out);
            for output in out.drain(..) {
                lane.take(output, epoch, writer);
            }
        }
    }

    /// Keeps the encoding as long as it lives, else takes the best of those that do.
    fn choose(&mut self, kind: Kind) {
        let lane = &mut self.lanes[usize::from(kind == Kind::Audio)];
        let stays = lane.as_ref().and_then(|l| self.encodings.get(l.index)).is_some_and(|info| {
            let same = lane
                .as_ref()
                .is_some_and(|l| (l.codec, l.generation) == (info.payload.codec, info.generation));
            same && info.active
        });
        if stays {
            return;
        }
        let of_kind = |(_, info): &(usize, &Info)| info.kind == kind;
        let all = self.encodings.iter().enumerate().filter(of_kind);
        let best = all.max_by_key(|(_, info)| (info.active, info.rank));
        let Some((index, info)) = best else { return };
        let newest = lane.as_ref().and_then(|l| l.newest);
        *lane = Some(Lane {
            index,
            codec: info.payload.codec,
            generation: info.generation,
            depacketizer: Depacketizer::new(info.payload.codec),
            newest,
            blind: true,
        });
    }
}

impl Lane {
    fn take(&mut self, output: Output, epoch: Instant, writer: &mut Writer) {
        let track: Track = match self.codec.kind() {
            Kind::Video => VIDEO,
            Kind::Audio => AUDIO,
        };
        let frame = match output {
            Output::Format(format) => return writer.format(track, format),
            Output::Frame(frame) => frame,
        };
        // What is missing before it may be what it needs.
        self.blind |= frame.gap;
        if track.0 == Kind::Video && self.blind && !frame.keyframe {
            return;
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
        writer.unit(track, unit, frame.time);
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
    use media::{EncodingId, Format};

    use super::*;
    use crate::line::Line;
    use crate::net::{self, Socket};
    use crate::units::{Item, Start};

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
        let gone = async {
            while weak.upgrade().is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("the tap is closed");
        media.stop().await;
    }

    fn start_tap(media: &Media, publisher: SessionId) -> Bus {
        start(media.clone(), publisher, LIMITS)
    }
}
