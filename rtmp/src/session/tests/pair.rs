//! Our client and our session in memory: what is published is what is heard, in any pieces.

use proptest::prelude::*;

use super::*;
use crate::address::Url;
use crate::client::{self, Client, Mode};

const FILES: [&[u8]; 4] = [
    include_bytes!("../../../fixtures/avc_aac.flv"),
    include_bytes!("../../../fixtures/hevc_aac.flv"),
    include_bytes!("../../../fixtures/av1_opus.flv"),
    include_bytes!("../../../fixtures/multitrack.flv"),
];

fn client(mode: Mode, enhanced: bool) -> Client {
    let url = Url::parse("rtmp://127.0.0.1/live/cam?token=t").unwrap();
    let (agent, limits) = ("test".into(), Limits::default());
    let config = client::Config { url, mode, agent, enhanced, chunk_size: 4096, limits };
    Client::new(config, &[5; RANDOM])
}

/// A client and a session with a wire between them.
struct Pair {
    client: Client,
    session: Session,
    now: Instant,
    piece: usize,
    heard: Vec<Event>,
    told: Vec<client::Event>,
}

impl Pair {
    fn new(client: Client, piece: usize) -> Self {
        let session = Session::new(Config::default(), &[6; RANDOM]);
        Self { client, session, now: epoch(), piece, heard: Vec::new(), told: Vec::new() }
    }

    /// Carries bytes until nobody has any; who asks is let in if `accept`.
    fn run(&mut self, accept: bool) {
        loop {
            let up: Vec<u8> = std::iter::from_fn(|| self.client.poll_output()).flatten().collect();
            for part in up.chunks(self.piece) {
                self.session.receive(self.now, part).unwrap();
            }
            while let Some(event) = self.session.poll_event() {
                if matches!(event, Event::Publish { .. } | Event::Play { .. }) {
                    match accept {
                        true => self.session.accept(),
                        false => self.session.refuse(Refusal::Denied, "not you"),
                    }
                }
                self.heard.push(event);
            }
            let down: Vec<u8> =
                std::iter::from_fn(|| self.session.poll_output()).flatten().collect();
            for part in down.chunks(self.piece) {
                self.client.receive(self.now, part).unwrap();
            }
            self.told.extend(std::iter::from_fn(|| self.client.poll_event()));
            if up.is_empty() && down.is_empty() {
                return;
            }
        }
    }
}

/// What a file says, by the same code that reads messages.
fn items(file: &[u8], now: Instant) -> Vec<flv::Item> {
    let mut ingest = flv::Ingest::new();
    let (mut rest, mut items) = (&file[13..], Vec::new());
    while let [kind, l0, l1, l2, t0, t1, t2, t3, _, _, _, body @ ..] = rest {
        let len = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let timestamp = u32::from_be_bytes([*t3, *t0, *t1, *t2]);
        let kind = if *kind == 8 { Kind::Audio } else { Kind::Video };
        if rest[0] != 18 {
            ingest.message(now, kind, timestamp, Bytes::copy_from_slice(&body[..len]), &mut items);
        }
        rest = &body[len + 4..];
    }
    items
}

/// What of an item both sides must agree on; times are from the first unit on.
#[derive(Debug, PartialEq)]
enum Gist {
    Format(flv::Track, Codec),
    Unit { track: flv::Track, dts: i64, pts: i64, keyframe: bool, data: Bytes },
}

fn gist(items: impl Iterator<Item = flv::Item>) -> Vec<Gist> {
    let (mut first, mut all) = (None, Vec::new());
    for item in items {
        match item {
            flv::Item::Track { track, format } => all.push(Gist::Format(track, format.codec)),
            flv::Item::Unit { track, unit } => {
                let first = *first.get_or_insert(unit.dts);
                let time = |time: MediaTime| time.since(first).millis();
                let AccessUnit { dts, pts, keyframe, data } = unit;
                all.push(Gist::Unit { track, dts: time(dts), pts: time(pts), keyframe, data });
            }
            _ => {}
        }
    }
    all
}

