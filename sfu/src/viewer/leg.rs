//! One track of one viewer: which encoding it shows, and each packet of it written and sealed
//! straight into the send buffer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::rtp::Extensions;
use media::{Kind, payload};
use signaling::{Media, Payload};

use super::catch_up::{Backlog, CatchUp, Verdict as Pace, feasible};
use super::header::{Fields, Template};
use super::rewriter::{Header, Origin, Rewriter, Target};
use super::selector::{self, Candidate, Selector, Verdict, Wanted, payload_type};
use super::story::Story;
use crate::egress::Egress;
use crate::feed::{Feed, Packet};
use crate::recorder::{Decision, Recorder, millis, narrow};
use crate::stats::{Drop, Sent};
use crate::transport::Transport;

/// What a packet costs besides its payload, which may be empty: IP, UDP, RTP, the tag.
const HEADERS: u64 = 64;

/// How long a viewer that changes over to another publisher waits for the keyframe that it asked for.
const PATIENCE: Duration = Duration::from_millis(150);
/// A keyframe in the ring that is not older than this is as good.
const FRESH: Duration = Duration::from_millis(500);

/// Where packets of one viewer go, its transport-wide sequence number, and its log.
pub(crate) struct Wire<'a> {
    pub(crate) now: Instant,
    pub(crate) transport: &'a mut Transport,
    pub(crate) egress: &'a mut Egress,
    pub(crate) sequence: &'a mut u16,
    pub(crate) recorder: &'a mut Recorder,
}

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) kind: Kind,
    pub(super) selector: Selector,
    pub(super) rewriter: Rewriter,
    /// Media that went out, for sender reports: without retransmissions.
    pub(super) sent: Sent,
    payloads: Vec<Payload>,
    /// What the publisher sends, and what this viewer knows it by; `None`: it has no such codec.
    route: Option<(Payload, Option<Target>)>,
    template: Template,
    rtx: Option<Rtx>,
    replay: Option<Box<Replay>>,
    /// The keyframe of this position stands as a still: no more of its group of pictures is sent.
    still: Option<u64>,
    /// Of the encoding that is shown, see [`crate::feed::Info`].
    generation: u32,
    /// Something of a publisher before this one went out.
    seen: bool,
    /// Until then a keyframe is waited for rather than that an old one is gone on from: this viewer has
    /// seen newer pictures.
    patience: Option<Instant>,
    /// Something else has just begun: its timestamps need a sender report.
    pub(super) turned: bool,
    pub(super) story: Story,
}

/// The stream of retransmissions (RFC 4588).
#[derive(Debug)]
struct Rtx {
    template: Template,
    next_seq: u64,
}

/// On the way from a keyframe in the ring to the live head.
#[derive(Debug)]
struct Replay {
    control: CatchUp,
    began: Instant,
    /// The next sequence number to send.
    cursor: u64,
    /// Payload bytes from there to the head.
    behind: u64,
    /// Timestamp of the keyframe, which goes out whole whatever happens.
    keyframe: u32,
    /// What follows it is on its way.
    goes_on: bool,
}

/// What a packet looks like on the wire besides its header.
struct Body<'a> {
    target: Target,
    header: Header,
    /// The number in front of a retransmission's payload.
    original: Option<u16>,
    payload: &'a [u8],
    pad: u8,
    marker: bool,
    extensions: Extensions,
}

impl Leg {
    /// For the m-line `media`, if we are to send on it.
    pub(super) fn new(media: &Media) -> Option<Self> {
        let ssrcs = media.local_ssrcs?;
        let rtx = ssrcs.rtx.filter(|_| media.payloads.iter().any(|p| p.rtx.is_some()));
        Some(Self {
            kind: media.kind,
            selector: Selector::default(),
            // The SSRC is random, so are its low bits.
            rewriter: Rewriter::new(ssrcs.main as u16),
            sent: Sent::default(),
            payloads: media.payloads.clone(),
            route: None,
            // A retransmission without RTX is the same packet again, so nothing in it may count up.
            template: Template::new(media, ssrcs.main, rtx.is_some()),
            rtx: rtx.map(|ssrc| Rtx {
                template: Template::new(media, ssrc, true),
                next_seq: u64::from(ssrc as u16 & 0x7fff),
            }),
            replay: None,
            still: None,
            generation: 0,
            seen: false,
            patience: None,
            turned: false,
            story: Story::default(),
        })
    }

