//! The commands of each program in its order, and what each waits for before it goes on.

use super::*;

fn text(call: &Call, key: &str) -> String {
    call.values[1].get(key).and_then(Value::text).unwrap_or_default().to_owned()
}

#[test]
fn obs_publishes_and_leaves() {
    let mut obs = Script::new(Config { apps: vec!["live".into()], ..Config::default() });
    obs.writer.set_chunk_size(4096, &mut obs.out);
    let object = Value::object([
        ("app", "live".into()),
        ("type", "nonprivate".into()),
        ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)".into()),
        ("swfUrl", "rtmp://127.0.0.1/live".into()),
        ("tcUrl", "rtmp://127.0.0.1/live".into()),
    ]);
    obs.call(0, "connect", 1.0, &[object]).unwrap();
    let kinds: Vec<u8> = obs.said.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, [kind::WINDOW, kind::BANDWIDTH, kind::COMMAND], "and a chunk size");
    let [(0, result)] = &obs.calls()[..] else { panic!() };
    assert_eq!((&*result.name, result.transaction), ("_result", 1.0));
    assert_eq!(text(result, "code"), "NetConnection.Connect.Success");
    assert_eq!(result.values[0].get("capsEx"), None, "OBS did not ask");
    assert_eq!(obs.session.phase(), Phase::Idle);
    assert_eq!(obs.session.peer().agent, "FMLE/3.0 (compatible; FMSc/1.0)");

    let key = Value::from("cam?token=t");
    obs.call(0, "releaseStream", 2.0, &[Value::Null, key.clone()]).unwrap();
    obs.call(0, "FCPublish", 3.0, &[Value::Null, key.clone()]).unwrap();
    obs.call(0, "createStream", 4.0, &[Value::Null]).unwrap();
    let answers = obs.calls();
    let names: Vec<_> = answers.iter().map(|(_, c)| (&*c.name, c.transaction)).collect();
    assert_eq!(names, [("_result", 2.0), ("onFCPublish", 0.0), ("_result", 3.0), ("_result", 4.0)]);
    assert_eq!(answers[3].1.values, [Value::Null, 1.0.into()]);

    obs.write(
        4,
        kind::COMMAND,
        0,
        1,
        &command::write("publish", 5.0, &[Value::Null, key.clone(), "live".into()]),
    );
    obs.flush().unwrap();
    assert_eq!(obs.session.phase(), Phase::Waiting);
    let (app, name, query) = ("live".to_owned(), "cam".to_owned(), "token=t".to_owned());
    assert_eq!(obs.events(), [Event::Publish { app, name, query }]);
    assert!(obs.said.is_empty(), "it waits for the owner");

    obs.session.accept();
    obs.flush().unwrap();
    assert_eq!(obs.said[0].kind, kind::USER_CONTROL, "StreamBegin comes first");
    let [(1, status)] = &obs.calls()[..] else { panic!("on its stream") };
    assert_eq!((&*status.name, &*text(status, "level")), ("onStatus", "status"));
    assert_eq!(text(status, "code"), "NetStream.Publish.Start");

    obs.send(kind::DATA, 0, &metadata(true)).unwrap();
    obs.send(kind::DATA, 0, &metadata(false)).unwrap();
    obs.send(kind::VIDEO, 0, AVC).unwrap();
    obs.send(kind::VIDEO, 0, KEY).unwrap();
    obs.send(kind::VIDEO, 33, DELTA).unwrap();
    let [
        Event::Metadata(metadata),
        Event::Track { track: VIDEO, format },
        Event::Unit { track: VIDEO, unit: first },
        Event::Unit { track: VIDEO, unit: second },
    ] = &obs.events()[..]
    else {
        panic!()
    };
    assert_eq!((metadata.width, format), (Some(320.0), &avc()));
    assert!(first.keyframe && !second.keyframe);
    assert_eq!((&first.data[..], second.dts.since(first.dts).millis()), (&KEY[5..], 33));

    obs.call(0, "FCUnpublish", 6.0, &[Value::Null, key]).unwrap();
    obs.call(0, "deleteStream", 7.0, &[Value::Null, 1.0.into()]).unwrap();
    assert_eq!(obs.events(), [Event::Ended { reason: Reason::Finished }]);
    assert_eq!(obs.session.phase(), Phase::Ended);
}

