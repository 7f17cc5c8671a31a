//! A publisher, or several: paced like a browser, answers PLI with a keyframe and NACK from a short
//! history, sends sender reports.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow};
use media::{Codec, Kind};
use mio::{Events, Poll, Token};
use serde_json::{Value, json};

use crate::dtls::Shared;
use crate::link::Link;
use crate::pacer::Pacer;
use crate::rtcp::{Message, Writer, read};
use crate::rtp::{self, Header};
use crate::sdp::Ssrcs;
use crate::signal::{Session, Signal};
use crate::source::{self, Frame, Generator, Shape};
use crate::srtp::{OVERHEAD, Profile};
use crate::sys::{self, Receiver};
use crate::trace::Trace;

/// Packets kept for retransmission.
const HISTORY: usize = 1024;
const TICK: u64 = 50_000;
const REPORT: u64 = 1_000_000;
/// Seconds from NTP's epoch to Unix' one.
const NTP: u64 = 2_208_988_800;
const DATAGRAM: usize = 1500;

/// What to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// WHIP endpoint; the second publisher adds `-1`, and so on.
    pub url: String,
    /// Bearer token.
    pub token: Option<String>,
    /// How long; forever if 0.
    pub seconds: f64,
    /// How many.
    pub publishers: usize,
    /// Send this trace instead of a generated stream.
    pub trace: Option<PathBuf>,
    /// What to generate.
    pub shape: Shape,
    /// As an encoder that makes keyframes only when it wants to.
    pub ignore_pli: bool,
    /// Before everybody else on the core.
    pub urgent: bool,
    /// Offer this profile alone.
    pub srtp: Option<Profile>,
}

/// What a run has counted, as JSON.
///
/// # Errors
/// If a server refuses a publisher, or the trace cannot be read.
pub fn run(plan: &Plan) -> Result<Value> {
    let shared = Arc::new(Shared::new(plan.srtp)?);
    let signal = Signal::new(&plan.url, plan.token.clone(), shared, None)?;
    let trace = plan.trace.as_deref().map(Trace::read).transpose()?;
    let mut publishers = Vec::new();
    for number in 0..plan.publishers.max(1) {
        let source = match &trace {
            Some(trace) => Source::Trace(trace.codec, Box::new(trace.clone().frames())),
            None => Source::Generated(Generator::new(plan.shape, number as u64)),
        };
        publishers.push(Publisher::join(&signal, plan, number, source)?);
    }
    if plan.urgent && !sys::urgent() {
        eprintln!("pictures may leave late: SCHED_RR needs root or CAP_SYS_NICE");
    }
    let poll = Poll::new()?;
    for (i, publisher) in publishers.iter_mut().enumerate() {
        publisher.link.register(poll.registry(), Token(i))?;
    }
    let ended = play(plan, poll, &mut publishers);
    for publisher in &publishers {
        publisher.link.close();
        if let Some(resource) = &publisher.resource {
            signal.leave(resource);
        }
    }
    ended?;
    let sum = |count: fn(&Publisher) -> u64| publishers.iter().map(count).sum::<u64>();
    Ok(json!({
        "publishers": publishers.len(),
        "packets": sum(|p| p.packets),
        "bytes": sum(|p| p.bytes),
        "keyframe_requests": sum(|p| p.keyframe_requests),
        "nacks": sum(|p| p.nacks),
        "retransmitted": sum(|p| p.retransmitted),
    }))
}

fn play(plan: &Plan, mut poll: Poll, publishers: &mut [Publisher]) -> Result<()> {
    let mut receiver = Receiver::new(4);
    let mut events = Events::with_capacity(64);
    let mut begun = None;
    while !sys::stopped() {
        let now = sys::now_us();
        let due = publishers.iter().map(|p| p.due).min().unwrap_or(now + TICK);
        poll.poll(&mut events, Some(Duration::from_micros(due.saturating_sub(now)))).or_else(
            |error| match error.kind() {
                std::io::ErrorKind::Interrupted => Ok(()),
                _ => Err(error),
            },
        )?;
        for event in &events {
            if let Some(publisher) = publishers.get_mut(event.token().0) {
                publisher.receive(&mut receiver)?;
            }
        }
        let now = sys::now_us();
        for publisher in publishers.iter_mut().filter(|p| p.due <= now) {
            publisher.tick(now)?;
        }
        if begun.is_none() && publishers.iter().all(|p| p.link.is_up()) {
            begun = Some(now);
            eprintln!("publishing");
        }
        let length = (plan.seconds * 1e6) as u64;
        if length > 0 && begun.is_some_and(|begun| now >= begun + length) {
            break;
        }
    }
    Ok(())
}

enum Source {
    Generated(Generator),
    Trace(Codec, Box<dyn Iterator<Item = Frame>>),
}

impl Source {
    fn codec(&self) -> Codec {
        match self {
            Self::Generated(_) => Codec::H264,
            Self::Trace(codec, _) => *codec,
        }
    }