    pub(super) fn ssrc(&self) -> u32 {
        self.template.ssrc()
    }

    /// Another publisher.
    pub(super) fn attach(&mut self, now: Instant) {
        self.patience = self.seen.then(|| now + PATIENCE);
    }

    /// No publisher.
    pub(super) fn detach(&mut self) {
        self.seen |= self.selector.current().is_some();
        self.route = None;
        self.selector = Selector::default();
        self.replay = None;
        self.still = None;
        self.story = Story::default();
        self.rewriter.forget();
    }

    /// The publisher's codec for which this viewer has no payload type.
    pub(super) fn missing(&self) -> Option<media::Codec> {
        self.route.as_ref().filter(|(_, target)| target.is_none()).map(|(p, _)| p.codec)
    }

    /// The encoding whose keyframe it waits for; none where it could not show it.
    pub(super) fn awaits(&self) -> Option<usize> {
        self.selector.awaits().filter(|_| self.missing().is_none())
    }

    pub(super) fn choose(
        &mut self,
        now: Instant,
        feed: &Feed,
        wanted: Wanted,
        recorder: &mut Recorder,
    ) {
        let wanted = if self.kind == Kind::Video { wanted } else { Wanted::Best };
        let candidates = self.candidates(feed);
        let chosen = selector::choose(&candidates, wanted, self.selector.current());
        let Some(choice) = chosen else { return };
        self.story.chose(now, feed, choice, recorder);
        let missing = self.missing();
        self.aim(feed, choice.0);
        if let Some(codec) = self.missing().filter(|_| self.missing() != missing) {
            recorder.record(now, Decision::NoCodec(codec));
        }
        self.story.awaits(now, self.awaits());
    }

    /// What it may choose from.
    fn candidates(&self, feed: &Feed) -> Vec<Candidate> {
        let takes = |sent: &Payload| payload_type(&self.payloads, sent).is_some();
        selector::eligible(feed.candidates(self.kind, takes).collect())
    }

    fn aim(&mut self, feed: &Feed, index: usize) {
        self.selector.aim(Some(index));
        let shown = self.selector.current().and_then(|i| feed.encodings.get(i));
        if shown.is_some_and(|e| e.info.generation != self.generation) {
            // What it has shown is not gone on with: its ring begins anew.
            self.selector.restart();
            self.replay = None;
        }
        let payload = &feed.encodings[index].info.payload;
        let route = self.route(payload, index);
        let changes = |(_, known): &(Payload, Option<Target>)| {
            known.map(|t| (t.codec, t.pt)) != route.map(|t| (t.codec, t.pt))
        };
        if self.route.as_ref().is_some_and(changes) {
            // Another payload type begins with a keyframe.
            self.selector.restart();
            self.replay = None;
        }
        self.route = Some((payload.clone(), route));
    }

    fn route(&self, payload: &Payload, encoding: usize) -> Option<Target> {
        let found = payload_type(&self.payloads, payload)?;
        let rtx = found.rtx.filter(|_| self.rtx.is_some());
        Some(Target { encoding, codec: found.codec, pt: found.pt, rtx })
    }

    fn target(&self, encoding: usize) -> Option<Target> {
        let (_, target) = self.route.as_ref()?;
        target.map(|t| Target { encoding, ..t })
    }

