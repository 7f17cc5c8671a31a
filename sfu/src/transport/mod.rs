//! Our own transport of one viewer: ICE-lite (RFC 8445), DTLS 1.2 (RFC 6347, RFC 8842), SRTP and
//! SRTCP (RFC 3711, RFC 5764). Sans-IO: datagrams and the time go in, datagrams for the peer go into
//! an [`Egress`].
//!
//! A session goes through four phases: nothing of DTLS yet, a handshake (libssl, about 70 KB), keys
//! (some KB, libssl is gone), over. What RTP and RTCP mean is not known here.

pub(crate) mod dtls;
pub mod ice;
mod records;
pub mod srtp;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ssl::SslContext;
use signaling::{Agreement, DtlsRole, IceCredentials};

use self::dtls::{Epilogue, Handshake, Outcome, Step};
use self::ice::Responder;
use self::srtp::{OpenError, Profile, RtcpOpener, Sealer};
use crate::egress::Egress;

use crate::path::Over;
pub use crate::path::Path;

/// Why a transport cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// libssl refuses the certificate or the configuration.
    #[error("DTLS cannot be set up: {0}")]
    Tls(#[from] ErrorStack),
    /// The peer's fingerprint is of another hash function than sha-256, or of another length.
    #[error("the peer's certificate fingerprint is not sha-256")]
    Fingerprint,
}

/// What all sessions share: our certificate and what we accept. Cheap to clone.
#[derive(Clone)]
pub struct Context(SslContext);

impl Context {
    /// Offers every profile, AES-128-GCM first.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn new(certificate: &crate::Certificate) -> Result<Self, Error> {
        Self::offering(certificate, &Profile::ALL)
    }

    /// Offers only these profiles, best first.
    ///
    /// # Errors
    /// [`Error::Tls`].
    pub fn offering(certificate: &crate::Certificate, profiles: &[Profile]) -> Result<Self, Error> {
        Ok(Self(dtls::context(certificate.der(), profiles)?))
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Context")
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The keys are there: media can be sealed.
    Connected {
        /// What both sides agreed on.
        profile: Profile,
    },
    /// The first authentic SRTCP: the peer is surely up.
    Ready,
    /// The peer said goodbye (close_notify or a fatal alert).
    Closed,
    /// There will be no keys.
    Failed(Failure),
}

/// Why there will be no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The certificate is not the one of the offer.
    Fingerprint,
    /// libssl gave up: what, is in the debug log.
    Handshake,
    /// The peer fell silent during the handshake.
    Timeout,
    /// No SRTP profile in common.
    NoProfile,
}

/// What a datagram was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// An authentic ICE check; it has been answered.
    Stun {
        /// [`Transport::path`] is new or another one than before.
        moved: bool,
        /// The peer wants media here.
        nominated: bool,
    },
    /// DTLS.
    Dtls,
    /// An authentic RTCP compound, opened.
    Rtcp(&'a [u8]),
    /// Nothing for us: RTP of a viewer, or anything when the session is over.
    Ignored,
}

/// Why a datagram was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Not a message of the protocol that its first byte says.
    Malformed,
    /// The user name, the integrity or the tag is wrong.
    NotAuthentic,
    /// SRTCP that was seen before.
    Replayed,
    /// Records that no handshake needs.
    Dtls,
}

/// One session; see the top of the module.
#[derive(Debug)]
pub struct Transport {
    ice: Responder,
    phase: Phase,
    events: VecDeque<Event>,
}

#[derive(Debug)]
enum Phase {
    New { context: Context, role: DtlsRole, fingerprint: Box<[u8]> },
    Handshake(Box<Handshake>),
    Up(Up),
    Over,
}

#[derive(Debug)]
struct Up {
    sealer: Sealer,
    opener: RtcpOpener,
    epilogue: Epilogue,
    ready: bool,
}

impl Transport {
    /// The session of this agreement. Nothing is allocated for DTLS before the peer is there.
    ///
    /// # Errors
    /// [`Error::Fingerprint`].
    pub fn new(context: &Context, agreement: &Agreement, _now: Instant) -> Result<Self, Error> {
        let theirs = &agreement.remote_fingerprint;
        if theirs.algorithm != "sha-256" || theirs.digest.len() != 32 {
            return Err(Error::Fingerprint);
        }
        let phase = Phase::New {
            context: context.clone(),
            role: agreement.dtls,
            fingerprint: theirs.digest.as_slice().into(),
        };
        let ice = Responder::new(agreement.local_ice.clone());
        Ok(Self { ice, phase, events: VecDeque::new() })
    }

