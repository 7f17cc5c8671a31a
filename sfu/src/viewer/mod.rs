//! One viewer: an audio and a video leg, each with its choice of encoding and its rewriting, and
//! what the viewer says of them by RTCP.

pub mod catch_up;
pub mod header;
mod leg;
pub mod rewriter;
pub mod selector;
mod story;

use std::time::{Duration, Instant};

use media::Kind;
use signaling::{Agreement, SessionId};

use self::leg::{Leg, Wire};
use self::selector::Wanted;
use crate::egress::Egress;
use crate::feed::{Batch, Feed};
use crate::recorder::{Asks, Decision, Recorder};
use crate::rtcp::{self, Packet, ReportBlock, SenderInfo, Writer};
use crate::stats::{Drop, Rate, Sent, ViewerSnapshot};
use crate::transport::Transport;

/// A viewer plays if something was forwarded this short a time ago.
const PLAYING: Duration = Duration::from_secs(1);
/// A client whose handshake has just ended still needs a moment before it can decrypt: what comes
/// earlier is lost. Its first SRTCP ends the wait at once.
const SETTLE: Duration = Duration::from_millis(20);
/// Sender reports are what a viewer keeps lips and voice together by: so often in the long run.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// The second and third come sooner: the first speaks of what began first only, picture or sound, and
/// Chromium looks once a second whether there is news, and needs two of each.
const FIRST_INTERVALS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(300)];
/// The name by which audio and video are known to be of one source (RFC 3550 section 6.5.1).
const CNAME: &str = signaling::CNAME;
/// Room for two sender reports and their names.
const REPORT: usize = 2 * (28 + 8 + 2 + CNAME.len() + 4);
/// What a viewer that has just begun says of lost pictures may mean that it was not up yet.
const BEGINNING: Duration = Duration::from_secs(3);
/// How often it may begin anew for that.
const RESTARTS: u8 = 3;
/// RTCP datagrams a second that are listened to; Chromium sends about twenty, more under loss.
const MAX_RTCP: u32 = 200;
/// Retransmissions may cost as much as the media itself, and this much at once.
const REPAIR_BURST: u64 = 256 * 1024;

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    /// Whom it watches.
    pub publisher: Option<SessionId>,
    /// Media can flow.
    pub connected: bool,
    /// The handshake is over: media flows from then on.
    settled: Option<Instant>,
    legs: Vec<Leg>,
    wanted: Wanted,
    /// The next transport-wide sequence number.
    sequence: u16,
    sent: Sent,
    bitrate: Rate,
    last_sent: Option<Instant>,
    next_report: Option<Instant>,
    /// How many went out.
    reports: usize,
    loss: Option<f32>,
    rtt: Option<Duration>,
    beginning: Beginning,
    limits: Limits,
    /// Its TCP connection is behind.
    held: bool,
    /// The picture that was forwarded last: its encoding and timestamp.
    picture: Option<(usize, u32)>,
}

/// The first seconds of a picture.
#[derive(Debug, Default)]
struct Beginning {
    /// When the first keyframe went out, and the transport-wide number of its first packet.
    since: Option<(Instant, u16)>,
    /// The client has said what came of it.
    confirmed: bool,
    restarts: u8,
}

/// What one viewer may cost.
#[derive(Debug)]
struct Limits {
    /// Bytes that retransmissions may still use.
    repair: u64,
    /// RTCP datagrams that are still listened to in this second.
    rtcp: u32,
}

/// What a viewer's RTCP asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// A keyframe of this encoding.
    pub keyframe: Option<usize>,
    /// What went out because of it: retransmissions are not counted as media.
    pub repaired: u64,
}

impl Viewer {
    /// A viewer that may receive what `agreement` says.
    pub fn new(agreement: &Agreement) -> Self {
        Self {
            publisher: None,
            connected: false,
            settled: None,
            legs: agreement.media.iter().filter_map(Leg::new).collect(),
            wanted: Wanted::Best,
            sequence: 0,
            sent: Sent::default(),
            bitrate: Rate::default(),
            last_sent: None,
            next_report: None,
            reports: 0,
            loss: None,
            rtt: None,
            beginning: Beginning::default(),
            limits: Limits { repair: REPAIR_BURST, rtcp: MAX_RTCP },
            held: false,
            picture: None,
        }
    }

    /// The handshake is over.
    pub fn settle(&mut self, now: Instant) {
        self.settled = Some(now + SETTLE);
    }

