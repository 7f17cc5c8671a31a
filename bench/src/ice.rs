//! The controlling side of ICE (RFC 8445) for one socket and one server, full or lite, and consent
//! (RFC 7675). Checks every candidate, nominates the first that answers, answers the checks of a
//! server that checks back.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use is::stun::{StunMessage, TransId};

/// Between two checks while nothing has answered.
const PACE: u64 = 50_000;
/// Between two checks with USE-CANDIDATE until one is answered.
const NOMINATE: u64 = 100_000;
/// As Chromium asks on a path that works.
const CONSENT: u64 = 5_000_000;
/// RFC 7675 section 5.1.
const CONSENT_LOST: u64 = 30_000_000;
/// Candidates beyond these are not tried.
const MAX_CANDIDATES: usize = 16;
/// Room for one message of ours.
const MESSAGE: usize = 256;

/// User fragment and password of one side.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// `a=ice-ufrag`
    pub ufrag: String,
    /// `a=ice-pwd`
    pub pwd: String,
}

/// What a message was.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// Nothing new.
    Nothing,
    /// The first answer came: this is the way to send on.
    Selected(SocketAddr),
}

/// ICE of one session.
pub struct Ice {
    local: Credentials,
    remote: Credentials,
    /// Theirs and ours, as the checks carry it.
    username: String,
    candidates: Vec<SocketAddr>,
    next: usize,
    due: u64,
    /// The last checks that nobody has answered.
    asked: [Option<(TransId, SocketAddr, bool)>; 8],
    asked_next: usize,
    selected: Option<SocketAddr>,
    nominated: bool,
    answered: u64,
}

impl Ice {
    /// `candidates` are the server's, the best first.
    pub fn new(
        local: Credentials,
        remote: Credentials,
        candidates: &[SocketAddr],
        now: u64,
    ) -> Self {
        Self {
            username: format!("{}:{}", remote.ufrag, local.ufrag),
            local,
            remote,
            candidates: candidates.iter().copied().take(MAX_CANDIDATES).collect(),
            next: 0,
            due: now,
            asked: [None; 8],
            asked_next: 0,
            selected: None,
            nominated: false,
            answered: now,
        }
    }

    /// When [`Ice::tick`] wants to be called.
    pub fn due(&self) -> u64 {
        self.due
    }

    /// True if the server has not answered for so long that nothing may be sent any more.
    pub fn lost(&self, now: u64) -> bool {
        now.saturating_sub(self.answered) > CONSENT_LOST
    }

    /// Sends the check that is due, by `send`.
    pub fn tick(&mut self, now: u64, mut send: impl FnMut(SocketAddr, &[u8])) {
        if now < self.due || self.candidates.is_empty() {
            return;
        }
        let (to, every) = match self.selected {
            Some(way) => (way, if self.nominated { CONSENT } else { NOMINATE }),
            None => {
                self.next = (self.next + 1) % self.candidates.len();
                (self.candidates[self.next], PACE)
            }
        };
        self.due = now + every;
        self.check(to, &mut send);
    }

    fn check(&mut self, to: SocketAddr, send: &mut impl FnMut(SocketAddr, &[u8])) {
        let id = TransId::new();
        let nominate = self.selected.is_some();
        let priority = (110 << 24) | (65_535 << 8) | 255;
        let request = StunMessage::binding_request(
            &self.username,
            id,
            true,
            0x0077_6569_7200,
            priority,
            nominate,
        );
        let mut bytes = [0; MESSAGE];
        if let Ok(length) =
            request.to_bytes(Some(self.remote.pwd.as_bytes()), &mut bytes, hmac_sha1)
        {
            self.asked[self.asked_next % 8] = Some((id, to, nominate));
            self.asked_next += 1;
            send(to, &bytes[..length]);
        }
    }

    /// Takes a STUN message from `from`.
    pub fn receive(
        &mut self,
        now: u64,
        from: SocketAddr,
        bytes: &[u8],
        mut send: impl FnMut(SocketAddr, &[u8]),
    ) -> Got {
        let Ok(message) = StunMessage::parse(bytes) else { return Got::Nothing };
        if message.is_binding_request() {
            self.answer(from, &message, &mut send);
        } else if message.is_successful_binding_response() {
            return self.answered(now, &message, &mut send);
        }
        Got::Nothing
    }

