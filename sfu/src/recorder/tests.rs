//! What is kept of a session, what goes first, and that it says so in words.

use std::time::Duration;

use media::{Codec, EncodingId};
use proptest::prelude::*;

use super::*;
use crate::test::epoch;
use crate::viewer::selector::{Reason, Wanted};

const SECOND: Duration = Duration::from_secs(1);

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn codes(recorder: &Recorder) -> Vec<&'static str> {
    recorder.entries().iter().map(|(_, d)| d.code()).collect()
}

fn texts(recorder: &Recorder, who: Who) -> Vec<String> {
    recorder.entries().into_iter().map(|(_, d)| recorder.text(who, d)).collect()
}

#[test]
fn an_entry_is_small() {
    assert_eq!(size_of::<Entry>(), 32);
    assert!(size_of::<Recorder>() <= 640, "{}", size_of::<Recorder>());
}

#[test]
fn the_log_is_bounded_and_the_story_outlives_its_weather() {
    let start = epoch();
    let mut log = Recorder::new(start);
    log.check(start, at(1), true);
    log.dtls_begins(start, false);
    log.dtls_up(start, None);
    // Something is lost in every second, and every second something happens in between.
    for second in 1..6_000 {
        let now = start + SECOND * second;
        log.repaired(1, 1);
        log.keyframe_wanted();
        log.drops.count(Drop::Late);
        log.roll(now, Who::Viewer, 0, u64::from(second) * 100);
        if second % 120 == 0 {
            log.record(now, Decision::Sound);
        }
    }
    let entries = log.entries();
    assert_eq!(entries.len(), KEPT);
    let weather = ["repairs", "dropped", "keyframes_wanted"];
    let story = codes(&log).into_iter().filter(|c| !weather.contains(c));
    let story: Vec<_> = story.collect();
    assert_eq!(story[..3], ["stun_check", "dtls_begun", "dtls_up"]);
    assert_eq!(story.len(), 3 + 49);
    assert!(entries.is_sorted_by_key(|(at, _)| *at));
    for _ in 0..1_000 {
        log.record(start + SECOND * 6_000, Decision::Sound);
    }
    assert_eq!(log.entries().len(), KEPT);
    assert!(log.entries.capacity() <= 256, "{}", log.entries.capacity());
}

#[test]
fn seconds_of_the_same_are_one_line() {
    let start = epoch();
    let mut log = Recorder::new(start);
    for second in 1..=5 {
        for _ in 0..3 {
            log.drops.count(Drop::AwaitingKeyframe);
        }
        log.repaired(2, 1);
        let early = Duration::from_millis(u64::from(second % 2));
        let dropped = log.roll(start + SECOND * second - early, Who::Viewer, 0, 0);
        assert_eq!(dropped.get(Drop::AwaitingKeyframe), 3, "what was dropped is handed out");
    }
    let said = texts(&log, Who::Viewer);
    assert_eq!(
        said,
        [
            "the viewer asked for 10 packets again in 5 s; 5 were sent",
            "15 packets dropped in 5 s: a keyframe is awaited",
        ]
    );
    // Something else comes between, and after a minute a new line begins.
    log.record(start + SECOND * 9 / 2, Decision::Sound);
    for second in 6..=70 {
        log.keyframe_wanted();
        log.roll(start + SECOND * second, Who::Viewer, 0, 0);
    }
    let said = texts(&log, Who::Viewer);
    assert_eq!(said[3], "the viewer asked for a keyframe 60 times in 60 s");
    assert_eq!(said[4], "the viewer asked for a keyframe 5 times in 5 s");
    // The line that began more than a minute ago is not of now.
    let asks = |second| log.asks(start + SECOND * second);
    assert_eq!(
        (asks(70).keyframes, asks(70).within, asks(70).ago),
        (5, SECOND * 5, Duration::ZERO)
    );
    assert_eq!((asks(60).keyframes, asks(80).ago), (65, SECOND * 10));
    assert_eq!((asks(130).keyframes, asks(130).within), (0, Duration::ZERO));
}

#[test]
fn nothing_counted_is_nothing_said() {
    let start = epoch();
    let mut log = Recorder::new(start);
    for second in 1..100 {
        log.drops.count(Drop::NotSelected);
        log.roll(start + SECOND * second, Who::Viewer, 0, 1_000);
    }
    assert_eq!(log.entries(), []);
    assert_eq!(log.entries.capacity(), 0, "and nothing is allocated");
}

#[test]
fn the_way_is_told_once_and_when_it_changes() {
    let start = epoch();
    let mut log = Recorder::new(start);
    let local = SocketAddr::from(([10, 0, 0, 1], 8080));
    for _ in 0..5 {
        log.check(start, at(5678), true);
        log.path(start, Path::udp(local, at(5678)));
    }
    log.check(start, at(5679), true);
    log.path(start, Path::udp(local, at(5679)));
    let v6: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
    log.check(start, v6, true);
    assert_eq!(
        texts(&log, Who::Viewer),
        [
            "the viewer's first STUN check came from 192.0.2.1:5678",
            "the connection goes between 10.0.0.1:8080 and 192.0.2.1:5678",
            "the viewer sends STUN checks from 192.0.2.1:5679 too",
            "the connection moved: it goes between 10.0.0.1:8080 and 192.0.2.1:5679",
            "the viewer sends STUN checks from [2001:db8::1]:9 too",
        ]
    );
}

