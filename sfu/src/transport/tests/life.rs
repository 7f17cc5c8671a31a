//! From the first check to the goodbye: profiles, certificates, roles, failures, the end.

use super::*;

/// Media and feedback go both ways, and are sealed with what both chose.
fn talk(rig: &mut Rig) {
    let (mut sealer, opener) = rig.media();
    assert_eq!(rig.transport.overhead(), sealer.profile().rtp_overhead());
    let mut packet = vec![0x80, 96, 0, 7, 0, 0, 0, 1, 9, 9, 9, 9, 1, 2, 3, 4];
    let plain = packet.clone();
    packet.resize(plain.len() + rig.transport.overhead(), 0);
    rig.transport.seal_rtp(&mut packet, 12, 0x3_0007);
    assert_eq!(opener.open_rtp(&mut packet, 12, 0x3_0007), Some(16));
    assert_eq!(packet[..16], plain);

    rig.transport.seal_rtcp(&REPORT, &mut rig.egress);
    let sealed = rig.drain().pop().expect("a report");
    let mut opener = opener;
    assert_eq!(opener.open_rtcp(&mut sealed.clone()), Ok(&REPORT[..]));

    let feedback = report(&mut sealer);
    assert_eq!(rig.give(&feedback), Ok(format!("{:?}", Taken::Rtcp(&REPORT))));
    assert_eq!(rig.give(&feedback), Err(Reject::Replayed));
    let mut stranger = report(&mut sealer);
    stranger[9] ^= 1;
    assert_eq!(rig.give(&stranger), Err(Reject::NotAuthentic));
    let profile = sealer.profile();
    assert_eq!(rig.events, [Event::Connected { profile }, Event::Ready]);
    assert_eq!(rig.give(&packet), Ok(format!("{:?}", Taken::Ignored)), "RTP of a viewer");
}

#[test]
fn both_certificates_both_roles_every_profile() {
    for identity in [&*ECDSA, &*RSA] {
        for role in [DtlsRole::Server, DtlsRole::Client] {
            for profile in Profile::ALL {
                let setup = Setup {
                    identity,
                    fingerprint: identity.fingerprint(),
                    role,
                    client: &[profile],
                    ..Setup::default()
                };
                let mut rig = Rig::connected(&setup);
                assert_eq!(rig.client.profile(), Some(profile));
                talk(&mut rig);
            }
        }
    }
}

#[test]
fn of_all_profiles_gcm_128_is_taken_whatever_the_client_prefers() {
    let mut client = Profile::ALL;
    client.reverse();
    let rig = Rig::connected(&Setup { client: &client, ..Setup::default() });
    assert_eq!(rig.client.profile(), Some(Profile::Aes128Gcm));
}

#[test]
fn a_client_hello_may_come_in_pieces() {
    let setup =
        Setup { identity: &RSA, fingerprint: RSA.fingerprint(), mtu: 256, ..Setup::default() };
    let mut rig = Rig::new(&setup);
    rig.give(&check(&credentials("ours"), true, false)).expect("authentic");
    let hello = rig.client.step(rig.now, None);
    assert!(hello.len() >= 2, "one piece");
    rig.carry(hello);
    assert!(rig.run(Duration::from_secs(1)));
    talk(&mut rig);
}

#[test]
fn a_wrong_certificate_gets_nothing_more() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let setup = Setup { fingerprint: RSA.fingerprint(), role, ..Setup::default() };
        let mut rig = Rig::new(&setup);
        rig.start();
        rig.run(Duration::from_secs(2));
        assert_eq!(rig.events, [Event::Failed(Failure::Fingerprint)]);
        assert!(!rig.transport.is_up());
        assert!(role == DtlsRole::Client || !rig.client.up, "our last flight never left");
        rig.said.clear();
        for datagram in rig.client.flight.clone() {
            assert_eq!(rig.give(&datagram), Ok(format!("{:?}", Taken::Ignored)));
        }
        let again = rig.give(&check(&credentials("ours"), true, true));
        assert_eq!(again, Ok(format!("{:?}", Taken::Ignored)));
        rig.transport.seal_rtcp(&REPORT, &mut rig.egress);
        rig.transport.close(&mut rig.egress);
        rig.drain();
        assert!(rig.said.is_empty(), "it is answered");
        assert_eq!(rig.transport.deadline(), None);
    }
}

#[test]
fn no_profile_in_common_is_said() {
    for client in [&[][..], &[Profile::Aes128CmSha1]] {
        let server = &[Profile::Aes128Gcm];
        let mut rig = Rig::new(&Setup { client, server, ..Setup::default() });
        rig.start();
        rig.run(Duration::from_secs(2));
        assert_eq!(rig.events, [Event::Failed(Failure::NoProfile)]);
    }
}

