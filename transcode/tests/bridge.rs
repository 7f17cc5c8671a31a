//! Bridges over real processes that fail in every way: killed, stopped, hung, of another version, sending what
//! they must not. The processes are a double of the worker (`double/double.rs`); codecs are tested with the worker.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use media::{AccessUnit, Codec, Format, MediaTime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use transcode::{Bounds, Bridge, Config, Options, Output, Policy, Spec, State, Target, Worker};

/// The double under a name that says what it does wrong.
fn worker(fault: &str) -> Worker {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(fault);
    let _ = std::fs::remove_file(&path);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_worker-double"), &path).unwrap();
    Worker::new(path, &Config::default())
}

fn format(codec: Codec) -> Format {
    Format { codec, config: Bytes::new(), dimensions: None, sound: None }
}

fn spec(to: Target) -> Spec {
    let from = if to == Target::Opus { Codec::Aac } else { Codec::H264 };
    Spec { from: format(from), to, options: Options::default() }
}

fn start(fault: &str, to: Target) -> Bridge {
    Bridge::start(&worker(fault), spec(to), Bounds::default())
}

fn unit(millis: i64, keyframe: bool) -> AccessUnit {
    let time = MediaTime::from_millis(millis);
    AccessUnit { dts: time, pts: time, keyframe, data: Bytes::from_static(b"unit") }
}

/// What comes out next; fails when nothing does.
async fn next(bridge: &Bridge) -> Option<Output> {
    timeout(Duration::from_secs(15), bridge.next()).await.expect("something comes out")
}

/// The next unit, whatever lies before it.
async fn next_unit(bridge: &Bridge) -> AccessUnit {
    loop {
        match next(bridge).await {
            Some(Output::Unit(unit)) => return unit,
            Some(_) => {}
            None => panic!("the bridge has ended: {:?}", bridge.state()),
        }
    }
}

/// Reads on until this state is told.
async fn until(bridge: &Bridge, wanted: impl Fn(&State) -> bool) -> State {
    loop {
        match next(bridge).await {
            Some(Output::State(state)) if wanted(&state) => return state,
            Some(_) => {}
            None => panic!("the bridge has ended: {:?}", bridge.state()),
        }
    }
}

/// The reason with which it gives up.
async fn failure(bridge: &Bridge) -> String {
    let State::Failed { reason } = until(bridge, |s| matches!(s, State::Failed { .. })).await
    else {
        unreachable!("asked for it")
    };
    assert_eq!(next(bridge).await, None, "nothing follows");
    reason
}

/// A publisher in real time: 50 pictures a second, a keyframe every ten seconds.
struct Source {
    newest: Arc<AtomicI64>,
    task: JoinHandle<()>,
}

impl Source {
    fn start(bridge: &Arc<Bridge>, gop: i64) -> Self {
        let newest = Arc::new(AtomicI64::new(-1));
        let (bridge, shared) = (Arc::clone(bridge), Arc::clone(&newest));
        let task = tokio::spawn(async move {
            let mut clock = tokio::time::interval(Duration::from_millis(20));
            for number in 0.. {
                clock.tick().await;
                bridge.push(unit(number * 20, number % gop == 0));
                shared.store(number * 20, Ordering::SeqCst);
            }
        });
        Self { newest, task }
    }