    /// Sends a live packet, if this viewer gets it now.
    pub(super) fn forward(
        &mut self,
        packet: &Arc<Packet>,
        feed: &Feed,
        wire: &mut Wire<'_>,
    ) -> Result<Sent, Drop> {
        match &self.route {
            Some((_, Some(_))) => {}
            Some((_, None)) => return Err(Drop::NoCommonCodec),
            None => return Err(Drop::AwaitingKeyframe),
        }
        // What was kept is for the ring: from there it comes paced, and up to the live edge.
        let kept = || wire.now.saturating_duration_since(packet.rtp.arrival) > FRESH;
        if self.selector.current().is_none() && (feed.settles(packet.rtp.arrival) || kept()) {
            return Err(Drop::Settling);
        }
        match self.selector.judge(packet.encoding, packet.start) {
            Verdict::Forward if self.replay.is_some() => self.behind(packet, feed, wire),
            Verdict::Forward => self.send(packet, wire).ok_or(Drop::Late),
            Verdict::Switch => self.switch(packet, feed, wire),
            Verdict::Drop(reason) => Err(reason),
        }
    }

    /// Continues with `packet`, a keyframe's first, and with what overtook it.
    fn switch(
        &mut self,
        packet: &Arc<Packet>,
        feed: &Feed,
        wire: &mut Wire<'_>,
    ) -> Result<Sent, Drop> {
        let target = self.target(packet.encoding).ok_or(Drop::NoCommonCodec)?;
        if let Some(replay) = &self.replay {
            let after_ms = millis(replay.began, wire.now);
            wire.recorder.record(wire.now, Decision::Overtaken { after_ms });
        }
        self.story.shown(wire.now, feed, packet.encoding, false, wire.recorder);
        self.generation = feed.encodings.get(packet.encoding).map_or(0, |e| e.info.generation);
        let mut sent = self.end_replay(feed, wire);
        self.rewriter.switch(target, &packet.rtp, packet.prefix.is_some());
        (self.still, self.turned) = (None, true);
        sent += self.first(packet, wire);
        let history = feed.encodings.get(packet.encoding).map(|e| &e.history);
        for packet in history.into_iter().flat_map(|h| h.overtakers(packet)) {
            sent += self.send(packet, wire).unwrap_or_default();
        }
        Ok(sent)
    }

    /// Drops what is left of a backlog, after the picture that has begun.
    pub(super) fn end_replay(&mut self, feed: &Feed, wire: &mut Wire<'_>) -> Sent {
        let mut sent = Sent::default();
        let Some((replay, map)) = self.replay.take().zip(self.rewriter.map().copied()) else {
            return sent;
        };
        let Some(encoding) = feed.encodings.get(map.target.encoding) else { return sent };
        let last = replay.cursor.checked_sub(1).and_then(|seq| encoding.history.get(seq));
        let Some(last) = last.map(|p| p.rtp.timestamp) else { return sent };
        let rest = encoding.history.from(replay.cursor);
        for packet in rest.take_while(|p| p.rtp.timestamp == last) {
            sent += self.send(packet, wire).unwrap_or_default();
        }
        sent
    }

    /// A live packet while the backlog is on its way.
    fn behind(
        &mut self,
        packet: &Arc<Packet>,
        feed: &Feed,
        wire: &mut Wire<'_>,
    ) -> Result<Sent, Drop> {
        let Some(replay) = &mut self.replay else { return Err(Drop::Late) };
        if packet.rtp.seq < replay.cursor {
            return self.send(packet, wire).ok_or(Drop::Late);
        }
        // A new keyframe makes what is left of the backlog worthless.
        if packet.start {
            return self.switch(packet, feed, wire);
        }
        self.rewriter.tell(&packet.rtp);
        // The cursor comes by.
        replay.behind += packet.rtp.payload.len() as u64;
        Ok(Sent::default())
    }

    /// Begins with the newest keyframe in the ring of the chosen encoding, if it is whole.
    pub(super) fn start(
        &mut self,
        now: Instant,
        feed: &Feed,
        rtt: Option<Duration>,
        recorder: &mut Recorder,
    ) {
        let begun = self.selector.current().is_some();
        if self.kind != Kind::Video || begun || feed.settles(now) {
            return;
        }
        if let Some(index) = self.selector.awaits().filter(|index| !self.waits(now, feed, *index)) {
            self.start_with(now, feed, index, rtt, recorder);
        }
    }

