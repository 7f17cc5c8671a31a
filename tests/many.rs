//! Fifty at once, and a thousand who come and go.

use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::compare::follow;
use tests::viewer::Wish;
use tests::{Publisher, Viewer, Weir, http};
use tokio::task::JoinSet;

const AT_ONCE: usize = 50;
/// Who offer and leave again without a word by UDP.
const VISITS: usize = 800;
/// Who connect and see a picture before they leave.
const STAYS: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_viewers_all_get_the_whole_stream() {
    let weir = std::sync::Arc::new(Weir::start());
    let publisher = Publisher::start(&weir, "show", Clip::small(Codec::H264)).await;
    let mut joining = JoinSet::new();
    for _ in 0..AT_ONCE {
        let weir = weir.clone();
        joining.spawn(async move {
            let wish = Wish { codecs: vec![Codec::H264], ..Wish::default() };
            Viewer::wishing(&weir, "show", wish).await
        });
    }
    let viewers = joining.join_all().await;
    let there = weir.until("show", |s| s["viewers"]["whep"] == AT_ONCE);
    assert_eq!(there["state"], "live");
    for viewer in &viewers {
        viewer.until_video("3 s of video", |t| t.len() >= 100 && t.missing().is_empty()).await;
        viewer.until_audio("2 s of sound", |t| t.len() >= 100 && t.missing().is_empty()).await;
    }
    let (sent, sang) = (publisher.sent(0), publisher.sang());
    for viewer in &viewers {
        let got = viewer.video().in_order();
        let start = follow(Some(Codec::H264), &sent, &got[..100]);
        assert!(sent[start].key, "the first picture is no keyframe");
        follow(None, &sang, &viewer.audio().in_order()[..100]);
    }
    // Those who find a keyframe in the ring ask for none; the wishes of all others are one every
    // half second.
    let asked = publisher.peer.ear.look(|i| i.keyframe_requests.clone());
    assert!(asked.len() < AT_ONCE, "{} requests", asked.len());
    for pair in asked.windows(2) {
        let apart = pair[1].0.saturating_duration_since(pair[0].0);
        assert!(apart > Duration::from_millis(400), "asked again after {apart:?}");
    }
    let mut leaving = JoinSet::new();
    viewers.into_iter().for_each(|viewer| drop(leaving.spawn(viewer.leave())));
    leaving.join_all().await;
    weir.until("show", |s| s["viewers"]["whep"] == 0);
}

/// One offer that the server has never seen the client of by UDP.
fn visit(weir: &Weir, offer: &str) {
    let answer = weir.offer("/whep/show", offer);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let resource = answer.header("location").expect("a 201 has a Location").to_owned();
    let gone = http::send("DELETE", &resource, &[], &[]);
    assert_eq!(gone.status, 200, "{}", gone.text());
}

async fn stay(weir: std::sync::Arc<Weir>) {
    let wish = Wish { codecs: vec![Codec::Vp8], audio: false, ..Wish::default() };
    let viewer = Viewer::wishing(&weir, "show", wish).await;
    viewer.until_video("a picture", |t| t.packets.values().any(|p| p.marker)).await;
    viewer.leave().await;
}

/// `fraction` of all visits and stays.
async fn crowd(weir: &std::sync::Arc<Weir>, offer: &str, fraction: usize) {
    let (visits, stays) = (VISITS / fraction, STAYS / fraction);
    let (server, offer) = (weir.clone(), offer.to_owned());
    let visitors = tokio::task::spawn_blocking(move || {
        (0..visits).for_each(|_| visit(&server, &offer));
    });
    let mut at_once = JoinSet::new();
    for _ in 0..stays {
        if at_once.len() == 8 {
            at_once.join_next().await.expect("eight are there").expect("a viewer that stays");
        }
        at_once.spawn(stay(weir.clone()));
    }
    at_once.join_all().await;
    visitors.await.expect("visitors");
    let end = Instant::now() + Duration::from_secs(5);
    while weir.metric("weir_viewers") != 0.0 {
        assert!(Instant::now() < end, "{} viewers are left", weir.metric("weir_viewers"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_joins_and_leaves_cost_no_memory_and_no_files() {
    let weir = std::sync::Arc::new(Weir::start());
    let clip = Clip::new(Codec::Vp8, 160, 90, 100);
    let publisher = Publisher::start(&weir, "show", clip).await;
    let offer = Viewer::silent(&Wish::default()).await.offer().await;

    crowd(&weir, &offer, 5).await; // 200 warm the allocator up
    let (mut memory, files) = (weir.memory(), weir.files());
    // And 800 more; `make soak` lets 100,000 come, of whom the first 5,000 warm up what the server keeps of
    // sessions that have ended.
    let crowds: usize = std::env::var("WEIR_CROWDS").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    for past in 0..crowds {
        if past % crowds.div_ceil(20) == 0 {
            println!("{past:4} crowds of 200: {} bytes", weir.memory());
        }
        if past == crowds / 20 {
            memory = weir.memory();
        }
        crowd(&weir, &offer, 5).await;
    }
    let (after, files_after) = (weir.memory(), weir.files());
    let grown = after.saturating_sub(memory);
    println!("memory {memory} then {after} bytes, files {files} then {files_after}");
    // 800 leaked sessions would be at least 3 MB; the allocator's own breathing is far less.
    assert!(grown < 2 << 20, "grew by {grown} bytes from {memory}");
    // Idle HTTP connections come and go.
    assert!(files_after <= files + 8, "{files} files before, {files_after} after");
    assert_eq!(weir.state("show"), "live");
    publisher.leave().await;
    let end = Instant::now() + Duration::from_secs(5);
    while weir.state("show") == "live" {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
