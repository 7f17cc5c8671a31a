//! ICE: where media goes, what is answered, and what a restart changes.

use super::*;
use crate::path::Over;

/// What came out of one datagram from port `port`.
struct Got {
    taken: Result<(bool, bool), Reject>,
    /// The answer: parsed by a library that is not ours, integrity and fingerprint checked.
    answer: Option<(Option<SocketAddr>, Option<u16>)>,
}

struct Peer {
    transport: Transport,
    egress: Egress,
}

fn from(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 9], port))
}

impl Peer {
    fn new() -> Self {
        let context = Context::new(&SERVER).expect("a context");
        let agreement = agreement(ECDSA.fingerprint(), DtlsRole::Server);
        let transport = Transport::new(&context, &agreement, epoch()).expect("a transport");
        Self { transport, egress: Egress::default() }
    }

    fn give(&mut self, source: SocketAddr, bytes: &[u8], password: &str) -> Got {
        let mut bytes = bytes.to_vec();
        let id = bytes.get(8..20).map(<[u8]>::to_vec);
        let taken = self.transport.receive(
            epoch(),
            Path::udp(local(), source),
            &mut bytes,
            &mut self.egress,
        );
        let taken = taken.map(|t| match t {
            Taken::Stun { moved, nominated } => (moved, nominated),
            other => panic!("{other:?}"),
        });
        let mut out = Collect::default();
        self.egress.drain(&mut out);
        assert!(out.0.len() <= 1);
        let answer = out.0.pop().map(|(ours, theirs, bytes)| {
            assert_eq!((ours, theirs), (local(), source));
            assert_eq!(Some(&bytes[8..20]), id.as_deref(), "the transaction");
            let fingerprint = bytes.len() - 8;
            assert_eq!(bytes[fingerprint..][..4], [0x80, 0x28, 0, 4], "FINGERPRINT is last");
            let crc = crc32(&bytes[..fingerprint]) ^ 0x5354_554e;
            assert_eq!(bytes[fingerprint + 4..], crc.to_be_bytes());
            let answer = StunMessage::parse(&bytes).expect("well formed");
            assert!(answer.verify(password.as_bytes(), ice::sha1), "integrity of the answer");
            (answer.mapped_address(), answer.error_code().map(|(code, _)| code))
        });
        Got { taken, answer }
    }

    /// A check under these credentials, from that port.
    fn check(&mut self, ice: &IceCredentials, port: u16, nominates: bool) -> (bool, bool) {
        let got = self.give(from(port), &check(ice, true, nominates), &ice.pwd);
        assert_eq!(got.answer, Some((Some(from(port)), None)));
        got.taken.expect("authentic")
    }

    fn port(&self) -> Option<u16> {
        self.transport.path().map(|p| p.remote.port())
    }
}

/// CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), |c, _| step(c)))
}

#[test]
fn the_first_address_will_do_until_one_is_nominated() {
    let (mut peer, ours) = (Peer::new(), credentials("ours"));
    assert_eq!(peer.port(), None);
    assert_eq!(peer.check(&ours, 1, false), (true, false));
    assert_eq!(peer.check(&ours, 2, false), (false, false));
    assert_eq!(peer.port(), Some(1));
    assert_eq!(peer.check(&ours, 2, true), (true, true));
    assert_eq!(peer.check(&ours, 2, true), (false, true));
    assert_eq!(peer.check(&ours, 1, false), (false, false));
    assert_eq!(peer.port(), Some(2));
    assert_eq!(peer.check(&ours, 3, true), (true, true));
    assert_eq!(peer.port(), Some(3));
}

#[test]
fn both_families_are_told_their_address() {
    for source in ["192.0.2.77:1", "[2001:db8::7]:65535"] {
        let source: SocketAddr = source.parse().expect("an address");
        let (mut peer, ours) = (Peer::new(), credentials("ours"));
        let got = peer.give(source, &check(&ours, true, true), &ours.pwd);
        assert_eq!(got.answer, Some((Some(source), None)));
    }
}

#[test]
fn another_local_address_is_another_path() {
    let (mut peer, ours) = (Peer::new(), credentials("ours"));
    peer.check(&ours, 1, true);
    let path = Path::udp(SocketAddr::from(([10, 9, 9, 9], 8080)), from(1));
    let mut bytes = check(&ours, true, true);
    let taken = peer.transport.receive(epoch(), path, &mut bytes, &mut peer.egress);
    assert_eq!(taken, Ok(Taken::Stun { moved: true, nominated: true }));
    assert_eq!(peer.transport.path(), Some(path));
}

