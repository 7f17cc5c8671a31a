//! One case for each problem, and none for a session that is well.

use std::net::SocketAddr;

use media::{EncodingId, Kind};
use sfu::Closed;
use sfu::recorder::{Decision, Recorder, Refusal, Who};
use sfu::stats::{EncodingSnapshot, Origin};
use sfu::transport::srtp::Profile;
use sfu::transport::{Failure, Path};
use signaling::SessionId;

use super::*;
use crate::hub::opening::Offered;
use crate::hub::{Protocol, view};

const SECOND: Duration = Duration::from_secs(1);

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A session of ten seconds, told at its end or now.
struct Session {
    role: Role,
    began: Instant,
    end: Option<End>,
    missing: Option<Codec>,
    report: Report,
    setting: Setting,
    refused: Vec<String>,
    opening: Opening,
}

impl Session {
    /// An answered offer and nothing more.
    fn new(role: Role) -> Self {
        let began = crate::clock::now();
        let viewer = (role == Role::Viewer).then(viewer);
        let report = Report {
            recorder: Recorder::new(began),
            heard: None,
            media: None,
            encodings: Vec::new(),
            viewer,
        };
        let setting = Setting { worker: true, bridges: Vec::new() };
        let refused = Vec::new();
        let udp = vec![address(8080), address(8081)];
        let opening = Opening { udp, tcp: vec![address(80)], ..Opening::default() };
        Self { role, began, end: None, missing: None, report, setting, refused, opening }
    }

    /// Checks arrive.
    fn reached(role: Role) -> Self {
        let mut it = Self::new(role);
        it.report.recorder.check(it.began, address(5), true);
        it.report.recorder.stands(it.began, address(5), (true, false));
        it.report.recorder.path(it.began, Path::udp(address(8080), address(5)));
        it.report.heard = Some(it.began + SECOND * 10);
        it
    }

    /// DTLS is up, media flows.
    fn well(role: Role) -> Self {
        let mut it = Self::reached(role);
        it.report.recorder.dtls_begins(it.began, false);
        it.report.recorder.dtls_up(it.began, Some(Profile::Aes128Gcm));
        if role == Role::Publisher {
            it.report.media = Some(it.began + SECOND * 10);
            it.report.encodings = vec![encoding()];
        }
        it
    }

    fn viewer(&mut self) -> &mut ViewerSnapshot {
        self.report.viewer.as_mut().unwrap()
    }

    fn ended(mut self, closed: Option<Closed>) -> Self {
        let at = self.began + SECOND * 10;
        self.end = Some(End { at, why: "it ended".into(), closed });
        self
    }

    fn problems_after(&self, age: Duration) -> Vec<Warning> {
        problems(&Case {
            role: self.role,
            joined: self.began,
            now: self.began + age,
            end: self.end.as_ref(),
            opening: &self.opening,
            missing: self.missing,
            user_agent: None,
            report: Some(&self.report),
            local: None,
            setting: &self.setting,
            refused: &self.refused,
        })
    }

    /// The text of this one problem, and there is no other.
    #[track_caller]
    fn only(&self, code: &str) -> String {
        let all = self.problems_after(SECOND * 10);
        let codes: Vec<&str> = all.iter().map(|p| p.code.as_str()).collect();
        assert_eq!(codes, [code], "{all:?}");
        let text = all[0].text.clone();
        assert!(text.len() > 60 && text.ends_with('.') && !text.contains("  "), "{text}");
        text
    }
}

fn encoding() -> EncodingSnapshot {
    EncodingSnapshot {
        id: EncodingId::MAIN,
        origin: Origin::Source,
        kind: Kind::Video,
        codec: Codec::H264,
        channels: 1,
        dimensions: Some((1280, 720)),
        fps: 30.0,
        bitrate_bps: 2_000_000,
        keyframes: 5,
        keyframe_interval: Some(SECOND * 2),
        packets: 2_000,
        bytes: 2_000_000,
        lost: 0,
        b_frames: false,
        active: true,
        keyframe_wait: None,
    }
}

fn viewer() -> ViewerSnapshot {
    ViewerSnapshot {
        connected: true,
        playing: true,
        layer: Some(EncodingId::MAIN),
        wanted: None,
        bitrate_bps: 2_000_000,
        packets: 2_000,
        bytes: 2_000_000,
        loss: Some(0.01),
        rtt: None,
        missing: None,
        attached: true,
        awaiting: None,
        asks: Asks::default(),
    }
}