#[test]
fn enhanced_clients_hear_what_we_take() {
    let mut script = Script::new(Config::default());
    let list = Value::Array(vec!["hvc1".into()]);
    let object = Value::object([("app", "live".into()), ("fourCcList", list)]);
    script.call(0, "connect", 1.0, &[object]).unwrap();
    let (_, result) = script.calls().remove(0);
    for object in &result.values {
        let Some(Value::Array(list)) = object.get("fourCcList") else { panic!() };
        assert!(list.contains(&"av01".into()) && list.contains(&"Opus".into()));
        assert_eq!(object.get("capsEx"), Some(&14.0.into()));
        assert_eq!(object.get("videoFourCcInfoMap").unwrap().get("hvc1"), Some(&4.0.into()));
    }
    assert!(script.session.peer().enhanced);
    assert!(script.session.takes(Codec::H265) && script.session.takes(Codec::H264));
    assert!(!script.session.takes(Codec::Av1));
}

#[test]
fn who_says_nothing_of_enhanced_rtmp_is_taken_for_what_the_owner_says() {
    assert!(!Script::connected().session.takes(Codec::H265));
    let silent = flv::Peer::everything();
    let mut script = Script::new(Config { silent, ..Config::default() });
    script.call(0, "connect", 1.0, &[Value::object([("app", "live".into())])]).unwrap();
    assert!(script.session.takes(Codec::H265));
}

#[test]
fn an_application_that_is_not_there() {
    let mut script = Script::new(Config { apps: vec!["live".into()], ..Config::default() });
    script.call(0, "connect", 1.0, &[Value::object([("app", "other".into())])]).unwrap();
    let (_, error) = script.calls().remove(0);
    assert_eq!((&*error.name, error.transaction), ("_error", 1.0));
    assert_eq!(text(&error, "code"), "NetConnection.Connect.Rejected");
    assert_eq!(text(&error, "description"), "no application \"other\" here, only: live");
    assert_eq!(script.events(), [Event::Ended { reason: Reason::NoSuchApp }]);
    for app in ["live/", "live/cam", "live?token=t"] {
        assert_eq!(connected_to(app).session.phase(), Phase::Idle, "{app}");
    }
}

fn connected_to(app: &str) -> Script {
    let apps = vec!["live".into(), "studio/0".into()];
    let mut script = Script::new(Config { apps, ..Config::default() });
    script.call(0, "connect", 1.0, &[Value::object([("app", app.into())])]).unwrap();
    script.calls();
    script
}

/// Two publishers of two instances are not one and the same; the default instance is none, and a key that was left
/// empty is the end of the address.
#[test]
fn an_instance_of_an_application_is_another_application() {
    for (app, key, taken) in [
        ("live", "cam", true),
        ("live/cam", "", true),
        ("live/_definst_", "cam", true),
        ("live/_definst_/cam", "", true),
        ("studio/0", "cam", true),
        ("studio/0/cam", "", true),
        ("live/a", "cam", false),
        ("live/a/cam", "", false),
        ("live/a?token=t", "cam", false),
        ("studio/0/a", "cam", false),
    ] {
        for (command, code) in
            [("publish", "NetStream.Publish.BadName"), ("play", "NetStream.Play.StreamNotFound")]
        {
            let mut script = connected_to(app);
            script.call(1, command, 5.0, &[Value::Null, key.into()]).unwrap();
            if taken {
                let events = script.events();
                let [Event::Publish { name, .. } | Event::Play { name, .. }] = &events[..] else {
                    panic!("{app} {key}: {events:?}")
                };
                assert_eq!(name, "cam", "{app} {key}");
                continue;
            }
            assert_eq!(script.events(), [Event::Ended { reason: Reason::NoSuchApp }]);
            let [(1, status)] = &script.calls()[..] else { panic!("{app} {key}") };
            assert_eq!(text(status, "code"), code);
            let said = text(status, "description");
            assert!(
                said.ends_with("only: live, studio/0; and the name of a stream has no slash"),
                "{said}"
            );
            assert!(!said.contains("token"), "{said}");
        }
    }
}

#[test]
fn refusals_say_what_programs_and_people_read() {
    for (command, refusal, code) in [
        ("publish", Refusal::BadName, "NetStream.Publish.BadName"),
        ("publish", Refusal::Denied, "NetStream.Publish.Denied"),
        ("play", Refusal::NotFound, "NetStream.Play.StreamNotFound"),
        ("play", Refusal::Denied, "NetStream.Play.Failed"),
    ] {
        let mut script = Script::connected();
        script.call(1, command, 5.0, &[Value::Null, "cam".into()]).unwrap();
        script.session.refuse(refusal, "the words");
        script.flush().unwrap();
        let (stream, status) = script.calls().remove(0);
        assert_eq!((stream, &*text(&status, "level")), (1, "error"));
        assert_eq!(
            (text(&status, "code"), text(&status, "description")),
            (code.into(), "the words".into())
        );
        assert_eq!(script.session.phase(), Phase::Ended);
        script.events();
        script.send(kind::VIDEO, 0, AVC).unwrap();
        assert!(script.events().is_empty(), "it is over");
    }
}

