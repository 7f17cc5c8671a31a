//! A WHEP viewer by webrtc-rs as a program of its own, for a test in another language.
//!
//! `webrtc-viewer <WHEP URL> <vp8|h264|vp9|av1>` offers every codec, takes two seconds of pictures
//! and sound, leaves by DELETE and says on stdout how many pictures FFmpeg has made of it. It fails
//! if the pictures are of another codec, if one of them is lost, or if FFmpeg finds a fault in one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic with its reason is how a test says no"
)]
#![allow(clippy::print_stdout, reason = "stdout is how it talks to the test")]

use tests::clip::decoded;
use tests::pictures::pictures;
use tests::viewer::Wish;
use tests::{Codec, Track, Viewer};

/// More than one picture after the keyframe, at any rate of pictures.
const PICTURES: usize = 30;
/// 20 ms each.
const SOUND: usize = 75;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, codec] = &arguments[..] else { panic!("webrtc-viewer <WHEP URL> <codec>") };
    let codec = Codec::ALL.into_iter().find(|c| c.api() == codec).expect("a codec of ours");
    let mut viewer = Viewer::to(url, Wish::default()).await;
    viewer.peer.connected().await;
    let enough = |t: &Track| {
        t.missing().is_empty() && t.packets.values().filter(|p| p.marker).count() > PICTURES
    };
    viewer.until_video("pictures", enough).await;
    viewer.until_audio("sound", |t| t.len() >= SOUND && t.missing().is_empty()).await;
    let got = viewer.video().in_order();
    viewer.leave().await;
    let other = got.iter().find(|p| p.pt != codec.payload_type());
    assert!(other.is_none(), "payload type {:?} is not {codec:?}", other.map(|p| p.pt));
    let shown: Vec<_> = pictures(codec, &got).into_iter().map(|p| p.data).collect();
    // The size is a file's header: each decoder reads its own in the stream.
    let seen = decoded(codec, 640, 360, &shown).len();
    assert!(seen >= PICTURES, "{seen} pictures decoded of {}", shown.len());
    println!("{seen}");
}
