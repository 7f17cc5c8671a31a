//! What publishers send is seen, by the API and by players, also over a change of publishers.

use ::media::{Codec, Kind};
use rtmp::client::Event;
use rtmp::flv;
use tokio::io::AsyncWriteExt as _;

use super::studio::{Peer, Studio, aac, h264, picture, sound};

/// Two seconds' worth of a publisher, from there on: a keyframe every 200 ms.
async fn play_out(peer: &mut Peer, ms: std::ops::Range<i64>) {
    for ms in ms.step_by(40) {
        peer.at(ms as u64).await;
        peer.send(picture(ms, ms, ms % 200 == 0)).await;
        peer.send(sound(ms)).await;
    }
}

#[tokio::test]
async fn what_is_published_is_in_the_api_and_ends_with_its_goodbye() {
    let studio = Studio::new("").await;
    let mut peer = studio.publish("live/demo").await.ready().await;
    peer.formats(&[h264(), aac()]).await;
    play_out(&mut peer, 0..1200).await;
    let stream = studio.stream("demo", |s| s.tracks.len() == 2 && s.state.name() == "live").await;
    let json = serde_json::to_value(&stream).unwrap();
    assert_eq!(json["publisher"]["protocol"], "rtmp");
    assert_eq!(json["publisher"]["user_agent"], "test/1");
    assert_eq!(json["tracks"][0]["codec"], "h264");
    let encoding = &json["tracks"][0]["encodings"][0];
    assert_eq!((&encoding["id"], &encoding["origin"]), (&"main".into(), &"source".into()));
    assert_eq!((&encoding["width"], &encoding["b_frames"]), (&640.into(), &false.into()));
    assert_eq!(encoding["keyframe_interval_ms"], 200);
    assert_eq!(json["tracks"][1]["codec"], "aac");
    assert_eq!(json["tracks"][1]["sample_rate"], 48_000);
    assert_eq!(json["warnings"][0]["code"], "no_worker", "{json}");
    let id = json["publisher"]["session"].as_str().unwrap();
    let file = studio.hub.session(u32::from_str_radix(id, 16).unwrap()).await.unwrap();
    let status = file.status();
    assert_eq!((status.state, status.protocol, status.tracks.len()), ("live", "rtmp", 2));
    let logs: Vec<String> = file.logs().entries.into_iter().map(|e| e.text).collect();
    assert!(logs.iter().any(|text| text.contains("h264, 640x354")), "{logs:?}");
    let codes: Vec<String> =
        file.health(super::studio::now()).problems.into_iter().map(|p| p.code).collect();
    assert_eq!(codes, ["no_worker"], "as the stream's warnings say");
    peer.client.end();
    peer.flush().await;
    studio.closed("goodbye").await;
    let gone = stream::Name::new("demo").unwrap();
    while studio.hub.stream(&gone).await.is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_codec_that_is_not_carried_is_told_to_everybody() {
    let studio = Studio::new("").await;
    let mut peer = studio.publish("live/demo").await.ready().await;
    peer.formats(&[h264()]).await;
    peer.send(picture(0, 0, true)).await;
    // A message of sound, in MP3, on the stream that was made first.
    let head = [8, 0, 0, 0, 0, 0, 5, 8, 1, 0, 0, 0];
    let body = [0x2f, 0xff, 0xfb, 0x90, 0];
    peer.socket.write_all(&[&head[..], &body].concat()).await.unwrap();
    let stream = studio.stream("demo", |s| !s.warnings.is_empty()).await;
    let told = |all: &[crate::status::Warning]| {
        assert_eq!(all[0].code, "codec_refused", "{all:?}");
        assert!(all[0].text.contains("MP3 audio is not carried: set the audio encoder to AAC"));
    };
    told(&stream.warnings);
    let id = u32::from_str_radix(&stream.publisher.unwrap().session, 16).unwrap();
    let file = studio.hub.session(id).await.unwrap();
    told(&file.health(super::studio::now()).problems);
    assert!(file.logs().entries.iter().any(|e| e.code == "codec_refused"));
    // What is carried mends it.
    peer.formats(&[aac()]).await;
    peer.send(sound(40)).await;
    let mended = |s: &crate::status::Stream| s.warnings.iter().all(|w| w.code != "codec_refused");
    studio.stream("demo", mended).await;
}

#[tokio::test]
async fn b_frames_are_told_from_a_constant_delay() {
    let studio = Studio::new("").await;
    let mut late = studio.publish("live/late").await.ready().await;
    late.formats(&[h264()]).await;
    let mut orders = studio.publish("live/orders").await.ready().await;
    orders.formats(&[h264()]).await;
    for (n, shown) in [0, 3, 1, 2, 6, 4, 5].into_iter().enumerate() {
        let dts = n as i64 * 40;
        late.send(picture(dts, dts + 80, n == 0)).await;
        orders.send(picture(dts, 80 + shown * 40, n == 0)).await;
    }
    let b_frames = |stream: &crate::status::Stream| {
        let json = serde_json::to_value(stream).unwrap();
        json["tracks"][0]["encodings"][0]["b_frames"].clone()
    };
    let all = |n: u64| {
        move |stream: &crate::status::Stream| {
            let json = serde_json::to_value(stream).unwrap();
            json["tracks"][0]["encodings"][0]["packets"] == n
        }
    };
    assert_eq!(b_frames(&studio.stream("late", all(7)).await), false);
    let stream = studio.stream("orders", all(7)).await;
    assert_eq!(b_frames(&stream), true);
    let codes: Vec<&str> = stream.warnings.iter().map(|w| w.code.as_str()).collect();
    assert!(codes.contains(&"b_frames"), "{codes:?}");
}

#[tokio::test]
async fn a_player_waits_and_goes_on_with_whoever_publishes() {
    let studio = Studio::new("").await;
    let mut player = studio.play("live/demo").await.ready().await;
    studio.stream("demo", |s| s.viewers.rtmp == 1 && s.state.name() == "idle").await;

    let mut first = studio.publish("live/demo").await.ready().await;
    first.formats(&[h264(), aac()]).await;
    play_out(&mut first, 0..400).await;
    let mut seen = Seen::default();
    seen.read(&mut player, 12).await;
    assert_eq!(seen.codecs, [Codec::H264, Codec::Aac]);
    assert!(seen.first_is_keyframe);

    // Another one takes over; the first hears of it.
    let mut second = studio.publish("live/demo").await.ready().await;
    second.formats(&[h264(), aac()]).await;
    play_out(&mut second, 0..400).await;
    assert_eq!(first.next().await, Event::Ended);
    seen.read(&mut player, 12).await;
    assert!(seen.forward, "{:?}", seen.times);
    let stream = studio.stream("demo", |s| s.state.name() == "live").await;
    assert_eq!((stream.viewers.rtmp, stream.viewers.whep), (1, 0));
    let viewers = studio.hub.viewers(&stream::Name::new("demo").unwrap()).await.unwrap();
    assert_eq!((viewers[0].protocol, viewers[0].state), ("rtmp", "playing"));
    assert_eq!(studio.hub.totals().await.rtmp_players, 1);

    player.client.end();
    player.flush().await;
    studio.stream("demo", |s| s.viewers.rtmp == 0).await;
}

/// What a player got.
#[derive(Default)]
struct Seen {
    codecs: Vec<Codec>,
    first_is_keyframe: bool,
    times: Vec<i64>,
    forward: bool,
}

impl Seen {
    /// So many more pictures.
    async fn read(&mut self, player: &mut Peer, pictures: usize) {
        let wanted = self.times.len() + pictures.min(8);
        self.forward = true;
        while self.times.len() < wanted {
            match player.next().await {
                Event::Media(flv::Item::Track { format, .. })
                    if !self.codecs.contains(&format.codec) =>
                {
                    self.codecs.push(format.codec);
                }
                Event::Media(flv::Item::Unit { track, unit }) if track.kind == Kind::Video => {
                    let time = unit.dts.millis();
                    if self.times.is_empty() {
                        self.first_is_keyframe = unit.keyframe;
                    }
                    self.forward &= self.times.last().is_none_or(|last| time > *last);
                    self.times.push(time);
                }
                _ => {}
            }
        }
    }
}
