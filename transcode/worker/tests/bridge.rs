//! The server's handle over the real program: what the two halves of the protocol make of each other, and what a
//! killed worker costs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "in tests a panic is the message")]

use std::path::PathBuf;
use std::time::Duration;

use media::{AccessUnit, Codec, Format, MediaTime};
use transcode::bridge::Output;
use transcode::{Bridge, Config, Options, Spec, State, Target, Worker};

/// One packet of Opus, 20 ms of silence in stereo (RFC 6716 section 3.1, configuration 31).
const SILENCE: &[u8] = &[0xfc, 0xff, 0xfe];

fn unit(number: i64) -> AccessUnit {
    let time = MediaTime::from_millis(20 * number);
    AccessUnit { dts: time, pts: time, keyframe: true, data: SILENCE.into() }
}

/// What came, up to and with the first that is wanted.
async fn until(bridge: &Bridge, wanted: impl Fn(&Output) -> bool) -> Vec<Output> {
    let mut seen = Vec::new();
    let search = async {
        while let Some(output) = bridge.next().await {
            if let Output::State(State::Failed { reason }) = &output {
                panic!("{reason}");
            }
            let found = wanted(&output);
            seen.push(output);
            if found {
                return seen;
            }
        }
        panic!("the bridge has ended");
    };
    tokio::time::timeout(Duration::from_secs(20), search).await.expect("it comes in time")
}

fn start() -> Bridge {
    let path = PathBuf::from(env!("CARGO_BIN_EXE_weir-transcoder"));
    let worker = Worker::new(path, &Config::default());
    let from = Format {
        codec: Codec::Opus,
        config: b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\0\0\0".to_vec().into(),
        dimensions: None,
        sound: Some((48_000, 2)),
    };
    let spec = Spec { from, to: Target::Aac, options: Options::default() };
    Bridge::start(&worker, spec, transcode::Bounds::default())
}

/// Pushes the next unit every 20 ms until one comes out at this time or later: what came, and its time.
async fn feed(bridge: &Bridge, number: &mut i64, until_pts: i64) -> (Vec<Output>, i64) {
    let push = async {
        let mut clock = tokio::time::interval(Duration::from_millis(20));
        loop {
            clock.tick().await;
            bridge.push(unit(*number));
            *number += 1;
        }
    };
    let wanted = |output: &Output| matches!(output, Output::Unit(u) if u.pts.millis() >= until_pts);
    let seen = tokio::select! {
        seen = until(bridge, wanted) => seen,
        () = push => panic!("it never ends"),
    };
    let Some(Output::Unit(unit)) = seen.last() else { panic!("{seen:?}") };
    let time = unit.pts.millis();
    (seen, time)
}

#[tokio::test]
async fn a_killed_worker_is_replaced_and_the_times_go_on() {
    let bridge = start();
    let mut number = 0;
    let (seen, before) = feed(&bridge, &mut number, 500).await;
    let media = |output: &&Output| matches!(output, Output::Format(_) | Output::Unit(_));
    let first = seen.iter().find(media).unwrap();
    assert!(matches!(first, Output::Format(f) if f.codec == Codec::Aac), "{first:?}");

    let worker = rustix::process::Pid::from_raw(bridge.worker_id().unwrap() as i32).unwrap();
    rustix::process::kill_process(worker, rustix::process::Signal::KILL).unwrap();
    let (seen, after) = feed(&bridge, &mut number, before + 400).await;
    assert!(after - before < 2400, "{} ms until it went on", after - before);
    assert!(!seen.iter().any(|output| matches!(output, Output::Format(_))), "the same format");
    assert_eq!(bridge.counters().restarts, 1);
    assert_ne!(bridge.worker_id(), Some(worker.as_raw_nonzero().get() as u32));
    bridge.finish();
    while bridge.next().await.is_some() {}
}
