//! Clients that mean harm, or are broken: each ends with a reason, and nothing grows without bound.

use proptest::prelude::*;

use super::*;

#[test]
fn commands_out_of_place() {
    let mut early = Script::new(Config::default());
    let error = early.call(0, "publish", 1.0, &[Value::Null, "cam".into()]).unwrap_err();
    assert_eq!(error.to_string(), "connect: another command came first");
    let error = Script::connected().call(0, "connect", 2.0, &[Value::Null]).unwrap_err();
    assert_eq!(error.to_string(), "connect: it came a second time");
}

#[test]
fn who_publishes_twice_is_told_and_closed() {
    let mut script = Script::publishing();
    let error = script.call(1, "publish", 6.0, &[Value::Null, "other".into()]).unwrap_err();
    assert_eq!(error.to_string(), "publish: this connection publishes or plays already");
    assert_eq!(script.codes(), ["NetStream.Publish.BadName"]);
    assert_eq!(script.session.phase(), Phase::Ended);
    script.send(kind::VIDEO, 0, AVC).unwrap();
    assert!(
        script
            .events()
            .iter()
            .all(|event| matches!(event, Event::Publish { name, .. } if name == "cam"))
    );
}

#[test]
fn long_messages_are_for_those_who_were_let_in() {
    let long = vec![0; 100_000];
    let mut stranger = Script::new(Config::default());
    let error = stranger.send(kind::COMMAND, 0, &long).unwrap_err();
    assert_eq!(error, Error::TooLong { length: 100_000, limit: 64 * 1024, chunk_stream: 4 });
    let mut publisher = Script::publishing();
    publisher.send(kind::VIDEO, 0, &long).unwrap();
    assert!(matches!(
        publisher.send(kind::VIDEO, 0, &vec![0; 9 << 20]),
        Err(Error::TooLong { .. })
    ));
}

#[test]
fn a_connect_alone_lets_nobody_hold_much() {
    let limit = |script: &mut Script, length: usize| {
        script.send(kind::VIDEO, 0, &vec![0; length]).err().map(|error| error.to_string())
    };
    let mut idle = Script::connected();
    assert_eq!(limit(&mut idle, 60_000), None);
    let said = limit(&mut idle, 100_000).unwrap();
    assert!(said.ends_with("at most 65536 are taken"), "{said}");
    // Many that are not finished: one byte of each is missing.
    let mut many = Script::connected();
    let error = (4..20u8).find_map(|id| {
        let head = [&[id, 0, 0, 0, 0, 0xff, 0xff, 9, 1, 0, 0, 0][..], &[0; 128]].concat();
        let rest = [&[0xC0 | id][..], &[0; 128]].concat().repeat(510);
        many.session.receive(many.now, &[head, rest].concat()).err()
    });
    assert_eq!(error, Some(Error::Unfinished(128 * 1024)));
    // A picture that does not wait for the answer is not lost.
    let mut hasty = Script::connected();
    hasty.call(1, "publish", 0.0, &[Value::Null, "cam".into()]).unwrap();
    assert_eq!(limit(&mut hasty, 1_900_000), None);
    let said = limit(&mut hasty, 3 << 20).unwrap();
    assert!(said.ends_with("at most 2097152 are taken"), "{said}");
    // Players need not say anything long at all.
    assert!(limit(&mut Script::playing(), 100_000).is_some());
    assert_eq!(limit(&mut Script::publishing(), 3 << 20), None);
}

#[test]
fn impatience_has_a_bound() {
    let mut hasty = Script::connected();
    hasty.call(1, "publish", 0.0, &[Value::Null, "cam".into()]).unwrap();
    let picture = vec![0; 50_000];
    let error = (0..100).find_map(|_| hasty.send(kind::VIDEO, 0, &picture).err()).unwrap();
    assert!(matches!(error, Error::Impatient(_)), "{error}");
    let mut tiny = Script::connected();
    tiny.call(1, "publish", 0.0, &[Value::Null, "cam".into()]).unwrap();
    (0..20_000).for_each(|_| tiny.write(4, kind::AUDIO, 0, 1, &[]));
    assert!(matches!(tiny.flush(), Err(Error::Impatient(_))), "empty ones count too");
}

