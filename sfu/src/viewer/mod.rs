//! One viewer: an audio and a video leg, each with its choice of encoding and its rewriting.

pub mod catch_up;
pub mod rewriter;
pub mod selector;

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{Codec, EncodingId, Kind, RtpPacket, payload};
use signaling::{Agreement, Payload};

use self::rewriter::Rewriter;
use self::selector::{Candidate, Selector, Verdict};
use crate::publisher::encoding::Encoding;
use crate::publisher::{Outgoing, Publisher};
use crate::rtc::{Peer, Send};
use crate::shard::Key;
use crate::stats::{Drop, Rate, Sent, ViewerSnapshot};

/// A viewer plays if something was forwarded this short a time ago.
const PLAYING: Duration = Duration::from_secs(1);

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    /// Whom it watches.
    pub publisher: Option<Key>,
    /// Media can flow.
    pub connected: bool,
    legs: Vec<Leg>,
    wanted: Option<EncodingId>,
    sent: Sent,
    bitrate: Rate,
    last_sent: Option<Instant>,
    feedback: (Option<f32>, Option<Duration>),
}

#[derive(Debug)]
struct Leg {
    kind: Kind,
    payloads: Vec<Payload>,
    /// What the publisher sends and the payload type that this viewer knows it by.
    route: Option<(Payload, Option<u8>)>,
    selector: Selector,
    rewriter: Rewriter,
}

impl Viewer {
    /// A viewer that may receive what `agreement` says.
    pub fn new(agreement: &Agreement) -> Self {
        let leg = |m: &signaling::Media| {
            let ssrcs = m.local_ssrcs?;
            Some(Leg {
                kind: m.kind,
                payloads: m.payloads.clone(),
                route: None,
                selector: Selector::default(),
                // The SSRC is random, so are its low bits.
                rewriter: Rewriter::new(ssrcs.main as u16),
            })
        };
        Self {
            publisher: None,
            connected: false,
            legs: agreement.media.iter().filter_map(leg).collect(),
            wanted: None,
            sent: Sent::default(),
            bitrate: Rate::default(),
            last_sent: None,
            feedback: (None, None),
        }
    }

    /// Watches another publisher from its next keyframe on.
    pub fn attach(&mut self, publisher: Option<Key>) {
        self.publisher = publisher;
        for leg in &mut self.legs {
            leg.route = None;
            leg.selector = Selector::default();
        }
    }

    /// Chooses an encoding by its name; `None`: the highest.
    pub fn want(&mut self, encoding: Option<EncodingId>) {
        self.wanted = encoding;
    }

    /// Chooses anew among what the publisher has; returns the encodings whose keyframe is awaited.
    pub fn choose(&mut self, publisher: &Publisher) -> impl Iterator<Item = usize> + '_ {
        for leg in &mut self.legs {
            leg.choose(publisher, self.wanted);
        }
        self.awaited()
    }

    /// The encodings whose keyframe this viewer waits for.
    pub fn awaited(&self) -> impl Iterator<Item = usize> + '_ {
        self.legs.iter().filter(|l| l.kind == Kind::Video).filter_map(|l| l.selector.awaits())
    }

    /// The encodings of which the viewer asks for a keyframe: the one it sees, else what it awaits.
    pub fn shown(&self) -> Option<usize> {
        let video = self.legs.iter().find(|l| l.kind == Kind::Video)?;
        video.selector.current().or(video.selector.awaits())
    }

    /// What receiver reports said. The worst leg counts.
    pub fn feedback(&mut self, kind: Kind, loss: Option<f32>, rtt: Option<Duration>) {
        if kind == Kind::Video || self.legs.len() == 1 {
            self.feedback = (loss.or(self.feedback.0), rtt.or(self.feedback.1));
        } else {
            self.feedback.1 = self.feedback.1.or(rtt);
        }
    }

    /// Sends a packet, if this viewer gets it now, and those that overtook it if it is the viewer's
    /// first of its encoding. `encodings`: the publisher's.
    ///
    /// # Errors
    /// The reason why it does not.
    pub fn forward(
        &mut self,
        outgoing: &Outgoing,
        encodings: &[Encoding],
        peer: &mut Peer,
    ) -> Result<Sent, Drop> {
        let Outgoing { encoding, kind, start, arrived, packet } = outgoing;
        let leg = self.legs.iter_mut().find(|l| l.kind == *kind).ok_or(Drop::NoCommonCodec)?;
        if !self.connected {
            return Err(Drop::NotConnected);
        }
        let (codec, pt) = match &leg.route {
            Some((payload, Some(pt))) => (payload.codec, *pt),
            Some((_, None)) => return Err(Drop::NoCommonCodec),
            None => return Err(Drop::AwaitingKeyframe),
        };
        let switch = match leg.selector.judge(*encoding, *start) {
            Verdict::Forward => false,
            Verdict::Switch => {
                leg.rewriter.switch(packet, codec.clock_rate());
                true
            }
            Verdict::Drop(reason) => return Err(reason),
        };
        let mut sent = leg.send(packet, (codec, pt), peer).ok_or(Drop::Late)?;
        if switch && let Some(encoding) = encodings.get(*encoding) {
            for packet in encoding.overtakers(*arrived, packet.seq) {
                sent += leg.send(packet, (codec, pt), peer).unwrap_or_default();
            }
        }
        self.sent += sent;
        self.last_sent = Some(packet.arrival);
        Ok(sent)
    }

    /// To be called about once a second.
    pub fn update_rates(&mut self, now: Instant) {
        self.bitrate.update(now, self.sent.bytes);
    }

    /// As the API shows it.
    pub fn snapshot(&self, publisher: Option<&Publisher>, now: Instant) -> ViewerSnapshot {
        let video = self.legs.iter().find(|l| l.kind == Kind::Video);
        let layer = video.and_then(|l| l.selector.current()).zip(publisher);
        let recently = |t: Instant| now.saturating_duration_since(t) < PLAYING;
        ViewerSnapshot {
            connected: self.connected,
            playing: self.last_sent.is_some_and(recently),
            layer: layer.and_then(|(index, p)| p.encodings.get(index)).map(|e| e.id),
            wanted: self.wanted,
            bitrate_bps: (self.bitrate.per_second() * 8.0) as u64,
            packets: self.sent.packets,
            bytes: self.sent.bytes,
            loss: self.feedback.0,
            rtt: self.feedback.1,
            missing: self.legs.iter().find_map(|l| match &l.route {
                Some((payload, None)) => Some(payload.codec),
                _ => None,
            }),
        }
    }
}