#[test]
fn what_is_published_is_heard() {
    for (file, piece) in FILES.into_iter().zip([1, 100, 1400, usize::MAX]) {
        let mut pair = Pair::new(client(Mode::Publish, true), piece);
        pair.run(true);
        assert_eq!(pair.told, [client::Event::Ready]);
        let sent = items(file, pair.now);
        let mut frames = 0;
        for item in &sent {
            match item {
                flv::Item::Track { track, format } => {
                    pair.client.send_format(track.id, format).unwrap()
                }
                flv::Item::Unit { track, unit } => {
                    assert!(pair.client.send_unit(*track, unit));
                    frames += 1;
                }
                _ => {}
            }
        }
        let metadata = Metadata { framerate: Some(25.0), ..Metadata::default() };
        pair.client.send_metadata(&metadata, &[Codec::H264]);
        pair.client.end();
        pair.run(true);
        assert!(frames > 10);
        let heard = std::mem::take(&mut pair.heard);
        assert!(matches!(&heard[0], Event::Publish { query, .. } if query == "token=t"));
        assert!(heard.contains(&Event::Metadata(metadata)));
        assert_eq!(heard.last(), Some(&Event::Ended { reason: Reason::Finished }));
        let again = heard.into_iter().filter_map(|event| match event {
            Event::Track { track, format } => Some(flv::Item::Track { track, format }),
            Event::Unit { track, unit } => Some(flv::Item::Unit { track, unit }),
            _ => None,
        });
        assert_eq!(gist(again), gist(sent.into_iter()));
    }
}

#[test]
fn what_is_played_is_heard() {
    for (file, piece) in FILES.into_iter().zip([100, 1, usize::MAX, 1400]) {
        let mut pair = Pair::new(client(Mode::Play, true), piece);
        pair.run(true);
        assert_eq!(pair.told.remove(0), client::Event::Ready);
        let sent = items(file, pair.now);
        for item in &sent {
            match item {
                flv::Item::Track { track, format } => {
                    pair.session.send_format(track.id, format).unwrap()
                }
                flv::Item::Unit { track, unit } => assert!(pair.session.send_unit(*track, unit)),
                _ => {}
            }
        }
        pair.session.end("over");
        pair.run(true);
        assert_eq!(pair.told.pop(), Some(client::Event::Ended));
        let heard = pair.told.iter().filter_map(|event| match event {
            client::Event::Media(item) => Some(item.clone()),
            _ => None,
        });
        assert_eq!(gist(heard), gist(sent.into_iter()));
    }
}

#[test]
fn a_client_hears_why_it_is_not_let_in() {
    for mode in [Mode::Publish, Mode::Play] {
        let mut pair = Pair::new(client(mode, false), usize::MAX);
        pair.run(false);
        let [client::Event::Refused { code, description }] = &pair.told[..] else { panic!() };
        let (publish, play) = ("NetStream.Publish.Denied", "NetStream.Play.Failed");
        assert_eq!(code, if mode == Mode::Publish { publish } else { play });
        assert_eq!(description, "not you");
        assert_eq!(pair.client.phase(), client::Phase::Ended);
    }
    let mut pair = Pair::new(client(Mode::Publish, false), usize::MAX);
    pair.session =
        Session::new(Config { apps: vec!["other".into()], ..Config::default() }, &[6; RANDOM]);
    pair.run(true);
    let [client::Event::Refused { code, .. }] = &pair.told[..] else { panic!() };
    assert_eq!(code, "NetConnection.Connect.Rejected");
}

#[test]
fn a_player_that_cannot_take_a_codec_is_not_sent_it() {
    let mut pair = Pair::new(client(Mode::Play, false), usize::MAX);
    pair.run(true);
    let sent = items(FILES[1], pair.now);
    for item in &sent {
        match item {
            flv::Item::Track { track, format } => {
                let told = pair.session.send_format(track.id, format);
                assert_eq!(told.is_ok(), format.codec == Codec::Aac);
            }
            flv::Item::Unit { track, unit } => {
                assert_eq!(pair.session.send_unit(*track, unit), track.kind == Kind::Audio);
            }
            _ => {}
        }
    }
    pair.run(true);
    assert_eq!(pair.session.phase(), Phase::Playing);
}

proptest! {
    /// A server of any bytes does a client no harm.
    #[test]
    fn any_server(bytes in prop::collection::vec(any::<u8>(), 0..6000), size in 1usize..2000, publish: bool) {
        let mut client = client(if publish { Mode::Publish } else { Mode::Play }, true);
        let now = epoch();
        for part in [&[3u8][..], &bytes].concat().chunks(size) {
            let _ = client.receive(now, part);
            while client.poll_event().is_some() {}
        }
    }
}
