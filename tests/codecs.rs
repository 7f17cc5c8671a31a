//! Every codec from a WHIP publisher to a WHEP viewer: not one byte of media is changed.

use std::ffi::OsStr;

use tests::clip::{self, Clip, Codec};
use tests::compare::follow;
use tests::encoder::Encoder;
use tests::film::{Film, Recipe};
use tests::peer::{Inbound, OPUS, SENDER_REPORT, TRANSPORT_CC};
use tests::pictures::pictures;
use tests::tls::Identity;
use tests::{Publisher, Viewer, Weir, sdp};

async fn carries(codec: Codec) {
    let weir = Weir::start();
    let clip = Clip::small(codec);
    let publisher = Publisher::start(&weir, "show", clip.clone()).await;
    let viewer = Viewer::join(&weir, "show").await;
    viewer.until_video("3 s of video", |t| t.len() >= 120 && t.missing().is_empty()).await;
    viewer.until_audio("2 s of sound", |t| t.len() >= 100 && t.missing().is_empty()).await;

    let sent = publisher.sent(0);
    let got = viewer.video().in_order();
    assert!(got.iter().all(|p| p.pt == codec.payload_type()));
    let start = follow(Some(codec), &sent, &got);
    assert!(sent[start].key, "the first picture is no keyframe");
    assert!(start == 0 || sent[start - 1].marker, "the keyframe lacks its first packet");
    // It was there already: nobody had to ask for one.
    assert_eq!(publisher.keyframe_requests(0), 0);

    let sound = viewer.audio().in_order();
    assert!(sound.iter().all(|p| p.pt == OPUS));
    follow(None, &publisher.sang(), &sound);

    let feedback = |i: &Inbound| i.rtcp.get(&TRANSPORT_CC).filter(|n| **n >= 3).map(drop);
    publisher.peer.ear.until("transport-cc feedback to the publisher", feedback).await;
    let reports = |i: &Inbound| i.rtcp.get(&SENDER_REPORT).filter(|n| **n >= 2).map(drop);
    viewer.ear().until("sender reports to the viewer", reports).await;

    let shown: Vec<_> = pictures(codec, &got).into_iter().map(|p| p.data).collect();
    assert!(shown.len() > 30);
    assert_eq!(clip::decoded(codec, clip.width, clip.height, &shown).len(), shown.len());
    publisher.leave().await;
    viewer.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_arrives_byte_for_byte_with_its_sound() {
    carries(Codec::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_arrives_byte_for_byte_with_its_sound() {
    carries(Codec::Vp8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vp9_arrives_byte_for_byte_with_its_sound() {
    carries(Codec::Vp9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn av1_arrives_byte_for_byte_with_its_sound() {
    carries(Codec::Av1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stereo_survives_both_answers() {
    let weir = Weir::start();
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let viewer = Viewer::join(&weir, "show").await;
    for answer in [&publisher.session.sdp, &viewer.session.sdp] {
        let audio = sdp::section(answer, "audio").expect("audio was offered");
        let opus = sdp::payload_types(audio);
        assert_eq!(opus, [(OPUS, "OPUS".to_owned())], "{audio}");
        assert!(sdp::attributes(audio, "rtpmap")[0].ends_with("/48000/2"), "{audio}");
        let fmtp = sdp::fmtp(audio, OPUS).unwrap_or_default();
        assert!(fmtp.split(';').any(|p| p.trim() == "stereo=1"), "{fmtp:?}");
    }
    let track = weir.until("show", |s| s["tracks"].as_array().is_some_and(|t| t.len() == 2));
    let audio = track["tracks"].as_array().into_iter().flatten().find(|t| t["kind"] == "audio");
    assert_eq!(audio.expect("two tracks")["channels"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answers_say_what_a_client_needs() {
    let weir = Weir::start();
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    let viewer = Viewer::join(&weir, "show").await;
    for (session, direction) in [(&publisher.session, "recvonly"), (&viewer.session, "sendonly")] {
        let sdp = &session.sdp;
        assert!(sdp::has_line(sdp, "a=ice-lite"), "{sdp}");
        assert!(!sdp::candidates(sdp).is_empty(), "{sdp}");
        assert!(sdp::attributes(sdp, "fingerprint").iter().all(|f| f.starts_with("sha-256 ")));
        for kind in ["audio", "video"] {
            let section = sdp::section(sdp, kind).expect("both kinds were offered");
            assert!(sdp::has_line(section, &format!("a={direction}")), "{section}");
            assert!(sdp::has_line(section, "a=rtcp-mux"), "{section}");
            assert!(sdp::has_line(section, "a=rtcp-mux-only"), "{section}");
        }
        let video = sdp::section(sdp, "video").expect("video was offered");
        assert!(sdp::attributes(video, "rtcp-fb").iter().any(|f| f.ends_with(" nack")), "{video}");
        assert!(sdp::attributes(video, "rtcp-fb").iter().any(|f| f.ends_with(" nack pli")));
        assert!(session.resource.starts_with("http://"), "Location {}", session.resource);
        assert!(session.answer.header("etag").is_none_or(|e| e.starts_with('"')));
        assert!(session.answer.header("content-length").is_some(), "FFmpeg reads no chunks");
    }
    // A viewer is answered with every codec that it offered, each with its retransmissions.
    let video = sdp::section(&viewer.session.sdp, "video").expect("video was offered");
    for codec in Codec::ALL {
        let (pt, name) = (codec.payload_type(), codec.name().to_owned());
        assert!(sdp::payload_types(video).contains(&(pt, name)), "no {codec:?} in {video}");
        assert_eq!(sdp::repaired(video, pt + 1), Some(pt), "no RTX for {codec:?}");
    }
    let flow = sdp::flows(video);
    assert_eq!(flow.len(), 1, "{video}");
    assert_eq!(sdp::ssrcs(video), [flow[0].0, flow[0].1], "the media SSRC stands first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_refused_the_orientation_of_its_pictures() {
    let weir = Weir::start();
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    const TURNED: &str = "urn:3gpp:video-orientation";
    let offer = publisher
        .session
        .offer
        .replace("a=mid:1\r\n", &format!("a=mid:1\r\na=extmap:9 {TURNED}\r\n"));
    assert!(offer.contains(TURNED));
    let answer = weir.offer("/whip/other", &offer);
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert!(!answer.text().contains(TURNED), "{}", answer.text());
}

/// GStreamer before 1.28 has such a certificate.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_with_an_rsa_certificate_is_seen_whichever_side_begins_dtls() {
    let weir = Weir::start();
    let film = Film::small(Recipe::PLAIN);
    let identity = Identity::rsa();
    let (cert, key) = (identity.certificate(), identity.key());
    let rsa = ["-cert_file".as_ref(), cert.as_os_str(), "-key_file".as_ref(), key.as_os_str()];
    for (stream, more) in [("we-begin", None), ("they-begin", Some(["-whip_flags", "dtls_active"]))]
    {
        let more = more.iter().flatten().map(|argument| OsStr::new(*argument));
        let arguments: Vec<&OsStr> = rsa.into_iter().chain(more).collect();
        let _encoder = Encoder::whip(&film, &weir.at(&format!("/whip/{stream}")), &arguments);
        let viewer = Viewer::join(&weir, stream).await;
        viewer.until_video("2 s of video", |t| t.len() >= 60).await;
        viewer.until_audio("a second of sound", |t| t.len() >= 50).await;
        viewer.leave().await;
    }
}
