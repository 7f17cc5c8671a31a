//! What a publisher's offer becomes: the answer's text and the agreement.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../signaling/tests/common/mod.rs"]
mod common;

use common::*;
use media::{Codec, Kind};
use proptest::prelude::*;
use signaling::{Agreement, DtlsRole, Extension, Offer, Ssrcs};

fn accept(offer: &str) -> (String, Agreement) {
    whip::accept(offer, &local()).unwrap_or_else(|p| panic!("{p}"))
}

fn types(agreement: &Agreement, kind: Kind) -> Vec<(u8, Option<u8>, Codec)> {
    let media = agreement.media(kind).expect("accepted");
    media.payloads.iter().map(|p| (p.pt, p.rtx, p.codec)).collect()
}

#[test]
fn the_frame_of_an_answer() {
    let (answer, agreement) = accept(CHROMIUM_PUBLISH);
    assert!(answer.ends_with("\r\n") && !answer.replace("\r\n", "").contains(['\r', '\n']));
    let head: Vec<&str> = answer.lines().take_while(|l| !l.starts_with("m=")).collect();
    let session = i64::MAX;
    assert_eq!(
        head,
        [
            "v=0",
            &format!("o=- {session} 1 IN IP4 0.0.0.0"),
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0 1",
            "a=ice-lite",
            "a=msid-semantic: WMS weir",
        ]
    );
    for n in 0..2 {
        let section = section(&answer, n);
        for line in [
            "c=IN IP4 0.0.0.0",
            "a=ice-ufrag:Wx1y",
            "a=ice-pwd:0123456789abcdefghijkl",
            "a=setup:passive",
            "a=recvonly",
            "a=rtcp-mux",
            "a=rtcp-mux-only",
            "a=rtcp-rsize",
            "a=candidate:1 1 udp 2130706431 192.0.2.1 8080 typ host",
            "a=candidate:2 1 udp 2130706175 2001:db8::1 8080 typ host",
            "a=end-of-candidates",
        ] {
            assert!(section.lines().any(|l| l == line), "{line} is not in\n{section}");
        }
        assert!(lines(&section, "a=fingerprint:sha-256 00:01:02:03:").len() == 1);
        assert!(lines(&section, "a=ssrc").is_empty(), "a receiver declares no SSRCs");
    }
    assert!(!answer.contains("trickle"));
    assert_eq!(agreement.dtls, DtlsRole::Server);
    assert_eq!(agreement.remote_ice.ufrag, "pXs9");
    assert_eq!(agreement.remote_fingerprint.digest[..3], [0x3a, 0xfd, 0x5e]);
    assert_eq!(agreement.local_ice, local().ice);
}

#[test]
fn chromium_with_three_layers() {
    let (answer, agreement) = accept(CHROMIUM_PUBLISH);
    let video = agreement.media(Kind::Video).unwrap();
    let rids: Vec<&str> = video.rids.iter().map(|r| r.as_str()).collect();
    assert_eq!(rids, ["h", "m", "l"]);
    assert_eq!(lines(&answer, "a=rid:"), ["a=rid:h recv", "a=rid:m recv", "a=rid:l recv"]);
    assert_eq!(lines(&answer, "a=simulcast"), ["a=simulcast:recv h;m;l"]);
    // In the offer's order; of H264 only mode 1, of VP9 only profile 0.
    assert_eq!(
        types(&agreement, Kind::Video),
        [
            (96, Some(97), Codec::Vp8),
            (102, Some(103), Codec::H264),
            (108, Some(109), Codec::H264),
            (116, Some(117), Codec::H264),
            (45, Some(46), Codec::Av1),
            (98, Some(99), Codec::Vp9),
        ]
    );
    assert_eq!(
        lines(&answer, "m=video"),
        ["m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103 108 109 116 117 45 46 98 99"]
    );
    assert_eq!(
        video.extensions,
        [
            (3, Extension::TransportCc),
            (5, Extension::PlayoutDelay),
            (4, Extension::Mid),
            (10, Extension::Rid),
            (11, Extension::RepairedRid),
        ]
    );
    assert!(!answer.contains("video-orientation"));
    assert_eq!(
        lines(&answer, "a=rtcp-fb:96 "),
        [
            "a=rtcp-fb:96 transport-cc",
            "a=rtcp-fb:96 ccm fir",
            "a=rtcp-fb:96 nack",
            "a=rtcp-fb:96 nack pli",
        ]
    );
    assert!(!answer.contains("remb"));
    assert!(lines(&answer, "a=rtcp-fb:97").is_empty());
    assert_eq!(lines(&answer, "a=fmtp:97 "), ["a=fmtp:97 apt=96"]);
    assert!(video.remote_ssrcs.is_empty() && video.local_ssrcs.is_none());
}

