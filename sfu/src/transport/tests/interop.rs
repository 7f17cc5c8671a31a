//! Against a whole WebRTC client that shares no line with us.

use media::{Codec, Kind};

use super::*;
use crate::rtc::client::{self, Client as Browser};

/// Across the first rollover.
const SEQUENCE: std::ops::Range<u64> = 0xffe0..0x1_0020;

#[test]
fn another_webrtc_stack_connects_and_opens_what_we_seal() {
    for profile in Profile::ALL {
        let (events, reports, received) = play(profile);
        assert_eq!(events, [Event::Connected { profile }, Event::Ready]);
        assert!(reports > 0, "{profile:?}: no feedback");
        assert_eq!(received, SEQUENCE.collect::<Vec<_>>(), "{profile:?}");
    }
}

/// Events, compounds and the sequence numbers that were opened.
fn play(profile: Profile) -> (Vec<Event>, usize, Vec<u64>) {
    let mut now = epoch();
    let theirs = crate::Certificate::generate(now).expect("randomness");
    let agreed = client::agreement(1, &[], &[Codec::Vp8], false, theirs.fingerprint());
    let context = Context::offering(&SERVER, &[profile]).expect("a context");
    let mut transport = Transport::new(&context, &agreed, now).expect("a transport");
    let mut browser = Browser::new(&agreed, &theirs, (&SERVER, local()), remote(), now);
    let ssrc = agreed.media(Kind::Video).and_then(|m| m.local_ssrcs).expect("video").main;
    let (mut egress, mut events, mut reports) = (Egress::default(), Vec::new(), 0);
    let mut sequence = SEQUENCE;

    for _ in 0..3000 {
        now += Duration::from_millis(1);
        browser.handle_timeout(now);
        for mut sent in browser.drain() {
            let path = Path::udp(sent.path.remote, sent.path.local);
            let taken = transport.receive(now, path, &mut sent.contents, &mut egress);
            reports += usize::from(matches!(taken.expect("a client's"), Taken::Rtcp(_)));
        }
        if transport.deadline().is_some_and(|due| due <= now) {
            transport.handle_timeout(now, &mut egress);
        }
        events.extend(std::iter::from_fn(|| transport.poll_event()));
        if transport.is_up() && browser.connected {
            sequence.next().into_iter().for_each(|n| video(&mut transport, &mut egress, ssrc, n));
        }
        let mut out = Collect::default();
        egress.drain(&mut out);
        out.0.iter().for_each(|(from, _, bytes)| browser.receive(now, *from, bytes));
    }
    (events, reports, browser.received.iter().map(|r| r.seq).collect())
}

fn video(transport: &mut Transport, egress: &mut Egress, ssrc: u32, seq: u64) {
    let path = transport.path().expect("connected");
    let payload = [0x10, 0, 0, 0, 1, 2, 3, 4];
    let packet = egress.slot(path, 12 + payload.len() + transport.overhead());
    packet[..2].copy_from_slice(&[0x80, 0x80 | 98]);
    packet[2..4].copy_from_slice(&(seq as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(seq as u32 * 3000).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet[12..20].copy_from_slice(&payload);
    transport.seal_rtp(packet, 12, seq);
}
