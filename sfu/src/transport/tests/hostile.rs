//! Bytes that nobody should send: no panic, no unbounded memory, and a session that lives on.

use super::loss::random;
use super::*;

/// Every datagram of a handshake, from the client.
fn of_the_client() -> Vec<Vec<u8>> {
    let mut rig = Rig::new(&Setup::default());
    rig.give(&check(&credentials("ours"), true, false)).expect("authentic");
    let mut all = vec![check(&credentials("ours"), true, true)];
    let mut to_us = rig.client.step(rig.now, None);
    while !to_us.is_empty() {
        for datagram in std::mem::take(&mut to_us) {
            let _ = rig.give(&datagram);
            all.push(datagram);
        }
        for datagram in rig.drain() {
            if datagram[0] >= 20 {
                to_us.extend(rig.client.step(rig.now, Some(&datagram)));
            }
        }
    }
    all.push(report(&mut rig.media().0));
    all.push(rig.client.goodbye());
    all
}

/// A session that waits, one in its handshake, one that is up.
fn stages() -> [Rig; 3] {
    let fresh = Rig::new(&Setup::default());
    let mut half = Rig::new(&Setup::default());
    half.lose = Box::new(|n| n > 0);
    half.start();
    [fresh, half, Rig::connected(&Setup::default())]
}

#[test]
fn cut_and_flipped_datagrams_do_no_harm() {
    let all = of_the_client();
    assert!(all.len() >= 5);
    let mut seed = 1;
    for mut rig in stages() {
        for datagram in &all {
            for end in 0..datagram.len() {
                let _ = rig.give(&datagram[..end]);
            }
            for _ in 0..500 {
                let mut bad = datagram.clone();
                for _ in 0..=random(&mut seed) % 3 {
                    let at = random(&mut seed) as usize % bad.len();
                    bad[at] ^= 1 << (random(&mut seed) % 8);
                }
                let _ = rig.give(&bad);
            }
            rig.now += Duration::from_secs(1);
            rig.transport.handle_timeout(rig.now, &mut rig.egress);
            rig.egress.drain(&mut Collect::default());
        }
    }
}

#[test]
fn noise_does_no_harm() {
    let mut seed = 2;
    for mut rig in stages() {
        let up = rig.transport.is_up();
        for first in 0..=255 {
            for len in [1, 2, 3, 12, 13, 14, 20, 25, 26, 40, 300, 2049, 65_000] {
                let mut bytes: Vec<u8> = (0..len).map(|_| random(&mut seed) as u8).collect();
                bytes[0] = first;
                let _ = rig.give(&bytes);
                if let [_, second, ..] = &mut bytes[..] {
                    *second = 254;
                    let _ = rig.give(&bytes);
                }
            }
        }
        assert_eq!(rig.give(&[]), Err(Reject::Malformed));
        assert_eq!(rig.transport.is_up(), up, "noise ended or made a session");
    }
}

fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 1];
    out.extend((body.len() as u16).to_be_bytes());
    out.extend(body);
    out
}

#[test]
fn what_would_make_libssl_hold_much_does_not_reach_it() {
    let message = |len: usize| {
        let len = (len as u32).to_be_bytes();
        let mut body = vec![11, len[1], len[2], len[3], 0, 5, 0, 0, 0, 0, 0, 4];
        body.extend([1; 4]);
        body
    };
    let mut rig = Rig::new(&Setup::default());
    rig.give(&check(&credentials("ours"), true, false)).expect("authentic");
    assert_eq!(rig.give(&record(22, 0, &message(100_000))), Err(Reject::Dtls));
    assert_eq!(rig.give(&record(22, 0, &message(8_193))), Err(Reject::Dtls));
    assert_eq!(rig.give(&record(23, 1, &[0; 40])), Err(Reject::Dtls), "application data");
    assert_eq!(rig.give(&record(22, 2, &[0; 40])), Err(Reject::Dtls), "a later epoch");
    assert_eq!(rig.give(&record(24, 0, &[0; 40])), Err(Reject::Dtls), "heartbeat");
    assert_eq!(rig.give(&record(22, 0, &[0; 3000])), Err(Reject::Dtls), "too long");
    let early: Vec<bool> = (0..40).map(|_| rig.give(&record(22, 1, &[0; 40])).is_ok()).collect();
    assert_eq!(early.iter().filter(|ok| **ok).count(), 16, "records before their keys");
    assert!(rig.events.is_empty());
}

/// A peer that speaks no DTLS of ours cannot make us speak without end.
#[test]
fn a_handshake_that_goes_in_circles_costs_little() {
    let mut rig = Rig::new(&Setup::default());
    rig.give(&check(&credentials("ours"), true, false)).expect("authentic");
    let hello = rig.client.step(rig.now, None);
    rig.drain();
    rig.said.clear();
    for _ in 0..1000 {
        let _ = rig.give(&hello[0]);
        rig.drain();
    }
    let bytes: usize = rig.said.iter().map(Vec::len).sum();
    assert!(bytes < 4000, "{bytes} bytes for repeated hellos");
}