#[test]
fn opus_is_stereo() {
    let (answer, agreement) = accept(CHROMIUM_PUBLISH);
    assert_eq!(types(&agreement, Kind::Audio), [(111, None, Codec::Opus)]);
    let audio = agreement.media(Kind::Audio).unwrap();
    assert_eq!(audio.payloads[0].channels, 2);
    assert_eq!(
        audio.payloads[0].fmtp, "minptime=10;useinbandfec=1",
        "the agreement has the offer's"
    );
    assert_eq!(lines(&answer, "m=audio"), ["m=audio 9 UDP/TLS/RTP/SAVPF 111"]);
    assert_eq!(
        lines(&answer, "a=fmtp:111 "),
        ["a=fmtp:111 minptime=10;stereo=1;sprop-stereo=1;useinbandfec=1"]
    );
    assert_eq!(lines(&answer, "a=rtcp-fb:111 "), ["a=rtcp-fb:111 transport-cc"]);
    assert_eq!(
        audio.extensions,
        [(1, Extension::AudioLevel), (3, Extension::TransportCc), (4, Extension::Mid)]
    );
    assert_eq!(audio.remote_ssrcs, [Ssrcs { main: 2389693393, rtx: None }]);

    // A publisher that says mono or nothing is invited to stereo all the same, once.
    let mono = CHROMIUM_PUBLISH.replace("minptime=10;useinbandfec=1", "stereo=0; useinbandfec=0");
    let (answer, _) = accept(&mono);
    assert_eq!(
        lines(&answer, "a=fmtp:111 "),
        ["a=fmtp:111 stereo=1;sprop-stereo=1;useinbandfec=1"]
    );
}

#[test]
fn ffmpeg() {
    let (answer, agreement) = accept(FFMPEG);
    assert_eq!(agreement.dtls, DtlsRole::Client);
    assert_eq!(lines(&answer, "a=setup"), ["a=setup:active", "a=setup:active"]);
    let video = agreement.media(Kind::Video).unwrap();
    assert_eq!(video.remote_ssrcs, [Ssrcs { main: 2422896326, rtx: Some(2422896327) }]);
    assert_eq!(types(&agreement, Kind::Video), [(106, Some(105), Codec::H264)]);
    assert!(video.extensions.is_empty() && lines(&answer, "a=extmap").is_empty());
    assert_eq!(lines(&answer, "a=rtcp-fb"), ["a=rtcp-fb:106 nack"]);
    assert_eq!(video.payloads[0].parameter("profile-level-id"), Some("42000c"));
    // Reduced-size RTCP only where it is offered.
    assert!(lines(&section(&answer, 0), "a=rtcp-rsize").is_empty());
    assert_eq!(lines(&section(&answer, 1), "a=rtcp-rsize").len(), 1);
}

#[test]
fn libdatachannel() {
    let (_, agreement) = accept(LIBDATACHANNEL);
    assert_eq!(agreement.remote_fingerprint.digest[0], 0x53, "inherited from the session level");
    assert_eq!(types(&agreement, Kind::Video), [(96, None, Codec::H264)]);
    let ssrc = |kind| agreement.media(kind).unwrap().remote_ssrcs.clone();
    assert_eq!(ssrc(Kind::Video), [Ssrcs { main: 3001, rtx: None }]);
    assert_eq!(ssrc(Kind::Audio), [Ssrcs { main: 3002, rtx: None }]);
}

