//! POST: lines 1 to 9.

use std::net::SocketAddr;

use tests::clip::Codec;
use tests::letter::{SDP, Stage, etag, offers, publishes, watches, without};
use tests::publisher::Show;
use tests::{Publisher, Viewer, Weir, http, sdp};

#[tokio::test(flavor = "multi_thread")]
async fn whip_01_what_is_no_offer_is_refused() {
    let stage = Stage::new("").await;
    for (path, offer) in offers().await {
        let url = stage.weir.at(path);
        for media in [None, Some("text/plain"), Some("application/sdpx"), Some("")] {
            let fields: Vec<_> = media.map(|m| ("content-type", m)).into_iter().collect();
            let answer = http::send("POST", &url, &fields, offer.as_bytes());
            answer.problem(415);
            assert_eq!(answer.header("accept-post"), Some(SDP), "{path} {media:?}");
        }
        let torn = format!("{offer}a line without sense\r\n");
        for body in ["", "hello", "v=1\r\n", "{}", &torn] {
            stage.weir.offer(path, body).problem(400);
        }
        let binary: Vec<u8> = (0..=255).collect();
        http::send("POST", &url, &[("content-type", SDP)], &binary).problem(400);
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_02_the_201_has_an_answer_and_an_absolute_location_and_is_not_chunked() {
    let stage = Stage::new("").await;
    for (protocol, session) in stage.sessions() {
        let answer = &session.answer;
        assert_eq!((answer.status, answer.header("content-type")), (201, Some(SDP)));
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
        assert_eq!(answer.header("transfer-encoding"), None);
        let begin = stage.weir.at(&format!("/{protocol}/show/"));
        assert!(session.resource.starts_with(&begin), "{}", session.resource);
        assert!(session.sdp.starts_with("v=0\r\n"));
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_03_publishers_send_and_viewers_receive() {
    let both_ways =
        |offer: &str| offer.replace("a=sendonly", "a=sendrecv").replace("a=recvonly", "a=sendrecv");
    let stage = Stage::bent("", both_ways).await;
    for ((_, session), direction) in stage.sessions().into_iter().zip(["recvonly", "sendonly"]) {
        assert!(session.offer.contains("a=sendrecv"));
        let answered = session.sdp.matches(&format!("a={direction}\r\n")).count();
        assert_eq!(answered, 2, "{}", session.sdp);
    }
    for ((path, offer), own) in offers().await.into_iter().zip(["a=sendonly", "a=recvonly"]) {
        let other = if own == "a=sendonly" { "a=recvonly" } else { "a=sendonly" };
        for wrong in [other, "a=inactive"] {
            let refused = stage.weir.offer(path, &offer.replace(own, wrong)).problem(400);
            assert_eq!(refused["type"], "urn:weir:problem:bad-direction", "{path} {wrong}");
            // One m-line is enough.
            stage.weir.offer(path, &offer.replacen(own, wrong, 1)).problem(400);
        }
    }
    assert_eq!(stage.weir.state("other"), "gone");
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_04_each_session_has_a_strong_entity_tag_of_its_own() {
    let stage = Stage::new("").await;
    let second = watches(&stage.weir, "show", str::to_owned).await;
    let tags = [&stage.publisher.session, &stage.viewer.session, &second.session].map(etag);
    for tag in tags {
        assert!(tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    }
    assert!(tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2], "{tags:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_05_the_answer_has_all_candidates() {
    let stage = Stage::new("webrtc.advertise = ['192.0.2.7', '198.51.100.7:9']").await;
    let own: SocketAddr = stage.weir.listener("webrtc.listen").parse().expect("an address");
    let advertised = SocketAddr::from(([192, 0, 2, 7], own.port()));
    let other = SocketAddr::from(([198, 51, 100, 7], 9));
    for (protocol, session) in stage.sessions() {
        for kind in ["audio", "video"] {
            let section = sdp::section(&session.sdp, kind).expect("both were offered");
            assert_eq!(sdp::candidates(section), [advertised, other, own], "{protocol}");
            assert!(sdp::has_line(section, "a=end-of-candidates"), "{section}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_06_what_is_not_wholly_taken_fails_as_a_whole() {
    let weir = Weir::start();
    let [(path, offer), _] = offers().await;
    let video = sdp::section(&offer, "video").expect("video is offered");
    let streams = offer.replacen("a=msid:show", "a=msid:another", 1);
    assert_ne!(streams, offer);
    for (what, bad) in [
        ("a second video", format!("{offer}{}", video.replace("a=mid:1", "a=mid:2"))),
        ("data", format!("{offer}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n")),
        ("two streams", streams),
        ("an unknown codec beside a known one", offer.replace(" opus/48000", " speex/48000")),
        ("nothing", without(&offer, &["m=", "a=mid", "a=rtpmap"])),
    ] {
        let refused = weir.offer(path, &bad);
        assert_eq!(refused.status, 422, "{what}: {}", refused.text());
        refused.problem(422);
    }
    assert_eq!(weir.state("other"), "gone", "nothing of it was taken");
    // No stream at all is none too many.
    let _publisher = publishes(&weir, "show", |o| o.replace("a=msid:show", "a=msid:-")).await;
    watches(&weir, "show", str::to_owned).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_07_every_setup_is_taken_and_what_ffmpeg_leaves_out_is_not_missed() {
    let weir = Weir::start();
    type Bend = fn(&str) -> String;
    let setups: [(Bend, &str); 3] = [
        (|offer| offer.to_owned(), "passive"),
        (|offer| offer.replace("a=setup:actpass", "a=setup:active"), "passive"),
        (|offer| offer.replace("a=setup:actpass", "a=setup:passive"), "active"),
    ];
    for (number, (bend, ours)) in setups.into_iter().enumerate() {
        let stream = format!("setup-{number}");
        let publisher = publishes(&weir, &stream, bend).await;
        let viewer = watches(&weir, &stream, bend).await;
        for session in [&publisher.session, &viewer.session] {
            let said = sdp::attributes(&session.sdp, "setup");
            assert!(!said.is_empty() && said.iter().all(|s| *s == ours), "{said:?} for {ours}");
        }
    }
    // No candidates, no header extensions, and an FID group whose second SSRC has no line.
    let bare = |offer: &str| {
        let video = sdp::section(offer, "video").expect("video is offered");
        let rtx = sdp::flows(video)[0].1;
        let rtx = format!("a=ssrc:{rtx} ");
        without(offer, &["a=candidate", "a=end-of-candidates", "a=extmap", &rtx])
            .replace("a=setup:actpass", "a=setup:passive")
    };
    let publisher = publishes(&weir, "bare", bare).await;
    assert!(publisher.session.offer.contains("a=ssrc-group:FID"));
    watches(&weir, "bare", |offer| without(offer, &["a=candidate", "a=end-of-candidates"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_08_one_bundle_one_port_one_stream_one_of_each_kind() {
    let stage = Stage::new("").await;
    for (_, session) in stage.sessions() {
        let mids = sdp::attributes(&session.sdp, "mid").join(" ");
        let group = format!("a=group:BUNDLE {mids}");
        assert!(sdp::has_line(&session.sdp, &group), "{group}: {}", session.sdp);
        for line in ["a=rtcp-mux\r\n", "a=rtcp-mux-only\r\n"] {
            assert_eq!(session.sdp.matches(line).count(), 2, "{line}: {}", session.sdp);
        }
    }
    let streams = sdp::attributes(&stage.viewer.session.sdp, "msid");
    let ids: Vec<_> = streams.iter().filter_map(|msid| msid.split(' ').next()).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "{streams:?}");
    for (path, offer) in offers().await {
        let refused = stage.weir.offer(path, &without(&offer, &["a=group:BUNDLE"])).problem(422);
        assert_eq!(refused["type"], "urn:weir:problem:bundle-required", "{path}");
        let apart = offer.replacen("a=group:BUNDLE 0 1", "a=group:BUNDLE 0", 1);
        assert_ne!(apart, offer);
        stage.weir.offer(path, &apart).problem(422);
        stage.weir.offer(path, &without(&offer, &["a=rtcp-mux"])).problem(400);
        let sound = sdp::section(&offer, "audio").expect("audio is offered");
        let twice = format!("{offer}{}", sound.replace("a=mid:0", "a=mid:2"));
        stage.weir.offer(path, &twice).problem(422);
    }
    stage.goes_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whip_09_simulcast_is_answered() {
    let weir = Weir::start();
    let publisher = Publisher::showing(&weir, "show", Show::simulcast(Codec::Vp8)).await;
    let video = sdp::section(&publisher.session.sdp, "video").expect("video was offered");
    assert_eq!(sdp::attributes(video, "rid"), ["q recv", "h recv", "f recv"]);
    assert_eq!(sdp::attributes(video, "simulcast"), ["recv q;h;f"]);
    let viewer = Viewer::join(&weir, "show").await;
    for rid in ["q", "h", "f"] {
        assert_eq!(viewer.choose(Some(rid)).await.status, 200);
        tests::letter::shows(&weir, "show", rid).await;
        viewer.more_video(10).await;
    }
}