#[test]
fn ffmpeg_and_librtmp_play() {
    let mut player = Script::connected();
    // FFmpeg asks for the length, librtmp subscribes, both tell their buffer.
    player.call(0, "createStream", 2.0, &[Value::Null]).unwrap();
    player.call(0, "FCSubscribe", 3.0, &[Value::Null, "cam".into()]).unwrap();
    player.call(0, "getStreamLength", 4.0, &[Value::Null, "cam".into()]).unwrap();
    player.call(1, "play", 5.0, &[Value::Null, "cam".into(), (-2000.0).into()]).unwrap();
    player.write(2, kind::USER_CONTROL, 0, 0, &[0, 3, 0, 0, 0, 1, 0, 0, 0x0B, 0xB8]);
    player.flush().unwrap();
    let names: Vec<_> = player.calls().iter().map(|(_, c)| c.name.clone()).collect();
    assert_eq!(names, ["_result", "onFCSubscribe", "_result", "_result"]);
    assert!(matches!(&player.events()[..], [Event::Play { name, .. }] if name == "cam"));
    assert!(!player.session.send_unit(VIDEO, &unit(0, true)), "nobody has let it in");

    player.session.accept();
    player
        .session
        .send_metadata(&Metadata { width: Some(320.0), ..Metadata::default() }, &[Codec::H264]);
    player.session.send_format(0, &avc()).unwrap();
    assert!(player.session.send_unit(VIDEO, &unit(5000, true)));
    assert!(player.session.send_unit(VIDEO, &unit(5040, false)));
    assert!(!player.session.send_unit(AUDIO, &unit(5040, true)), "no format of it was sent");
    player.flush().unwrap();
    let media: Vec<_> = player
        .said
        .iter()
        .filter(|message| [kind::DATA, kind::VIDEO].contains(&message.kind))
        .map(|message| (message.kind, message.stream, message.timestamp, message.body.len()))
        .collect();
    assert_eq!(media[0].0, kind::DATA);
    let video = |timestamp, body: &[u8]| (kind::VIDEO, 1, timestamp, body.len());
    assert_eq!(media[1..], [video(0, AVC), video(0, KEY), video(40, DELTA)]);
    assert_eq!(player.codes(), ["NetStream.Play.Reset", "NetStream.Play.Start"]);
    assert_eq!(player.session.drops().unplayed, 2);

    player.session.end("the publisher has left");
    player.flush().unwrap();
    assert_eq!(player.said[0].body[..], [0, 1, 0, 0, 0, 1], "StreamEOF");
    assert_eq!(player.codes(), ["NetStream.Play.UnpublishNotify", "NetStream.Play.Stop"]);
    assert!(player.events().is_empty());
}

#[test]
fn a_pause_lasts_to_the_next_keyframe_and_there_is_nowhere_to_seek() {
    let mut player = Script::playing();
    player.session.send_format(0, &avc()).unwrap();
    assert!(player.session.send_unit(VIDEO, &unit(0, true)));
    player.call(1, "pause", 0.0, &[Value::Null, true.into(), 0.0.into()]).unwrap();
    assert!(!player.session.send_unit(VIDEO, &unit(40, false)));
    assert!(!player.session.send_unit(VIDEO, &unit(80, true)));
    player.call(1, "pause", 0.0, &[Value::Null, false.into(), 0.0.into()]).unwrap();
    assert!(!player.session.send_unit(VIDEO, &unit(120, false)), "it lacks what this needs");
    assert!(player.session.send_unit(VIDEO, &unit(160, true)));
    assert!(player.session.send_unit(VIDEO, &unit(200, false)));
    player.call(1, "seek", 0.0, &[Value::Null, 60_000.0.into()]).unwrap();
    let codes = ["NetStream.Pause.Notify", "NetStream.Unpause.Notify", "NetStream.Seek.Notify"];
    assert_eq!(player.codes(), codes);
    player.call(0, "deleteStream", 0.0, &[Value::Null, 1.0.into()]).unwrap();
    assert_eq!(player.events().pop(), Some(Event::Ended { reason: Reason::Finished }));
}

