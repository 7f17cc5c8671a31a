//! Reading offers and fragments: what is tolerated, what is bounded, what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::*;
use proptest::prelude::*;
use signaling::sdp::{Direction, Error, Feedback, MAX_TEXT, SectionKind, Setup};
use signaling::{IceCredentials, Offer, SdpFragment};

#[test]
fn every_fixture_reads_the_same_with_either_line_end() {
    for text in PUBLISH.iter().chain(&WATCH) {
        let offer = Offer::parse(text).unwrap();
        let lf = text.replace("\r\n", "\n");
        assert_eq!(Offer::parse(&lf).unwrap(), offer);
        assert_eq!(Offer::parse(&lf.replace('\n', " \r\n\r\n")).unwrap(), offer);
    }
}

#[test]
fn model_of_an_offer() {
    let offer = Offer::parse(FIREFOX_PUBLISH).unwrap();
    assert_eq!(offer.bundles, [["0", "1"]]);
    assert_eq!(offer.describe(1), "m-line 2 (video)");
    let video = &offer.sections[1];
    assert_eq!(video.kind, SectionKind::Video);
    assert_eq!(video.direction, Direction::SendOnly);
    assert_eq!(video.transport.setup, Some(Setup::ActPass));
    assert_eq!(video.send_rids.len(), 2);
    assert_eq!(video.simulcast.len(), 2);
    assert_eq!(video.ssrcs.len(), 2, "repair SSRCs are not media");
    assert!(video.rtcp_mux && video.rtcp_rsize && video.enabled());
    let vp8 = &video.formats[0];
    assert_eq!((vp8.pt, vp8.name.as_str(), vp8.clock, vp8.channels), (120, "VP8", 90_000, None));
    assert_eq!(vp8.parameter("MAX-FR"), Some("60"));
    assert_eq!(vp8.feedback, [Feedback::Nack, Feedback::Pli, Feedback::Fir, Feedback::TransportCc]);
    assert_eq!(video.formats[1].apt(), Some(120));
    assert_eq!(vp8.apt(), None);
}

#[test]
fn session_level_is_inherited_and_overridden() {
    let text = "v=0\r\na=sendonly\r\na=setup:active\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:0123456789abcdefghijkl\r\na=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\n\
        a=ice-ufrag:efgh\r\na=setup:passive\r\n";
    let offer = Offer::parse(text).unwrap();
    let [audio, video] = &offer.sections[..] else { panic!("two m-lines") };
    assert_eq!((audio.direction, video.direction), (Direction::SendOnly, Direction::SendRecv));
    assert_eq!(audio.transport.ufrag.as_deref(), Some("abcd"));
    assert!(audio.transport.pwd.is_some());
    assert_eq!(video.transport.ufrag.as_deref(), Some("efgh"));
    assert_eq!(video.transport.pwd, None, "a password belongs to its user fragment");
    assert_eq!(video.transport.setup, Some(Setup::Passive));
    assert_eq!((audio.extmaps.len(), video.extmaps.len()), (1, 1));
    assert_eq!((audio.mid.as_str(), video.mid.as_str()), ("0", "1"));
}

#[test]
fn a_derived_mid_never_meets_a_given_one() {
    let text =
        "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 2\r\na=mid:0\r\n";
    assert!(matches!(Offer::parse(text), Err(Error::Missing { .. })));
}

#[test]
fn only_the_hash_that_the_transport_checks() {
    let of = |line: &str| {
        let offer = Offer::parse(&format!("v=0\r\n{line}m=audio 9 UDP/TLS/RTP/SAVPF 1\r\n"));
        offer.map(|o| o.sections[0].transport.fingerprint.clone())
    };
    let digest = |n| vec!["aB"; n].join(":");
    for (name, n) in [("sha-256", 32), ("SHA-256", 32)] {
        let found = of(&format!("a=fingerprint:{name} {}\r\n", digest(n))).unwrap().unwrap();
        assert_eq!(found.algorithm, name.to_lowercase());
        assert_eq!(found.digest, vec![0xab; n]);
        assert!(of(&format!("a=fingerprint:{name} {}\r\n", digest(n - 1))).is_err());
    }
    for (name, n) in [("sha-1", 20), ("md5", 16), ("sha-224", 28), ("sha-384", 48), ("sha-512", 64)]
    {
        assert_eq!(of(&format!("a=fingerprint:{name} {}\r\n", digest(n))).unwrap(), None);
    }
    // Of several the first that we take.
    let two =
        format!("a=fingerprint:sha-1 {}\r\na=fingerprint:sha-256 {}\r\n", digest(20), digest(32));
    assert_eq!(of(&two).unwrap().unwrap().algorithm, "sha-256");
}

