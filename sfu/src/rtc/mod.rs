//! One peer's transport: ICE-lite (RFC 8445), DTLS (RFC 8842), SRTP (RFC 3711), RTCP with NACK/RTX
//! (RFC 4585, RFC 4588) and transport-cc feedback.
//!
//! Today str0m does all of it but ICE ([`front`]) and DTLS ([`dtls`]), driven through its direct API from a [`signaling::Agreement`]; no
//! other folder of ours may name str0m, so that our own transport can take its place. Datagrams
//! and the time go in, [`Output`]s come out: after every call that takes `&mut self`, call
//! [`Peer::poll`] until it returns [`Output::Timeout`].

#[cfg(test)]
pub(crate) mod client;
mod config;
mod convert;
mod dtls;
mod front;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::rtp::Extensions;
use media::{EncodingId, Kind};
use signaling::{Agreement, DtlsRole, IceCredentials};
use str0m::media::{KeyframeRequestKind, Mid, Rid};
use str0m::net::{DatagramRecv, Protocol, Receive};
use str0m::rtp::{RtpWrite, Ssrc};
use str0m::{Event as RtcEvent, Input, Output as RtcOutput, Rtc, RtcError};

use self::front::Front;
use crate::egress::Egress;
use crate::packet::Packet;
use crate::path::{Over, Path};
use crate::stats::Origin;
use crate::transport::{self, Failure};

pub use config::Certificate;

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// From `local` to `remote`.
    pub path: Path,
    /// The bytes.
    pub contents: Vec<u8>,
}

/// What a peer has to say.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// Nothing more before this time (`None`: never), or the next input.
    Timeout(Option<Instant>),
    /// Something happened.
    Event(Event),
}

/// What happened at a peer.
#[derive(Debug)]
pub enum Event {
    /// DTLS is up: media can flow.
    Connected,
    /// The peer said goodbye (DTLS close_notify).
    Closed,
    /// A media packet, in arrival order, retransmissions unwrapped, duplicates removed.
    Packet(Packet),
    /// The peer wants a keyframe of what it receives (PLI or FIR).
    KeyframeRequest,
    /// The peer has reported on what it sends (RTCP SR).
    Report,
    /// What receiver reports said of what we send.
    Feedback {
        /// Audio or video.
        kind: Kind,
        /// Fraction of packets lost, 0 to 1.
        loss: Option<f32>,
        /// Round trip.
        rtt: Option<Duration>,
    },
}

impl Event {
    /// True if the peer itself said something; statistics come without it too.
    pub fn proves_life(&self) -> bool {
        !matches!(self, Self::Feedback { loss: None, .. })
    }
}

/// A media packet to send.
#[derive(Debug)]
pub struct Send<'a> {
    /// Audio or video.
    pub kind: Kind,
    /// Payload type.
    pub pt: u8,
    /// Extended sequence number, the first one below 2^15.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// When this packet was captured: what our sender reports relate the timestamp to.
    pub time: Instant,
    /// Payload, shared between all viewers.
    pub payload: &'a Arc<[u8]>,
    /// VP8: picture ids to write instead of those in the payload.
    pub vp8: Option<media::payload::PictureIds>,
    /// Extensions.
    pub extensions: Extensions,
}

/// What kind of datagram was taken, by its first byte (RFC 7983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A STUN message whose integrity was right.
    Stun,
    /// DTLS, SRTP or SRTCP.
    Other,
}

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reject {
    /// No STUN, DTLS, RTP or RTCP, or cut short.
    #[error("malformed datagram")]
    Malformed,
    /// STUN with a wrong MESSAGE-INTEGRITY, or from nobody we know.
    #[error("not authentic")]
    NotAuthentic,
    /// The transport refused it.
    #[error("transport error")]
    Transport,
}

impl From<transport::Reject> for Reject {
    fn from(reject: transport::Reject) -> Self {
        match reject {
            transport::Reject::Malformed => Self::Malformed,
            transport::Reject::NotAuthentic => Self::NotAuthentic,
            transport::Reject::Replayed | transport::Reject::Dtls => Self::Transport,
        }
    }
}

/// One peer.
pub struct Peer {
    rtc: Rtc,
    /// Our m-lines.
    lines: Vec<Line>,
    /// ICE, which str0m has no part in.
    front: Front,
    /// The way of the last datagram.
    came: Option<Path>,
    /// We are the DTLS client, and wait for the peer to be there.
    begins: bool,
    /// The time of the last input.
    now: Instant,
    /// Why str0m gave up.
    failure: Option<Failure>,
    /// SSRC → what it carries, learnt from str0m.
    sources: Vec<(u32, Kind, EncodingId)>,
    /// str0m panicked: a fault of ours or theirs, but never one that touches another session.
    broken: bool,
}

struct Line {
    mid: Mid,
    kind: Kind,
    rids: Vec<EncodingId>,
    send: Option<Ssrc>,
}