    /// A server that is no ICE-lite one checks us, too.
    fn answer(
        &mut self,
        from: SocketAddr,
        message: &StunMessage<'_>,
        send: &mut impl FnMut(SocketAddr, &[u8]),
    ) {
        if !message.verify(self.local.pwd.as_bytes(), hmac_sha1) {
            return;
        }
        let mut bytes = [0; MESSAGE];
        let reply = StunMessage::binding_reply(message.trans_id(), from);
        if let Ok(length) = reply.to_bytes(Some(self.local.pwd.as_bytes()), &mut bytes, hmac_sha1) {
            send(from, &bytes[..length]);
        }
        if self.selected.is_none()
            && !self.candidates.contains(&from)
            && self.candidates.len() < MAX_CANDIDATES
        {
            self.candidates.push(from);
        }
    }

    fn answered(
        &mut self,
        now: u64,
        message: &StunMessage<'_>,
        send: &mut impl FnMut(SocketAddr, &[u8]),
    ) -> Got {
        let id = message.trans_id();
        let Some(slot) = self.asked.iter_mut().find(|a| a.is_some_and(|(i, _, _)| i == id)) else {
            return Got::Nothing;
        };
        let Some((_, to, nominated)) = slot.take() else { return Got::Nothing };
        if !message.verify(self.remote.pwd.as_bytes(), hmac_sha1) {
            return Got::Nothing;
        }
        self.answered = now;
        if nominated && !self.nominated {
            self.nominated = true;
            self.due = now + CONSENT;
        }
        if self.selected.is_some() {
            return Got::Nothing;
        }
        self.selected = Some(to);
        self.due = now + NOMINATE;
        self.check(to, send);
        Got::Selected(to)
    }
}

fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    parts.iter().for_each(|part| context.update(part));
    let mut tag = [0; 20];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &str) -> Credentials {
        Credentials { ufrag: name.into(), pwd: format!("{name}-password-of-22-or-more") }
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_candidate_that_answers_is_nominated_and_asked_for_consent() {
        let mut ice = Ice::new(side("us"), side("them"), &[at(1), at(2)], 0);
        let mut sent = Vec::new();
        ice.tick(0, |to, bytes| sent.push((to, bytes.to_vec())));
        ice.tick(1, |_, _| panic!("not due"));
        ice.tick(PACE, |to, bytes| sent.push((to, bytes.to_vec())));
        assert_eq!(sent.iter().map(|s| s.0.port()).collect::<Vec<_>>(), [2, 1]);

        let asked = StunMessage::parse(&sent[0].1).unwrap();
        assert_eq!(asked.split_username(), Some(("them", "us")));
        assert!(!asked.use_candidate() && asked.verify(side("them").pwd.as_bytes(), hmac_sha1));
        let reply = |id, pwd: &str| {
            let mut bytes = vec![0; 256];
            let reply = StunMessage::binding_reply(id, at(9));
            let n = reply.to_bytes(Some(pwd.as_bytes()), &mut bytes, hmac_sha1).unwrap();
            bytes.truncate(n);
            bytes
        };
        let good = reply(asked.trans_id(), &side("them").pwd);
        let mut nomination = Vec::new();
        let got = ice.receive(PACE, at(2), &good, |to, b| nomination.push((to, b.to_vec())));
        assert_eq!(got, Got::Selected(at(2)));
        let nominating = StunMessage::parse(&nomination[0].1).unwrap();
        assert!(nominating.use_candidate());

        let forged = reply(nominating.trans_id(), "somebody else's password");
        ice.receive(PACE, at(2), &forged, |_, _| {});
        assert_eq!(ice.due(), PACE + NOMINATE);
        let mut again = Vec::new();
        ice.tick(PACE + NOMINATE, |_, b| again.extend_from_slice(b));
        let again = StunMessage::parse(&again).unwrap().trans_id();
        ice.receive(1_000_000, at(2), &reply(again, &side("them").pwd), |_, _| {});
        assert_eq!(ice.due(), 1_000_000 + CONSENT);
        assert!(!ice.lost(1_000_000 + CONSENT_LOST) && ice.lost(1_000_001 + CONSENT_LOST));
    }

    #[test]
    fn checks_of_the_server_are_answered_if_they_know_the_password() {
        let mut ice = Ice::new(side("us"), side("them"), &[], 0);
        for (pwd, answers) in [(side("us").pwd, 1), ("no".into(), 0)] {
            let mut bytes = [0; 256];
            let check = StunMessage::binding_request("us:them", TransId::new(), false, 1, 1, false);
            let n = check.to_bytes(Some(pwd.as_bytes()), &mut bytes, hmac_sha1).unwrap();
            let mut sent = 0;
            ice.receive(0, at(3), &bytes[..n], |_, _| sent += 1);
            assert_eq!(sent, answers);
        }
        let mut checked = None;
        ice.tick(0, |to, _| checked = Some(to));
        assert_eq!(checked, Some(at(3)), "whoever checks us is checked back");
    }
}