#[test]
fn bounds() {
    let lines = |line: &str, n: usize| {
        let text = format!("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n{}", line.repeat(n));
        assert!(text.len() <= MAX_TEXT, "a test of another bound");
        Offer::parse(&text).map(|o| o.sections[0].clone())
    };
    let ssrcs: String = (0..60).map(|i| format!("a=ssrc:{i} cname:x\r\n")).collect();
    assert!(lines(&ssrcs, 1).is_err());
    assert_eq!(lines("a=ssrc:1 cname:x\r\n", 3000).unwrap().ssrcs.len(), 1);
    let rids: String = (0..9).map(|i| format!("a=rid:{i} send\r\n")).collect();
    assert!(lines(&rids, 1).is_err());
    assert_eq!(lines("a=rtcp-fb:* nack\r\n", 3000).unwrap().formats[0].feedback.len(), 1);
    let extmap = "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";
    assert_eq!(lines(extmap, 1000).unwrap().extmaps.len(), 1);

    let all: String = (0..128).map(|i| format!(" {i}")).collect();
    let text = format!("v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF{all}\r\n");
    assert_eq!(Offer::parse(&text).unwrap().sections[0].formats.len(), 128);
    let groups = "a=group:BUNDLE 0\r\n".repeat(17);
    assert!(Offer::parse(&format!("v=0\r\n{groups}")).is_err());
    let mids = " 0".repeat(17);
    assert!(Offer::parse(&format!("v=0\r\na=group:BUNDLE{mids}\r\n")).is_err());
    let long = "v=0\r\n".repeat(MAX_TEXT);
    assert_eq!(Offer::parse(&long), Err(Error::TooLong(long.len())));
}

#[test]
fn an_error_shows_the_line_but_not_all_of_it() {
    let text = format!("v=0\r\ns=-\r\n{}\r\n", "x".repeat(1000));
    let error = Offer::parse(&text).unwrap_err();
    assert!(matches!(&error, Error::Line { number: 3, text, .. } if text.len() == 80), "{error}");
    assert!(error.to_string().starts_with("line 3, "));
}

#[test]
fn fragments() {
    let text = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        a=mid:0\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n\
        a=candidate:2 1 UDP 1 xx.local 1 typ host\r\na=end-of-candidates\r\n";
    let fragment = SdpFragment::parse(text).unwrap();
    let current = IceCredentials { ufrag: "EsAw".into(), pwd: "P2uYro0UCOQ4zxjKXaWCBui1".into() };
    assert_eq!(fragment.ice, current);
    assert!(fragment.complete);
    assert_eq!(fragment.media.len(), 1);
    assert_eq!((fragment.media[0].mid.as_str(), fragment.media[0].candidates.len()), ("0", 2));
    let above = "a=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\na=candidate:x\n";
    assert_eq!(SdpFragment::parse(above).unwrap().candidates, ["x"]);
}

#[test]
fn fragments_that_cannot_be_read() {
    let creds = "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n";
    let bad = [
        String::new(),
        "a=ice-ufrag:EsAw\r\n".into(),
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n".into(),
        format!("{creds}{{}}\r\n"),
        format!("{creds}a=mid:0\r\n"),
        format!("{creds}m=audio 9 x 0\r\na=mid:\r\n"),
        format!("{creds}{}", "m=audio 9 x 0\r\n".repeat(17)),
        format!("{creds}{}", "a=candidate:x\r\n".repeat(257)),
        "a=x\r\n".repeat(20_000),
    ];
    for text in bad {
        assert!(SdpFragment::parse(&text).is_err(), "{:?}", &text[..text.len().min(200)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_panics(text in "\\PC{0,300}", lines in prop::collection::vec("[amv]=[a-z-]{0,10}:?[ -~]{0,60}", 0..30)) {
        let _ = Offer::parse(&text);
        let _ = SdpFragment::parse(&text);
        let text = format!("v=0\r\n{}", lines.join("\r\n"));
        let _ = Offer::parse(&text);
        let _ = SdpFragment::parse(&text);
    }

    #[test]
    fn spoilt_offers_stay_within_bounds(offer in spoilt(&PUBLISH)) {
        let Ok(offer) = Offer::parse(&offer) else { return Ok(()) };
        prop_assert!(offer.sections.len() <= 16);
        for (i, section) in offer.sections.iter().enumerate() {
            prop_assert!((1..=16).contains(&section.mid.len()));
            prop_assert!(section.send_rids.len() <= 8 && section.simulcast.len() <= 8);
            prop_assert!(section.ssrcs.len() <= 48 && section.formats.len() <= 128);
            prop_assert!(offer.sections[..i].iter().all(|s| s.mid != section.mid));
        }
    }
}