/// What the hub knows of a viewer.
fn known() -> crate::hub::actor::Session {
    crate::hub::actor::Session {
        stream: stream::Name::new("show").unwrap(),
        role: Role::Viewer,
        protocol: Protocol::Whep,
        since: std::time::SystemTime::UNIX_EPOCH,
        address: address(5),
        user_agent: None,
        video_line: None,
        ice: None,
    }
}

#[test]
fn nothing_is_wrong_with_who_is_well_or_has_just_come() {
    for role in [Role::Publisher, Role::Viewer] {
        assert_eq!(Session::well(role).problems_after(SECOND * 10), []);
        assert_eq!(Session::well(role).ended(None).problems_after(SECOND * 10), []);
        for young in [Session::new(role), Session::reached(role)] {
            assert_eq!(young.problems_after(SECOND * 2), []);
        }
    }
}

#[test]
fn no_candidate_pair() {
    for role in [Role::Publisher, Role::Viewer] {
        for session in [Session::new(role), Session::new(role).ended(Some(Closed::NeverConnected))]
        {
            let text = session.only("no_candidate_pair");
            assert!(text.contains("192.0.2.1:8080, 192.0.2.1:8081"), "{text}");
            assert!(text.contains("firewall") && text.contains("webrtc.advertise"), "{text}");
        }
    }
}

#[test]
fn a_session_of_which_no_thread_knows_anything_is_told_too() {
    let session = Session::new(Role::Viewer);
    let case = Case {
        role: Role::Viewer,
        joined: session.began,
        now: session.began + SECOND * 15,
        end: None,
        opening: &Opening::default(),
        missing: None,
        user_agent: None,
        report: None,
        local: None,
        setting: &Setting::default(),
        refused: &[],
    };
    let all = problems(&case);
    assert_eq!(all[0].code, "no_candidate_pair");
    assert!(all[0].text.contains("named none"), "{}", all[0].text);
}

#[test]
fn stun_that_is_not_authentic() {
    let mut session = Session::new(Role::Viewer);
    for _ in 0..3 {
        session.report.recorder.check(session.began, address(5), false);
    }
    assert!(session.only("stun_not_authentic").starts_with("3 STUN checks came"));
}

/// What came before there was a connection, and the word for it.
#[test]
fn why_nothing_came() {
    let relays =
        Offered::of(b"a=candidate:1 1 udp 1 192.0.2.9 5 typ relay raddr 0.0.0.0 rport 0\r\n");
    let turned_away = |why| Decision::TurnedAway { from: address(5).into(), why };
    type Happens = Box<dyn Fn(&mut Session)>;
    let noted = |decision: Decision| -> Happens {
        Box::new(move |session| session.report.recorder.note(session.began, decision))
    };
    let rows: [(&str, &[&str], Happens); 8] = [
        ("no_candidate_pair", &["192.0.2.1:8080", "by TCP 192.0.2.1:80,"], Box::new(|_| {})),
        (
            "no_candidate_pair",
            &["TCP was not offered", "webrtc.tcp)"],
            Box::new(|s| s.opening.tcp.clear()),
        ),
        (
            "no_candidate_pair",
            &["Another node", "http.elsewhere"],
            Box::new(|s| s.opening.hops = 1),
        ),
        ("only_relays", &["TURN"], Box::new(move |s| s.opening.offered = relays)),
        ("stun_for_another", &["old answer"], noted(Decision::Strange { from: address(5).into() })),
        ("tcp_refused", &["came (1)", "webrtc.tcp_connections"], noted(turned_away(Refusal::Full))),
        ("tcp_refused", &["a quarter"], noted(turned_away(Refusal::Crowded))),
        (
            "not_nominated",
            &["USE-CANDIDATE"],
            Box::new(|s| s.report.recorder.check(s.began, address(5), true)),
        ),
    ];
    for role in [Role::Publisher, Role::Viewer] {
        for (code, words, happens) in &rows {
            let mut session = Session::new(role);
            happens(&mut session);
            let text = session.only(code);
            assert!(words.iter().all(|word| text.contains(word)), "{code}: {text}");
        }
    }
}

#[test]
fn an_ice_restart_that_never_gets_through() {
    for role in [Role::Publisher, Role::Viewer] {
        let mut session = Session::well(role);
        session.report.recorder.restarts(session.began + SECOND);
        assert_eq!(session.problems_after(SECOND * 10), [], "the way before still works");
        session.report.heard = Some(session.began + SECOND);
        session.report.media = session.report.media.map(|_| session.began + SECOND * 9);
        let text = session.only("restart_unheard");
        assert!(text.contains("9 s ago") && text.contains("by TCP 192.0.2.1:80"), "{text}");
        session = session.ended(Some(Closed::Silent));
        session.only("restart_unheard");
        session.report.recorder.stands(session.began + SECOND * 2, address(6), (true, true));
        session.only("went_silent");
    }
}