#[test]
fn firefox_with_two_layers() {
    let (answer, agreement) = accept(FIREFOX_PUBLISH);
    let video = agreement.media(Kind::Video).unwrap();
    assert_eq!(lines(&answer, "a=simulcast"), ["a=simulcast:recv hi;lo"], "paused ones too");
    assert!(video.remote_ssrcs.is_empty(), "nothing ties those to the rids");
    assert_eq!(
        lines(&section(&answer, 1), "a=extmap"),
        [
            "a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid",
            "a=extmap:7 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            "a=extmap:8/recvonly urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            "a=extmap:9/recvonly urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
        ],
        "directions mirrored, those that only receive left out"
    );
    assert_eq!(
        types(&agreement, Kind::Video),
        [(120, Some(124), Codec::Vp8), (121, Some(125), Codec::Vp9), (99, Some(100), Codec::Av1)]
    );
}

#[test]
fn gstreamer() {
    let (answer, agreement) = accept(GSTREAMER_PUBLISH);
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE video0 audio1"]);
    assert_eq!(
        lines(&answer, "m=audio"),
        ["m=audio 9 UDP/TLS/RTP/SAVPF 98"],
        "port 0, bundle-only"
    );
    assert_eq!(
        lines(&answer, "a=fmtp:96"),
        ["a=fmtp:96 packetization-mode=1;profile-level-id=42c01f;level-asymmetry-allowed=1"]
    );
    let video = agreement.media(Kind::Video).unwrap();
    assert_eq!(video.remote_ssrcs, [Ssrcs { main: 3074515642, rtx: Some(2839465103) }]);
    assert!(video.payloads[0].parameter("sprop-parameter-sets").is_some());
    assert!(lines(&answer, "a=rtpmap:98") == ["a=rtpmap:98 OPUS/48000/2"]);
}

#[test]
fn pion_with_an_id_of_two_meanings() {
    let (answer, agreement) = accept(PION);
    assert_eq!(agreement.media(Kind::Audio).unwrap().extensions, [(1, Extension::TransportCc)]);
    // Id 1 means transport-cc on this transport already.
    assert_eq!(agreement.media(Kind::Video).unwrap().extensions, [(2, Extension::TransportCc)]);
    assert_eq!(lines(&answer, "a=recvonly").len(), 2, "sendrecv is answered recvonly");
}

#[test]
fn h264_mode_0_only_without_mode_1() {
    let offer = FFMPEG.replace("packetization-mode=1;", "packetization-mode=0;");
    assert_eq!(types(&accept(&offer).1, Kind::Video), [(106, Some(105), Codec::H264)]);
    let offer = FFMPEG.replace("packetization-mode=1;", "");
    assert_eq!(types(&accept(&offer).1, Kind::Video).len(), 1);
    let offer = FFMPEG.replace("packetization-mode=1;", "packetization-mode=2;");
    assert_eq!(whip::accept(&offer, &local()).unwrap_err().code, "no-common-codec");
}

#[test]
fn without_mids_and_groups() {
    let offer = CHROMIUM_VIDEO.replace("a=mid:0\r\n", "").replace("a=group:BUNDLE 0\r\n", "");
    let (answer, agreement) = accept(&offer);
    assert_eq!(agreement.media[0].mid, "0");
    assert!(lines(&answer, "a=mid").is_empty() && lines(&answer, "a=group").is_empty());
}

#[test]
fn transport_from_the_session_level_or_the_first_of_the_bundle() {
    // FFmpeg's second m-line as a bundle-only one, which has no transport of its own.
    let (head, video) = FFMPEG.split_once("m=video").unwrap();
    let video: String = video
        .split_inclusive('\n')
        .filter(|l| !["a=ice-", "a=setup", "a=fingerprint"].iter().any(|s| l.starts_with(s)))
        .collect();
    let (_, agreement) = accept(&format!("{head}m=video{video}"));
    assert_eq!(agreement.remote_ice.ufrag, "f1432010");
    // All of it above the first m-line.
    let moved: Vec<&str> = head
        .split_inclusive('\n')
        .filter(|l| ["a=ice-", "a=setup", "a=fingerprint"].iter().any(|s| l.starts_with(s)))
        .collect();
    let (session, audio) = head.split_once("m=audio").unwrap();
    let audio = moved.iter().fold(audio.to_owned(), |a, line| a.replacen(line, "", 1));
    let (_, agreement) =
        accept(&format!("{session}{}m=audio{audio}m=video{video}", moved.concat()));
    assert_eq!(agreement.dtls, DtlsRole::Client);
}