    fn next(&mut self) -> Option<Frame> {
        match self {
            Self::Generated(generator) => generator.next(),
            Self::Trace(_, frames) => frames.next(),
        }
    }
}

/// A packet that waits, or was sent and may be asked for again.
struct Packet {
    header: Header,
    video: bool,
    payload: Vec<u8>,
}

/// Counts of one SSRC.
#[derive(Default)]
struct Flow {
    ssrc: u32,
    pt: u8,
    seq: u64,
    packets: u32,
    bytes: u32,
}

struct Publisher {
    link: Link,
    resource: Option<String>,
    source: Source,
    ignore_pli: bool,
    /// A trace has its own times.
    pacer: Option<Pacer>,
    video: Flow,
    audio: Flow,
    rtx: Option<Flow>,
    transport_cc: Option<u8>,
    number: u16,
    next: Option<Frame>,
    queue: VecDeque<Packet>,
    history: VecDeque<Packet>,
    /// How much later than the first publisher it begins, in µs: neither pictures nor keyframes of
    /// different cameras come at the same moment.
    phase: u64,
    started: u64,
    due: u64,
    next_report: u64,
    packets: u64,
    bytes: u64,
    keyframe_requests: u64,
    nacks: u64,
    retransmitted: u64,
}

impl Publisher {
    fn join(signal: &Signal, plan: &Plan, number: usize, source: Source) -> Result<Self> {
        let base = 0x1000 + number as u32 * 16;
        let ssrcs = Ssrcs { video: base, rtx: base + 1, audio: base + 2 };
        let codec = source.codec();
        let Session { link, answer, resource, .. } = signal.publish(number, ssrcs, codec)?;
        let flow = |ssrc, codec: Codec| -> Result<Flow> {
            let found = answer.payloads.iter().find(|p| p.codec == Some(codec));
            let pt = found.ok_or_else(|| anyhow!("the server takes no {}", codec.name()))?.pt;
            // Below 2^15, RFC 3711 section 3.3.1.
            Ok(Flow { ssrc, pt, seq: u64::from(ssrc) & 0x7fff, ..Flow::default() })
        };
        let video = flow(ssrcs.video, codec)?;
        let repairs = answer.payloads.iter().find(|p| p.repairs == Some(video.pt));
        let has_audio = answer.payloads.iter().any(|p| p.kind == Kind::Audio);
        Ok(Self {
            link,
            resource,
            ignore_pli: plan.ignore_pli,
            pacer: matches!(source, Source::Generated(_)).then(|| Pacer::new(plan.shape.bitrate)),
            audio: if has_audio { flow(ssrcs.audio, Codec::Opus)? } else { Flow::default() },
            rtx: repairs.map(|p| Flow { ssrc: ssrcs.rtx, pt: p.pt, seq: 1, ..Flow::default() }),
            transport_cc: answer.transport_cc,
            source,
            video,
            number: 0,
            next: None,
            queue: VecDeque::new(),
            history: VecDeque::with_capacity(HISTORY),
            phase: plan.shape.period_us() * number as u64 / plan.publishers.max(1) as u64,
            started: 0,
            due: 0,
            next_report: 0,
            packets: 0,
            bytes: 0,
            keyframe_requests: 0,
            nacks: 0,
            retransmitted: 0,
        })
    }

    fn receive(&mut self, receiver: &mut Receiver) -> Result<()> {
        loop {
            let runs = receiver.receive(self.link.fd()).unwrap_or(0);
            let now = sys::now_us();
            for run in 0..runs {
                let run = receiver.run(run);
                for datagram in run.datagrams {
                    if !rtp::is_media(datagram) {
                        self.link.control(now, run.from, datagram)?;
                        self.due = now;
                    } else if rtp::is_rtcp(datagram) {
                        self.asked(datagram);
                    }
                }
            }
            if runs < receiver.capacity() {
                return Ok(());
            }
        }
    }

    fn asked(&mut self, datagram: &mut [u8]) {
        let Some(keys) = &self.link.receive else { return };
        let Some(compound) = keys.open_rtcp(datagram) else { return };
        let (mut keyframe, mut lost) = (false, Vec::new());
        read(compound, |message| match message {
            Message::Keyframe(_) => keyframe = true,
            Message::Nack(ssrc, seq) if ssrc == self.video.ssrc => lost.push(seq),
            _ => {}
        });
        self.keyframe_requests += u64::from(keyframe);
        if keyframe
            && !self.ignore_pli
            && let Source::Generated(generator) = &mut self.source
        {
            generator.keyframe();
        }
        for seq in lost {
            self.nacks += 1;
            self.again(seq);
        }
    }

