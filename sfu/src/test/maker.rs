//! Whoever makes packets in this server, as a test knows it: when each picture was captured, when it is
//! handed over, and what it holds.

use std::time::{Duration, Instant};

use media::{Codec, EncodingId, Kind};

use super::studio::{SETS, Sent};
use super::world::World;
use crate::local::{Made, Packet};
use crate::shard::Command;
use crate::stats::Origin;

/// One encoding.
pub(crate) struct Maker {
    pub(crate) number: u32,
    pub(crate) origin: Origin,
    pub(crate) encoding: EncodingId,
    pub(crate) codec: Codec,
    pub(crate) source: u32,
    pub(crate) began: Instant,
    /// From capture to handing over, of the so-many-th picture.
    pub(crate) latency: fn(u64) -> Duration,
    /// It says when its pictures were captured.
    pub(crate) exact: bool,
    /// What it hands over came when it was captured.
    pub(crate) kept: bool,
    /// Pictures from keyframe to keyframe; 0: only the first.
    pub(crate) gop: u64,
    /// The next picture is a keyframe.
    pub(crate) keyframe: bool,
    pub(crate) on: bool,
    pub(crate) timestamp: u32,
    pub(crate) sent: Vec<Sent>,
    frames: u64,
}

impl Maker {
    /// The publisher's own, of 30 pictures or 50 sounds a second.
    pub(crate) fn new(world: &World, number: u32, codec: Codec) -> Self {
        Self {
            number,
            origin: Origin::Source,
            encoding: EncodingId::MAIN,
            codec,
            source: 1,
            began: world.now,
            latency: |_| Duration::ZERO,
            exact: true,
            kept: false,
            gop: 0,
            keyframe: true,
            on: true,
            timestamp: 0xffff_0000,
            sent: Vec::new(),
            frames: 0,
        }
    }

    /// One that a bridge makes of it.
    pub(crate) fn bridge(world: &World, number: u32, codec: Codec) -> Self {
        let encoding = EncodingId::new(codec.name()).expect("a codec's name is one");
        Self { origin: Origin::Bridge, encoding, source: 100, ..Self::new(world, number, codec) }
    }

    /// Its next picture is captured now.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.began = now - self.interval() * self.frames as u32;
    }

    /// To be called every millisecond.
    pub(crate) fn step(&mut self, world: &mut World) {
        let mut packets = Vec::new();
        loop {
            let captured = self.interval() * self.frames as u32;
            if self.began + captured + (self.latency)(self.frames) > world.now {
                break;
            }
            self.shoot(world.now, captured, &mut packets);
            self.frames += 1;
        }
        if packets.is_empty() {
            return;
        }
        let (publisher, origin, source) = (World::id(self.number), self.origin, self.source);
        let made = Made { publisher, origin, source, packets };
        world.command(Command::Media(Box::new(made)));
    }

    fn interval(&self) -> Duration {
        match self.codec.kind() {
            Kind::Audio => Duration::from_millis(20),
            Kind::Video => Duration::from_nanos(33_333_333),
        }
    }

    fn shoot(&mut self, now: Instant, captured: Duration, packets: &mut Vec<Packet>) {
        if !self.on {
            self.keyframe = true;
            return;
        }
        self.keyframe |= self.gop > 0 && self.frames.is_multiple_of(self.gop);
        let ticks = captured.as_secs_f64() * f64::from(self.codec.clock_rate());
        let timestamp = self.timestamp.wrapping_add(ticks.round() as u64 as u32);
        let payloads = self.payloads(captured);
        let count = payloads.len();
        for (index, payload) in payloads.into_iter().enumerate() {
            let marker = self.codec.kind() == Kind::Video && index + 1 == count;
            packets.push(Packet {
                encoding: self.encoding,
                codec: self.codec,
                timestamp,
                marker,
                payload: payload.as_slice().into(),
                captured: self.exact.then_some(self.began + captured),
                arrived: self.kept.then_some(self.began + captured),
            });
            self.sent.push(Sent { at: now, timestamp, marker, payload, key: self.keyframe });
        }
        self.keyframe = false;
    }

    fn payloads(&self, captured: Duration) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if self.keyframe && self.codec == Codec::H264 {
            all.push(SETS.to_vec());
        }
        let parts = if self.codec.kind() == Kind::Audio { 1 } else { 3 };
        for part in 0..parts {
            let (first, last) = (part == 0, part + 1 == parts);
            let mut bytes = match self.codec {
                Codec::H264 => {
                    let unit = if self.keyframe { 5 } else { 1 };
                    let ends = u8::from(first) << 7 | u8::from(last) << 6;
                    vec![if self.keyframe { 0x7c } else { 0x5c }, unit | ends, 0x9a]
                }
                Codec::Vp8 => {
                    let mut bytes = vec![u8::from(first) << 4];
                    if first {
                        bytes.extend([u8::from(!self.keyframe), 0, 0]);
                    }
                    if first && self.keyframe {
                        bytes.extend([0x9d, 0x01, 0x2a, 0x80, 2, 0x68, 1]);
                    }
                    bytes
                }
                _ => vec![0x7c],
            };
            bytes.resize(200, 0x55);
            bytes.extend((self.sent.len() as u64 + all.len() as u64).to_be_bytes());
            bytes.extend((captured.as_micros() as u64).to_be_bytes());
            all.push(bytes);
        }
        all
    }
}