impl Leg {
    /// `None` if the packet lies before the switch.
    fn send(
        &mut self,
        packet: &RtpPacket,
        (codec, pt): (Codec, u8),
        peer: &mut Peer,
    ) -> Option<Sent> {
        let header = self.rewriter.rewrite(packet)?;
        let patched = match header.ids {
            // VP8 ids are patched while the packet is sealed; VP9 needs a payload of its own, but
            // only after a switch.
            Some(ids) if codec == Codec::Vp9 => {
                let mut bytes = packet.payload.to_vec();
                payload::write_ids(codec, &mut bytes, ids);
                Some(Arc::from(bytes))
            }
            _ => None,
        };
        peer.send(Send {
            kind: self.kind,
            pt,
            seq: header.seq,
            timestamp: header.timestamp,
            marker: packet.marker,
            time: packet.time,
            payload: patched.as_ref().unwrap_or(&packet.payload),
            vp8: header.ids.filter(|_| codec == Codec::Vp8),
            extensions: packet.extensions,
        });
        Some(Sent { packets: 1, bytes: packet.payload.len() as u64 })
    }

    fn choose(&mut self, publisher: &Publisher, wanted: Option<EncodingId>) {
        let candidates: Vec<Candidate> = publisher
            .encodings
            .iter()
            .enumerate()
            .filter(|(_, e)| e.kind == self.kind)
            .map(|(index, e)| Candidate { index, id: e.id, active: e.active, rank: e.rank() })
            .collect();
        let wanted = wanted.filter(|_| self.kind == Kind::Video);
        let Some((index, _)) = selector::choose(&candidates, wanted, self.selector.current())
        else {
            return;
        };
        self.selector.aim(Some(index));
        let payload = &publisher.encodings[index].payload;
        if self.route.as_ref().is_none_or(|(known, _)| known != payload) {
            if self.route.as_ref().is_some_and(|(known, _)| known.codec != payload.codec) {
                self.selector.restart();
            }
            self.route = Some((payload.clone(), payload_type(&self.payloads, payload)));
        }
    }
}

/// The viewer's payload type for what the publisher sends: for H.264 the one of the same profile
/// where there is one, since a decoder may be chosen by it.
fn payload_type(offered: &[Payload], sent: &Payload) -> Option<u8> {
    let profile = |p: &Payload| {
        p.parameter("profile-level-id").and_then(|id| id.get(..4)).map(str::to_ascii_lowercase)
    };
    let same_codec = || offered.iter().filter(|p| p.codec == sent.codec);
    let exact = same_codec().find(|p| profile(p) == profile(sent));
    exact.or_else(|| same_codec().next()).map(|p| p.pt)
}