/// Whoever has UDP shall not play by TCP because a connection was quicker than a datagram.
#[test]
fn tcp_is_taken_by_nomination_or_when_nothing_comes_by_udp() {
    let ours = credentials("ours");
    let tcp = Path { over: Over::Tcp(7), ..Path::udp(local(), from(1)) };
    let taken = |peer: &mut Peer, after: u64, path, nominates| {
        let now = epoch() + Duration::from_millis(after);
        let mut bytes = check(&ours, true, nominates);
        let taken = peer.transport.receive(now, path, &mut bytes, &mut peer.egress);
        assert!(matches!(taken, Ok(Taken::Stun { .. })), "{taken:?}");
        peer.transport.path()
    };
    let (mut peer, udp) = (Peer::new(), Path::udp(local(), from(1)));
    assert_eq!(taken(&mut peer, 0, tcp, false), None, "it is answered, and no more");
    assert_eq!(taken(&mut peer, 499, tcp, false), None);
    assert_eq!(taken(&mut peer, 499, udp, false), Some(udp));
    assert_eq!(taken(&mut peer, 900, tcp, false), Some(udp));
    assert_eq!(taken(&mut peer, 900, tcp, true), Some(tcp));
    let mut blocked = Peer::new();
    assert_eq!(taken(&mut blocked, 0, tcp, false), None);
    assert_eq!(taken(&mut blocked, 500, tcp, false), Some(tcp));
    assert_eq!(taken(&mut Peer::new(), 0, tcp, true), Some(tcp));
}

#[test]
fn who_claims_our_role_gets_487_and_moves_nothing() {
    let (mut peer, ours) = (Peer::new(), credentials("ours"));
    let got = peer.give(from(1), &check(&ours, false, true), &ours.pwd);
    assert_eq!(got.taken, Ok((false, false)));
    assert_eq!(got.answer, Some((None, Some(487))));
    assert_eq!(peer.port(), None);
    let claimed = ice::authentic(&check(&ours, false, true), &ours);
    assert_eq!(claimed, Some(ice::Check { nominates: false }));
}

#[test]
fn without_right_integrity_there_is_no_answer_and_no_change() {
    let (mut peer, ours) = (Peer::new(), credentials("ours"));
    let forger = IceCredentials { pwd: "not-the-password-of-ours".into(), ..ours.clone() };
    let other = credentials("other");
    let response = StunMessage::binding_reply(TransId::new(), from(1)).to_bytes(
        None,
        &mut [0; 200],
        ice::sha1,
    );
    assert!(response.is_ok());
    let mut without = check(&ours, true, true);
    let at = without.len() - 32;
    // The last two attributes, integrity and fingerprint, cut off.
    without.truncate(at);
    without[3] -= 32;
    for bad in [check(&forger, true, true), check(&other, true, true), without] {
        let got = peer.give(from(1), &bad, &ours.pwd);
        assert!(got.taken.is_err() && got.answer.is_none());
        assert_eq!(peer.port(), None);
        assert_eq!(ice::authentic(&bad, &ours), None);
    }
    let good = check(&ours, true, true);
    for bit in 0..(good.len() - 8) * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(ice::authentic(&bad, &ours), None, "bit {bit}");
        let mut answered = Egress::default();
        let _ =
            peer.transport.receive(epoch(), Path::udp(local(), from(1)), &mut bad, &mut answered);
        let mut out = Collect::default();
        answered.drain(&mut out);
        assert!(out.0.is_empty() && peer.port().is_none(), "bit {bit}");
    }
    assert_eq!(ice::authentic(&good, &ours), Some(ice::Check { nominates: true }));
    let quiet = check(&ours, true, false);
    assert_eq!(ice::authentic(&quiet, &ours), Some(ice::Check { nominates: false }));
}

/// What Chromium does: new ports, old user name, and never the new one.
#[test]
fn an_old_generation_may_move_the_path_until_a_newer_one_has() {
    let (mut peer, old, new) = (Peer::new(), credentials("ours"), credentials("next"));
    peer.check(&old, 1, true);
    peer.transport.restart(new.clone());
    assert_eq!(peer.transport.ufrags().collect::<Vec<_>>(), ["ours", "next"]);
    assert_eq!(peer.check(&old, 2, true), (true, true));
    assert_eq!(peer.check(&new, 3, false), (false, false), "a new one waits for its nomination");
    assert_eq!(peer.port(), Some(2));
    assert_eq!(peer.check(&new, 3, true), (true, true));
    assert_eq!(peer.check(&old, 2, true), (false, false), "answered, but the past is past");
    assert_eq!(peer.port(), Some(3));
    assert_eq!(peer.transport.ufrags().count(), 2, "no user name goes by itself");
    peer.transport.restart(credentials("more"));
    assert_eq!(peer.transport.ufrags().collect::<Vec<_>>(), ["next", "more"]);
    let got = peer.give(from(2), &check(&old, true, true), &old.pwd);
    assert_eq!(got.taken, Err(Reject::NotAuthentic));
}