    /// Better pictures than those in the ring may come in a moment.
    fn waits(&self, now: Instant, feed: &Feed, index: usize) -> bool {
        let start = feed.encodings.get(index).and_then(|e| e.history.start());
        let old = |start: &Arc<Packet>| now.saturating_duration_since(start.rtp.arrival) > FRESH;
        self.patience.is_some_and(|until| now < until) && start.is_some_and(old)
    }

    fn start_with(
        &mut self,
        now: Instant,
        feed: &Feed,
        index: usize,
        rtt: Option<Duration>,
        recorder: &mut Recorder,
    ) -> bool {
        let Some((target, encoding)) = self.target(index).zip(feed.encodings.get(index)) else {
            return false;
        };
        let history = &encoding.history;
        let Some((start, edge)) = history.start().zip(history.newest()) else { return false };
        let (bytes, holes) = history.weigh(start.rtp.seq);
        if holes > 0 || self.still == Some(start.position) || !encoding.info.active {
            return false;
        }
        self.rewriter.begin(target, &start.rtp, &edge.rtp, start.prefix.is_some());
        let backlog = Backlog {
            age: now.saturating_duration_since(start.rtp.arrival),
            keyframe_bytes: history.picture_bytes(start),
            bytes,
            bitrate_bps: encoding.info.bitrate_bps,
            feedback: self.template.has_transport_cc(),
            rtt,
        };
        self.replay = Some(Box::new(Replay {
            control: CatchUp::new(now, backlog),
            began: now,
            cursor: start.rtp.seq,
            behind: bytes,
            keyframe: start.rtp.timestamp,
            goes_on: false,
        }));
        self.still = None;
        self.selector.show(index);
        self.story.shown(now, feed, index, true, recorder);
        self.generation = encoding.info.generation;
        let kbps = narrow(encoding.info.bitrate_bps / 1000);
        recorder.record(now, Decision::CatchUp { bytes: narrow(bytes), kbps });
        true
    }

    /// Begins again with the same keyframe: the first packets may have been lost before the client was up.
    pub(super) fn restart(&mut self, now: Instant, feed: &Feed, recorder: &mut Recorder) -> bool {
        let index = self.selector.current();
        index.is_some_and(|index| self.start_with(now, feed, index, None, recorder))
    }

    /// The outgoing timestamp that stands for `now`.
    pub(super) fn timestamp_at(&self, now: Instant) -> Option<u32> {
        self.rewriter.timestamp_at(now)
    }

    /// True while a backlog is on its way.
    pub(super) fn replays(&self) -> bool {
        self.replay.is_some()
    }

