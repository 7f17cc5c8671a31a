//! Datagrams of a stranger, and of a client that knows its session's user name: demultiplexing,
//! STUN, DTLS, RTP and RTCP up to the point where keys are needed.
#![no_main]

use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use sfu::{Add, Certificate, Command, Config, Directory, Link, Path, Peer, SendRun, Shard, Sink};
use signaling::{Agreement, DtlsRole, IceCredentials, SessionId};

static CERTIFICATE: LazyLock<(Certificate, Instant)> = LazyLock::new(|| {
    let now = Instant::now();
    (Certificate::generate(now).expect("randomness"), now)
});

fn shard(now: Instant) -> Shard {
    let credentials = |who: &str| IceCredentials {
        ufrag: who.into(),
        pwd: format!("{who}-password-of-22-chars"),
    };
    let agreement = Agreement {
        local_ice: credentials("ours"),
        remote_ice: credentials("they"),
        remote_fingerprint: CERTIFICATE.0.fingerprint().clone(),
        dtls: DtlsRole::Server,
        bundle: Vec::new(),
        media: Vec::new(),
    };
    let link = Link::Publisher(Box::new(Peer::new(&agreement, &CERTIFICATE.0, now)));
    let mut shard = Shard::new(Config::default(), 0, Directory::default(), now);
    let session = SessionId::from_random(1);
    shard.command(now, Command::Add(Box::new(Add { session, agreement, link })));
    shard
}

/// Every run lies in its buffer and is of some size.
struct Check;

impl Sink for Check {
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
        for run in runs {
            assert!(run.segments() > 0 && bytes.get(run.range.clone()).is_some());
        }
    }
}

// The input is a row of datagrams, each behind one byte of length.
fuzz_target!(|data: &[u8]| {
    let mut now = CERTIFICATE.1;
    let mut shard = shard(now);
    let [remote, local] = [([10, 0, 0, 2], 9), ([10, 0, 0, 1], 8)].map(SocketAddr::from);
    let path = Path::udp(local, remote);
    let mut rest = data;
    while let Some((length, tail)) = rest.split_first() {
        let (datagram, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        shard.receive(now, path, &mut datagram.to_vec());
        shard.flush(now, &mut Check);
        while shard.poll_event().is_some() {}
        while shard.poll_message().is_some() {}
        now += Duration::from_millis(20);
        shard.handle_timeout(now, &mut Check);
        rest = tail;
    }
});