#[test]
fn restarts_without_end_keep_the_one_in_use_and_the_newest() {
    let (mut peer, ours) = (Peer::new(), credentials("ours"));
    peer.check(&ours, 1, true);
    for n in 0..1000 {
        peer.transport.restart(credentials(&format!("n{n}")));
        assert!(peer.transport.ufrags().count() <= 4);
    }
    assert_eq!(peer.transport.ufrags().collect::<Vec<_>>(), ["ours", "n997", "n998", "n999"]);
    assert_eq!(peer.check(&ours, 2, true), (true, true));
    assert_eq!(peer.check(&credentials("n999"), 3, true), (true, true));
}

/// A NAT has given the peer another port, and its agent nominates once only.
#[test]
fn a_path_that_has_fallen_silent_is_left_for_one_that_is_checked() {
    const STEP: Duration = Duration::from_millis(500);
    let (old, new) = (credentials("ours"), credentials("next"));
    let checked = |peer: &mut Peer, steps: u32, ice: &IceCredentials, port| {
        let mut bytes = check(ice, true, false);
        let path = Path::udp(local(), from(port));
        let taken =
            peer.transport.receive(epoch() + STEP * steps, path, &mut bytes, &mut peer.egress);
        assert!(matches!(taken, Ok(Taken::Stun { .. })), "{taken:?}");
        peer.port()
    };
    let mut peer = Peer::new();
    peer.check(&old, 1, true);
    assert_eq!(checked(&mut peer, 5, &old, 2), Some(1), "libwebrtc may be silent for 2.5 s");
    assert_eq!(checked(&mut peer, 6, &old, 2), Some(2), "nothing came by the first for 3 s");
    for steps in 7..20 {
        assert_eq!(checked(&mut peer, steps, &old, 2), Some(2));
        assert_eq!(checked(&mut peer, steps, &old, 3), Some(2), "the path is not silent");
    }
    // Neither does a restart that was given up move anything while the path lives.
    peer.transport.restart(new.clone());
    assert_eq!(checked(&mut peer, 20, &old, 2), Some(2));
    assert_eq!(checked(&mut peer, 21, &new, 4), Some(2));
    assert_eq!(checked(&mut peer, 26, &new, 4), Some(4));
    // Once the new ones have nominated, old ones move nothing, however silent it is.
    let mut bytes = check(&new, true, true);
    let path = Path::udp(local(), from(4));
    let taken = peer.transport.receive(epoch() + STEP * 27, path, &mut bytes, &mut peer.egress);
    assert_eq!(taken, Ok(Taken::Stun { moved: false, nominated: true }));
    assert_eq!(checked(&mut peer, 90, &old, 5), Some(4));
    assert_eq!(checked(&mut peer, 90, &new, 5), Some(5));
}

#[test]
fn feedback_keeps_a_path_as_checks_do() {
    let mut rig = Rig::connected(&Setup::default());
    let start = rig.now;
    let (mut sealer, _) = rig.media();
    for _ in 0..10 {
        rig.now += Duration::from_secs(1);
        let feedback = report(&mut sealer);
        rig.give(&feedback).expect("authentic");
    }
    let before = rig.transport.path();
    let mut other = |now| {
        let mut bytes = check(&credentials("ours"), true, false);
        let path = Path::udp(local(), from(77));
        rig.transport.receive(now, path, &mut bytes, &mut rig.egress).expect("authentic");
        rig.transport.path()
    };
    assert_eq!(other(start + Duration::from_secs(12)), before);
    assert_ne!(other(start + Duration::from_secs(13)), before);
}

#[test]
fn media_and_the_goodbye_follow_the_path() {
    let mut rig = Rig::connected(&Setup::default());
    let mut bytes = check(&credentials("ours"), true, true);
    let taken =
        rig.transport.receive(rig.now, Path::udp(local(), from(77)), &mut bytes, &mut rig.egress);
    assert_eq!(taken, Ok(Taken::Stun { moved: true, nominated: true }));
    rig.drain();
    rig.transport.seal_rtcp(&REPORT, &mut rig.egress);
    rig.transport.close(&mut rig.egress);
    let mut out = Collect::default();
    rig.egress.drain(&mut out);
    let to: Vec<_> = out.0.iter().map(|(ours, theirs, _)| (*ours, *theirs)).collect();
    assert_eq!(to, [(local(), from(77)); 2]);
}