#[test]
fn forged_checks_are_counted_and_not_told_for_ever() {
    let start = epoch();
    let mut log = Recorder::new(start);
    for port in 0..1_000 {
        log.check(start, at(port), false);
    }
    assert_eq!(log.facts().forged, 1_000);
    assert_eq!(log.entries().len(), FORGED as usize);
    assert_eq!(log.facts().checked, None);
}

#[test]
fn dtls_is_told_with_its_time() {
    let start = epoch();
    let mut log = Recorder::new(start);
    log.dtls_begins(start, true);
    log.dtls_begins(start + SECOND, false);
    log.dtls_up(start + Duration::from_millis(43), Some(Profile::Aes128Gcm));
    log.dtls_failed(start, Failure::Fingerprint);
    log.dtls_failed(start, Failure::Handshake);
    let said = texts(&log, Who::Publisher);
    assert_eq!(said.len(), 3);
    assert!(said.contains(&"DTLS began: we spoke first".to_owned()));
    assert!(said.contains(&"DTLS is up after 43 ms, SRTP AES-128-GCM".to_owned()), "{said:?}");
    assert!(log.facts().answered);
}

#[test]
fn a_recent_share_forgets() {
    let start = epoch();
    let mut log = Recorder::new(start);
    let (mut lost, mut came) = (0, 0);
    for second in 1..=10 {
        (lost, came) = (lost + 10, came + 90);
        log.roll(start + SECOND * second, Who::Publisher, lost, came);
    }
    let share = log.facts().lost.get().unwrap();
    assert!((0.09..0.11).contains(&share), "{share}");
    for second in 11..=30 {
        came += 100;
        log.roll(start + SECOND * second, Who::Publisher, lost, came);
    }
    assert!(log.facts().lost.get().unwrap() < 0.005);
    // A late packet takes its loss back.
    log.roll(start + SECOND * 31, Who::Publisher, lost - 5, came);
}

#[test]
fn media_that_stops_and_goes_on_is_told_once_each() {
    let start = epoch();
    let mut log = Recorder::new(start);
    // A picture each two seconds is a still screen.
    for second in 0..20 {
        let last = start + SECOND * (second / 2 * 2);
        log.media(start + SECOND * second, Some(last));
    }
    assert_eq!(log.entries(), []);
    for second in 20..30 {
        log.media(start + SECOND * second, Some(start + SECOND * 18));
    }
    log.silent(start + SECOND * 30);
    log.media(start + SECOND * 31, Some(start + SECOND * 31));
    assert_eq!(codes(&log), ["media_stopped", "silent", "media_resumed"]);
}

fn decision() -> impl Strategy<Value = Decision> {
    let id = || EncodingId::new("h").unwrap();
    prop_oneof![
        any::<u32>().prop_map(move |ssrc| Decision::Encoding { id: id(), codec: Codec::Vp8, ssrc }),
        (any::<u16>(), any::<u16>()).prop_map(move |(width, height)| Decision::Picture {
            id: id(),
            width,
            height
        }),
        any::<u32>().prop_map(Decision::Attached),
        any::<u32>().prop_map(|after_ms| Decision::GaveUp { after_ms, capacity_kbps: None }),
        (any::<u32>(), any::<u32>()).prop_map(|(bytes, kbps)| Decision::CatchUp { bytes, kbps }),
        Just(Decision::Layer { id: id(), reason: Reason::AllSilent }),
        any::<bool>().prop_map(|lost| Decision::Restart { lost }),
        Just(Decision::Detached),
        Just(Decision::Wish(Wanted::Best)),
        (any::<bool>(), any::<u32>()).prop_map(move |(ring, after_ms)| Decision::Switched {
            id: id(),
            after_ms,
            ring
        }),
    ]
}

proptest! {
    /// Whatever happens in whatever order: bounded, in the order of time, and every line says something.
    #[test]
    fn every_log_can_be_read(
        steps in proptest::collection::vec((decision(), 0u64..3_000, 0u64..5, any::<u16>()), 0..500)
    ) {
        let mut now = epoch();
        let mut log = Recorder::new(now);
        let mut lost = 0;
        for (decision, wait, more, port) in steps {
            now += Duration::from_millis(wait);
            log.record(now, decision);
            log.check(now, at(port), port % 3 == 0);
            log.repaired(more, more / 2);
            log.drops.add(Drop::ALL[usize::from(port) % Drop::COUNT], more);
            lost += more;
            if wait > 1_000 {
                log.roll(now, if port % 2 == 0 { Who::Viewer } else { Who::Publisher }, lost, lost);
            }
        }
        let entries = log.entries();
        prop_assert!(entries.len() <= KEPT);
        prop_assert!(entries.is_sorted_by_key(|(at, _)| *at));
        prop_assert_eq!(log.sums, entries.iter().filter(|(_, d)| d.is_sum()).count());
        for (_, decision) in entries {
            for who in [Who::Viewer, Who::Publisher] {
                prop_assert!(!log.text(who, decision).is_empty(), "{:?}", decision);
            }
        }
    }
}
