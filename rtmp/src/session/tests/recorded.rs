//! The first thousands of bytes that real programs sent to a session like this, played again in any
//! pieces. What they say does not depend on our random bytes.

use proptest::prelude::*;

use super::*;

/// `ffmpeg 5.1 -f lavfi … -c:v libx264 -c:a aac -f flv rtmp://127.0.0.1:29351/live/cam?token=abc`.
const FFMPEG5: &[u8] = include_bytes!("../../../fixtures/flows/ffmpeg5_publish.bin");
/// `ffmpeg 5.1 -i rtmp://127.0.0.1:29351/live/cam`, to its end.
const FFMPEG5_PLAYS: &[u8] = include_bytes!("../../../fixtures/flows/ffmpeg5_play.bin");
/// FFmpeg 9.0 with libx265 and libopus.
const FFMPEG9: &[u8] = include_bytes!("../../../fixtures/flows/ffmpeg9_publish.bin");
/// librtmp 2.3 by `curl rtmp://127.0.0.1:29353/live/hevc`, to its end.
const LIBRTMP_PLAYS: &[u8] = include_bytes!("../../../fixtures/flows/librtmp_play.bin");

/// `flvmux ! rtmp2sink location=rtmp://127.0.0.1:29354/live/gst?token=x`, GStreamer 1.22.
const GSTREAMER: &[u8] = include_bytes!("../../../fixtures/flows/gstreamer_publish.bin");
/// `rtmp2src location=rtmp://127.0.0.1:29354/live/gst`, to its end.
const GSTREAMER_PLAYS: &[u8] = include_bytes!("../../../fixtures/flows/gstreamer_play.bin");
const ALL: [&[u8]; 6] =
    [FFMPEG5, FFMPEG9, FFMPEG5_PLAYS, LIBRTMP_PLAYS, GSTREAMER, GSTREAMER_PLAYS];

/// Plays a recording in pieces of `size`; who asks is let in.
fn play(recording: &[u8], size: usize) -> (Session, Vec<Event>) {
    let mut session = Session::new(Config::default(), &[3; RANDOM]);
    let (now, mut events) = (epoch(), Vec::new());
    for part in recording.chunks(size) {
        session.receive(now, part).unwrap();
        while let Some(event) = session.poll_event() {
            if matches!(event, Event::Publish { .. } | Event::Play { .. }) {
                session.accept();
            }
            events.push(event);
        }
        while session.poll_output().is_some() {}
    }
    (session, events)
}

fn codecs(events: &[Event]) -> Vec<Codec> {
    let codec = |event: &Event| match event {
        Event::Track { format, .. } => Some(format.codec),
        _ => None,
    };
    events.iter().filter_map(codec).collect()
}

#[test]
fn ffmpeg_publishes() {
    let (session, events) = play(FFMPEG5, 4096);
    assert_eq!(session.phase(), Phase::Publishing);
    assert_eq!(session.peer().agent, "FMLE/3.0 (compatible; Lavf59.27.100)");
    let Event::Publish { app, name, query } = &events[0] else { panic!() };
    assert_eq!((&**app, &**name, &**query), ("live", "cam", "token=abc"));
    let Event::Metadata(metadata) = &events[1] else { panic!() };
    assert_eq!((metadata.width, metadata.framerate), (Some(320.0), Some(25.0)));
    assert_eq!(codecs(&events), [Codec::H264, Codec::Aac]);
    let units = events.iter().filter(|event| matches!(event, Event::Unit { .. })).count();
    assert!(units > 3, "{units}");
    assert_eq!(session.drops(), Drops::default());
}

#[test]
fn ffmpeg_9_publishes_hevc_and_opus() {
    let (session, events) = play(FFMPEG9, 1400);
    assert_eq!(session.phase(), Phase::Publishing);
    assert_eq!(codecs(&events), [Codec::H265, Codec::Opus]);
    assert!(events.iter().any(|event| matches!(event, Event::Unit { track: VIDEO, .. })));
}

#[test]
fn gstreamer_publishes() {
    let (session, events) = play(GSTREAMER, 1000);
    assert_eq!(session.phase(), Phase::Publishing);
    let Event::Publish { app, name, query } = &events[0] else { panic!() };
    assert_eq!((&**app, &**name, &**query), ("live", "gst", "token=x"));
    assert!(matches!(&events[1], Event::Metadata(m) if m.videodatarate == Some(2048.0)));
    assert!(codecs(&events).contains(&Codec::H264));
}

#[test]
fn players_come_and_go() {
    let (session, events) = play(FFMPEG5_PLAYS, 100);
    assert!(matches!(&events[..], [Event::Play { name, .. }] if name == "cam"), "{events:?}");
    assert_eq!(session.phase(), Phase::Playing);
    let (session, events) = play(LIBRTMP_PLAYS, 100);
    assert!(matches!(&events[..], [Event::Play { name, .. }, ..] if name == "hevc"), "{events:?}");
    assert_eq!(session.peer().tc_url, "rtmp://127.0.0.1:29353/live");
    let (_, events) = play(GSTREAMER_PLAYS, 100);
    assert!(matches!(&events[..], [Event::Play { name, .. }, ..] if name == "gst"), "{events:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pieces_do_not_matter(size in 1usize..3000) {
        for recording in ALL {
            prop_assert_eq!(play(recording, size).1, play(recording, usize::MAX).1);
        }
    }

    /// What programs send, with a few bytes changed: nothing panics, and it ends or goes on.
    #[test]
    fn damaged_recordings_do_no_harm(
        which in 0..ALL.len(),
        damage in prop::collection::vec((3073usize..12_000, any::<u8>()), 1..20),
        size in 1usize..3000,
    ) {
        let mut recording = ALL[which].to_vec();
        for (at, value) in damage {
            if let Some(byte) = recording.get_mut(at) {
                *byte = value;
            }
        }
        let mut session = Session::new(Config::default(), &[3; RANDOM]);
        let now = epoch();
        for part in recording.chunks(size) {
            let result = session.receive(now, part);
            session.accept();
            while session.poll_event().is_some() {}
            while session.poll_output().is_some() {}
            prop_assert!(result.is_ok() || session.phase() == Phase::Ended);
        }
    }
}
