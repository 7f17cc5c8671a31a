//! Lost datagrams of the handshake, and peers that say nothing.

use super::*;

/// One step of SplitMix64.
pub(super) fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn each_datagram_may_be_lost_once() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        for identity in [&*ECDSA, &*RSA] {
            let fingerprint = identity.fingerprint();
            let setup = Setup { identity, fingerprint, role, ..Setup::default() };
            let total = Rig::connected(&setup).sent;
            assert!(total >= 4, "{total} datagrams are no handshake");
            for lost in 0..total {
                let mut rig = Rig::new(&setup);
                rig.lose = Box::new(move |n| n == lost);
                rig.start();
                let start = rig.now;
                assert!(rig.run(Duration::from_secs(2)), "{role:?} without {lost} of {total}");
                let took = rig.now - start;
                assert!(took <= Duration::from_millis(600), "{role:?} {lost}: {took:?}");
                assert!(rig.sent > total, "nothing was said again");
            }
        }
    }
}

#[test]
fn a_bad_network_only_takes_longer() {
    for seed in 0..30 {
        for role in [DtlsRole::Server, DtlsRole::Client] {
            let mut rig = Rig::new(&Setup { role, mtu: 400, ..Setup::default() });
            let mut state = seed;
            rig.lose = Box::new(move |_| random(&mut state) % 100 < 30);
            rig.start();
            assert!(rig.run(Duration::from_secs(20)), "seed {seed} {role:?}: {:?}", rig.events);
        }
    }
}

/// The same but for the sequence numbers of its records, all in the clear.
fn without_numbers(datagram: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (datagram.to_vec(), 0);
    while at < out.len() {
        out[at + 5..at + 11].fill(0);
        at += 13 + usize::from(u16::from_be_bytes([out[at + 11], out[at + 12]]));
    }
    out
}

/// Our flight goes out again after 100, 200, 400 ms and so on, as new records, and not for ever.
#[test]
fn a_silent_peer_hears_our_flight_nine_times() {
    let mut rig = Rig::new(&Setup::default());
    rig.lose = Box::new(|n| n > 0);
    rig.start();
    rig.client.flight.clear();
    let first: Vec<Vec<u8>> = rig.said.drain(..).filter(|d| d[0] == 22).collect();
    assert!(!first.is_empty());
    let start = rig.now;
    let mut at = Vec::new();
    while let Some(due) = rig.transport.deadline() {
        rig.now = due;
        rig.transport.handle_timeout(due, &mut rig.egress);
        let again = rig.drain();
        if !again.is_empty() {
            let plain =
                |all: &[Vec<u8>]| -> Vec<_> { all.iter().map(|d| without_numbers(d)).collect() };
            assert_eq!(plain(&again), plain(&first));
            assert_ne!(again, first, "a replay");
            at.push((due - start).as_millis());
        }
    }
    assert_eq!(at, [100, 300, 700, 1500, 3100, 6300, 12_700, 25_500]);
    let event = rig.transport.poll_event();
    assert_eq!(event, Some(Event::Failed(Failure::Timeout)));
}

#[test]
fn a_client_hello_is_repeated_every_100_ms_until_somebody_listens() {
    let mut rig = Rig::new(&Setup { role: DtlsRole::Client, ..Setup::default() });
    assert_eq!(rig.transport.deadline(), None, "before the peer is there");
    rig.lose = Box::new(|n| n < 30);
    rig.start();
    let start = rig.now;
    assert!(rig.run(Duration::from_secs(10)));
    let took = rig.now - start;
    assert_eq!(took, Duration::from_secs(3), "30 lost, the next is heard");

    let mut rig = Rig::new(&Setup { role: DtlsRole::Client, ..Setup::default() });
    rig.lose = Box::new(|_| true);
    rig.start();
    assert!(!rig.run(Duration::from_secs(60)));
    assert_eq!(rig.events, [Event::Failed(Failure::Timeout)]);
    assert!(rig.sent <= 151, "{} hellos", rig.sent);
}

#[test]
fn a_timer_that_is_early_says_nothing() {
    let mut rig = Rig::new(&Setup::default());
    rig.lose = Box::new(|n| n > 0);
    rig.start();
    rig.said.clear();
    rig.transport.handle_timeout(rig.now, &mut rig.egress);
    rig.transport.handle_timeout(rig.now + Duration::from_millis(99), &mut rig.egress);
    assert!(rig.drain().is_empty());
}