    /// True if media can flow from now on and could not before.
    pub fn has_settled(&mut self, now: Instant, ready: bool) -> bool {
        let due = self.settled.is_some_and(|due| ready || due <= now);
        if due {
            self.settled = None;
            self.connected = true;
        }
        due
    }

    /// Watches another publisher.
    pub fn attach(&mut self, now: Instant, publisher: Option<SessionId>, recorder: &mut Recorder) {
        if self.publisher != publisher {
            let decision =
                publisher.map_or(Decision::Detached, |id| Decision::Attached(id.short()));
            recorder.record(now, decision);
        }
        self.publisher = publisher;
        self.beginning = Beginning::default();
        for leg in &mut self.legs {
            leg.detach();
            if publisher.is_some() {
                leg.attach(now);
            }
        }
    }

    /// Its TCP connection is behind, or not any more: after the picture that has begun none are forwarded meanwhile,
    /// and then from a keyframe on. True: it may choose anew.
    pub fn hold(&mut self, behind: bool) -> bool {
        std::mem::replace(&mut self.held, behind) && !behind
    }

    /// Chooses an encoding.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Chooses anew among what the publisher has, and begins with what is in its ring.
    pub fn choose(&mut self, now: Instant, feed: &Feed, recorder: &mut Recorder) {
        for leg in &mut self.legs {
            leg.choose(now, feed, self.wanted, recorder);
            if self.connected && !self.held {
                leg.start(now, feed, self.rtt, recorder);
            }
        }
    }