/// Header, index and tag of an SRTCP packet (RFC 3711 section 3.4): shorter ones cannot be one.
const MIN_SRTCP: usize = 8 + 4 + 10;
/// More encodings than any publisher sends.
const MAX_SOURCES: usize = 32;

impl Peer {
    /// A peer for what `agreement` says: WHIP if it has no local SSRCs, WHEP if it has.
    pub fn new(agreement: &Agreement, certificate: &Certificate, now: Instant) -> Self {
        let (rtc, lines) = config::build(agreement, certificate, now);
        Self {
            rtc,
            lines,
            front: Front::new(agreement.local_ice.clone()),
            came: None,
            begins: agreement.dtls == DtlsRole::Client,
            now,
            failure: None,
            sources: Vec::new(),
            broken: false,
        }
    }

    /// A datagram that came this way; checks are answered into `egress`. Returns what it was. What is no
    /// STUN must come from where the peer has proven to be.
    ///
    /// # Errors
    /// Says why it was not taken; the peer lives on.
    pub fn receive(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &[u8],
        egress: &mut Egress,
    ) -> Result<Taken, Reject> {
        (self.now, self.came) = (now, Some(path));
        if matches!(bytes.first(), Some(0..=3)) {
            if let Some(made) = self.front.check(now, path, bytes, egress)? {
                self.hand_in(now, &made)?;
                if std::mem::take(&mut self.begins) {
                    let _ = self.guarded(|rtc| config::start(rtc, true));
                }
            }
            return Ok(Taken::Stun);
        }
        if is_rtcp(bytes) && bytes.len() < MIN_SRTCP {
            return Err(Reject::Malformed);
        }
        if self.front.path().is_none() {
            return Err(Reject::NotAuthentic);
        }
        self.hand_in(now, bytes)?;
        Ok(Taken::Other)
    }