#[test]
fn disabled_lines_are_answered_but_not_counted() {
    let second = "m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n";
    let (answer, agreement) = accept(&format!("{CHROMIUM_PUBLISH}{second}"));
    assert_eq!(agreement.media.len(), 2);
    assert_eq!(
        section(&answer, 2),
        "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=inactive\r\n"
    );
}

#[test]
fn simulcast_needs_the_rid_extension() {
    let offer = CHROMIUM_PUBLISH.replace("urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id", "urn:x");
    let (answer, agreement) = accept(&offer);
    assert!(agreement.media(Kind::Video).unwrap().rids.is_empty());
    assert!(!answer.contains("simulcast") && !answer.contains("a=rid"));
}

#[test]
fn simulcast_alternatives_and_unknown_rids() {
    let offer = CHROMIUM_PUBLISH.replace("a=simulcast:send h;m;l", "a=simulcast:send x,~h;y;l,m");
    let (answer, _) = accept(&offer);
    assert_eq!(lines(&answer, "a=simulcast"), ["a=simulcast:recv h;l"]);
    assert_eq!(lines(&answer, "a=rid:"), ["a=rid:h recv", "a=rid:l recv"]);
}

#[test]
fn extension_ids_beyond_the_one_byte_form_are_refused() {
    for id in ["0", "15", "256", "300"] {
        let offer = CHROMIUM_PUBLISH.replace("a=extmap:10 ", &format!("a=extmap:{id} "));
        let (_, agreement) = accept(&offer);
        let video = agreement.media(Kind::Video).unwrap();
        assert!(video.extensions.iter().all(|(_, e)| *e != Extension::Rid), "{id}");
    }
}

#[test]
fn transport_cc_needs_both_extension_and_feedback() {
    let (answer, agreement) = accept(&CHROMIUM_PUBLISH.replace(":96 transport-cc", ":96 x"));
    assert!(answer.contains(":102 transport-cc") && !answer.contains(":96 transport-cc"));
    assert_eq!(agreement.media.len(), 2);
    let offer: String = CHROMIUM_PUBLISH
        .split_inclusive('\n')
        .filter(|l| !(l.starts_with("a=rtcp-fb") && l.contains("transport-cc")))
        .collect();
    assert!(!accept(&offer).0.contains("transport-wide-cc"));
    let offer = CHROMIUM_PUBLISH.replace("transport-wide-cc-extensions-01", "other");
    assert!(!accept(&offer).0.contains("transport-cc"));
}