#[test]
fn dtls_that_never_begins_is_not_answered_or_never_ends() {
    let session = Session::reached(Role::Viewer);
    assert!(session.only("dtls_not_begun").contains("the viewer never began DTLS"));

    let mut session = Session::reached(Role::Publisher);
    session.report.recorder.dtls_begins(session.began, true);
    assert!(session.only("dtls_not_answered").contains("the publisher never answered"));

    let mut session = Session::reached(Role::Viewer);
    session.report.recorder.dtls_begins(session.began, false);
    assert!(session.only("dtls_unfinished").contains("MTU"));
}

#[test]
fn dtls_that_fails() {
    for (failure, code) in [
        (Failure::Fingerprint, "fingerprint_mismatch"),
        (Failure::NoProfile, "no_srtp_profile"),
        (Failure::Handshake, "dtls_failed"),
        (Failure::Timeout, "dtls_timeout"),
    ] {
        let mut session = Session::reached(Role::Viewer).ended(Some(Closed::Failed));
        session.report.recorder.dtls_begins(session.began, false);
        session.report.recorder.dtls_failed(session.began, failure);
        session.only(code);
    }
}

#[test]
fn who_falls_silent() {
    for role in [Role::Publisher, Role::Viewer] {
        let mut session = Session::well(role);
        session.report.heard = Some(session.began + SECOND);
        session.report.media = session.report.media.map(|_| session.began + SECOND * 9);
        assert!(session.only("silent").contains("for 9 s"));
        let session = session.ended(Some(Closed::Silent));
        assert!(session.only("went_silent").contains("for 9 s, so it was closed"));
    }
}

#[test]
fn a_publisher_that_sends_nothing_or_nothing_more() {
    let mut session = Session::well(Role::Publisher);
    session.report.media = None;
    session.report.encodings.clear();
    assert!(session.only("no_media").contains("connected for 10 s"));
    session.report.media = Some(session.began + SECOND * 7);
    assert!(session.only("media_stopped").contains("for 3 s"));
}

#[test]
fn no_keyframe() {
    let mut session = Session::well(Role::Publisher);
    session.report.encodings[0].keyframes = 0;
    session.report.encodings[0].keyframe_interval = None;
    assert!(session.only("no_keyframe").contains("keyframe interval of 1 to 2 seconds"));
    session.report.encodings[0].packets = 50;
    assert_eq!(session.problems_after(SECOND * 10), [], "it has only begun");
}

#[test]
fn keyframes_too_far_apart() {
    let mut session = Session::well(Role::Publisher);
    session.report.encodings[0].keyframe_interval = Some(SECOND * 10);
    assert!(session.only("keyframe_interval").contains("10 seconds apart"));
    session.report.encodings[0].keyframe_wait = Some(SECOND * 8);
    session.only("keyframe_interval");
    session.report.encodings[0].keyframe_wait = Some(SECOND / 10);
    assert_eq!(session.problems_after(SECOND * 10), [], "a browser makes them when asked");
}

#[test]
fn b_frames() {
    let mut session = Session::well(Role::Publisher);
    session.report.encodings[0].b_frames = true;
    assert!(session.only("b_frames").contains("-bf 0"));
}

#[test]
fn what_becomes_of_it_is_told_as_the_stream_tells_it() {
    let mut session = Session::well(Role::Publisher);
    session.report.encodings[0].codec = Codec::H265;
    session.report.encodings[0].b_frames = true;
    session.setting.worker = false;
    let all = session.problems_after(SECOND * 10);
    let codes: Vec<&str> = all.iter().map(|p| p.code.as_str()).collect();
    assert_eq!(codes, ["no_worker", "b_frames"]);
    assert!(!all[1].text.contains("encodes it again"), "nobody does: {}", all[1].text);

    let reason = Some("it crashed".to_owned());
    let (from, to, why) = ("h265".into(), "h264".into(), "whep viewers".into());
    let bridge = Bridge { from, to, why, state: "failed", reason, ..Bridge::default() };
    session.setting = Setting { worker: true, bridges: vec![bridge] };
    let all = session.problems_after(SECOND * 10);
    assert_eq!(all[0].code, "bridge_failed");
    assert!(all[0].text.contains("it crashed") && !all[1].text.contains("encodes it again"));
}

