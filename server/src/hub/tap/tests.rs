//! From packets to units again, over a media thread of its own.

use bytes::Bytes;
use media::config::avc;
use media::{AccessUnit, Format, MediaTime};
use tokio::time::timeout;

use super::*;
use crate::line::Line;
use crate::net::Socket;
use crate::units::{Item, Reader, Start, Track, layer};

const LIMITS: Limits = Limits { bytes: 1 << 20, time: Duration::from_secs(12) };
const PATIENCE: Duration = Duration::from_secs(10);

fn h264() -> Format {
    let sps = [
        0x67, 0x42, 0xc0, 0x16, 0xda, 2, 0x80, 0xbf, 0xe2, 0x30, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0,
        0x14, 0x0f, 0x16, 0x2e, 0xa0,
    ];
    let pps = [0x68, 0xce, 0x0f, 0xc8];
    let sets = |set: &[u8]| vec![Bytes::copy_from_slice(set)];
    let record = avc::Record::from_sets(sets(&sps), sets(&pps)).unwrap();
    media::config::format(Codec::H264, record.build()).unwrap()
}

fn unit(ms: i64, keyframe: bool) -> AccessUnit {
    let mut nal = vec![if keyframe { 0x65 } else { 0x41 }, 0x88, 0x80];
    nal.resize(3000, ms as u8 | 1);
    let mut data = Vec::new();
    media::nal::append(&mut data, &nal);
    let time = MediaTime::from_millis(ms);
    AccessUnit { dts: time, pts: time, keyframe, data: data.into() }
}

/// Whatever becomes packets becomes units again, from the newest keyframe on, with the times in between.
#[tokio::test]
async fn a_publisher_of_packets_has_units_while_somebody_wants_them() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sockets = vec![Socket::new(socket).unwrap()];
    let (media, mut events) = net::start(sockets, sfu::Config::default()).unwrap();
    let publisher = SessionId::from_random(1 << 96);
    media.send(sfu::Command::Add(Box::new(sfu::Add::local(publisher)))).await.unwrap();
    while events.recv().await.unwrap() != sfu::Event::Connected(publisher) {}

    let mut line = Line::of_source(media.clone(), publisher);
    line.format(VIDEO, EncodingId::MAIN, h264());
    let start = net::now();
    let mut send = |ms: i64| {
        let captured = start + Duration::from_millis(ms as u64);
        assert!(line.unit(VIDEO, &unit(ms, [0, 200].contains(&ms)), captured));
        assert!(line.flush());
    };
    (0..320).step_by(40).for_each(&mut send);
    let bus = start_tap(&media, publisher);
    let mut reader = bus.subscribe(Start::Keyframe, &[VIDEO, AUDIO]);
    let mut seen: Vec<(i64, i64, bool)> = Vec::new();
    for more in [320, 360, 400] {
        send(more);
    }
    while seen.last().is_none_or(|(ms, ..)| *ms < 360) {
        let item = timeout(PATIENCE, reader.next()).await.expect("units come");
        match item.expect("it goes on") {
            Item::Format(_, format) => assert_eq!(format.dimensions, Some((640, 354))),
            Item::Unit(_, got, captured) => {
                let ms = captured.saturating_duration_since(start).as_millis() as i64;
                assert_eq!(got.data, unit(ms, got.keyframe).data);
                seen.push((ms, got.pts.millis(), got.keyframe));
            }
        }
    }
    let (zero, _, first) = seen[0];
    // What has not left its thread's last batch comes with the tap.
    assert!(first && [0, 200].contains(&zero), "{seen:?}");
    assert!(seen.iter().all(|(ms, pts, _)| *pts == ms - zero), "{seen:?}");

    // Nobody wants them any more; whoever comes later gets a tap of their own.
    let weak = bus.downgrade();
    drop((bus, reader));
    send(440);
    assert!(weak.upgrade().is_some(), "not at once");
    let gone = async {
        while !weak.is_gone() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the tap is closed");
    media.stop().await;
}

/// A media thread with one publisher.
async fn home() -> (Media, mpsc::Receiver<sfu::Event>, SessionId) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sockets = vec![Socket::new(socket).unwrap()];
    let (media, mut events) = net::start(sockets, sfu::Config::default()).unwrap();
    let publisher = SessionId::from_random(1 << 96);
    media.send(sfu::Command::Add(Box::new(sfu::Add::local(publisher)))).await.unwrap();
    while events.recv().await.unwrap() != sfu::Event::Connected(publisher) {}
    (media, events, publisher)
}

/// The next picture, and how wide it is.
async fn picture(reader: &mut Reader, width: &mut Option<u16>) -> (i64, bool) {
    loop {
        let item = timeout(PATIENCE, reader.next()).await.expect("units come");
        match item.expect("it goes on") {
            Item::Format(_, format) => *width = format.dimensions.map(|(width, _)| width),
            Item::Unit(_, unit, _) => return (unit.pts.millis(), unit.keyframe),
        }
    }
}

#[tokio::test]
async fn who_cannot_go_on_has_the_publisher_asked_for_a_keyframe() {
    let (media, mut events, publisher) = home().await;
    let mut line = Line::of_source(media.clone(), publisher);
    line.format(VIDEO, EncodingId::MAIN, h264());
    let start = net::now();
    let mut send = |ms: i64| {
        assert!(line.unit(VIDEO, &unit(ms, ms == 0), start + Duration::from_millis(ms as u64)));
        line.flush();
    };
    send(0);
    let bus = start_tap(&media, publisher);
    let (mut reader, mut width) = (bus.subscribe(Start::Keyframe, &[VIDEO]), None);
    send(40);
    assert_eq!(picture(&mut reader, &mut width).await, (0, true));
    reader.await_keyframe();
    let mut ms = 80;
    let asked = async {
        loop {
            tokio::select! {
                event = events.recv() => {
                    if let sfu::Event::KeyframeWanted { encoding, origin, .. } = event.unwrap() {
                        return (encoding, origin);
                    }
                }
                () = sleep(Duration::from_millis(40)) => {
                    send(ms);
                    ms += 40;
                    while reader.read().is_some() {}
                }
            }
        }
    };
    let asked = timeout(PATIENCE, asked).await.expect("somebody asks");
    assert_eq!(asked, (EncodingId::MAIN, Origin::Source));
    media.stop().await;
}

