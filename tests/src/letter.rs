//! What the tests of the letter share: a stage with a publisher and a viewer, offers that nobody answers, and what
//! "accepted" means: media flows.

use std::time::{Duration, Instant};

use crate::clip::{Clip, Codec};
use crate::http::{self, Answer};
use crate::peer::{PATIENCE, Post, Session};
use crate::publisher::{Publisher, Show};
use crate::viewer::{Viewer, Wish};
use crate::weir::Weir;

/// Packets of video that show that it flows.
const ENOUGH: usize = 30;
/// Media type of offers and answers.
pub const SDP: &str = "application/sdp";
/// Media type of PATCH.
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// A server with a publisher and a viewer of the stream `show`.
pub struct Stage {
    /// The server.
    pub weir: Weir,
    /// Publishes VP8 and Opus.
    pub publisher: Publisher,
    /// Watches.
    pub viewer: Viewer,
}

impl Stage {
    /// Once media flows.
    pub async fn new(toml: &str) -> Self {
        Self::bent(toml, str::to_owned).await
    }

    /// The same with offers that were bent.
    pub async fn bent(toml: &str, bend: fn(&str) -> String) -> Self {
        let weir = Weir::configured(toml);
        let publisher = publishes(&weir, "show", bend).await;
        let viewer = watches(&weir, "show", bend).await;
        Self { weir, publisher, viewer }
    }

    /// Both sessions, each with its protocol.
    pub fn sessions(&self) -> [(&'static str, &Session); 2] {
        [("whip", &self.publisher.session), ("whep", &self.viewer.session)]
    }

    /// Media flows in both sessions as before: what the publisher sends comes to the viewer.
    pub async fn goes_on(&self) {
        self.viewer.more_video(ENOUGH).await;
    }
}

/// Publishes by an offer that was bent, connected on return.
pub async fn publishes(weir: &Weir, stream: &str, bend: fn(&str) -> String) -> Publisher {
    let post = Post { bend, ..Post::default() };
    let show = Show { post, ..Show::of(Clip::small(Codec::Vp8)) };
    Publisher::showing(weir, stream, show).await
}

/// Watches by an offer that was bent, once media flows.
pub async fn watches(weir: &Weir, stream: &str, bend: fn(&str) -> String) -> Viewer {
    let post = Post { bend, ..Post::default() };
    let viewer = Viewer::wishing(weir, stream, Wish { post, ..Wish::default() }).await;
    viewer.more_video(ENOUGH).await;
    viewer
}

/// What a publisher and a viewer would offer, each with its endpoint.
pub async fn offers() -> [(&'static str, String); 2] {
    let publisher = Publisher::offer(&Show::of(Clip::small(Codec::Vp8))).await;
    let viewer = Viewer::silent(&Wish::default()).await.offer().await;
    [("/whip/other", publisher), ("/whep/show", viewer)]
}

/// A body to a session's URL, with the header fields that belong to it.
pub fn patch(session: &Session, etag: &str, body: &str) -> Answer {
    let fields = [("content-type", FRAGMENT), ("if-match", etag)];
    http::send("PATCH", &session.resource, &fields, body.as_bytes())
}

/// The session's entity tag.
#[track_caller]
pub fn etag(session: &Session) -> &str {
    session.answer.header("etag").expect("a 201 has an entity tag")
}

/// A fragment (RFC 8840) of the session's own offer with these candidates.
pub fn fragment(session: &Session, candidates: &[&str]) -> String {
    let of = |name| crate::sdp::attributes(&session.offer, name)[0];
    let (ufrag, pwd) = (of("ice-ufrag"), of("ice-pwd"));
    let lines: String = candidates.iter().map(|c| format!("a=candidate:{c}\r\n")).collect();
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n{lines}"
    )
}

/// The text without its lines that begin so.
pub fn without(sdp: &str, beginnings: &[&str]) -> String {
    let kept = sdp.lines().filter(|line| !beginnings.iter().any(|b| line.starts_with(b)));
    kept.map(|line| format!("{}\r\n", line.trim_end())).collect()
}

/// Seconds of `Retry-After`, which has to be there.
#[track_caller]
pub fn retry_after(answer: &Answer) -> u32 {
    let seconds = answer.header("retry-after").and_then(|s| s.parse().ok());
    let seconds = seconds.unwrap_or_else(|| panic!("no Retry-After: {:?}", answer.headers));
    assert!(seconds > 0);
    seconds
}

/// Waits until the only viewer of a stream gets this encoding.
pub async fn shows(weir: &Weir, stream: &str, rid: &str) {
    let path = format!("/api/v1/streams/{stream}/viewers");
    let end = Instant::now() + PATIENCE;
    while weir.get(&path).json()[0]["layer"] != rid {
        assert!(Instant::now() < end, "not {rid}: {}", weir.get(&path).text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