#[test]
fn flash_speaks_amf3_and_play2() {
    let mut flash = Script::connected();
    let options = Value::object([("streamName", "cam?x=1".into())]);
    let mut body = vec![0];
    body.extend_from_slice(&command::write("play2", 5.0, &[Value::Null, options]));
    flash.write(3, kind::COMMAND3, 0, 1, &body);
    flash.flush().unwrap();
    assert!(matches!(&flash.events()[..], [Event::Play { query, .. }] if query == "x=1"));
}

#[test]
fn media_that_does_not_wait_for_the_answer_is_not_lost() {
    let mut hasty = Script::connected();
    hasty.call(1, "publish", 0.0, &[Value::Null, "cam".into()]).unwrap();
    hasty.events();
    hasty.send(kind::VIDEO, 0, AVC).unwrap();
    hasty.send(kind::VIDEO, 0, KEY).unwrap();
    assert!(hasty.events().is_empty());
    hasty.session.accept();
    hasty.flush().unwrap();
    assert!(matches!(&hasty.events()[..], [Event::Track { .. }, Event::Unit { .. }]));
    assert_eq!(hasty.session.drops(), Drops::default());
}

#[test]
fn other_calls_are_answered_if_they_ask_for_it() {
    let mut script = Script::connected();
    script.call(0, "_checkbw", 9.0, &[Value::Null]).unwrap();
    script.call(0, "frobnicate", 10.0, &[Value::Null]).unwrap();
    script.call(0, "frobnicate", 0.0, &[Value::Null]).unwrap();
    script.call(0, "deleteStream", 0.0, &[Value::Null, 7.0.into()]).unwrap();
    let names: Vec<_> =
        script.calls().iter().map(|(_, c)| (c.name.clone(), c.transaction)).collect();
    assert_eq!(names, [("_result".to_owned(), 9.0), ("_error".to_owned(), 10.0)]);
    assert_eq!(script.session.phase(), Phase::Idle);
}

#[test]
fn a_publisher_that_is_thrown_out_is_told() {
    let mut script = Script::publishing();
    script.session.end("replaced by a new publisher");
    script.flush().unwrap();
    let (_, status) = script.calls().remove(0);
    assert_eq!(text(&status, "code"), "NetStream.Unpublish.Success");
    assert_eq!(text(&status, "description"), "replaced by a new publisher");
    assert_eq!(text(&status, "level"), "error", "FFmpeg shows nothing else");
}

#[test]
fn what_comes_is_acknowledged_as_often_as_the_peer_wants_it() {
    let mut script = Script::publishing();
    script.write(2, kind::WINDOW, 0, 0, &10_000u32.to_be_bytes());
    script.flush().unwrap();
    let audio = [0xAF; 1000];
    for _ in 0..30 {
        script.send(kind::AUDIO, 0, &audio).unwrap();
    }
    let counts: Vec<u32> = script
        .said
        .iter()
        .filter(|message| message.kind == kind::ACKNOWLEDGEMENT)
        .map(|message| u32::from_be_bytes(message.body[..4].try_into().unwrap()))
        .collect();
    assert!((2..=4).contains(&counts.len()), "{counts:?}");
    assert!(counts.windows(2).all(|pair| pair[1] - pair[0] >= 10_000), "{counts:?}");
}

#[test]
fn pings_go_both_ways() {
    let mut script = Script::publishing();
    script.write(2, kind::USER_CONTROL, 0, 0, &[0, 6, 1, 2, 3, 4]);
    script.flush().unwrap();
    assert_eq!(script.said.remove(0).body[..], [0, 7, 1, 2, 3, 4]);
    script.session.ping(script.now);
    script.now += Duration::from_secs(5);
    script.session.ping(script.now);
    script.flush().unwrap();
    let second = script.said.remove(1).body;
    assert_eq!(second[..], [0, 6, 0, 0, 0x13, 0x88]);
    script.now += Duration::from_millis(30);
    script.write(2, kind::USER_CONTROL, 0, 0, &[&[0, 7], &second[2..]].concat());
    script.flush().unwrap();
    assert_eq!(script.session.rtt(), Some(Duration::from_millis(30)));
    script.write(2, kind::USER_CONTROL, 0, 0, &[0, 7, 0xFF, 0xFF, 0xFF, 0xFF]);
    script.flush().unwrap();
    assert_eq!(script.session.rtt(), None, "from the future");
}