#[tokio::test]
async fn a_better_picture_that_comes_later_is_taken_with_its_keyframe() {
    let (media, _events, publisher) = home().await;
    let mut line = Line::of_source(media.clone(), publisher);
    let small: &[&[u8]] = &[
        b"\x67\x64\x00\x0a\xac\xd9\x44\x7b\x01\x10\x00\x00\x03\x00\x10\x00\x00\x03\x03\x20\xf1\x22\x59\x60",
        b"\x68\xeb\xe3\xcb\x22\xc0",
    ];
    let [sps, pps] = [small[0], small[1]].map(|set| vec![Bytes::copy_from_slice(set)]);
    let record = avc::Record::from_sets(sps, pps).unwrap();
    let small = media::config::format(Codec::H264, record.build()).unwrap();
    let better: Track = (Kind::Video, 1);
    line.format(VIDEO, EncodingId::new("low").unwrap(), small);
    line.format(better, EncodingId::new("high").unwrap(), h264());
    let start = net::now();
    let mut send = |track: Track, ms: i64, keyframe: bool| {
        line.unit(track, &unit(ms, keyframe), start + Duration::from_millis(ms as u64));
        line.flush();
    };
    let bus = start_tap(&media, publisher);
    let (mut reader, mut width) = (bus.subscribe(Start::Keyframe, &[VIDEO]), None);
    send(VIDEO, 0, true);
    send(VIDEO, 40, false);
    assert!(picture(&mut reader, &mut width).await.1);
    assert_eq!(width, Some(64), "there is nothing better yet");
    // Its first keyframes may be past before its size is known.
    let (mut last, mut ms) = (0, 80);
    let first = loop {
        send(VIDEO, ms, false);
        send(better, ms, ms % 160 == 0);
        ms += 40;
        assert!(ms < 20_000, "it stays with what it has");
        let (shown, keyframe) = picture(&mut reader, &mut width).await;
        assert!(shown >= last, "{shown} after {last}");
        last = shown;
        if width == Some(640) {
            break keyframe;
        }
    };
    assert!(first, "it begins with its keyframe");
    media.stop().await;
}

#[tokio::test]
async fn each_encoding_has_its_track_while_somebody_reads_them_one_by_one() {
    let (media, _events, publisher) = home().await;
    let mut line = Line::of_source(media.clone(), publisher);
    let second: Track = (Kind::Video, 1);
    line.format(VIDEO, EncodingId::new("low").unwrap(), h264());
    line.format(second, EncodingId::new("high").unwrap(), h264());
    let start = net::now();
    let mut send = |ms: i64| {
        for track in [VIDEO, second] {
            line.unit(track, &unit(ms, ms % 160 == 0), start + Duration::from_millis(ms as u64));
        }
        line.flush();
    };
    let bus = start_tap(&media, publisher);
    let [one, other] = [layer(0), layer(1)];
    let mut reader = bus.subscribe(Start::Keyframe, &[one, other, VIDEO]);
    let mut seen = std::collections::BTreeMap::new();
    let mut ms = 0;
    while [one, other, VIDEO].iter().any(|track| seen.get(track).is_none_or(|n| *n < 3)) {
        send(ms);
        ms += 40;
        assert!(ms < 20_000, "{seen:?}");
        match timeout(PATIENCE, reader.next()).await.expect("units come").expect("it goes on") {
            Item::Format(..) => {}
            Item::Unit(track, got, _) => {
                let first = !seen.contains_key(&track);
                assert!(!first || got.keyframe, "{track:?} begins with a keyframe");
                *seen.entry(track).or_insert(0) += 1;
            }
        }
    }
    assert_eq!(reader.layers(), 2);
    drop(reader);
    let mut reader = bus.subscribe(Start::Live, &[VIDEO]);
    let mut width = None;
    send(ms);
    ms += 160 - ms % 160;
    send(ms);
    assert!(picture(&mut reader, &mut width).await.1, "the best of them goes on");
    media.stop().await;
}

/// What a bridge makes is not what the publisher sends, and what is gone is nobody's.
#[test]
fn only_what_the_publisher_sends_is_taken() {
    let (writer, _bus) = units::bus(LIMITS);
    let mut tap = Tap::new(writer);
    let info = |id: &str, origin, gone, rank| Info {
        id: EncodingId::new(id).unwrap(),
        kind: Kind::Video,
        origin,
        gone,
        payload: sfu::local::payload(Codec::H264, None).unwrap(),
        generation: 0,
        active: true,
        dimensions: None,
        rank: (rank, 0),
        bitrate_bps: 0,
    };
    let mut chosen = |encodings: &[Info]| {
        tap.encodings = encodings.to_vec();
        tap.choose();
        tap.seats[0].of.map(|of| tap.encodings[of].id.to_string())
    };
    let bridged = info("h264", Origin::Bridge, false, 9);
    assert_eq!(chosen(std::slice::from_ref(&bridged)), None);
    assert_eq!(chosen(&[bridged, info("q", Origin::Source, false, 1)]).as_deref(), Some("q"));
}

fn start_tap(media: &Media, publisher: SessionId) -> Bus {
    start_with(media.clone(), publisher, LIMITS, Duration::from_millis(200))
}