#[test]
fn a_codec_that_is_not_carried() {
    let mut session = Session::well(Role::Publisher);
    session.refused = vec!["MP3 audio is not carried: set the audio encoder to AAC".to_owned()];
    assert!(session.only("codec_refused").contains("MP3 audio is not carried"));
}

#[test]
fn a_viewer_that_cannot_decode() {
    let after = |seconds: u32, each: u32| {
        let mut session = Session::well(Role::Viewer);
        for second in 1..=seconds {
            (0..each).for_each(|_| session.report.recorder.keyframe_wanted());
            session.report.recorder.roll(session.began + SECOND * second, Who::Viewer, 0, 500);
        }
        session
    };
    assert!(after(9, 1).only("cannot_decode").contains("9 times in 9 s"));
    assert!(after(1, 5).only("cannot_decode").contains("5 times in 1 s"));
    assert_eq!(after(3, 1).problems_after(SECOND * 10), [], "it has only begun");
    // The list of viewers says it too.
    let listed = |session: &Session| {
        let asks = session.report.recorder.asks(session.began + SECOND * 10);
        let snapshot = ViewerSnapshot { asks, ..viewer() };
        view::viewer(SessionId::from_random(1), known(), &[], snapshot).problem
    };
    let problem = listed(&after(9, 1)).expect("there is one");
    assert!(problem.contains("cannot decode") && problem.contains("9 times in 9 s"), "{problem}");
    assert_eq!(listed(&after(3, 1)), None);
    let mut past = after(9, 1);
    past.report.heard = Some(past.began + SECOND * 25);
    assert_eq!(past.problems_after(SECOND * 25), [], "it has what it wanted");
    let mut lossy = after(9, 1);
    lossy.viewer().loss = Some(0.03);
    assert_eq!(lossy.problems_after(SECOND * 10), [], "it has a reason to ask");
    let mut starved = after(9, 1);
    starved.viewer().awaiting = Some((EncodingId::MAIN, SECOND * 5));
    starved.only("awaiting_keyframe");
}

#[test]
fn loss_on_the_way_in() {
    let mut session = Session::well(Role::Publisher);
    session.report.recorder.roll(session.began + SECOND, Who::Publisher, 5, 95);
    assert!(session.only("loss_in").starts_with("5.0 %"));
}

#[test]
fn loss_on_the_way_out() {
    let mut session = Session::well(Role::Viewer);
    session.viewer().loss = Some(0.2);
    assert!(session.only("loss_out").starts_with("20.0 %"));
    // By what it asks for again, where it sends no receiver reports.
    let mut session = Session::well(Role::Viewer);
    session.viewer().loss = None;
    session.report.recorder.repaired(30, 30);
    session.report.recorder.roll(session.began + SECOND, Who::Viewer, 0, 100);
    assert!(session.only("loss_out").starts_with("30.0 %"));
}

#[test]
fn a_viewer_without_a_publisher() {
    let mut session = Session::well(Role::Viewer);
    session.viewer().attached = false;
    session.only("no_publisher");
}

#[test]
fn no_common_codec() {
    let mut session = Session::well(Role::Viewer);
    session.viewer().missing = Some(Codec::Av1);
    assert!(session.only("no_common_codec").contains("AV1"));
    let mut session = Session::well(Role::Viewer);
    session.missing = Some(Codec::Vp9);
    assert!(session.only("no_common_codec").contains("VP9"));
}

#[test]
fn a_viewer_that_waits_for_a_keyframe() {
    let mut session = Session::well(Role::Viewer);
    session.viewer().awaiting = Some((EncodingId::MAIN, SECOND));
    assert_eq!(session.problems_after(SECOND * 10), []);
    session.viewer().awaiting = Some((EncodingId::MAIN, SECOND * 5));
    assert!(session.only("awaiting_keyframe").contains("keyframe of main for 5 s"));
}

#[test]
fn a_link_that_is_too_thin() {
    let mut session = Session::well(Role::Viewer);
    let gave_up = |capacity_kbps| Decision::GaveUp { after_ms: 900, capacity_kbps };
    session.report.recorder.record(session.began + SECOND, gave_up(Some(800)));
    assert!(session.only("thin_link").contains("about 800 kbit/s"));
    session.report.recorder.record(session.began + SECOND, gave_up(None));
    assert!(session.only("thin_link").contains("too little"));
    session.report.heard = Some(session.began + SECOND * 100);
    assert_eq!(session.problems_after(SECOND * 100), [], "that was long ago");
}
