//! A whole RTMP connection: handshake, chunks, AMF, commands and tags of any bytes, in any pieces, to a server's
//! session and to a client. Nothing panics, what waits is bounded, and pieces do not matter.
//! Input: a byte of mode, one of the pieces' size, then what comes after the handshake (mode 0: with it).
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use rtmp::client::{self, Client, Mode};
use rtmp::session::{Config, Refusal};
use rtmp::{Event, Phase, RANDOM, Session, Url};

/// Above what a session lets wait, by what one piece can make it answer.
const MAX_QUEUED: usize = 3 << 20;

fuzz_target!(|data: &[u8]| {
    let [mode, size, rest @ ..] = data else { return };
    let size = usize::from(*size) * 8 + 1;
    match mode % 8 {
        0 => same(rest, size),
        1 | 2 => {
            client(&greeted(rest), size, if *mode % 2 == 0 { Mode::Publish } else { Mode::Play })
        }
        _ => same(&greeted(rest), size),
    }
});

/// Pieces do not matter, as long as nobody asks: what comes before the answer depends on when that comes.
fn same(bytes: &[u8], size: usize) {
    let (one, events) = session(bytes, size);
    let (other, others) = session(bytes, usize::MAX);
    assert_eq!(events == 0, others == 0);
    if events == 0 {
        assert_eq!((one.phase(), one.drops()), (other.phase(), other.drops()));
    }
}

/// Behind a handshake.
fn greeted(rest: &[u8]) -> Vec<u8> {
    let mut all = vec![3];
    all.resize(1 + 2 * 1536, 0);
    all.extend_from_slice(rest);
    all
}

/// Who asks is let in, unless its name begins with an `x`. How many events there were.
fn session(bytes: &[u8], size: usize) -> (Session, usize) {
    let now = Instant::now();
    let mut session = Session::new(Config::default(), &[0; RANDOM]);
    let mut events = 0;
    for piece in bytes.chunks(size) {
        let result = session.receive(now, piece);
        while let Some(event) = session.poll_event() {
            events += 1;
            match event {
                Event::Publish { name, .. } | Event::Play { name, .. } if name.starts_with('x') => {
                    session.refuse(Refusal::BadName, "no");
                }
                Event::Publish { .. } | Event::Play { .. } => session.accept(),
                _ => {}
            }
        }
        assert!(session.queued() < MAX_QUEUED);
        if result.is_err() {
            assert_eq!(session.phase(), Phase::Ended);
        }
    }
    (session, events)
}

fn client(bytes: &[u8], size: usize, mode: Mode) {
    let now = Instant::now();
    let url = Url::parse("rtmp://localhost/live/cam").expect("a good one");
    let limits = rtmp::chunk::Limits::default();
    let agent = "fuzz".into();
    let config = client::Config { url, mode, agent, enhanced: true, chunk_size: 128, limits };
    let mut client = Client::new(config, &[0; RANDOM]);
    for piece in bytes.chunks(size) {
        let _ = client.receive(now, piece);
        while client.poll_event().is_some() {}
        assert!(client.queued() < MAX_QUEUED);
    }
}