/// Each row breaks one thing of Chromium's offer: what, instead, status, code, what the detail says.
const BROKEN: &[(&str, &str, u16, &str, &str)] = &[
    ("v=0\r\n", "", 400, "bad-sdp", "line 1"),
    ("v=0", "v=1", 400, "bad-sdp", "v=0"),
    ("s=-", "hello", 400, "bad-sdp", "line 3"),
    ("s=-", "s=a\u{0}b", 400, "bad-sdp", "control character"),
    ("m=audio 9 ", "m=audio nine ", 400, "bad-sdp", "port"),
    ("m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126", "m=audio 9", 400, "bad-sdp", "m-line"),
    ("SAVPF 111 63", "SAVPF 111 111", 400, "bad-sdp", "twice"),
    ("SAVPF 111 63", "SAVPF 111 128", 400, "bad-sdp", "0 to 127"),
    ("SAVPF 111 63", "SAVPF 111 96", 400, "bad-sdp", "same payload type"),
    ("a=mid:1", "a=mid:0", 400, "bad-sdp", "two m-lines"),
    ("a=mid:1", "a=mid:abcdefghijklmnopq", 400, "bad-sdp", "16 bytes"),
    ("a=mid:1", "a=mid:", 400, "bad-sdp", "16 bytes"),
    ("a=ice-ufrag:pXs9\r\n", "", 400, "bad-sdp", "a=ice-ufrag is missing for m-line 1 (audio)"),
    ("a=ice-pwd:pWBE7prrTF3/xaeleJm66m0i\r\n", "", 400, "bad-sdp", "a=ice-pwd is missing"),
    ("a=ice-ufrag:pXs9", "a=ice-ufrag:pXs", 400, "bad-sdp", "4 to 256"),
    ("a=ice-pwd:pWBE7prrTF3/xaeleJm66m0i", "a=ice-pwd:short", 400, "bad-sdp", "22 to 256"),
    ("a=fingerprint:sha-256 3A:", "a=fingerprint:sha-256 ", 400, "bad-sdp", "length"),
    ("a=fingerprint:sha-256 3A:", "a=fingerprint:sha-256 3G:", 400, "bad-sdp", "hex"),
    ("a=fingerprint:sha-256", "a=fingerprint:sha-512", 400, "bad-sdp", "sha-256"),
    ("a=fingerprint:sha-256 ", "a=fingerprint:", 400, "bad-sdp", "hash function and a digest"),
    ("a=setup:actpass\r\n", "", 400, "bad-sdp", "a=setup is missing"),
    ("a=setup:actpass", "a=setup:holdconn", 400, "bad-sdp", "actpass"),
    ("a=rtcp-mux\r\n", "", 400, "bad-sdp", "a=rtcp-mux is missing for m-line 1 (audio)"),
    ("a=sendonly", "a=recvonly", 400, "bad-direction", "recvonly"),
    ("a=sendonly", "a=inactive", 400, "bad-direction", "inactive"),
    ("a=group:BUNDLE 0 1\r\n", "", 422, "bundle-required", "BUNDLE"),
    ("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", 422, "bundle-required", "BUNDLE"),
    ("m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9 RTP/AVP", 422, "unsupported-media", "RTP/AVP"),
    ("opus/48000/2", "multiopus/48000/6", 422, "no-common-codec", "multiopus, red, G722"),
    ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus", 400, "bad-sdp", "clock"),
    ("a=rtpmap:111 opus/48000/2", "a=rtpmap:111 opus/x/2", 400, "bad-sdp", "clock"),
    ("a=rid:m send", "a=rid:h send", 400, "bad-sdp", "two rids"),
    ("a=rid:m send", "a=rid:m! send", 400, "bad-sdp", "rid"),
    ("a=rid:m send", "a=rid:m", 400, "bad-sdp", "direction"),
    ("a=simulcast:send h;m;l", "a=simulcast:send h;;l", 400, "bad-sdp", "rid"),
    ("a=simulcast:send h;m;l", "a=simulcast:send h;h", 400, "bad-sdp", "twice"),
    ("a=simulcast:send h;m;l", "a=simulcast:send", 400, "bad-sdp", "list of rids"),
    ("send h;m;l", "send 1;2;3;4;5;6;7;8;9", 400, "bad-sdp", "eight"),
    ("a=extmap:1 ", "a=extmap:one ", 400, "bad-sdp", "id is not a number"),
    ("a=ssrc:2389693393 ", "a=ssrc:99999999999 ", 400, "bad-sdp", "SSRC"),
    ("m=audio", "m=video", 422, "no-common-codec", "m-line 1 (video)"),
    (
        "m=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        "m=application 9 UDP/DTLS/SCTP 5000\r\na=mid:x\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63",
        422,
        "unsupported-media",
        "audio and video only",
    ),
];

#[test]
fn each_broken_field_is_named() {
    for (what, instead, status, code, says) in BROKEN {
        assert!(CHROMIUM_PUBLISH.contains(what), "{what:?} is not in the fixture");
        let offer = CHROMIUM_PUBLISH.replace(what, instead);
        let problem = whip::accept(&offer, &local()).expect_err(what);
        let text = format!("{what:?} -> {instead:?}: {problem}");
        assert_eq!((problem.status, problem.code), (*status, *code), "{text}");
        assert!(problem.detail.contains(says), "{text}");
    }
}

#[test]
fn other_counts_of_lines() {
    let reject = |offer: &str| whip::accept(offer, &local()).unwrap_err();
    let none = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    assert_eq!(reject(none).status, 422);
    assert_eq!(reject("").status, 400);
    let (head, video) = CHROMIUM_PUBLISH.split_once("m=video").unwrap();
    let twice = format!("{head}m=video{video}m=video{}", video.replace("a=mid:1", "a=mid:2"));
    let problem = reject(&twice);
    assert_eq!((problem.status, problem.code), (422, "unsupported-media"));
    assert!(problem.detail.contains("m-line 3 (video)"), "{problem}");
    let many = format!("{CHROMIUM_PUBLISH}{}", "m=text 9 RTP/AVP 0\r\n".repeat(15));
    assert_eq!(reject(&many).status, 400);
    let problem = reject(&format!("v=0\r\n{}", "a=x\r\n".repeat(20_000)));
    assert_eq!((problem.status, problem.code), (413, "too-large"));
}