    /// When the backlog wants to go on.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.replay.as_ref()?.control.deadline()
    }

    /// Sends as much of the backlog as may go now.
    pub(super) fn pump(&mut self, now: Instant, feed: &Feed, wire: &mut Wire<'_>) -> Sent {
        let mut sent = Sent::default();
        let Some(mut replay) = self.replay.take() else { return sent };
        let Some(index) = self.selector.current() else { return sent };
        let Some(encoding) = feed.encodings.get(index) else { return sent };
        let history = &encoding.history;
        let mut allowance = replay.control.allowance(now, replay.behind);
        let mut gave_up = matches!(replay.control.verdict(), Pace::GiveUp { .. });
        while replay.cursor < history.head() {
            let Some(packet) = history.get(replay.cursor) else {
                replay.cursor += 1;
                continue;
            };
            if gave_up && packet.rtp.timestamp != replay.keyframe {
                self.give_up(now, feed, &replay, wire.recorder);
                return sent;
            }
            let bytes = packet.rtp.payload.len();
            if allowance == 0 && !gave_up {
                // What is behind now decides when to go on.
                replay.control.allowance(now, replay.behind);
                self.replay = Some(replay);
                return sent;
            }
            if !replay.goes_on && packet.rtp.timestamp != replay.keyframe {
                replay.goes_on = true;
                if let Some(edge) = history.newest() {
                    let time = replay.control.time_left();
                    self.rewriter.go_on(&packet.rtp, &edge.rtp, time);
                }
            }
            let sequence = *wire.sequence;
            sent += match self.rewriter.map().map(|m| m.is_first(&packet.rtp)) {
                Some(true) => self.first(packet, wire),
                _ => self.send(packet, wire).unwrap_or_default(),
            };
            replay.control.sent(now, sequence, bytes);
            allowance = allowance.saturating_sub(bytes);
            replay.behind = replay.behind.saturating_sub(bytes as u64);
            replay.cursor += 1;
            gave_up = matches!(replay.control.verdict(), Pace::GiveUp { .. });
        }
        // At the head: from here on it is live.
        let after_ms = millis(replay.began, now);
        wire.recorder.record(now, Decision::CaughtUp { after_ms });
        sent
    }

    /// Leaves the keyframe as a still: the lowest encoding may be caught up with instead, else the
    /// next keyframe is awaited.
    fn give_up(&mut self, now: Instant, feed: &Feed, replay: &Replay, recorder: &mut Recorder) {
        let current = self.selector.current();
        self.hold(feed);
        self.story.awaits(now, self.selector.awaits());
        let capacity = match replay.control.verdict() {
            Pace::GiveUp { capacity_bps } => capacity_bps,
            Pace::Continue => None,
        };
        let after_ms = millis(replay.began, now);
        let capacity_kbps = capacity.map(|bps| narrow(bps / 1000));
        recorder.record(now, Decision::GaveUp { after_ms, capacity_kbps });
        let Some(capacity) = capacity else { return };
        let active = self.candidates(feed).into_iter().filter(|c| c.active);
        let lowest = active.min_by_key(|c| c.rank);
        let Some(lowest) = lowest.filter(|c| Some(c.index) != current) else { return };
        let encoding = &feed.encodings[lowest.index];
        let same_codec = self.route.as_ref().is_some_and(|(p, _)| *p == encoding.info.payload);
        let Some(start) = encoding.history.start().filter(|_| same_codec) else { return };
        let (bytes, _) = encoding.history.weigh(start.rtp.seq);
        if feasible(bytes, encoding.info.bitrate_bps, capacity) {
            self.start_with(now, feed, lowest.index, None, recorder);
        }
    }

    /// Nothing more of the group of pictures that is on its way, of which no backlog is left.
    pub(super) fn hold(&mut self, feed: &Feed) {
        let Some(shown) = self.selector.current() else { return };
        let encoding = feed.encodings.get(shown);
        self.still = encoding.and_then(|e| e.history.start()).map(|p| p.position);
        self.selector.restart();
    }

    /// What the client says of arrivals, while a backlog is on its way.
    pub(super) fn feedback(&mut self, now: Instant, cc: &crate::rtcp::TransportCc<'_>) {
        const REFERENCE_US: i64 = 64_000;
        let Some(replay) = &mut self.replay else { return };
        let reference = i64::from(cc.reference) * REFERENCE_US;
        let arrivals = cc.arrivals().map(|(seq, at)| (seq, at.map(|at| reference + at)));
        replay.control.feedback(now, arrivals);
    }

    /// Packets were lost.
    pub(super) fn lost(&mut self, now: Instant) {
        if let Some(replay) = &mut self.replay {
            replay.control.lost(now);
        }
    }

    /// The packet that went out as `seq`, once more; the bytes that it cost.
    pub(super) fn repair(&mut self, seq: u16, feed: &Feed, wire: &mut Wire<'_>) -> Option<u64> {
        let (map, origin) = self.rewriter.origin(seq)?;
        let (Origin::Packet(wanted) | Origin::Prefix(wanted)) = origin;
        let packet = feed.encodings.get(map.target.encoding)?.history.get(wanted)?;
        let (header, payload, pad) = match origin {
            Origin::Packet(_) => (map.header(&packet.rtp)?, &packet.rtp.payload, packet.pad),
            Origin::Prefix(_) => (map.prefix(&packet.rtp), packet.prefix.as_ref()?, 0),
        };
        let is_packet = matches!(origin, Origin::Packet(_));
        let body = Body {
            target: map.target,
            header,
            original: Some(header.seq as u16),
            payload,
            pad: 0,
            marker: packet.rtp.marker && is_packet,
            extensions: packet.rtp.extensions,
        };
        match (&mut self.rtx, map.target.rtx) {
            (Some(rtx), Some(pt)) => {
                let index = rtx.next_seq;
                rtx.next_seq += 1;
                let target = Target { pt, ..map.target };
                let header = Header { seq: index, ..header };
                seal(&rtx.template, &Body { target, header, ..body }, wire);
            }
            // Byte for byte the same, or not at all: another packet under the same number would
            // repeat a nonce (RFC 7714 section 8.1).
            _ if self.template.has_transport_cc() => return None,
            _ => seal(&self.template, &Body { original: None, pad, ..body }, wire),
        }
        Some(HEADERS + payload.len() as u64)
    }

    /// The first packet of a switch, and the parameter sets that only the SDP had before it.
    fn first(&mut self, packet: &Packet, wire: &mut Wire<'_>) -> Sent {
        let mut sent = Sent::default();
        if let Some((map, prefix)) = self.rewriter.map().zip(packet.prefix.as_ref()) {
            let body = Body {
                target: map.target,
                header: map.prefix(&packet.rtp),
                original: None,
                payload: prefix,
                pad: 0,
                marker: false,
                extensions: packet.rtp.extensions,
            };
            seal(&self.template, &body, wire);
            sent += Sent { packets: 1, bytes: prefix.len() as u64 };
        }
        sent += self.send(packet, wire).unwrap_or_default();
        sent
    }

    /// `None` if the packet lies before the switch.
    fn send(&mut self, packet: &Packet, wire: &mut Wire<'_>) -> Option<Sent> {
        let header = self.rewriter.rewrite(&packet.rtp)?;
        let body = Body {
            target: self.rewriter.map()?.target,
            header,
            original: None,
            payload: &packet.rtp.payload,
            pad: packet.pad,
            marker: packet.rtp.marker,
            extensions: packet.rtp.extensions,
        };
        seal(&self.template, &body, wire);
        let sent = Sent { packets: 1, bytes: packet.rtp.payload.len() as u64 };
        self.sent += sent;
        Some(sent)
    }
}

