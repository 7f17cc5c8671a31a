//! ICE in front of str0m: checks are answered by the agent that viewers have too, which knows restarts
//! and follows a peer that moves, and str0m is given a peer that does neither.
//!
//! str0m's own agent knows one set of names for ever, sends nothing but STUN before a nomination, which
//! browsers put off for up to a second, and gives up a pair that was not checked for 15 s. So for each
//! authentic check it gets one that is made here: nominating, under names and between two addresses that mean
//! nothing. What it answers to that is thrown away, and nothing of STUN comes to it from outside.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Instant;

use is::stun::{StunMessage, TransId};
use signaling::IceCredentials;
use str0m::IceCreds;

use crate::egress::Egress;
use crate::path::{Over, Path};
use crate::transport::Reject;
use crate::transport::ice::{Responder, sha1};

/// Where str0m believes to be, and its peer (RFC 5737: nobody's).
pub(super) const OURS: SocketAddr = at(1);
/// See [`OURS`].
pub(super) const THEIRS: SocketAddr = at(2);
/// Of a host candidate; there is no other one to be compared with.
const PRIORITY: u32 = 126 << 24 | 0xff_ffff;
const MAX_CHECK: usize = 256;
const LOCAL: &str = "front";
const REMOTE: &str = "peer";
const USER: &str = "front:peer";
const PASSWORD: &str = "nobody-outside-asks-for-it";

const fn at(host: u8) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, host), 9))
}

/// What str0m and its peer are called.
pub(super) fn credentials() -> (IceCreds, IceCreds) {
    let named = |name: &str| IceCreds { ufrag: name.to_owned(), pass: PASSWORD.to_owned() };
    (named(LOCAL), named(REMOTE))
}

/// See the top of the file.
#[derive(Debug)]
pub(super) struct Front {
    ice: Responder,
}

impl Front {
    pub(super) fn new(ice: IceCredentials) -> Self {
        Self { ice: Responder::new(ice) }
    }

    /// Answers a check, and says what str0m gets for it; nothing while there is no way to the peer.
    pub(super) fn check(
        &mut self,
        now: Instant,
        path: Path,
        bytes: &[u8],
        egress: &mut Egress,
    ) -> Result<Option<Vec<u8>>, Reject> {
        self.ice.receive(now, path, bytes, egress)?;
        if self.ice.path().is_none() {
            return Ok(None);
        }
        let real = StunMessage::parse(bytes).map_err(|_| Reject::Malformed)?;
        made(real.trans_id()).map(Some).ok_or(Reject::Malformed)
    }

    /// Something else that is authentic came this way.
    pub(super) fn hear(&mut self, now: Instant, path: Path) {
        self.ice.hear(now, path);
    }

    /// Where everything goes that is no answer to a check.
    pub(super) fn path(&self) -> Option<Path> {
        self.ice.path()
    }

    /// This connection has ended.
    pub(super) fn unplugged(&mut self, over: Over) {
        self.ice.unplugged(over);
    }

    pub(super) fn restart(&mut self, ice: IceCredentials) {
        self.ice.restart(ice);
    }

    /// See [`Responder::nominated`] and [`Responder::renewed`].
    pub(super) fn standing(&self) -> (bool, bool) {
        (self.ice.nominated(), self.ice.renewed())
    }

    pub(super) fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.ufrags()
    }

    pub(super) fn authentic(&self, check: &[u8]) -> bool {
        self.ice.authentic(check)
    }
}

fn made(transaction: TransId) -> Option<Vec<u8>> {
    let check = StunMessage::binding_request(USER, transaction, true, 1, PRIORITY, true);
    let mut buffer = [0; MAX_CHECK];
    let length = check.to_bytes(Some(PASSWORD.as_bytes()), &mut buffer, sha1).ok()?;
    Some(buffer.get(..length)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{SendRun, Sink};
    use crate::test::epoch;

    #[derive(Default)]
    struct Count(usize);

    impl Sink for Count {
        fn send(&mut self, _: &[u8], runs: &[SendRun]) {
            self.0 += runs.iter().map(SendRun::segments).sum::<usize>();
        }
    }

    fn check(user: &str, password: &str) -> Vec<u8> {
        let request = StunMessage::binding_request(user, TransId::new(), true, 7, 1, false);
        let mut bytes = vec![0; 256];
        let length = request.to_bytes(Some(password.as_bytes()), &mut bytes, sha1);
        bytes.truncate(length.expect("it fits"));
        bytes
    }

    fn named(name: &str) -> IceCredentials {
        IceCredentials { ufrag: name.into(), pwd: format!("{name}-password-of-22-chars") }
    }

    #[test]
    fn whatever_the_generation_str0m_gets_a_nominating_check_of_the_one_it_knows() {
        let (ours, next) = (named("ours"), named("next"));
        let mut front = Front::new(ours.clone());
        front.restart(next.clone());
        let (mut egress, mut count) = (Egress::default(), Count::default());
        for (port, ice, peer) in [(1, &ours, "they"), (2, &next, "x")] {
            let path = Path::udp(OURS, SocketAddr::from(([198, 51, 100, 1], port)));
            let real = check(&format!("{}:{peer}", ice.ufrag), &ice.pwd);
            let made = front.check(epoch(), path, &real, &mut egress).expect("authentic");
            let made = made.expect("the first address will do");
            let made = StunMessage::parse(&made).expect("well formed");
            let (local, remote) = credentials();
            assert_eq!(made.split_username(), Some((&*local.ufrag, &*remote.ufrag)));
            assert!(made.use_candidate() && made.verify(local.pass.as_bytes(), sha1));
        }
        assert_eq!(front.path().map(|path| path.remote.port()), Some(1));
        let path = Path::udp(OURS, THEIRS);
        for forged in [check("ours:they", "not-the-password-of-ours"), check(USER, PASSWORD)] {
            assert_eq!(front.check(epoch(), path, &forged, &mut egress), Err(Reject::NotAuthentic));
        }
        egress.drain(&mut count);
        assert_eq!(count.0, 2, "each authentic check has one answer");
    }
}