    /// The encodings whose keyframe this viewer waits for.
    pub fn awaited(&self) -> impl Iterator<Item = usize> + '_ {
        let video = self.legs.iter().filter(|l| l.kind == Kind::Video && !self.held);
        video.filter_map(Leg::awaits)
    }

    /// The encoding of which the viewer asks for a keyframe: the one it sees, else what it awaits.
    fn shown(&self) -> Option<usize> {
        let video = self.legs.iter().find(|l| l.kind == Kind::Video)?;
        video.selector.current().or(video.awaits())
    }

    /// Sends what one wake brought. `feed` has it in its rings already.
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        batch: &Batch,
        feed: &Feed,
        transport: &mut Transport,
        egress: &mut Egress,
        recorder: &mut Recorder,
    ) -> Sent {
        if !self.connected {
            recorder.drops.add(Drop::NotConnected, batch.packets.len() as u64);
            return Sent::default();
        }
        let before = self.sequence;
        let mut sent = Sent::default();
        let sequence = &mut self.sequence;
        let mut wire = Wire { now, transport, egress, sequence, recorder };
        for packet in &batch.packets {
            let video = packet.kind == Kind::Video;
            let picture = Some((packet.encoding, packet.rtp.timestamp));
            let held = self.held && video && self.picture != picture;
            let leg = self.legs.iter_mut().find(|l| l.kind == packet.kind);
            let forwarded = match leg {
                Some(leg) if held => {
                    sent += leg.end_replay(feed, &mut wire);
                    leg.hold(feed);
                    Err(Drop::WireFull)
                }
                Some(leg) => leg.forward(packet, feed, &mut wire),
                None => Err(Drop::NoCommonCodec),
            };
            match forwarded {
                Ok(more) => {
                    sent += more;
                    if video && more.packets > 0 {
                        self.picture = picture;
                    }
                }
                Err(reason) => wire.recorder.drops.count(reason),
            }
        }
        if self.legs.iter().any(Leg::replays) {
            for leg in &mut self.legs {
                sent += leg.pump(now, feed, &mut wire);
            }
        }
        self.note(now, before, sent);
        sent
    }

    /// Goes on with a backlog.
    pub(crate) fn pump(
        &mut self,
        now: Instant,
        feed: &Feed,
        transport: &mut Transport,
        egress: &mut Egress,
        recorder: &mut Recorder,
    ) -> Sent {
        let before = self.sequence;
        let sequence = &mut self.sequence;
        let mut wire = Wire { now, transport, egress, sequence, recorder };
        let legs = self.legs.iter_mut();
        let sent = legs.fold(Sent::default(), |sum, leg| sum + leg.pump(now, feed, &mut wire));
        self.note(now, before, sent);
        sent
    }

    fn note(&mut self, now: Instant, sequence: u16, sent: Sent) {
        if sent.packets == 0 {
            return;
        }
        self.sent += sent;
        self.last_sent = Some(now);
        let turned = self.legs.iter_mut().any(|l| std::mem::take(&mut l.turned));
        if turned || self.next_report.is_none() {
            self.next_report = Some(now);
        }
        let video = |l: &Leg| l.kind == Kind::Video && l.selector.current().is_some();
        if self.beginning.since.is_none() && self.legs.iter().any(video) {
            self.beginning.since = Some((now, sequence));
        }
    }

    /// When [`Viewer::report`] or [`Viewer::pump`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        self.legs.iter().filter_map(Leg::deadline).chain(self.next_report).chain(self.settled).min()
    }

    /// Sends the sender reports if they are due. `ntp`: the wall clock now.
    pub(crate) fn report(
        &mut self,
        now: Instant,
        ntp: u64,
        transport: &mut Transport,
        egress: &mut Egress,
    ) {
        if self.next_report.is_none_or(|due| now < due) {
            return;
        }
        let interval = FIRST_INTERVALS.get(self.reports).copied().unwrap_or(REPORT_INTERVAL);
        self.reports += 1;
        self.next_report = Some(now + interval);
        let mut buffer = [0; REPORT];
        let mut writer = Writer::new(&mut buffer);
        for leg in &self.legs {
            let Some(rtp_timestamp) = leg.timestamp_at(now) else { continue };
            let info = SenderInfo {
                ntp,
                rtp_timestamp,
                // Counts wrap by RFC 3550 section 6.4.1.
                packets: leg.sent.packets as u32,
                octets: leg.sent.bytes as u32,
            };
            let report = writer.sender_report(leg.ssrc(), &info, &[]);
            // There is room for two legs, and an agreement has no more.
            let _ = report.and_then(|()| writer.cname(leg.ssrc(), CNAME));
        }
        if !writer.is_empty() {
            transport.seal_rtcp(writer.written(), egress);
        }
    }

    /// Says that nothing more comes (RFC 3550 section 6.6).
    pub(crate) fn goodbye(&mut self, transport: &mut Transport, egress: &mut Egress) {
        let mut buffer = [0; REPORT];
        let mut writer = Writer::new(&mut buffer);
        let mut ssrcs = [0; 2];
        let legs = self.legs.iter().zip(&mut ssrcs);
        let count = legs.map(|(leg, ssrc)| *ssrc = leg.ssrc()).count();
        if self.connected && count > 0 && writer.bye(&ssrcs[..count]).is_ok() {
            transport.seal_rtcp(writer.written(), egress);
        }
    }

    /// What the viewer says. `ntp`: the wall clock now.
    pub(crate) fn listen(
        &mut self,
        (now, ntp): (Instant, u64),
        compound: &[u8],
        feed: Option<&Feed>,
        transport: &mut Transport,
        egress: &mut Egress,
        recorder: &mut Recorder,
    ) -> Asked {
        let mut asked = Asked::default();
        if self.limits.rtcp == 0 {
            recorder.drops.count(Drop::RtcpFlood);
            return asked;
        }
        self.limits.rtcp -= 1;
        for packet in rtcp::packets(compound) {
            match packet {
                Packet::ReceiverReport { blocks, .. } | Packet::SenderReport { blocks, .. } => {
                    blocks.for_each(|block| self.reported(rtcp::ntp_middle(ntp), &block));
                }
                Packet::Nack { media_ssrc, seqs } => {
                    if let Some(feed) = feed {
                        let sequence = &mut self.sequence;
                        let mut wire = Wire { now, transport, egress, sequence, recorder };
                        let leg = self.legs.iter_mut().find(|l| l.ssrc() == media_ssrc);
                        asked.repaired += self.limits.repair(leg, seqs, feed, &mut wire);
                        if asked.repaired > 0 {
                            self.legs.iter_mut().for_each(|leg| leg.lost(now));
                        }
                    }
                }
                Packet::Pli { .. } | Packet::Fir { .. } => {
                    recorder.keyframe_wanted();
                    if !self.begin_anew(now, feed, false, recorder) {
                        asked.keyframe = self.shown();
                    }
                }
                Packet::TransportCc(cc) => {
                    self.arrived(now, &cc, feed, recorder);
                    self.legs.iter_mut().for_each(|leg| leg.feedback(now, &cc));
                }
                Packet::Malformed => recorder.drops.count(Drop::RtcpMalformed),
                Packet::Remb { .. } | Packet::Bye | Packet::Other => {}
            }
        }
        asked
    }

    /// The worst leg counts: video where there is one.
    fn reported(&mut self, now: u32, block: &ReportBlock) {
        let Some(leg) = self.legs.iter_mut().find(|l| l.ssrc() == block.ssrc) else { return };
        if leg.kind == Kind::Video || self.legs.len() == 1 {
            self.loss = Some(f32::from(block.fraction_lost) / 256.0);
        }
        self.rtt = rtcp::rtt(now, block).or(self.rtt);
    }

    /// Media that is sent before the client is up is lost: the first feedback shows it.
    fn arrived(
        &mut self,
        now: Instant,
        cc: &rtcp::TransportCc<'_>,
        feed: Option<&Feed>,
        recorder: &mut Recorder,
    ) {
        let Some((_, first)) = self.beginning.since else { return };
        // A report that ends before is about what went out earlier.
        let end = cc.base_seq.wrapping_add(cc.status_count);
        let early = end.wrapping_sub(first).cast_signed() <= 0;
        if early || std::mem::replace(&mut self.beginning.confirmed, true) {
            return;
        }
        let came = cc.arrivals().any(|(seq, at)| seq == first && at.is_some());
        if !came {
            self.begin_anew(now, feed, true, recorder);
        }
    }

    /// Sends the keyframe of the beginning again, which was `lost` or may have been; false if the beginning is
    /// over.
    fn begin_anew(
        &mut self,
        now: Instant,
        feed: Option<&Feed>,
        lost: bool,
        recorder: &mut Recorder,
    ) -> bool {
        let Some((since, _)) = self.beginning.since else { return false };
        let over = now.saturating_duration_since(since) > BEGINNING;
        let Some(feed) = feed.filter(|_| !over && self.beginning.restarts < RESTARTS) else {
            return false;
        };
        self.beginning.restarts += 1;
        self.beginning.since = Some((since, self.sequence));
        self.beginning.confirmed = false;
        let video = self.legs.iter_mut().find(|l| l.kind == Kind::Video);
        let again = video.is_some_and(|leg| leg.restart(now, feed, recorder));
        if again {
            recorder.record(now, Decision::Restart { lost });
        }
        again
    }

    /// To be called about once a second.
    pub fn update_rates(&mut self, now: Instant) {
        self.bitrate.update(now, self.sent.bytes);
        let more = self.bitrate.per_second() as u64 + REPAIR_BURST / 4;
        self.limits.repair = (self.limits.repair + more).min(REPAIR_BURST.max(more));
        self.limits.rtcp = MAX_RTCP;
    }

    /// As the API shows it, but for what it asks for: its session's log knows that.
    pub fn snapshot(&self, feed: Option<&Feed>, now: Instant) -> ViewerSnapshot {
        let video = self.legs.iter().find(|l| l.kind == Kind::Video);
        let layer = video.and_then(|l| l.selector.current()).zip(feed);
        let recently = |t: Instant| now.saturating_duration_since(t) < PLAYING;
        ViewerSnapshot {
            connected: self.connected || self.settled.is_some(),
            playing: self.last_sent.is_some_and(recently),
            layer: layer.and_then(|(index, f)| f.encodings.get(index)).map(|e| e.info.id),
            wanted: self.wanted.encoding(),
            bitrate_bps: (self.bitrate.per_second() * 8.0) as u64,
            packets: self.sent.packets,
            bytes: self.sent.bytes,
            loss: self.loss,
            rtt: self.rtt,
            missing: self.legs.iter().find_map(Leg::missing),
            attached: self.publisher.is_some(),
            awaiting: video.and_then(|l| l.story.awaiting(now, feed?)),
            asks: Asks::default(),
        }
    }

    /// Packets that went out, without retransmissions.
    pub fn packets_sent(&self) -> u64 {
        self.sent.packets
    }
}

impl Limits {
    /// Sends again what was lost, within what a viewer may cost; how many packets.
    fn repair(
        &mut self,
        leg: Option<&mut Leg>,
        seqs: rtcp::Seqs<'_>,
        feed: &Feed,
        wire: &mut Wire<'_>,
    ) -> u64 {
        let (mut asked, mut repaired) = (0, 0);
        let Some(leg) = leg else {
            wire.recorder.drops.count(Drop::RepairUnknown);
            return repaired;
        };
        for seq in seqs {
            asked += 1;
            if self.repair == 0 {
                wire.recorder.drops.count(Drop::RepairLimit);
                continue;
            }
            match leg.repair(seq, feed, wire) {
                Some(bytes) => {
                    repaired += 1;
                    self.repair = self.repair.saturating_sub(bytes);
                }
                None => wire.recorder.drops.count(Drop::RepairUnknown),
            }
        }
        wire.recorder.repaired(asked, repaired);
        repaired
    }
}
