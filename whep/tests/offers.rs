//! What a viewer's offer becomes: the answer's text and the agreement.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../signaling/tests/common/mod.rs"]
mod common;

use common::*;
use media::{Codec, Kind};
use proptest::prelude::*;
use signaling::{Agreement, DtlsRole, Extension, Offer, Ssrcs};

fn accept(offer: &str) -> (String, Agreement) {
    whep::accept(offer, &local()).unwrap_or_else(|p| panic!("{p}"))
}

fn types(agreement: &Agreement, kind: Kind) -> Vec<(u8, Option<u8>, Codec)> {
    let media = agreement.media(kind).expect("accepted");
    media.payloads.iter().map(|p| (p.pt, p.rtx, p.codec)).collect()
}

#[test]
fn chromium_gets_every_payload_type_that_can_be_forwarded() {
    let (answer, agreement) = accept(CHROMIUM_WATCH);
    assert_eq!(agreement.dtls, DtlsRole::Server);
    assert_eq!(
        types(&agreement, Kind::Video),
        [
            (96, Some(97), Codec::Vp8),
            (98, Some(99), Codec::Vp9),
            (102, Some(103), Codec::H264),
            (108, Some(109), Codec::H264),
            (116, Some(117), Codec::H264),
            (41, Some(42), Codec::H264),
            (45, Some(46), Codec::Av1),
        ]
    );
    assert_eq!(types(&agreement, Kind::Audio), [(111, None, Codec::Opus)]);
    assert_eq!(lines(&answer, "a=sendonly").len(), 2);
    assert_eq!(
        lines(&answer, "a=rtcp-fb:102 "),
        [
            "a=rtcp-fb:102 transport-cc",
            "a=rtcp-fb:102 ccm fir",
            "a=rtcp-fb:102 nack",
            "a=rtcp-fb:102 nack pli",
        ]
    );
    assert!(!answer.contains("remb") && !answer.contains("a=rid") && !answer.contains("simulcast"));
    let extensions = |kind| agreement.media(kind).unwrap().extensions.clone();
    assert_eq!(
        extensions(Kind::Video),
        [(3, Extension::TransportCc), (5, Extension::PlayoutDelay), (4, Extension::Mid)]
    );
    assert_eq!(
        extensions(Kind::Audio),
        [(1, Extension::AudioLevel), (3, Extension::TransportCc), (4, Extension::Mid)]
    );
}

#[test]
fn the_media_ssrc_stands_before_its_retransmissions() {
    let (answer, agreement) = accept(CHROMIUM_WATCH);
    assert_eq!(lines(&section(&answer, 0), "a=ssrc"), ["a=ssrc:1001 cname:weir"]);
    assert_eq!(
        lines(&section(&answer, 1), "a=ssrc"),
        ["a=ssrc-group:FID 2002 3003", "a=ssrc:2002 cname:weir", "a=ssrc:3003 cname:weir"]
    );
    assert_eq!(lines(&answer, "a=msid:"), ["a=msid:weir audio", "a=msid:weir video"]);
    let ssrcs = |kind| agreement.media(kind).unwrap().local_ssrcs;
    assert_eq!(ssrcs(Kind::Audio), Some(Ssrcs { main: 1001, rtx: None }));
    assert_eq!(ssrcs(Kind::Video), Some(Ssrcs { main: 2002, rtx: Some(3003) }));
}

#[test]
fn opus_keeps_what_the_viewer_asked_for() {
    let (answer, _) = accept(CHROMIUM_WATCH);
    assert_eq!(lines(&answer, "a=fmtp:111 "), ["a=fmtp:111 minptime=10;useinbandfec=1"]);
    let stereo = CHROMIUM_WATCH.replace("useinbandfec=1", "useinbandfec=1;stereo=1");
    let (answer, _) = accept(&stereo);
    assert_eq!(lines(&answer, "a=fmtp:111 "), ["a=fmtp:111 minptime=10;useinbandfec=1;stereo=1"]);
}

#[test]
fn firefox() {
    let (answer, agreement) = accept(FIREFOX_WATCH);
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE 0 1"]);
    assert_eq!(
        types(&agreement, Kind::Video),
        [(120, Some(124), Codec::Vp8), (121, Some(125), Codec::Vp9), (126, Some(127), Codec::H264)],
        "mode 1 only, where there is one"
    );
    assert_eq!(
        lines(&answer, "a=rtcp-fb:126 "),
        [
            "a=rtcp-fb:126 transport-cc",
            "a=rtcp-fb:126 ccm fir",
            "a=rtcp-fb:126 nack",
            "a=rtcp-fb:126 nack pli",
        ],
        "feedback for every type"
    );
    let playout = "a=extmap:6/sendonly http://www.webrtc.org/experiments/rtp-hdrext/playout-delay";
    assert!(lines(&answer, "a=extmap").contains(&playout), "{answer}");
    assert_eq!(lines(&answer, "m=audio"), ["m=audio 9 UDP/TLS/RTP/SAVPF 109"], "bundle-only");
}

#[test]
fn gstreamer_names_no_mode() {
    let (answer, agreement) = accept(GSTREAMER_WATCH);
    assert_eq!(types(&agreement, Kind::Video), [(102, None, Codec::H264), (101, None, Codec::Vp8)]);
    let video = agreement.media(Kind::Video).unwrap();
    assert_eq!(video.local_ssrcs, Some(Ssrcs { main: 2002, rtx: None }));
    assert_eq!(lines(&section(&answer, 0), "a=ssrc"), ["a=ssrc:2002 cname:weir"]);
    assert_eq!(lines(&answer, "a=rtcp-fb"), ["a=rtcp-fb:102 nack pli"]);
    // Who says 0 means it.
    let single = GSTREAMER_WATCH.replace(
        "a=rtcp-fb:102 nack pli",
        "a=fmtp:102 packetization-mode=0;profile-level-id=42e01f",
    );
    assert_eq!(types(&accept(&single).1, Kind::Video), [(101, None, Codec::Vp8)]);
}

