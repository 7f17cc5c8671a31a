//! Offers: reading and answering never panics, an accepted one gets an answer that we can read
//! ourselves, a refused one a 4xx with a short reason. The bytes are tried as an offer, and as lines
//! put into a real client's offer, so that little is enough to get deep.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signaling::{Agreement, Fingerprint, IceCredentials, Local, Offer, Problem};

const OFFERS: [&str; 6] = [
    include_str!("../../signaling/fixtures/chromium-publish-simulcast.sdp"),
    include_str!("../../signaling/fixtures/ffmpeg-publish.sdp"),
    include_str!("../../signaling/fixtures/firefox-publish-simulcast.sdp"),
    include_str!("../../signaling/fixtures/chromium-watch.sdp"),
    include_str!("../../signaling/fixtures/firefox-watch.sdp"),
    include_str!("../../signaling/fixtures/gstreamer-watch.sdp"),
];

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    both(&text);
    let [pick, at, count, rest @ ..] = data else { return };
    let mut lines: Vec<&str> = OFFERS[usize::from(*pick) % OFFERS.len()].lines().collect();
    let at = usize::from(*at) % lines.len();
    let end = lines.len().min(at + usize::from(*count % 8));
    let text = String::from_utf8_lossy(rest);
    lines.splice(at..end, text.lines());
    both(&lines.join("\n"));
});

fn both(offer: &str) {
    let local = Local {
        ice: IceCredentials { ufrag: "Wx1y".into(), pwd: "0123456789abcdefghijkl".into() },
        fingerprint: Fingerprint { algorithm: "sha-256".into(), digest: vec![7; 32] },
        candidates: vec![([192, 0, 2, 1], 8080).into()],
        tcp: vec![([192, 0, 2, 1], 80).into()],
        session: 7,
        ssrcs: [1, 2, 3],
    };
    check(offer, whip::accept(offer, &local));
    check(offer, whep::accept(offer, &local));
}

fn check(offer: &str, outcome: Result<(String, Agreement), Problem>) {
    match outcome {
        Ok((answer, agreement)) => {
            let offer = Offer::parse(offer).expect("it was accepted");
            let answer = Offer::parse(&answer).expect("an answer of ours");
            assert_eq!(answer.sections.len(), offer.sections.len());
            let accepted: Vec<_> = answer.sections.iter().filter(|s| s.enabled()).collect();
            assert_eq!(accepted.len(), agreement.media.len());
            assert!(accepted.iter().zip(&agreement.media).all(|(s, m)| s.mid == m.mid));
        }
        Err(problem) => {
            assert!((400..500).contains(&problem.status));
            assert!(problem.detail.len() < 4000);
        }
    }
}