    /// str0m gets a datagram, as if from the one peer that it knows.
    fn hand_in(&mut self, now: Instant, bytes: &[u8]) -> Result<(), Reject> {
        let contents = DatagramRecv::try_from(bytes).map_err(|_| Reject::Malformed)?;
        let (proto, source, destination) = (Protocol::Udp, front::THEIRS, front::OURS);
        let input = Input::Receive(now, Receive { proto, source, destination, contents });
        match self.guarded(|rtc| rtc.handle_input(input)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                self.fails(&error);
                Err(Reject::Transport)
            }
            None => Err(Reject::Transport),
        }
    }

    /// Time passes.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        // An error closes the peer, which `is_alive` then says.
        let _ = self.guarded(|rtc| rtc.handle_input(Input::Timeout(now)));
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Output {
        loop {
            let output = match self.guarded(Rtc::poll_output) {
                Some(Ok(output)) => output,
                // The peer is closed now, or will say the same error again: stop asking.
                Some(Err(error)) => {
                    self.fails(&error);
                    self.rtc.disconnect();
                    return Output::Timeout(None);
                }
                None => return Output::Timeout(None),
            };
            match output {
                RtcOutput::Transmit(t) => {
                    let contents: Vec<u8> = t.contents.into();
                    // Its answers to checks are to what was made: the real ones are answered.
                    let stun = matches!(contents.first(), Some(0..=3));
                    let Some(path) = self.front.path().filter(|_| !stun) else { continue };
                    return Output::Transmit(Transmit { path, contents });
                }
                RtcOutput::Timeout(t) => return Output::Timeout(Some(t)),
                RtcOutput::Event(event) => {
                    if let Some(event) = self.event(event) {
                        if let (Event::Packet(_) | Event::Report, Some(came)) = (&event, self.came)
                        {
                            self.front.hear(self.now, came);
                        }
                        return Output::Event(event);
                    }
                }
            }
        }
    }

    /// Asks the publisher for a keyframe of this encoding (PLI). False if it is not known yet.
    pub fn request_keyframe(&mut self, encoding: EncodingId) -> bool {
        let ssrc = self
            .sources
            .iter()
            .find(|(_, kind, id)| *kind == Kind::Video && *id == encoding)
            .map(|(ssrc, ..)| Ssrc::from(*ssrc));
        let Some(ssrc) = ssrc else { return false };
        self.guarded(|rtc| match rtc.direct_api().stream_rx(&ssrc) {
            Some(stream) => {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                true
            }
            None => false,
        })
        .unwrap_or(false)
    }

    /// Queues a media packet; the next [`Peer::poll`]s bring the datagrams.
    pub fn send(&mut self, packet: Send<'_>) {
        let Some(line) = self.lines.iter().find(|l| l.kind == packet.kind) else { return };
        let (Some(ssrc), mid) = (line.send, line.mid) else { return };
        let mut write = RtpWrite::new(
            packet.pt.into(),
            packet.seq.into(),
            packet.timestamp,
            packet.time,
            Arc::clone(packet.payload),
        )
        .marker(packet.marker)
        .nackable(packet.kind == Kind::Video)
        .ext_vals(convert::extension_values(mid, packet.extensions));
        if let Some(patch) = packet.vp8.and_then(|ids| convert::vp8_patch(packet.payload, ids)) {
            write = write.vp8_patch(patch);
        }
        let _ = self.guarded(|rtc| {
            if let Some(stream) = rtc.direct_api().stream_tx(&ssrc) {
                stream.write_rtp(write);
            }
        });
    }

    /// Says goodbye (RTCP BYE, DTLS close_notify); poll what it sends, then drop it.
    pub fn close(&mut self) {
        let _ = self.guarded(Rtc::close);
    }

    /// Between which addresses its datagrams go.
    pub fn path(&self) -> Option<Path> {
        self.front.path()
    }

    /// Whether the peer has chosen a way, and whether it has checked with our newest credentials.
    pub fn standing(&self) -> (bool, bool) {
        self.front.standing()
    }

    /// This connection has ended: what is to go there waits for the next check.
    pub fn unplugged(&mut self, over: Over) {
        self.front.unplugged(over);
    }

    /// ICE restart: see [`transport::Transport::restart`].
    pub fn restart(&mut self, ice: IceCredentials) {
        self.front.restart(ice);
    }

    /// Our user name fragments that are valid, oldest first.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.front.ufrags()
    }

    /// True if this is a check made with credentials of ours that are valid.
    pub fn authentic(&self, check: &[u8]) -> bool {
        self.front.authentic(check)
    }

    /// Why there will be no keys, once the peer is dead without them.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    fn fails(&mut self, error: &RtcError) {
        self.failure = Some(match error {
            // What str0m says of a certificate with another fingerprint.
            RtcError::RemoteSdp(_) => Failure::Fingerprint,
            _ => Failure::Handshake,
        });
    }

    /// False once the peer is of no more use.
    pub fn is_alive(&self) -> bool {
        !self.broken && self.rtc.is_alive()
    }

    fn event(&mut self, event: RtcEvent) -> Option<Event> {
        match event {
            RtcEvent::Connected => Some(Event::Connected),
            RtcEvent::Closed => Some(Event::Closed),
            RtcEvent::KeyframeRequest(_) => Some(Event::KeyframeRequest),
            RtcEvent::SenderFeedback(_) => Some(Event::Report),
            RtcEvent::RtpPacket(p) => self.packet(p).map(Event::Packet),
            RtcEvent::MediaEgressStats(s) => {
                let kind = self.lines.iter().find(|l| l.mid == s.mid)?.kind;
                Some(Event::Feedback { kind, loss: s.loss, rtt: s.rtt })
            }
            _ => None,
        }
    }

    fn packet(&mut self, p: str0m::rtp::RtpPacket) -> Option<Packet> {
        let ssrc = *p.header.ssrc;
        let (kind, encoding) = self.source(ssrc)?;
        let report = p.last_sender_info.as_ref().map(|i| (i.ntp_time, i.rtp_time.numer() as u32));
        Some(Packet {
            kind,
            encoding,
            origin: Origin::Source,
            ssrc,
            pt: *p.header.payload_type,
            seq: Some(*p.seq_no),
            timestamp: p.header.timestamp,
            marker: p.header.marker,
            arrival: p.timestamp,
            captured: None,
            extensions: convert::extensions(&p.header.ext_vals),
            payload: p.payload,
            report,
        })
    }

    /// What an SSRC carries. A publisher may change the SSRC of an encoding: the newest wins.
    fn source(&mut self, ssrc: u32) -> Option<(Kind, EncodingId)> {
        if let Some((_, kind, id)) = self.sources.iter().find(|(s, ..)| *s == ssrc) {
            return Some((*kind, *id));
        }
        let (mid, rid) = {
            let mut api = self.rtc.direct_api();
            let stream = api.stream_rx(&ssrc.into())?;
            (stream.mid(), stream.rid())
        };
        let line = self.lines.iter().find(|l| l.mid == mid)?;
        let id = match rid {
            // str0m keeps eight letters or digits of a rid; we know the whole of it.
            Some(rid) => *line.rids.iter().find(|id| Rid::from(id.as_str()) == rid)?,
            None => EncodingId::MAIN,
        };
        let kind = line.kind;
        self.sources.retain(|(_, k, i)| (*k, *i) != (kind, id));
        if self.sources.len() < MAX_SOURCES {
            self.sources.push((ssrc, kind, id));
        }
        Some((kind, id))
    }

    /// Runs str0m behind a bulkhead: a panic in it ends this session and no other.
    fn guarded<T>(&mut self, f: impl FnOnce(&mut Rtc) -> T) -> Option<T> {
        if self.broken {
            return None;
        }
        // The session is never touched again after a panic, so no broken state can be seen.
        let result = catch_unwind(AssertUnwindSafe(|| f(&mut self.rtc)));
        if result.is_err() {
            self.broken = true;
            tracing::error!("the transport of a session panicked; only this session ends");
        }
        result.ok()
    }
}

/// RTP and RTCP told apart by RFC 5761 section 4.
fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, 192..=223, ..])
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer").field("alive", &self.is_alive()).finish_non_exhaustive()
    }
}