#[test]
fn safari() {
    let (answer, agreement) = accept(SAFARI_WATCH);
    let codecs: Vec<Codec> =
        agreement.media(Kind::Video).unwrap().payloads.iter().map(|p| p.codec).collect();
    assert_eq!(codecs, [Codec::H264, Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9]);
    let kinds: Vec<Kind> = agreement.media.iter().map(|m| m.kind).collect();
    assert_eq!(kinds, [Kind::Video, Kind::Audio], "in the offer's order");
    assert_eq!(lines(&answer, "m=").len(), 2);
    assert!(!answer.contains("video-orientation"));
}

#[test]
fn a_line_without_a_common_codec_is_refused_alone() {
    let offer = CHROMIUM_WATCH.replace("opus/48000/2", "speex/16000");
    let (answer, agreement) = accept(&offer);
    assert_eq!(agreement.media.len(), 1);
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE 1"]);
    assert_eq!(
        section(&answer, 0),
        "m=audio 0 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n\
         a=inactive\r\n"
    );
    // A data channel that nobody needs (some players offer one) does not stop the picture.
    let channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n";
    let (answer, agreement) = accept(&format!("{CHROMIUM_WATCH}{channel}"));
    assert_eq!(agreement.media.len(), 2);
    let refused = ["m=application 0 UDP/DTLS/SCTP webrtc-datachannel"];
    assert_eq!(lines(&answer, "m=application"), refused);
}

#[test]
fn a_refused_line_still_lends_its_transport_to_the_bundle() {
    let offer = FIREFOX_WATCH.replace("VP8/", "V1/").replace("VP9/", "V2/").replace("H264/", "V3/");
    let (answer, agreement) = accept(&offer);
    assert_eq!(agreement.media.len(), 1);
    assert_eq!(agreement.remote_ice.ufrag, "0a1b2c3d");
    assert_eq!(lines(&answer, "a=group"), ["a=group:BUNDLE 1"]);
}

#[test]
fn refusals() {
    let reject = |offer: &str| {
        let problem = whep::accept(offer, &local()).unwrap_err();
        (problem.status, problem.code, problem.detail)
    };
    let offer = CHROMIUM_WATCH
        .replace("opus/48000/2", "speex/16000")
        .replace(" H264/90000", " H263/90000")
        .replace(" VP8/90000", " theora/90000")
        .replace("profile-id=0", "profile-id=2")
        .replace("profile=0", "profile=2");
    let (status, code, detail) = reject(&offer);
    assert_eq!((status, code), (422, "no-common-codec"), "{detail}");
    assert!(detail.contains("speex") && detail.contains("opus"), "{detail}");

    let (status, code, detail) = reject(&CHROMIUM_WATCH.replace("a=recvonly", "a=sendonly"));
    assert_eq!((status, code), (400, "bad-direction"), "{detail}");
    assert!(detail.contains("recvonly or sendrecv"), "{detail}");
    assert_eq!(reject(&CHROMIUM_WATCH.replace("a=recvonly", "a=inactive")).0, 400);
    accept(&CHROMIUM_WATCH.replace("a=recvonly", "a=sendrecv"));
    accept(&CHROMIUM_WATCH.replace("a=recvonly\r\n", ""));

    let (head, video) = CHROMIUM_WATCH.split_once("m=video").unwrap();
    let twice = format!("{head}m=video{video}m=video{}", video.replace("a=mid:1", "a=mid:2"));
    assert_eq!(reject(&twice).0, 422);
    let channel = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    assert_eq!(reject(channel).0, 422);
    assert_eq!(reject("").0, 400);
}

#[test]
fn no_common_codec_shows_why_a_known_one_does_not_fit() {
    let offer = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r\na=recvonly\r\n\
        a=rtpmap:96 VP9/90000\r\na=fmtp:96 profile-id=2\r\na=rtpmap:97 H263/90000\r\n";
    let problem = whep::accept(offer, &local()).unwrap_err();
    assert_eq!(problem.status, 422);
    assert_eq!(
        problem.detail,
        "m-line 1 (video) offers VP9 profile-id=2, H263, payload type 98; taken are \
         H264 packetization-mode=1, VP8, VP9 profile 0, AV1 profile 0, H265"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn spoilt_offers_are_answered_soundly_or_refused(offer in spoilt(&WATCH)) {
        match whep::accept(&offer, &local()) {
            Ok((answer, agreement)) => {
                let offered = Offer::parse(&offer).expect("it was accepted");
                let parsed = Offer::parse(&answer).unwrap_or_else(|e| panic!("{e}\n{answer}"));
                prop_assert_eq!(parsed.sections.len(), offered.sections.len());
                let accepted: Vec<_> = parsed.sections.iter().filter(|s| s.enabled()).collect();
                prop_assert_eq!(accepted.len(), agreement.media.len());
                prop_assert!((1..=2).contains(&accepted.len()));
                for (section, media) in accepted.iter().zip(&agreement.media) {
                    prop_assert_eq!(&section.mid, &media.mid);
                    let ours = media.local_ssrcs.expect("we send");
                    prop_assert_eq!(section.ssrcs.as_slice(), &[ours]);
                }
            }
            Err(problem) => prop_assert!((400..500).contains(&problem.status)),
        }
    }
}
