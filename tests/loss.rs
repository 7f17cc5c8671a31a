//! 5 % loss and 5 % reordering on the way in, on the way out, and on both: every picture arrives
//! whole after retransmission.

use std::sync::atomic::Ordering;

use tests::clip::{self, Clip, Codec};
use tests::compare::follow;
use tests::peer::NACK;
use tests::pictures::{bare, pictures};
use tests::publisher::Show;
use tests::track::Packet;
use tests::viewer::Wish;
use tests::{Impairment, Publisher, Relay, Viewer, Weir};

const BAD: Impairment = Impairment { loss: 0.05, reorder: 0.05, ..Impairment::NONE };

/// How many video packets travel through the bad weather.
const PACKETS: usize = 400;

/// Whose very first packet is lost gets the keyframe once more: nobody could have asked for it.
fn from_the_last_beginning(codec: Codec, got: Vec<Packet>) -> Vec<Packet> {
    let (first, soon) = (bare(codec, &got[0].payload), got.len().min(PACKETS / 4));
    let again = got[1..soon].iter().rposition(|p| bare(codec, &p.payload) == first);
    got[again.map_or(0, |at| at + 1)..].to_vec()
}

async fn survives(codec: Codec, bad_in: bool, bad_out: bool) {
    let weir = Weir::start();
    let clip = Clip::new(codec, 480, 270, 900);
    let network = |bad: bool, seed| bad.then_some((BAD, seed));
    let show = Show { network: network(bad_in, 11), ..Show::of(clip.clone()) };
    let publisher = Publisher::showing(&weir, "show", show).await;
    let wish = Wish { network: network(bad_out, 12), ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    viewer.until_video("bad weather", |t| t.len() >= PACKETS).await;

    // What is lost at the very end nobody would ask for: the sky clears first.
    for relay in [&publisher.session.relay, &viewer.session.relay].into_iter().flatten() {
        relay.set(Impairment::NONE);
    }
    let bad = viewer.video().last().expect("video came").seq;
    let whole = |t: &tests::Track| {
        let after = t.packets.range(bad + 60..).count();
        after > 0 && t.missing().iter().all(|s| *s > bad)
    };
    viewer.until_video("every gap is closed", whole).await;

    let track = viewer.video();
    let got: Vec<_> = track.packets.range(..=bad).map(|(_, p)| p.clone()).collect();
    let got = from_the_last_beginning(codec, got);
    let sent = publisher.sent(0);
    let start = follow(Some(codec), &sent, &got);
    assert!(sent[start].key, "the first picture is no keyframe");
    assert!(start == 0 || sent[start - 1].marker, "the keyframe lacks its first packet");
    let shown: Vec<_> = pictures(codec, &got).into_iter().map(|p| p.data).collect();
    assert_eq!(clip::decoded(codec, clip.width, clip.height, &shown).len(), shown.len());

    if let Some(relay) = &publisher.session.relay {
        suffered(relay, true);
        let nacks = publisher.peer.ear.look(|i| i.rtcp.get(&NACK).copied().unwrap_or_default());
        assert!(nacks > 0, "the server asked the publisher for nothing");
    }
    if let Some(relay) = &viewer.session.relay {
        suffered(relay, false);
        let repaired = got.iter().filter(|p| p.repaired).count();
        assert!(repaired >= PACKETS / 50, "only {repaired} came by retransmission");
    }
}

/// The weather was really bad.
fn suffered(relay: &Relay, up: bool) {
    let counts = if up { &relay.up } else { &relay.down };
    let (seen, lost, held) = (&counts.seen, &counts.lost, &counts.held);
    let [seen, lost, held] = [seen, lost, held].map(|c| c.load(Ordering::Relaxed));
    assert!(lost >= seen / 50 && held >= seen / 50, "{lost} lost and {held} held of {seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_from_the_publisher_is_repaired() {
    survives(Codec::H264, true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_to_the_viewer_is_repaired() {
    survives(Codec::Vp8, false, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_on_both_sides_is_repaired() {
    survives(Codec::Vp9, true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_on_both_sides_is_repaired_for_av1() {
    survives(Codec::Av1, true, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_viewers_bad_network_is_not_anothers() {
    let weir = Weir::start();
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::Vp8)).await;
    let awful = Impairment { loss: 0.4, reorder: 0.2, ..Impairment::NONE };
    let wish = Wish { network: Some((Impairment::NONE, 5)), ..Wish::default() };
    let bad = Viewer::wishing(&weir, "show", wish).await;
    let good = Viewer::join(&weir, "show").await;
    // Live by then: the keyframes that the other one asks for would end its backlog.
    good.more_video(60).await;
    bad.session.relay.as_ref().expect("asked for").set(awful);
    good.until_video("4 s", |t| t.len() >= 200 && t.missing().is_empty()).await;
    let got = good.video();
    assert_eq!(got.packets.values().filter(|p| p.repaired).count(), 0);
    follow(Some(Codec::Vp8), &publisher.sent(0), &got.in_order());
    assert!(!bad.video().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyframe_whose_first_packet_is_overtaken_still_starts_the_viewer() {
    for codec in Codec::ALL {
        let weir = Weir::start();
        let clip = Clip::small(codec);
        let show = Show { overtaken: true, ..Show::of(clip.clone()) };
        let publisher = Publisher::showing(&weir, "show", show).await;
        let viewer = Viewer::join(&weir, "show").await;
        let enough = |t: &tests::Track| t.len() >= 60 && t.missing().is_empty();
        viewer.until_video(&format!("2 s of {codec:?}"), enough).await;
        let (sent, got) = (publisher.sent(0), viewer.video().in_order());
        let start = follow(Some(codec), &sent, &got);
        assert!(sent[start].key, "{codec:?}: the first picture is no keyframe");
        assert!(start == 0 || sent[start - 1].marker, "{codec:?}: it lacks its first packet");
    }
}