#[test]
fn who_makes_us_answer_and_does_not_listen_is_closed() {
    let mut script = Script::connected();
    for _ in 0..1000 {
        (0..1000).for_each(|_| script.write(2, kind::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0, 0]));
        let sent: Vec<u8> = std::iter::from_fn(|| script.out.poll()).flatten().collect();
        match script.session.receive(script.now, &sent) {
            Ok(()) => assert!(script.session.queued() < 2 << 20),
            Err(error) => {
                assert!(matches!(error, Error::Deaf(_)), "{error}");
                return;
            }
        }
    }
    panic!("answers without end");
}

#[test]
fn streams_without_end() {
    let mut script = Script::connected();
    let error = (0..1000)
        .find_map(|n| script.call(0, "createStream", f64::from(n), &[Value::Null]).err())
        .unwrap();
    assert_eq!(error.to_string(), "createStream: too many streams");
}

#[test]
fn nonsense_in_its_place_is_counted_or_ends_it() {
    let mut script = Script::publishing();
    script.send(kind::DATA, 0, b"\x1f").unwrap();
    script.send(kind::DATA3, 0, b"").unwrap();
    script.send(99, 0, b"?").unwrap();
    script.send(kind::AUDIO, 0, b"").unwrap();
    script.send(kind::AGGREGATE, 0, &[9; 30]).unwrap();
    let drops = script.session.drops();
    assert_eq!((drops.data, drops.unknown), (2, 1));
    assert!(matches!(script.send(kind::COMMAND, 0, b"\x1f"), Err(Error::Amf { .. })));

    let mut idle = Script::connected();
    idle.send(kind::VIDEO, 0, AVC).unwrap();
    assert_eq!((idle.session.drops().stray, idle.events().len()), (1, 0));
    let mut player = Script::playing();
    player.send(kind::VIDEO, 0, AVC).unwrap();
    assert_eq!(player.session.drops().stray, 1);
}

#[test]
fn names_are_bounded_and_what_is_logged_has_no_control_characters() {
    let mut script = Script::connected();
    let long = Value::String("x".repeat(5000));
    assert!(matches!(
        script.call(1, "publish", 1.0, &[Value::Null, long]),
        Err(Error::Command { .. })
    ));
    let mut script = Script::new(Config::default());
    let agent = Value::String(format!("a\n\u{1b}[31m{}", "é".repeat(1000)));
    let object = Value::object([("app", "live".into()), ("flashVer", agent)]);
    script.call(0, "connect", 1.0, &[object]).unwrap();
    let agent = &script.session.peer().agent;
    assert!(agent.starts_with("a[31mé") && agent.len() <= 256, "{agent:?}");
}

#[test]
fn answers_without_a_question_change_nothing() {
    let mut session = Session::new(Config::default(), &[0; RANDOM]);
    session.accept();
    session.refuse(Refusal::Denied, "no");
    session.ping(epoch());
    assert_eq!((session.phase(), session.queued()), (Phase::Handshake, 0));
    session.end("the server stops");
    assert_eq!((session.phase(), session.queued()), (Phase::Ended, 0));
    session.receive(epoch(), b"GET / HTTP/1.1\r\n").unwrap();
}

/// Messages of every kind with bodies of any bytes.
fn messages() -> impl Strategy<Value = Vec<(u8, u32, Vec<u8>)>> {
    let body = prop::collection::vec(prop_oneof![0u8..20, any::<u8>()], 0..80);
    let kinds = prop_oneof![1u8..10, 14u8..23, any::<u8>()];
    prop::collection::vec((kinds, prop_oneof![0u32..3, any::<u32>()], body), 0..60)
}

proptest! {
    #[test]
    fn any_bytes_from_the_first_on(bytes in prop::collection::vec(any::<u8>(), 0..8000), size in 1usize..2000) {
        let mut session = Session::new(Config::default(), &[0; RANDOM]);
        let now = epoch();
        for part in [&[3u8][..], &bytes].concat().chunks(size) {
            let _ = session.receive(now, part);
            prop_assert!(session.queued() < 2 << 20);
        }
    }

    #[test]
    fn any_messages_in_any_state(messages in messages(), state in 0usize..3) {
        let mut script = match state {
            0 => Script::connected(),
            1 => Script::publishing(),
            _ => Script::playing(),
        };
        for (kind, stream, body) in messages {
            // Our own writer has to be believed about its chunks.
            let kind = if matches!(kind, kind::CHUNK_SIZE | kind::ABORT) { 3 } else { kind };
            script.write(5, kind, stream, stream, &body);
            if script.flush().is_err() {
                prop_assert_eq!(script.session.phase(), Phase::Ended);
                break;
            }
            script.session.accept();
        }
    }
}