#[test]
fn a_fingerprint_of_another_kind_is_refused_at_once() {
    let context = Context::new(&SERVER).expect("a context");
    for (algorithm, len) in [("sha-1", 20), ("sha-256", 31), ("sha-512", 64)] {
        let fingerprint = Fingerprint { algorithm: algorithm.into(), digest: vec![0; len] };
        let made = Transport::new(&context, &agreement(fingerprint, DtlsRole::Server), epoch());
        assert!(matches!(made, Err(Error::Fingerprint)), "{algorithm}");
    }
}

#[test]
fn a_repeated_last_flight_is_answered_until_the_first_report() {
    for identity in [&*ECDSA, &*RSA] {
        let setup = Setup { identity, fingerprint: identity.fingerprint(), ..Setup::default() };
        let mut rig = Rig::connected(&setup);
        let flight = rig.client.flight.clone();
        let ours = rig.said.last().cloned().expect("our last flight");
        assert!(ours.len() < 100, "{} bytes", ours.len());
        for _ in 0..3 {
            rig.give(flight.last().expect("the client's last flight")).expect("DTLS");
            assert_eq!(rig.drain(), std::slice::from_ref(&ours));
        }
        for _ in 0..1000 {
            rig.give(&flight[0]).expect("DTLS");
        }
        assert!(
            rig.drain().len() <= usize::from(dtls::LAST_FLIGHT_REPEATS),
            "it can be had for ever"
        );

        let mut rig = Rig::connected(&setup);
        let flight = rig.client.flight.clone();
        let feedback = report(&mut rig.media().0);
        rig.give(&feedback).expect("authentic");
        for datagram in flight {
            rig.give(&datagram).expect("DTLS");
        }
        assert!(rig.drain().is_empty(), "nobody needs it any more");
    }
}

#[test]
fn our_goodbye_is_understood_once() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut rig = Rig::connected(&Setup { role, ..Setup::default() });
        rig.transport.close(&mut rig.egress);
        let goodbye = rig.drain();
        assert_eq!(goodbye.len(), 1);
        rig.client.step(rig.now, Some(&goodbye[0]));
        assert!(rig.client.closed);
        assert!(!rig.transport.is_up());
        rig.transport.close(&mut rig.egress);
        assert!(rig.drain().is_empty());
    }
}

#[test]
fn the_peers_goodbye_is_understood_though_libssl_is_gone() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut rig = Rig::connected(&Setup { role, ..Setup::default() });
        rig.events.clear();
        let goodbye = rig.client.goodbye();
        for bit in 0..goodbye.len() * 8 {
            let mut forged = goodbye.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let _ = rig.give(&forged);
        }
        for end in 0..goodbye.len() {
            let _ = rig.give(&goodbye[..end]);
        }
        // As anybody can send it.
        rig.give(&[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0]).expect("DTLS");
        assert_eq!(rig.events, [], "a forged goodbye");
        assert_eq!(rig.give(&goodbye), Ok(format!("{:?}", Taken::Dtls)));
        assert_eq!(rig.events, [Event::Closed]);
        assert!(!rig.transport.is_up());
    }
}

#[test]
fn a_goodbye_during_the_handshake_ends_it() {
    let mut rig = Rig::new(&Setup::default());
    rig.give(&check(&credentials("ours"), true, false)).expect("authentic");
    let hello = rig.client.step(rig.now, None);
    rig.give(&hello[0]).expect("DTLS");
    // close_notify, in the clear as long as there are no keys.
    rig.give(&[21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 1, 0]).expect("DTLS");
    assert_eq!(rig.events, [Event::Closed]);
    assert_eq!(rig.transport.deadline(), None);
}

#[test]
fn nothing_leaves_without_keys() {
    let mut rig = Rig::new(&Setup::default());
    rig.give(&check(&credentials("ours"), true, true)).expect("authentic");
    rig.drain();
    assert_eq!(rig.transport.overhead(), 0);
    let mut packet = [7; 40];
    rig.transport.seal_rtp(&mut packet, 12, 1);
    assert_eq!(packet, [0; 40]);
    rig.transport.seal_rtcp(&REPORT, &mut rig.egress);
    rig.transport.close(&mut rig.egress);
    assert!(rig.drain().is_empty());
}

#[test]
fn a_session_is_small_and_can_change_threads() {
    fn is_send<T: Send>() {}
    is_send::<Transport>();
    is_send::<Context>();
    let size = size_of::<Transport>();
    assert!(size <= 512, "{size} bytes");
}
