//! A WHIP publisher (RFC 9725) by webrtc-rs as a program of its own, so that a test in another
//! language can kill it, or cut its network and heal it.
//!
//! `webrtc-publisher <WHIP URL> <vp8|h264|vp9|av1> <width>x<height> <kbit/s>`; with `-` for the URL
//! it only makes the clip, so that this costs no time later. It says on stdout, with milliseconds
//! since 1970: `connected` and `keyframe` (each that it sends), and hears on stdin: `cut` (nothing
//! goes in or out any more), `heal`, `leave` (DELETE). It ends when stdin does.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic with its reason is how a test says no"
)]
#![allow(clippy::print_stdout, reason = "stdout is how it talks to the test")]

use std::time::{Duration, Instant, SystemTime};

use tests::publisher::Show;
use tests::{Clip, Codec, Impairment, Publisher};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, codec, size, kbps] = &arguments[..] else {
        panic!("webrtc-publisher <WHIP URL or -> <codec> <width>x<height> <kbit/s>");
    };
    let codec = Codec::ALL.into_iter().find(|c| c.api() == codec).expect("a codec of ours");
    let (width, height) = size.split_once('x').expect("width x height");
    let number = |text: &str| text.parse().expect("a number of pixels");
    let clip = Clip::new(codec, number(width), number(height), kbps.parse().expect("kbit/s"));
    if url == "-" {
        return;
    }
    let mut wishes = wishes();
    let show = Show { network: Some((Impairment::NONE, 1)), ..Show::of(clip) };
    let publisher = Publisher::to(url, show).await;
    say("connected", Instant::now());
    let relay = publisher.session.relay.as_ref().expect("a network was asked for");
    let mut look = tokio::time::interval(Duration::from_millis(5));
    let mut told = 0;
    loop {
        tokio::select! {
            _ = look.tick() => {
                let keyframes = publisher.keyframes(0);
                keyframes[told..].iter().for_each(|at| say("keyframe", *at));
                told = keyframes.len();
            }
            wish = wishes.recv() => match wish.as_deref() {
                Some("cut") => relay.set(Impairment::CUT),
                Some("heal") => relay.set(Impairment::NONE),
                Some("leave") => break,
                Some(other) => panic!("{other:?} is none of cut, heal, leave"),
                None => return,
            },
        }
    }
    publisher.leave().await;
}

/// What stdin says, line by line. A thread of its own: reading it cannot be cancelled.
fn wishes() -> mpsc::Receiver<String> {
    let (say, wishes) = mpsc::channel(4);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if say.blocking_send(line.trim().to_owned()).is_err() {
                return;
            }
        }
    });
    wishes
}

fn say(what: &str, at: Instant) {
    let when = SystemTime::now() - at.elapsed();
    let since = when.duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970");
    println!("{what} {}", since.as_millis());
}
