//! A viewer's transport and a peer that says anything: before its handshake, in the midst of it, and
//! with keys. The peer knows its ICE password and its SRTCP keys, so that bytes of its choice get
//! past both. The first byte picks the stage, then come datagrams: what is done with the bytes,
//! their length, the bytes.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use libfuzzer_sys::fuzz_target;
use sfu::transport::{Context, Taken, Transport};
use sfu::{Certificate, Egress, Path, SendRun, Sink};
use signaling::{Agreement, DtlsRole, IceCredentials};

struct Shared {
    context: Context,
    certificate: Certificate,
    start: Instant,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let start = Instant::now();
    let certificate = Certificate::generate(start).expect("randomness");
    Shared { context: Context::new(&certificate).expect("a context"), certificate, start }
});

fn ice() -> IceCredentials {
    IceCredentials { ufrag: "ours".into(), pwd: "a-password-of-22-chars".into() }
}

fn transport(dtls: DtlsRole) -> Transport {
    let agreement = Agreement {
        local_ice: ice(),
        remote_ice: ice(),
        remote_fingerprint: SHARED.certificate.fingerprint().clone(),
        dtls,
        bundle: Vec::new(),
        media: Vec::new(),
    };
    Transport::new(&SHARED.context, &agreement, SHARED.start).expect("sha-256")
}

/// A binding request with these attributes besides those that it must have, and right integrity.
fn request(attributes: &[u8]) -> Vec<u8> {
    let mut out = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    out.extend([7; 12]);
    out.extend(b"\x00\x06\x00\x09ours:they\x00\x00\x00\x00\x24\x00\x04\x00\x00\x00\x01");
    out.extend(&attributes[..attributes.len() & !3]);
    let length = (out.len() - 20 + 24) as u16;
    out[2..4].copy_from_slice(&length.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, ice().pwd.as_bytes());
    let digest = hmac::sign(&key, &out);
    out.extend([0, 8, 0, 20]);
    out.extend(digest.as_ref());
    out
}

#[derive(Default)]
struct Collect(Vec<Vec<u8>>);

impl Sink for Collect {
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
        for run in runs {
            self.0.extend(bytes[run.range.clone()].chunks(run.segment_size).map(<[u8]>::to_vec));
        }
    }
}

struct End {
    transport: Transport,
    egress: Egress,
    address: SocketAddr,
}

impl End {
    fn new(dtls: DtlsRole, port: u16) -> Self {
        let address = SocketAddr::from(([10, 0, 0, 1], port));
        Self { transport: transport(dtls), egress: Egress::default(), address }
    }

    fn give(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let len = bytes.len();
        let path = Path::udp(self.address, source);
        let taken = self.transport.receive(now, path, &mut bytes, &mut self.egress);
        if let Ok(Taken::Rtcp(compound)) = taken {
            assert!(compound.len() >= 8 && compound.len() < len);
        }
    }

    fn said(&mut self) -> Vec<Vec<u8>> {
        while self.transport.poll_event().is_some() {}
        let mut out = Collect::default();
        self.egress.drain(&mut out);
        out.0
    }
}

/// The viewer's transport and its peer's, as far as `stage` says.
fn session(stage: u8) -> (End, End) {
    let now = SHARED.start;
    let (mut ours, mut theirs) = (End::new(DtlsRole::Server, 1), End::new(DtlsRole::Client, 2));
    theirs.give(now, ours.address, &request(&[]));
    ours.give(now, theirs.address, &request(&[]));
    ours.said();
    for round in 0..2 * (stage % 3) {
        let (from, to) =
            if round % 2 == 0 { (&mut theirs, &mut ours) } else { (&mut ours, &mut theirs) };
        let source = from.address;
        for datagram in from.said().iter().filter(|d| d[0] >= 20) {
            to.give(now, source, datagram);
        }
    }
    assert_eq!(ours.transport.is_up(), stage % 3 == 2);
    (ours, theirs)
}

fuzz_target!(|data: &[u8]| {
    let Some((stage, mut rest)) = data.split_first() else { return };
    let (mut ours, mut theirs) = session(*stage);
    let mut now = SHARED.start;
    let mut restarts = 0;
    while let [act, length, tail @ ..] = rest {
        let (bytes, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        rest = tail;
        let source = theirs.address;
        match act % 5 {
            0 => ours.give(now, source, bytes),
            1 => ours.give(now, source, &request(bytes)),
            2 => {
                theirs.transport.seal_rtcp(bytes, &mut theirs.egress);
                let sealed = theirs.said();
                sealed.iter().for_each(|d| ours.give(now, source, d));
            }
            3 => {
                restarts += 1;
                ours.transport.restart(IceCredentials { ufrag: format!("n{restarts}"), ..ice() });
                assert!(ours.transport.ufrags().count() <= 4);
            }
            _ => {
                now += Duration::from_millis(u64::from(*length) * 10);
                ours.transport.handle_timeout(now, &mut ours.egress);
                ours.transport.seal_rtcp(bytes, &mut ours.egress);
            }
        }
        ours.said();
    }
    ours.transport.close(&mut ours.egress);
    assert!(!ours.transport.is_up());
});