    /// RFC 4588, or the same packet once more where RTX was not agreed on.
    fn again(&mut self, seq: u16) {
        let Some(at) = self.history.iter().rposition(|p| p.header.seq == seq) else { return };
        let Packet { mut header, ref payload, .. } = self.history[at];
        let (mut payload, mut index) = (payload.clone(), None);
        if let Some(rtx) = &mut self.rtx {
            payload.splice(0..0, seq.to_be_bytes());
            (header.ssrc, header.pt, header.seq) = (rtx.ssrc, rtx.pt, rtx.seq as u16);
            index = Some(rtx.seq);
            rtx.seq += 1;
        }
        let index = index.unwrap_or_else(|| {
            let behind = (self.video.seq as u16).wrapping_sub(seq);
            self.video.seq - u64::from(behind)
        });
        if self.rtx.is_some() {
            header.transport_cc = Some(self.number);
            self.number = self.number.wrapping_add(1);
        }
        self.retransmitted += 1;
        self.seal(&header, &payload, index);
    }

    fn tick(&mut self, now: u64) -> Result<()> {
        self.link.tick(now)?;
        self.due = now + TICK;
        if !self.link.is_up() {
            self.due = now + TICK / 5;
            return Ok(());
        }
        if self.started == 0 {
            self.started = now + self.phase;
            self.next_report = self.started;
        }
        self.collect(now);
        self.drain(now);
        if now >= self.next_report {
            self.next_report = now + REPORT;
            self.report(now);
        }
        let frame = self.next.as_ref().map_or(u64::MAX, |f| self.started + f.at);
        let waits = !self.queue.is_empty();
        let paced = self.pacer.filter(|_| waits).map_or(u64::MAX, |pacer| pacer.due());
        self.due = self.due.min(frame).min(paced.max(now + 1000));
        Ok(())
    }

    /// Frames whose time has come go into the pacer's queue; audio passes video.
    fn collect(&mut self, now: u64) {
        loop {
            if self.next.is_none() {
                self.next = self.source.next();
            }
            let Some(frame) = self.next.take_if(|f| self.started + f.at <= now) else { return };
            let Frame { video, timestamp, packets, .. } = frame;
            let flow = if video { &mut self.video } else { &mut self.audio };
            if flow.ssrc == 0 {
                continue;
            }
            let mut made = Vec::with_capacity(packets.len());
            for (payload, marker) in packets {
                let seq = flow.seq as u16;
                flow.seq += 1;
                flow.packets = flow.packets.wrapping_add(1);
                flow.bytes = flow.bytes.wrapping_add(payload.len() as u32);
                let (pt, ssrc) = (flow.pt, flow.ssrc);
                let header = Header {
                    pt,
                    marker,
                    seq,
                    timestamp,
                    ssrc,
                    length: 0,
                    padding: false,
                    transport_cc: None,
                };
                made.push(Packet { header, video, payload });
            }
            if video {
                self.queue.extend(made);
            } else {
                made.into_iter().for_each(|packet| self.transmit(packet));
            }
        }
    }

    fn drain(&mut self, now: u64) {
        while let Some(packet) = self.queue.front() {
            if let Some(pacer) = &mut self.pacer {
                if pacer.due() > now {
                    return;
                }
                pacer.sent(now, packet.payload.len());
            }
            let Some(packet) = self.queue.pop_front() else { return };
            self.transmit(packet);
        }
    }

    fn transmit(&mut self, mut packet: Packet) {
        packet.header.transport_cc = Some(self.number);
        self.number = self.number.wrapping_add(1);
        let codec = if packet.video { self.source.codec() } else { Codec::Opus };
        source::stamp(codec, &mut packet.payload, sys::wall_us());
        let flow = if packet.video { &self.video } else { &self.audio };
        let behind = (flow.seq as u16).wrapping_sub(packet.header.seq);
        self.seal(&packet.header, &packet.payload, flow.seq - u64::from(behind));
        if packet.video {
            if self.history.len() == HISTORY {
                self.history.pop_front();
            }
            self.history.push_back(packet);
        }
    }

    fn seal(&mut self, header: &Header, payload: &[u8], index: u64) {
        let mut datagram = [0; DATAGRAM];
        let length = rtp::write(&mut datagram, header, self.transport_cc);
        let end = length + payload.len();
        if end + OVERHEAD > DATAGRAM {
            return;
        }
        datagram[length..end].copy_from_slice(payload);
        let Some(keys) = &self.link.send else { return };
        if let Some(end) = keys.seal_rtp(&mut datagram, length, end, index) {
            self.link.transmit(&datagram[..end]);
            self.packets += 1;
            self.bytes += end as u64;
        }
    }

    fn report(&mut self, now: u64) {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        let ntp = ((unix.as_secs() + NTP) << 32) | fraction;
        let at = now.saturating_sub(self.started);
        for (flow, rate) in [(&self.video, 90), (&self.audio, 48)] {
            if flow.packets > 0 {
                let mut writer = Writer::default();
                let timestamp = (at * rate / 1000) as u32;
                writer.sender_report(flow.ssrc, ntp, timestamp, flow.packets, flow.bytes);
                self.link.report(writer);
            }
        }
    }
}
