//! The units of a publisher that sends packets: its best picture and its sound, put together again from RTP
//! while somebody wants them, and no longer; and each encoding of its pictures by itself while somebody wants that. Who
//! cannot go on without a keyframe has one asked for.

mod lane;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::depacketize::Output;
use media::{Codec, EncodingId, Kind};
use sfu::Origin;
use sfu::feed::{Batch, Info, Packet};
use signaling::SessionId;
use tokio::sync::mpsc;
use tokio::time::sleep;

use self::lane::{Lane, Seat};
use crate::net::{self, Media};
use crate::units::{self, AUDIO, Bus, LAYERS, Limits, VIDEO, Writer, layer};

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
            () = tap.writer.keyframe_wanted() => tap.lanes.iter_mut().for_each(|lane| lane.wanted = true),
            () = sleep(linger) => {}
        }
        tap.look();
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
    /// The encodings that are taken apart.
    lanes: Vec<Lane>,
    /// Which of them are the picture and the sound.
    seats: [Seat; 2],
    /// A better picture, which comes next, with its keyframe.
    aim: Option<usize>,
    /// Each encoding of the pictures has its track, too.
    layered: bool,
    /// The first packet's time: units count from there.
    epoch: Option<Instant>,
    /// When one was last asked for.
    asked: Option<Instant>,
}

impl Tap {
    fn new(writer: Writer) -> Self {
        Self {
            writer,
            encodings: Vec::new(),
            lanes: Vec::new(),
            seats: [Seat::new(VIDEO), Seat::new(AUDIO)],
            aim: None,
            layered: false,
            epoch: None,
            asked: None,
        }
    }

    fn batch(&mut self, now: Instant, batch: &Arc<Batch>) {
        match &batch.encodings {
            Some(encodings) => {
                self.encodings.clone_from(encodings);
                self.choose();
            }
            None => self.look(),
        }
        batch.packets.iter().for_each(|packet| self.packet(now, packet));
    }

    /// Looks whether somebody wants each encoding by itself now.
    fn look(&mut self) {
        if self.layered != self.writer.is_layered() {
            self.choose();
        }
    }

    fn packet(&mut self, now: Instant, packet: &Packet) {
        let index = packet.encoding;
        let epoch = *self.epoch.get_or_insert(packet.rtp.time);
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.index == index) else { return };
        let mut out = Vec::new();
        lane.depacketizer.push(&packet.rtp, &mut out);
        for output in out {
            if let Output::Frame(frame) = &output
                && frame.keyframe
                && self.aim == Some(index)
            {
                // What is aimed at takes over with its keyframe.
                self.aim = None;
                self.seats[0].take(lane, &mut self.writer);
            }
            match output {
                Output::Format(format) => {
                    let seats = self.seats.iter().filter(|seat| seat.of == Some(index));
                    let tracks = seats.map(|seat| seat.track).chain(lane.layer.track);
                    tracks.for_each(|track| self.writer.format(track, format.clone()));
                    lane.format = Some(format);
                }
                Output::Frame(frame) => {
                    lane.wanted &= !frame.keyframe;
                    let seats = self.seats.iter_mut().filter(|seat| seat.of == Some(index));
                    for place in seats.map(|seat| &mut seat.place).chain([&mut lane.layer]) {
                        let Some((track, unit)) = place.unit(&frame, epoch) else { continue };
                        self.writer.unit(now, track, unit, frame.time);
                    }
                }
            }
        }
    }

    /// Decides which encodings are taken apart, and what for.
    fn choose(&mut self) {
        self.layered = self.writer.is_layered();
        self.seat(Kind::Video);
        self.seat(Kind::Audio);
        let mut layers = 0;
        let mut place = 0;
        for index in 0..self.encodings.len() {
            let info = &self.encodings[index];
            let mut track = None;
            if info.kind == Kind::Video && info.origin == Origin::Source {
                // No player of files takes VP8, and others want the best only.
                let plays = info.payload.codec != Codec::Vp8 && place < LAYERS;
                track = Some(layer(place)).filter(|_| plays && info.active && !info.gone);
                layers += usize::from(track.is_some());
                place = place.saturating_add(1);
            }
            self.lay(index, track.filter(|_| self.layered));
        }
        self.writer.layers(layers);
    }

    /// Whether an encoding is taken apart, and has a track of its own.
    fn lay(&mut self, index: usize, track: Option<units::Track>) {
        let info = &self.encodings[index];
        let seated = self.seats.iter().any(|seat| seat.of == Some(index));
        let wanted = seated || self.aim == Some(index) || track.is_some();
        let at = self.lanes.iter().position(|lane| lane.index == index);
        let known = at.map(|at| self.lanes.swap_remove(at));
        let before = known.as_ref().and_then(|lane| lane.layer.track);
        if let Some(gone) = before.filter(|before| track != Some(*before)) {
            self.writer.silence(gone);
        }
        if !wanted {
            return;
        }
        let newest = known.as_ref().and_then(|lane| lane.layer.newest);
        let known = known.filter(|lane| lane.is(info));
        let mut lane = known.unwrap_or_else(|| Lane::new(index, info));
        if lane.layer.track != track {
            lane.layer = lane::Place { track, newest, blind: true };
            lane.announce(track, &mut self.writer);
        }
        self.lanes.push(lane);
    }

    /// Keeps the encoding as long as it lives and none is better, else takes the best of those that do:
    /// with its keyframe, where there is one to show until then.
    fn seat(&mut self, kind: Kind) {
        let own = |info: &Info| info.kind == kind && info.origin == Origin::Source && !info.gone;
        let all = self.encodings.iter().enumerate().filter(|(_, info)| own(info));
        let best = all.max_by_key(|(_, info)| (info.active, info.rank));
        let seat = &mut self.seats[usize::from(kind == Kind::Audio)];
        let lane = |of: usize| self.lanes.iter().find(|lane| lane.index == of);
        let same = |of: &usize| {
            let info = self.encodings.get(*of).filter(|info| own(info));
            info.zip(lane(*of)).is_some_and(|(info, lane)| lane.is(info))
        };
        let here = seat.of.filter(same).map(|of| &self.encodings[of]);
        if kind == Kind::Video {
            self.aim = None;
        }
        let Some((index, best)) = best else {
            seat.of = None;
            return;
        };
        match here {
            Some(here) if here.id == best.id => {}
            Some(here) if here.active => {
                if kind == Kind::Video && is_better(best, here) {
                    self.aim = Some(index);
                }
            }
            _ => {
                seat.of = Some(index);
                seat.place.blind = true;
                if let Some(lane) =
                    self.lanes.iter().find(|lane| lane.index == index && lane.is(best))
                {
                    lane.announce(Some(seat.track), &mut self.writer);
                }
            }
        }
    }

    /// Of which encodings a keyframe is to be asked for now.
    fn asks(&mut self, now: Instant) -> Vec<EncodingId> {
        let [video, _] = &self.seats;
        let blind = |lane: &&Lane| {
            let seated = video.of == Some(lane.index) && (video.place.blind || lane.wanted);
            let layer = lane.layer.track.is_some() && (lane.layer.blind || lane.wanted);
            seated || layer || self.aim == Some(lane.index)
        };
        let all: Vec<EncodingId> = self.lanes.iter().filter(blind).map(|lane| lane.id).collect();
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