#[test]
fn one_stream_is_taken() {
    let with = |audio: &[&str], video: &[&str]| {
        let lines: Vec<&str> =
            CHROMIUM_PUBLISH.lines().filter(|l| !l.starts_with("a=msid:")).collect();
        let bare = lines.join("\r\n") + "\r\n";
        let said =
            |ids: &[&str]| ids.iter().fold(String::new(), |all, id| all + "a=msid:" + id + "\r\n");
        let audio = format!("a=mid:0\r\n{}", said(audio));
        let video = format!("a=mid:1\r\n{}", said(video));
        let offer = bare.replace("a=mid:0\r\n", &audio).replace("a=mid:1\r\n", &video);
        whip::accept(&offer, &local()).map_err(|problem| (problem.status, problem.code))
    };
    for (audio, video, good) in [
        (&["one a"][..], &["one v"][..], true),
        (&[], &[], true),
        (&["one a"], &[], true),
        (&["- a"], &["one v"], true),
        (&["- a"], &["- v"], true),
        (&["one"], &["one v"], true),
        (&["one a", "one b"], &["one v"], true),
        (&["one a"], &["two v"], false),
        (&["one a", "two a"], &["one v"], false),
        (&[], &["one v", "two v"], false),
    ] {
        let refused = with(audio, video).err();
        let expected = (!good).then_some((422, "unsupported-media"));
        assert_eq!(refused, expected, "{audio:?} {video:?}");
    }
}

#[test]
fn a_password_is_never_repeated() {
    let offer =
        CHROMIUM_PUBLISH.replace("a=ice-pwd:pWBE7prrTF3/xaeleJm66m0i", "a=ice-pwd:p!secret");
    let problem = whip::accept(&offer, &local()).unwrap_err();
    assert!(!problem.detail.contains("secret"), "{problem}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn spoilt_offers_are_answered_soundly_or_refused(offer in spoilt(&PUBLISH)) {
        match whip::accept(&offer, &local()) {
            Ok((answer, agreement)) => sound(&offer, &answer, &agreement),
            Err(problem) => {
                prop_assert!((400..500).contains(&problem.status));
                prop_assert!(!problem.detail.is_empty() && problem.detail.len() < 2000);
            }
        }
    }
}

/// What must hold of every answer.
fn sound(offer: &str, answer: &str, agreement: &Agreement) {
    let offer = Offer::parse(offer).expect("it was accepted");
    let parsed = Offer::parse(answer).unwrap_or_else(|e| panic!("{e}\n{answer}"));
    assert_eq!(parsed.sections.len(), offer.sections.len());
    let accepted: Vec<_> = parsed.sections.iter().filter(|s| s.enabled()).collect();
    assert_eq!(accepted.len(), agreement.media.len());
    assert!((1..=2).contains(&accepted.len()));
    for (section, media) in accepted.iter().zip(&agreement.media) {
        assert_eq!(section.mid, media.mid);
        assert_eq!(section.kind.media(), Some(media.kind));
        assert!(!media.payloads.is_empty() && media.rids.len() <= 8);
        let offered = offer.sections.iter().find(|s| s.mid == media.mid).expect("it was offered");
        for payload in &media.payloads {
            let line = section.formats.iter().find(|f| f.pt == payload.pt).expect("answered");
            assert_eq!(line.codec(), Some(payload.codec));
            assert!(offered.formats.iter().any(|f| f.pt == payload.pt));
            if let Some(rtx) = payload.rtx {
                let line = section.formats.iter().find(|f| f.pt == rtx).expect("answered");
                assert_eq!(line.apt(), Some(payload.pt));
            }
        }
        let mut ids: Vec<u8> = media.extensions.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), media.extensions.len());
        assert!(ids.iter().all(|id| (1..=14).contains(id)));
    }
}
