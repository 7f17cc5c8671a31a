//! One publisher: which SSRC is which encoding, which of them are alive, and who watches.

pub mod clock;
pub mod encoding;
pub mod keyframes;

use std::time::Duration;

use media::{Codec, Kind, RtpPacket, payload};
use signaling::{Agreement, Payload};

use self::clock::WallClock;
use self::encoding::Encoding;
use crate::rtc::Packet;
use crate::shard::Key;
use crate::stats::Drop;

/// An encoding is silent when the newest packet of its siblings is this much newer than its own.
/// Compared with its siblings, not with the clock: a still screen makes all of them pause.
const SILENT: Duration = Duration::from_millis(500);
/// More than browsers send: three video layers and one audio.
const MAX_ENCODINGS: usize = 16;

/// One publisher.
#[derive(Debug)]
pub struct Publisher {
    /// Audio and video, in the order of their first packets; an index stays valid.
    pub encodings: Vec<Encoding>,
    /// Who watches.
    pub viewers: Vec<Key>,
    /// Packets that wait for the end of the batch.
    pub outbox: Vec<Outgoing>,
    payloads: Vec<Payload>,
    wall_clock: WallClock,
    /// Encodings that looked silent at the last look: one look may be unlucky.
    suspects: Vec<usize>,
}

/// A packet on its way to the viewers.
#[derive(Debug)]
pub struct Outgoing {
    /// Index of its encoding.
    pub encoding: usize,
    /// Audio or video.
    pub kind: Kind,
    /// A decoder can start here.
    pub start: bool,
    /// It was the so-many-th of its encoding to arrive.
    pub arrived: u64,
    /// Shared by all who get it.
    pub packet: RtpPacket,
}

/// What a packet changed besides being forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The first packet of this codec, at the start or after another one of its kind.
    pub codec: Option<Codec>,
    /// An encoding appeared, came back, or changed codec or size: viewers choose anew.
    pub encodings: bool,
}

impl Publisher {
    /// A publisher that may send what `agreement` says.
    pub fn new(agreement: &Agreement) -> Self {
        Self {
            encodings: Vec::new(),
            viewers: Vec::new(),
            outbox: Vec::new(),
            payloads: agreement.media.iter().flat_map(|m| m.payloads.iter().cloned()).collect(),
            wall_clock: WallClock::default(),
            suspects: Vec::new(),
        }
    }

    /// Takes a packet into the outbox.
    ///
    /// # Errors
    /// The reason why it is dropped.
    pub fn receive(&mut self, packet: Packet) -> Result<Change, Drop> {
        let payload =
            self.payloads.iter().find(|p| p.pt == packet.pt).ok_or(Drop::UnknownPayload)?;
        let known = self.payload(packet.kind).map(|p| p.codec);
        let codec = Some(payload.codec).filter(|codec| Some(*codec) != known);
        let mut change = Change { codec, encodings: false };
        let found =
            self.encodings.iter().position(|e| (e.kind, e.id) == (packet.kind, packet.encoding));
        let index = match found {
            Some(index) => index,
            None if self.encodings.len() >= MAX_ENCODINGS => return Err(Drop::UnknownPayload),
            None => {
                let (id, kind) = (packet.encoding, packet.kind);
                self.encodings.push(Encoding::new(id, kind, payload.clone(), packet.arrival));
                change.encodings = true;
                self.encodings.len() - 1
            }
        };
        let encoding = &mut self.encodings[index];
        if encoding.payload.pt != packet.pt {
            encoding.payload = payload.clone();
            change.encodings = true;
        }
        if !encoding.active {
            encoding.active = true;
            change.encodings = true;
        }
        let before = encoding.dimensions;
        let packet = read(packet, encoding.payload.codec, &mut self.wall_clock);
        let start = encoding.received(&packet);
        change.encodings |= encoding.dimensions != before;
        let (kind, arrived) = (encoding.kind, encoding.arrived());
        self.outbox.push(Outgoing { encoding: index, kind, start, arrived, packet });
        Ok(change)
    }

    /// Looks for encodings that have fallen silent; true if viewers must choose anew.
    pub fn look_for_silence(&mut self) -> bool {
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
        }
        self.suspects = now_silent;
        changed
    }

    /// The payload that a track of this kind carries now.
    pub fn payload(&self, kind: Kind) -> Option<&Payload> {
        self.encodings.iter().find(|e| e.kind == kind && e.active).map(|e| &e.payload)
    }
}

/// Reads the payload once, for all viewers.
fn read(packet: Packet, codec: Codec, clock: &mut WallClock) -> RtpPacket {
    let Packet { arrival, timestamp, report, .. } = packet;
    RtpPacket {
        time: clock.captured(arrival, timestamp, codec.clock_rate(), report),
        seq: packet.seq,
        timestamp,
        marker: packet.marker,
        arrival,
        info: payload::inspect(codec, &packet.payload),
        payload: packet.payload,
        extensions: packet.extensions,
    }
}
