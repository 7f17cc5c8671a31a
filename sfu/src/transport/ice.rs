//! ICE-lite (RFC 8445 section 2.5): answers binding requests, sends none of its own, and so knows
//! where the peer is. Without right integrity there is no reply and no change.
//!
//! **Generations.** A restart adds credentials and takes none away: after `restartIce()` Chromium may
//! check from new ports under the *old* user name, and never use the new one. So every generation
//! since the last one that nominated may move the path, and no timer ends one.
//!
//! **A peer that moves** without a word (NAT rebinding) is followed when its path has fallen silent.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use is::stun::StunMessage;
use signaling::IceCredentials;

use super::Reject;
use crate::egress::Egress;
use crate::path::{Over, Path};

/// Far above any check; a browser's is about 100 bytes.
const MAX_MESSAGE: usize = 1280;
const HEADER: usize = 20;
/// Enough for an answer: header, XOR-MAPPED-ADDRESS of IPv6 or an error, integrity, fingerprint.
const MAX_ANSWER: usize = 128;
/// How many restarts may be under way at a time.
const MAX_GENERATIONS: usize = 4;
/// UDP carries media better: a TCP connection that nobody nominates becomes the path only when
/// nothing has come by UDP for so long after the first check by TCP.
const UDP_FIRST: Duration = Duration::from_millis(500);
/// A path on which nothing authentic has come for so long has lost its peer, whom a NAT gave another port:
/// it is followed without a nomination, which not every agent repeats. Longer than the 2.5 s between two
/// checks of a libwebrtc that has nothing else to say.
const SILENCE: Duration = Duration::from_secs(3);

/// An authentic binding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The peer wants media here (USE-CANDIDATE).
    pub nominates: bool,
}

/// What an authentic request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) moved: bool,
    pub(crate) nominated: bool,
}

/// For who does not know the session yet: is this a binding request made with these credentials
/// (ours), and does it nominate? A request that claims our role does not.
pub fn authentic(bytes: &[u8], ice: &IceCredentials) -> Option<Check> {
    let request = parse(bytes)?;
    if request.split_username()?.0 != ice.ufrag || !request.verify(ice.pwd.as_bytes(), sha1) {
        return None;
    }
    let nominates = request.use_candidate() && request.ice_controlled().is_none();
    Some(Check { nominates })
}

/// One session's side of ICE.
#[derive(Debug)]
pub(crate) struct Responder {
    /// Oldest first.
    generations: Vec<IceCredentials>,
    /// Index of the newest generation that nominated: older ones are answered, but move nothing.
    current: usize,
    path: Option<Path>,
    /// When something authentic came that way.
    heard: Option<Instant>,
    /// The first authentic check that came by TCP.
    by_tcp: Option<Instant>,
    /// The peer has chosen a way, at least once.
    nominated: bool,
    /// A check of the newest generation has come.
    renewed: bool,
}

impl Responder {
    pub(crate) fn new(ice: IceCredentials) -> Self {
        let generations = vec![ice];
        let (nominated, renewed) = (false, false);
        Self { generations, current: 0, path: None, heard: None, by_tcp: None, nominated, renewed }
    }

    /// New credentials; those that a nomination has made obsolete go.
    pub(crate) fn restart(&mut self, ice: IceCredentials) {
        self.generations.drain(..self.current);
        self.current = 0;
        if self.generations.len() == MAX_GENERATIONS {
            // The first is the one in use.
            self.generations.remove(1);
        }
        self.generations.push(ice);
        self.renewed = false;
    }

    /// The peer has chosen a way (USE-CANDIDATE), at least once: our answers get back to it.
    pub(crate) fn nominated(&self) -> bool {
        self.nominated
    }

    /// The peer has sent an authentic check with the newest credentials.
    pub(crate) fn renewed(&self) -> bool {
        self.renewed
    }

    pub(crate) fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.generations.iter().map(|g| g.ufrag.as_str())
    }

    /// True if this is a check of any generation.
    pub(crate) fn authentic(&self, check: &[u8]) -> bool {
        self.generations.iter().any(|ice| authentic(check, ice).is_some())
    }

    pub(crate) fn path(&self) -> Option<Path> {
        self.path
    }

    /// This connection has ended.
    pub(crate) fn unplugged(&mut self, over: Over) {
        if self.path.is_some_and(|path| path.over == over) {
            (self.path, self.heard) = (None, None);
        }
    }

    /// Answers a request from `path.remote`.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &[u8],
        egress: &mut Egress,
    ) -> Result<Answered, Reject> {
        let request = parse(bytes).ok_or(Reject::Malformed)?;
        let ufrag = request.split_username().ok_or(Reject::Malformed)?.0;
        let of = self.generations.iter().position(|g| g.ufrag == ufrag);
        let of = of.ok_or(Reject::NotAuthentic)?;
        let password = self.generations[of].pwd.as_bytes();
        if !request.verify(password, sha1) {
            return Err(Reject::NotAuthentic);
        }
        // We are always controlled (RFC 8445 section 6.1.1): who claims to be that too is told so.
        let conflict = request.ice_controlled().is_some();
        let answer = if conflict {
            StunMessage::binding_role_conflict_reply(request.trans_id())
        } else {
            StunMessage::binding_reply(request.trans_id(), path.remote)
        };
        let mut buffer = [0; MAX_ANSWER];
        let len =
            answer.to_bytes(Some(password), &mut buffer, sha1).map_err(|_| Reject::Malformed)?;
        egress.push(path, &buffer[..len]);
        if conflict {
            return Ok(Answered { moved: false, nominated: false });
        }
        Ok(self.choose(now, of, path, request.use_candidate()))
    }

    /// The first authentic address will do until one is nominated: DTLS can be done by then.
    fn choose(&mut self, now: Instant, generation: usize, path: Path, nominates: bool) -> Answered {
        self.nominated |= nominates;
        self.renewed |= generation + 1 == self.generations.len();
        let nominated = nominates && generation >= self.current;
        if nominated {
            self.current = generation;
        }
        let begins = self.path.is_none() && self.may_begin(now, path);
        let follows = generation >= self.current && self.is_silent(now);
        let moved = (nominated || begins || follows) && self.path != Some(path);
        if moved {
            self.path = Some(path);
        }
        self.hear(now, path);
        Answered { moved, nominated }
    }

    /// Something authentic came this way.
    pub(crate) fn hear(&mut self, now: Instant, path: Path) {
        if self.path == Some(path) {
            self.heard = Some(now);
        }
    }

    /// There is a path, and nobody on it.
    fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) >= SILENCE)
    }

    /// Whether this way will do without a nomination.
    fn may_begin(&mut self, now: Instant, path: Path) -> bool {
        match path.over {
            Over::Udp => true,
            Over::Tcp(_) => {
                let first = *self.by_tcp.get_or_insert(now);
                now.saturating_duration_since(first) >= UDP_FIRST
            }
        }
    }
}

/// Only what the parser is made for reaches it: a whole binding request of sane length.
fn parse(bytes: &[u8]) -> Option<StunMessage<'_>> {
    if !bytes.starts_with(&[0, 1]) || !(HEADER..=MAX_MESSAGE).contains(&bytes.len()) {
        return None;
    }
    StunMessage::parse(bytes).ok().filter(StunMessage::is_binding_request)
}

pub(crate) fn sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    parts.iter().for_each(|p| context.update(p));
    let mut digest = [0; 20];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}
