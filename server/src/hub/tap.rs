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