    /// The pts of the newest unit, in milliseconds.
    fn newest(&self) -> i64 {
        self.newest.load(Ordering::SeqCst)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn signal(name: &str, process: u32) {
    let done = Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(done.success());
}

/// Waits until the process is gone and reaped.
async fn gone(process: u32) {
    let file = format!("/proc/{process}");
    for _ in 0..500 {
        if !Path::new(&file).exists() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    let stat = std::fs::read_to_string(format!("{file}/stat"));
    panic!("process {process} is still there: {stat:?}");
}

async fn survives(name: &str, to: Target) {
    let bridge = Arc::new(start("echo", to));
    let source = Source::start(&bridge, 500);
    let mut last = next_unit(&bridge).await;
    assert!(last.keyframe);
    while last.pts.millis() < 1000 {
        last = next_unit(&bridge).await;
    }
    let process = bridge.worker_id().unwrap();
    signal(name, process);
    let (at, newest) = (Instant::now(), source.newest());
    let state = until(&bridge, |s| *s != State::Running).await;
    assert!(matches!(state, State::Restarting { .. }), "{state:?}");
    until(&bridge, |s| *s == State::Running).await;
    // The format is the same, so it is not told again: the unit is the next of all.
    let Some(Output::Unit(first)) = next(&bridge).await else { panic!("no unit") };
    let took = at.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    let pts = first.pts.millis();
    assert!(pts > newest, "{pts} is from before, the newest was {newest}");
    assert_eq!(pts % 20, 0, "not a time that was sent");
    assert!(source.newest() - pts < 500, "{pts} is old");
    let prerolled: i64 = std::str::from_utf8(&first.data).unwrap().parse().unwrap();
    match to {
        Target::Opus => assert_eq!(prerolled, 4),
        _ => {
            assert!(first.keyframe);
            assert_eq!(prerolled, pts / 20, "the group from its keyframe on");
        }
    }
    let second = next_unit(&bridge).await;
    assert_eq!(second.pts.millis(), pts + 20, "it goes on without a gap");
    assert_eq!(bridge.counters().restarts, 1);
    gone(process).await;
    eprintln!("{name} {to:?}: back after {took:?}");
}

#[tokio::test]
async fn a_killed_worker_is_back_within_two_seconds() {
    survives("-KILL", Target::H264).await;
    survives("-KILL", Target::Opus).await;
}

#[tokio::test]
async fn a_stopped_worker_is_back_within_two_seconds() {
    survives("-STOP", Target::H264).await;
}

#[tokio::test]
async fn a_hung_codec_is_back_within_two_seconds() {
    let bridge = Arc::new(start("hang-60", Target::Vp8));
    let _source = Source::start(&bridge, 500);
    let state = until(&bridge, |s| matches!(s, State::Restarting { .. })).await;
    let at = Instant::now();
    let reason = "the worker hung: no sign of life for 1 s".to_owned();
    assert_eq!(state, State::Restarting { reason });
    until(&bridge, |s| *s == State::Running).await;
    assert!(at.elapsed() < Duration::from_secs(1), "after {:?}", at.elapsed());
}

#[tokio::test]
async fn one_crash_too_many_in_a_row_fails_with_the_reason() {
    let bridge = Arc::new(start("crash-3", Target::H264));
    let _source = Source::start(&bridge, 5);
    let reason = failure(&bridge).await;
    assert!(reason.starts_with("4 starts in a row went wrong, at last: signal 6 ended the worker"));
    assert_eq!(bridge.counters().restarts, 3);
    assert_eq!(bridge.worker_id(), None);
}

#[tokio::test]
async fn the_last_words_are_in_the_reason() {
    let reason = failure(&start("exit", Target::Opus)).await;
    assert!(reason.ends_with("the worker ended with code 3: out of luck"), "{reason}");
}

#[tokio::test]
async fn what_no_restart_can_mend_fails_at_once() {
    let bridge = start("version", Target::Opus);
    let reason = failure(&bridge).await;
    assert!(
        reason.contains("version speaks version 2 of the workers' protocol, this server version 1"),
        "{reason}"
    );
    assert_eq!(bridge.counters().restarts, 0);

    let bridge = start("refuse", Target::H264);
    bridge.push(unit(0, true));
    assert_eq!(failure(&bridge).await, "no such codec");
    bridge.push(unit(20, false));

    let mut missing = worker("gone");
    missing.path.pop();
    let bridge = Bridge::start(&missing, spec(Target::Opus), Bounds::default());
    let reason = failure(&bridge).await;
    assert!(reason.contains("cannot be started"), "{reason}");
}

#[tokio::test]
async fn what_cannot_be_is_not_believed() {
    for (fault, reason) in [
        ("garbage", "the worker sent a message of 1061109567 bytes; 16777216 is the most"),
        ("bomb", "the worker sent a message of 4294967295 bytes; 16777216 is the most"),
        ("liar", "the worker sent that it took 1099511627776 units of "),
    ] {
        let bridge = Arc::new(start(fault, Target::H264));
        let _source = Source::start(&bridge, 5);
        let reported = failure(&bridge).await;
        assert!(reported.contains(reason), "{fault}: {reported}");
    }
    // Times of the far future are left out, and what may refer to such a unit is too.
    let bridge = Arc::new(start("astray", Target::H264));
    bridge.push(unit(0, true));
    assert_eq!(next_unit(&bridge).await.pts.millis(), 0);
    (1..6).for_each(|n| bridge.push(unit(n * 20, false)));
    bridge.finish();
    while next(&bridge).await.is_some() {}
    assert_eq!((bridge.counters().units_out, bridge.counters().astray), (1, 5));
}

#[tokio::test]
async fn one_that_begins_never_or_takes_nothing_is_given_up() {
    let policy = Policy {
        start: Duration::from_millis(300),
        stall: Duration::from_millis(600),
        backoff: vec![Duration::from_millis(10)],
        ..Policy::default()
    };
    for (fault, reason) in [
        ("silent", "2 starts in a row went wrong, at last: the worker was not ready after 0.3 s"),
        ("lazy", "2 starts in a row went wrong, at last: the worker took nothing for 0.6 s"),
    ] {
        let (worker, spec) = (worker(fault), spec(Target::H264));
        let bridge = Bridge::start_with(&worker, spec, Bounds::default(), policy.clone());
        bridge.push(unit(0, true));
        assert_eq!(failure(&bridge).await, reason);
    }
}

#[tokio::test]
async fn a_slow_worker_stays_near_and_what_it_misses_is_counted() {
    let bounds = Bounds { behind: Duration::from_millis(300), ..Bounds::default() };
    for (fault, to, gop) in [("slow-40", Target::H264, 500), ("slower-40", Target::H264, 25)] {
        let bridge = Arc::new(Bridge::start(&worker(fault), spec(to), bounds.clone()));
        let source = Source::start(&bridge, gop);
        let mut last = -1;
        while last < 3000 {
            let pts = next_unit(&bridge).await.pts.millis();
            assert!(pts > last);
            last = pts;
            // What waits here, eight in the worker, and room for a busy machine.
            let behind = source.newest() - pts;
            assert!(behind < 300 + 8 * 40 + 500, "{fault}: {behind} ms behind");
        }
        let counters = bridge.counters();
        let missed = if fault.starts_with("slower") { counters.dropped } else { counters.skipped };
        assert!(missed > 20, "{counters:?}");
        drop(source);
        bridge.finish();
        while next(&bridge).await.is_some() {}
        let after = bridge.counters();
        assert_eq!(after.units_in, after.units_out + after.skipped + after.dropped, "{after:?}");
    }
}

#[tokio::test]
async fn a_flood_that_nobody_reads_costs_no_memory() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    let bridge = start("flood", Target::H264);
    bridge.push(unit(0, true));
    let before = resident();
    while bridge.counters().late < 4000 {
        assert!(!matches!(bridge.state(), State::Failed { .. }));
        sleep(Duration::from_millis(20)).await;
    }
    // 250 MB have come.
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    assert!(matches!(next(&bridge).await, Some(Output::State(State::Running) | Output::Format(_))));
    let process = bridge.worker_id().unwrap();
    drop(bridge);
    gone(process).await;
}

#[tokio::test]
async fn a_dropped_bridge_leaves_no_process() {
    for stopped in [false, true] {
        let bridge = start("echo", Target::H264);
        until(&bridge, |s| *s == State::Running).await;
        let process = bridge.worker_id().unwrap();
        if stopped {
            signal("-STOP", process);
        }
        drop(bridge);
        gone(process).await;
    }
    // Nor does a runtime that ends under it.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let bridge = runtime.spawn(async { start("echo", Target::H264) }).await.unwrap();
    while bridge.state() != State::Running {
        sleep(Duration::from_millis(10)).await;
    }
    let process = bridge.worker_id().unwrap();
    runtime.shutdown_background();
    let file = format!("/proc/{process}/stat");
    for _ in 0..500 {
        // The one that reaps it may be any of the test's other runtimes.
        match std::fs::read_to_string(&file) {
            Ok(stat) if !stat.contains(") Z ") => sleep(Duration::from_millis(10)).await,
            _ => return,
        }
    }
    panic!("it runs on");
}

#[tokio::test]
async fn what_is_held_back_comes_before_the_end() {
    let bridge = start("echo", Target::Opus);
    until(&bridge, |s| *s == State::Running).await;
    (0..5).for_each(|n| bridge.push(unit(n * 20, true)));
    bridge.finish();
    let mut units = Vec::new();
    let mut stats = None;
    while let Some(output) = next(&bridge).await {
        match output {
            Output::Unit(unit) => units.push(unit.pts.millis()),
            Output::Stats(last) => stats = Some(last),
            _ => {}
        }
    }
    assert_eq!(units.last(), Some(&80));
    assert_eq!(stats.map(|stats| stats.units_in), Some(5));

    // One that does not come to an end is ended.
    let policy = Policy { drain: Duration::from_millis(300), ..Policy::default() };
    let worker = worker("endless");
    let bridge = Bridge::start_with(&worker, spec(Target::Opus), Bounds::default(), policy);
    bridge.finish();
    while next(&bridge).await.is_some() {}
    assert_eq!(bridge.worker_id(), None);
}

#[tokio::test]
async fn an_idle_bridge_has_no_process_until_it_is_needed() {
    let policy = Policy { idle: Duration::from_millis(300), ..Policy::default() };
    let worker = worker("echo");
    let bridge = Bridge::start_with(&worker, spec(Target::H264), Bounds::default(), policy);
    bridge.push(unit(0, true));
    next_unit(&bridge).await;
    let process = bridge.worker_id().unwrap();
    until(&bridge, |s| *s == State::Idle).await;
    gone(process).await;
    bridge.push(unit(20, false));
    let unit = next_unit(&bridge).await;
    assert_eq!((unit.pts.millis(), unit.keyframe), (20, true));
    assert_eq!(unit.data, "1", "the keyframe before it was decoded first");
    assert_eq!(bridge.counters().restarts, 0);
}

#[tokio::test]
async fn a_keyframe_comes_when_asked_for() {
    let bridge = start("echo", Target::H264);
    until(&bridge, |s| *s == State::Running).await;
    bridge.push(unit(0, true));
    assert!(next_unit(&bridge).await.keyframe);
    bridge.push(unit(20, false));
    assert!(!next_unit(&bridge).await.keyframe);
    bridge.keyframe();
    bridge.push(unit(40, false));
    assert!(next_unit(&bridge).await.keyframe);
}

#[tokio::test]
async fn a_worker_gets_its_limits_and_none_of_our_secrets() {
    let reason = failure(&start("tell", Target::Opus)).await;
    let (arguments, environment) = reason.split_once("] [").unwrap();
    assert_eq!(arguments, "[--nice 5 --memory-mb 1024 --threads 0");
    let known = ["PATH", "LD_LIBRARY_PATH", "LANG", "RUST_BACKTRACE"];
    let names = environment.trim_end_matches(']').split(' ');
    assert!(names.clone().all(|name| known.contains(&name)), "{environment}");
}

#[tokio::test]
async fn noise_does_no_harm() {
    let bridge = start("noise", Target::Opus);
    until(&bridge, |s| *s == State::Running).await;
    bridge.push(unit(0, true));
    next_unit(&bridge).await;
}

#[tokio::test]
async fn a_worker_says_what_it_has_without_anything_to_do() {
    let ask = async |fault| transcode::probe(&worker(fault), Duration::from_millis(500)).await;
    let about = ask("echo").await.unwrap();
    assert_eq!((about.program.as_str(), about.encoders), ("double", vec!["none".to_owned()]));
    for (fault, why) in [
        ("exit", "ended with code 3: out of luck"),
        ("silent", "said nothing for 0.5 s"),
        ("garbage", "sent a"),
        ("version", "install both from one release"),
    ] {
        let wrong = ask(fault).await.unwrap_err();
        assert!(wrong.contains(why), "{fault}: {wrong}");
    }
    let nowhere = Worker::new("/nowhere/x".into(), &Config::default());
    let wrong = transcode::probe(&nowhere, Duration::from_secs(5)).await.unwrap_err();
    assert!(wrong.contains("cannot be started"), "{wrong}");
}

#[tokio::test]
async fn what_workers_count_outlives_them() {
    let bridge = start("count", Target::Opus);
    let gauge = bridge.gauge();
    for number in 0..2 {
        bridge.push(unit(number * 20, true));
        while !matches!(next(&bridge).await, Some(Output::Stats(stats)) if stats.undecodable == 1) {
        }
        assert_eq!(gauge.counters().undecodable, number as u64 + 1, "one of each worker");
        signal("-KILL", bridge.worker_id().unwrap());
        until(&bridge, |s| matches!(s, State::Restarting { .. })).await;
    }
    drop(bridge);
    let counters = gauge.counters();
    assert_eq!((counters.units_in, counters.undecodable, counters.restarts), (2, 2, 2));
    let mut sum = counters;
    sum += counters;
    assert_eq!(sum.left_out()[5], ("undecodable", 4));
}