/// Writes a packet into the send buffer and seals it there.
fn seal(template: &Template, body: &Body<'_>, wire: &mut Wire<'_>) {
    let Some(path) = wire.transport.path() else { return };
    let fields = Fields {
        marker: body.marker,
        pt: body.target.pt,
        seq: body.header.seq as u16,
        timestamp: body.header.timestamp,
        padding: body.pad > 0,
        transport_cc: *wire.sequence,
        extensions: body.extensions,
    };
    if template.has_transport_cc() {
        *wire.sequence = wire.sequence.wrapping_add(1);
    }
    let head = template.len(&fields.extensions);
    let number = body.original.map_or(0, |_| 2);
    let media = head + number;
    let end = media + body.payload.len();
    let padded = end + usize::from(body.pad);
    let slot = wire.egress.slot(path, padded + wire.transport.overhead());
    template.write(&fields, &mut slot[..head]);
    if let Some(original) = body.original {
        slot[head..media].copy_from_slice(&original.to_be_bytes());
    }
    slot[media..end].copy_from_slice(body.payload);
    if let Some(ids) = body.header.ids {
        payload::write_ids(body.target.codec, &mut slot[media..end], ids);
    }
    if let [zeros @ .., count] = &mut slot[end..padded] {
        zeros.fill(0);
        *count = body.pad;
    }
    wire.transport.seal_rtp(slot, head, body.header.seq);
}