    /// A datagram of this session: STUN, DTLS or SRTCP, which is opened in place. Replies go into
    /// `egress`. What is not STUN must come from a sender that proved itself by STUN.
    ///
    /// # Errors
    /// Why it was dropped; the session goes on.
    pub fn receive<'a>(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &'a mut [u8],
        egress: &mut Egress,
    ) -> Result<Taken<'a>, Reject> {
        if matches!(self.phase, Phase::Over) {
            return Ok(Taken::Ignored);
        }
        // RFC 7983; RTCP by its packet type (RFC 5761 section 4).
        match (bytes.first(), bytes.get(1)) {
            (Some(0..=3), _) => self.stun(now, path, bytes, egress),
            (Some(20..=63), _) => self.dtls(now, path, bytes, egress),
            (Some(128..=191), Some(192..=223)) => self.rtcp(now, path, bytes),
            (Some(128..=191), Some(_)) => Ok(Taken::Ignored),
            _ => Err(Reject::Malformed),
        }
    }

    fn stun(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &[u8],
        egress: &mut Egress,
    ) -> Result<Taken<'static>, Reject> {
        let answered = self.ice.receive(now, path, bytes, egress)?;
        let ours_to_start = matches!(self.phase, Phase::New { role: DtlsRole::Client, .. });
        if let Some(path) = self.ice.path().filter(|_| ours_to_start) {
            self.handshake(path, egress, |h, send| Some(h.start(now, send)));
        }
        Ok(Taken::Stun { moved: answered.moved, nominated: answered.nominated })
    }

    fn dtls(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &[u8],
        egress: &mut Egress,
    ) -> Result<Taken<'static>, Reject> {
        if let Phase::Up(up) = &mut self.phase {
            if up.epilogue.receive(bytes, &mut |datagram| egress.push(path, datagram)) {
                self.end(Event::Closed);
            }
            return Ok(Taken::Dtls);
        }
        let taken = self.handshake(path, egress, |h, send| h.receive(now, bytes, send));
        if taken { Ok(Taken::Dtls) } else { Err(Reject::Dtls) }
    }

    fn rtcp<'a>(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &'a mut [u8],
    ) -> Result<Taken<'a>, Reject> {
        let Phase::Up(up) = &mut self.phase else { return Ok(Taken::Ignored) };
        let compound = up.opener.open(bytes).map_err(|error| match error {
            OpenError::NotAuthentic => Reject::NotAuthentic,
            OpenError::Replayed => Reject::Replayed,
        })?;
        self.ice.hear(now, path);
        if !up.ready {
            // Only who has our last flight can send this.
            up.ready = true;
            up.epilogue.heard();
            self.events.push_back(Event::Ready);
        }
        Ok(Taken::Rtcp(compound))
    }

    /// Lets the handshake, begun if need be, do something; false if it refused to.
    fn handshake(
        &mut self,
        path: Path,
        egress: &mut Egress,
        act: impl FnOnce(&mut Handshake, &mut dyn FnMut(&[u8])) -> Option<Step>,
    ) -> bool {
        if let Phase::New { context, role, fingerprint } = &self.phase {
            match Handshake::new(&context.0, *role, Some(fingerprint)) {
                Ok(handshake) => self.phase = Phase::Handshake(Box::new(handshake)),
                Err(error) => {
                    tracing::debug!(%error, "no DTLS handshake");
                    self.end(Event::Failed(Failure::Handshake));
                }
            }
        }
        let Phase::Handshake(handshake) = &mut self.phase else { return false };
        let mut send = |datagram: &[u8]| egress.push(path, datagram);
        match act(handshake, &mut send) {
            None => return false,
            Some(Step::Waiting) => {}
            Some(Step::Done(outcome)) => self.connect(*outcome),
            Some(Step::Closed) => self.end(Event::Closed),
            Some(Step::Failed(failure)) => self.end(Event::Failed(failure)),
        }
        true
    }

    fn connect(&mut self, outcome: Outcome) {
        let keys = outcome.keys();
        let sealing = keys.and_then(|(theirs, ours)| {
            Some((Sealer::new(&ours).ok()?, RtcpOpener::new(&theirs).ok()?))
        });
        let Some((sealer, opener)) = sealing else {
            return self.end(Event::Failed(Failure::Handshake));
        };
        let Outcome { profile, epilogue, .. } = outcome;
        self.phase = Phase::Up(Up { sealer, opener, epilogue, ready: false });
        self.events.push_back(Event::Connected { profile });
    }

    fn end(&mut self, event: Event) {
        self.phase = Phase::Over;
        self.events.push_back(event);
    }

    /// What happened since the last call; to be asked until there is nothing more.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Transport::handle_timeout`] is to be called; `None`: only after the next datagram.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.deadline(),
            Phase::New { .. } | Phase::Up(_) | Phase::Over => None,
        }
    }

    /// Time has passed: repeats what the peer has not answered.
    pub fn handle_timeout(&mut self, now: Instant, egress: &mut Egress) {
        if let (Phase::Handshake(_), Some(path)) = (&self.phase, self.ice.path()) {
            self.handshake(path, egress, |h, send| Some(h.handle_timeout(now, send)));
        }
    }

    /// Whether the peer has chosen a way, and whether it has checked with our newest credentials.
    pub fn standing(&self) -> (bool, bool) {
        (self.ice.nominated(), self.ice.renewed())
    }

    /// Where media goes: the first address that proved itself, then what the peer nominates.
    pub fn path(&self) -> Option<Path> {
        self.ice.path()
    }

    /// The keys are there.
    pub fn is_up(&self) -> bool {
        matches!(self.phase, Phase::Up(_))
    }

    /// Bytes of room that [`Transport::seal_rtp`] needs behind a packet; 0 without keys.
    pub fn overhead(&self) -> usize {
        match &self.phase {
            Phase::Up(up) => up.sealer.profile().rtp_overhead(),
            _ => 0,
        }
    }

    /// Seals in place: a header of `header` bytes, payload, [`Transport::overhead`] bytes of room.
    /// `index` is the extended sequence number, the first one of an SSRC below 2^15; the rule for
    /// it stands at the top of [`srtp`]. Without keys, or if the lengths do not fit, the packet
    /// becomes all zeros.
    pub fn seal_rtp(&mut self, packet: &mut [u8], header: usize, index: u64) {
        match &mut self.phase {
            Phase::Up(up) => {
                let sealed = up.sealer.seal_rtp(packet, header, index);
                debug_assert!(sealed, "{header} bytes of header in {}", packet.len());
            }
            _ => packet.fill(0),
        }
    }

    /// Seals an RTCP compound and sends it to [`Transport::path`]. Without keys, nothing happens.
    pub fn seal_rtcp(&mut self, compound: &[u8], egress: &mut Egress) {
        let (Phase::Up(up), Some(path)) = (&mut self.phase, self.ice.path()) else { return };
        if !up.sealer.takes_rtcp(compound.len()) {
            return;
        }
        let len = compound.len() + up.sealer.profile().rtcp_overhead();
        let slot = egress.slot(path, len);
        slot[..compound.len()].copy_from_slice(compound);
        up.sealer.seal_rtcp(slot);
    }

    /// Says goodbye, once; the session is over.
    pub fn close(&mut self, egress: &mut Egress) {
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        if let (Phase::Up(up), Some(path)) = (phase, self.ice.path())
            && !up.epilogue.goodbye().is_empty()
        {
            egress.push(path, up.epilogue.goodbye());
        }
    }

    /// ICE restart (RFC 8445 section 2.4): these credentials of ours are valid too from now on.
    /// Which others still are, [`Transport::ufrags`] says: it changes here and nowhere else.
    pub fn restart(&mut self, ice: IceCredentials) {
        self.ice.restart(ice);
    }

    /// This connection has ended: media waits for the next check if it went there.
    pub fn unplugged(&mut self, over: Over) {
        self.ice.unplugged(over);
    }

    /// True if this is a check made with credentials of ours that are valid.
    pub fn authentic(&self, check: &[u8]) -> bool {
        self.ice.authentic(check)
    }

    /// Our user name fragments that are valid, oldest first.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.ufrags()
    }
}
