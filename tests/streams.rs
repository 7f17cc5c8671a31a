//! Streams with one viewer each, made and ended one after the other, however they end: nothing of
//! them stays. `make soak` lets a thousand of them come and go in ten minutes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tests::clip::{Clip, Codec};
use tests::publisher::Show;
use tests::viewer::Wish;
use tests::{Impairment, Publisher, Viewer, Weir, http};
use tokio::task::JoinSet;

/// Before memory counts: enough for the allocator, and for whatever the server remembers of those
/// who have gone to be full.
const WARM_UP: usize = 150;
/// Of the cheap kind are all but one in so many, in the short form.
const ONE_IN: usize = 5;
const AT_ONCE: usize = 8;

/// What a run is made of.
#[derive(Clone)]
struct Bench {
    weir: Arc<Weir>,
    clip: Arc<Clip>,
    /// Offers of a publisher and a viewer that say no word by UDP.
    offers: Arc<(String, String)>,
    /// One stream in so many carries media.
    one_in: usize,
}

impl Bench {
    async fn new(one_in: usize) -> Self {
        let clip = Clip::new(Codec::Vp8, 160, 90, 100);
        let publishing = Publisher::offer(&Show::of(clip.clone())).await;
        let watching = Viewer::silent(&Wish::default()).await.offer().await;
        let offers = Arc::new((publishing, watching));
        Self { weir: Arc::new(Weir::start()), clip, offers, one_in }
    }

    /// The life of stream `number`, from nothing to nothing.
    async fn live(self, number: usize) {
        let name = format!("stream-{number}");
        if !number.is_multiple_of(self.one_in) {
            let offered = tokio::task::spawn_blocking(move || self.offered(&name));
            return offered.await.expect("a stream of offers");
        }
        match number / self.one_in % 5 {
            0 => self.watched_by_one_who_leaves_first(&name).await,
            1 => self.kicked(&name).await,
            2 => self.vanished(&name).await,
            _ => self.left_by_its_publisher(&name).await,
        }
    }

    /// The cheap kind: both ends exist for HTTP only, and take leave by DELETE.
    fn offered(&self, name: &str) {
        let (publishing, watching) = &*self.offers;
        let both = [(format!("/whip/{name}"), publishing), (format!("/whep/{name}"), watching)];
        let resources = both.map(|(path, offer)| {
            let answer = self.weir.offer(&path, offer);
            assert_eq!(answer.status, 201, "{}", answer.text());
            answer.header("location").expect("a 201 has a Location").to_owned()
        });
        for resource in resources {
            let gone = http::send("DELETE", &resource, &[], &[]);
            assert_eq!(gone.status, 200, "{}", gone.text());
        }
    }

    /// A publisher and one viewer, who has seen a picture.
    async fn watched(&self, name: &str, show: Show) -> (Publisher, Viewer) {
        let publisher = Publisher::showing(&self.weir, name, show).await;
        let wish = Wish { codecs: vec![Codec::Vp8], ..Wish::default() };
        let viewer = Viewer::wishing(&self.weir, name, wish).await;
        viewer.until_video("a picture", |t| t.packets.values().any(|p| p.marker)).await;
        (publisher, viewer)
    }

    async fn left_by_its_publisher(&self, name: &str) {
        let (publisher, viewer) = self.watched(name, Show::of(self.clip.clone())).await;
        publisher.leave().await;
        viewer.leave().await;
    }

    async fn watched_by_one_who_leaves_first(&self, name: &str) {
        let (publisher, viewer) = self.watched(name, Show::of(self.clip.clone())).await;
        viewer.leave().await;
        publisher.leave().await;
    }

    async fn kicked(&self, name: &str) {
        let (mut publisher, viewer) = self.watched(name, Show::of(self.clip.clone())).await;
        let url = self.weir.at(&format!("/api/v1/streams/{name}/publisher"));
        let kicked = http::send_async("DELETE", url, vec![], vec![]).await;
        assert_eq!(kicked.status, 204, "{}", kicked.text());
        publisher.stop();
        drop(publisher.peer.connection.close().await);
        viewer.leave().await;
    }

    /// Publisher and viewer fall silent without a word.
    async fn vanished(&self, name: &str) {
        let mut show = Show::of(self.clip.clone());
        show.network = Some((Impairment::NONE, 1));
        let (mut publisher, viewer) = self.watched(name, show).await;
        let relay = publisher.session.relay.as_ref().expect("a network was asked for");
        relay.set(Impairment::CUT);
        publisher.stop();
        drop(publisher.peer.connection.close().await);
        viewer.leave().await;
    }

    /// These streams come and go, one every `pace`; returns when the server knows none any more.
    async fn all(&self, numbers: std::ops::Range<usize>, pace: Duration) {
        let mut clock = tokio::time::interval(pace.max(Duration::from_nanos(1)));
        let mut living = JoinSet::new();
        for number in numbers {
            clock.tick().await;
            while living.len() >= AT_ONCE {
                living.join_next().await.expect("some are there").expect("a stream's life");
            }
            living.spawn(self.clone().live(number));
        }
        while let Some(ended) = living.join_next().await {
            ended.expect("a stream's life");
        }
        // Whoever vanished is missed after ten seconds, and waited for ten more.
        let end = Instant::now() + Duration::from_secs(45);
        loop {
            let streams = self.weir.get("/api/v1/streams").json();
            if streams.as_array().is_some_and(Vec::is_empty) {
                return;
            }
            assert!(Instant::now() < end, "these are left: {streams:#}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|n| n.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_come_and_go_leave_nothing() {
    // `make soak`: a thousand, each with media, spread over ten minutes.
    let soak = from_env("WEIR_STREAMS").map(|n| n as usize);
    let (streams, one_in) = soak.map_or((200, ONE_IN), |n| (n, 1));
    let seconds = from_env("WEIR_STREAMS_SECONDS").unwrap_or(0);
    let pace = Duration::from_secs(seconds) / streams as u32;
    let bench = Bench::new(one_in).await;

    bench.all(0..WARM_UP, Duration::ZERO).await;
    let (memory, files) = (bench.weir.memory(), bench.weir.files());
    println!("streams  memory (KiB)  files\n{:7}  {:12}  {files:5}", 0, memory / 1024);
    let mut done = 0;
    while done < streams {
        let next = (done + 100).min(streams);
        bench.all(WARM_UP + done..WARM_UP + next, pace).await;
        done = next;
        println!("{done:7}  {:12}  {:5}", bench.weir.memory() / 1024, bench.weir.files());
    }
    let (after, files_after) = (bench.weir.memory(), bench.weir.files());
    // A stream with its ring is far more than the 10 KiB that this lets each of 200 leave behind;
    // the allocator's own breathing is less than all of it.
    let grown = after.saturating_sub(memory);
    assert!(grown < 2 << 20, "grew by {grown} bytes from {memory}");
    // Idle HTTP connections come and go.
    assert!(files_after <= files + 8, "{files} files before, {files_after} after");
    for gauge in ["weir_publishers", "weir_viewers", "weir_streams_live"] {
        assert_eq!(bench.weir.metric(gauge), 0.0, "{gauge}");
    }
}
