//! The controller over a modelled link: what a viewer gets, and what the link's queue suffers.
//!
//! The link, the source and the receiver are in `link.rs`: a GOP of 4 s at 30 fps whose keyframe is
//! ten times another frame, feedback every 50 to 100 ms. `--nocapture` shows `table`.

mod link;

use std::time::Duration;

use self::link::{Link, Outcome, Said, World, random};
use super::{BURST, Backlog, CatchUp, FASTEST, Verdict, feasible};
use crate::test::epoch;

const BITRATES: [u64; 5] = [500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000];
const AGES: [i64; 8] = [100, 300, 500, 1000, 1500, 2000, 3000, 3900];
const SEEDS: u64 = 8;
/// Of a keyframe.
const OLD: Duration = Duration::from_secs(1);

const fn wide() -> Link {
    Link::new(1e9, 1e6, 1_000)
}

/// 20 ms each way, 1.5 times the stream.
fn thin(bitrate: u64, queue: f64) -> Link {
    Link::new(bitrate as f64 * 1.5, queue, 20_000)
}

/// 40 Mbit/s that arrive in bunches of 5 ms.
const fn radio() -> Link {
    Link { bunch: 5_000, ..Link::new(40e6, 128e3, 10_000) }
}

fn join(link: Link, bitrate: u64, age_ms: i64, seed: u64) -> Outcome {
    World { link, bitrate, age: age_ms * 1000, feedback: true, seed, lie: None }.run()
}

/// Every bitrate, age and seed.
fn each(make: impl Fn(u64) -> Link, check: impl Fn(&Outcome, &str)) {
    let all = |o: &Outcome, case: &str| {
        check(o, case);
        true
    };
    assert_eq!(nearly_each(make, all), 0.0);
}

/// The share of the cases where `good` is not. Jitter may look like anything once in a while.
fn nearly_each(make: impl Fn(u64) -> Link, good: impl Fn(&Outcome, &str) -> bool) -> f64 {
    let (mut bad, mut all) = (0.0, 0.0);
    for bitrate in BITRATES {
        for age in AGES {
            for seed in 0..SEEDS {
                let outcome = join(make(bitrate), bitrate, age, seed * 7919);
                let case = format!("{bitrate} bit/s, {age} ms, seed {seed}: {outcome:?}");
                all += 1.0;
                if !good(&outcome, &case) {
                    println!("{case}");
                    bad += 1.0;
                }
            }
        }
    }
    bad / all
}

fn caught_up_by(outcome: &Outcome, ms: f64) -> bool {
    outcome.caught_up.is_some_and(|t| t <= ms)
}

#[test]
fn on_a_wide_link_the_live_edge_is_there_in_400_ms_at_any_age() {
    each(
        |_| wide(),
        |o, case| {
            assert!(o.keyframe <= 150.0, "{case}");
            assert!(caught_up_by(o, 400.0), "{case}");
            assert_eq!(o.overflow, 0, "{case}");
        },
    );
}

#[test]
fn a_long_gop_of_a_fat_stream_too() {
    for seed in 0..SEEDS {
        let world = World {
            link: wide(),
            bitrate: 20_000_000,
            age: 3_900_000,
            feedback: true,
            seed,
            lie: None,
        };
        let o = world.run();
        assert!(caught_up_by(&o, 500.0), "10 MB: {o:?}");
    }
}

#[test]
fn on_a_thin_link_nothing_overflows_and_no_queue_stands() {
    for queue in [64e3, 125e3, 1e6] {
        each(
            |b| thin(b, queue),
            |o, case| {
                assert_eq!(o.overflow, 0, "{case}");
                match (o.caught_up, o.given_up) {
                    (Some(at), None) => {
                        assert!(at <= 2_000.0, "{case}");
                        assert!(o.queue < 50.0, "{case}");
                    }
                    (None, Some(at)) => {
                        assert!(at <= 400.0, "{case}");
                        assert!(o.after < 100.0, "nothing more goes out, so it drains: {case}");
                    }
                    _ => panic!("{case}"),
                }
            },
        );
    }
}

#[test]
fn loss_alone_and_lost_reports_do_not_stop_it() {
    each(|_| Link { loss: 20, ..wide() }, |o, case| assert!(caught_up_by(o, 500.0), "{case}"));
    each(|_| Link { deaf: 300, ..wide() }, |o, case| assert!(caught_up_by(o, 2_000.0), "{case}"));
}

#[test]
fn jitter_alone_does_not_end_it() {
    for reorders in [false, true] {
        let link = Link { jitter: 25_000, reorders, ..wide() };
        let good = |o: &Outcome, _: &str| o.keyframe <= 350.0 && caught_up_by(o, 2_000.0);
        let bad = nearly_each(|_| link, good);
        println!("reorders {reorders}: {bad}");
        assert!(bad <= 0.01, "{bad}");
    }
}

#[test]
fn jitter_on_a_thin_link_costs_little() {
    let ended = |o: &Outcome| o.caught_up.or(o.given_up).is_some_and(|t| t <= 2_350.0);
    let dropped = |o: &Outcome| f64::from(o.overflow) / f64::from(o.sent);
    for reorders in [false, true] {
        let link = |b| Link { jitter: 25_000, reorders, ..thin(b, 64e3) };
        let bad = nearly_each(link, |o, _| ended(o) && dropped(o) <= 0.2);
        println!("reorders {reorders}: {bad}");
        assert!(bad <= 0.02, "{bad}");
    }
    let bad = nearly_each(|_| radio(), |o, _| ended(o) && dropped(o) <= 0.15);
    println!("radio: {bad}");
    assert!(bad <= 0.01, "{bad}");
}

#[test]
fn between_thin_and_wide_it_takes_its_share_and_drops_nothing() {
    for times in [2.0, 3.0, 5.0, 8.0, 15.0] {
        each(
            |b| Link::new(b as f64 * times, 64e3, 20_000),
            |o, case| {
                assert_eq!(o.overflow, 0, "{times}: {case}");
                assert!(o.after < 50.0 || o.given_up.is_some(), "{times}: {case}");
                assert!(
                    o.caught_up.or(o.given_up).is_some_and(|t| t <= 2_350.0),
                    "{times}: {case}"
                );
            },
        );
    }
}

/// Without feedback, on a link: all ages and bitrates.
fn blind(make: impl Fn(u64) -> Link, check: impl Fn(&Outcome, &str)) {
    for bitrate in BITRATES {
        for age in AGES {
            let age_us = age * 1000;
            let link = make(bitrate);
            let world = World { link, bitrate, age: age_us, feedback: false, seed: 3, lie: None };
            let o = world.run();
            check(&o, &format!("{bitrate} bit/s, {age} ms: {o:?}"));
        }
    }
}

#[test]
fn without_feedback_it_goes_by_the_clock_and_brakes_at_losses() {
    blind(|_| wide(), |o, case| assert!(caught_up_by(o, 2_000.0), "{case}"));
    blind(
        |b| thin(b, 64e3),
        |o, case| {
            assert!(o.overflow <= 150, "{case}");
            assert!(o.caught_up.or(o.given_up).is_some_and(|t| t <= 2_350.0), "{case}");
        },
    );
}

#[test]
fn feedback_that_lies_stays_within_bounds() {
    let lies: [(&str, &dyn Fn(Said) -> Said); 8] = [
        ("all at zero", &|(seq, _)| (seq, Some(0))),
        ("backwards", &|(seq, at)| (seq, at.map(i64::wrapping_neg))),
        ("extremes", &|(seq, _)| (seq, Some(if seq % 2 == 0 { i64::MIN } else { i64::MAX }))),
        ("nothing arrived", &|(seq, _)| (seq, None)),
        ("others' numbers", &|(seq, at)| (seq.wrapping_add(20_000), at)),
        ("one number", &|(_, at)| (65_500, at)),
        ("in the future", &|(seq, at)| (seq, at.map(|t| t + 9_000_000 * i64::from(seq % 7)))),
        ("ever faster", &|(seq, at)| (seq, at.map(|t| t - 3_000 * i64::from(seq % 999)))),
    ];
    for (name, lie) in lies {
        for link in [wide(), thin(4_000_000, 64e3)] {
            let (bitrate, age) = (4_000_000, 3_000_000);
            let world = World { link, bitrate, age, feedback: true, seed: 9, lie: Some(lie) };
            let o = world.run();
            assert!(o.caught_up.or(o.given_up).is_some_and(|t| t <= 2_500.0), "{name}: {o:?}");
        }
    }
}

#[test]
fn no_input_makes_it_panic_or_exceed_the_fastest_rate() {
    let mut seed = 1;
    let mut r = move |n: u64| random(&mut seed) % n;
    for _ in 0..300 {
        let start = epoch();
        let backlog = Backlog {
            keyframe_bytes: r(400_000),
            bytes: if r(9) == 0 { u64::MAX } else { r(9_000_000) },
            bitrate_bps: if r(9) == 0 { r(2) * u64::MAX } else { r(20_000_000) },
            age: Duration::from_millis(r(1_000)),
            feedback: r(4) > 0,
            rtt: (r(2) > 0).then(|| Duration::from_millis(r(5_000))),
        };
        let mut catch_up = CatchUp::new(start, backlog);
        let (mut now, mut seq, mut sent) = (start, r(65_536) as u16, 0u64);
        while now < start + Duration::from_secs(4) {
            let allowed = catch_up.allowance(now, r(5_000_000)).min(1 << 20);
            let mut left = allowed;
            while left > 0 {
                let size = 1 + r(1500) as usize;
                catch_up.sent(now, seq, size);
                (seq, left) = (seq.wrapping_add(1), left.saturating_sub(size));
                sent += size as u64;
            }
            // To the live head, once.
            let leap = if catch_up.leapt { 5e6 } else { 0.0 };
            let most =
                leap + BURST as f64 + FASTEST / 8.0 * ((now - start).as_secs_f64() + 0.01) + 3000.0;
            assert!(sent as f64 <= most, "{sent} bytes in {:?}", now - start);
            if r(4) == 0 {
                let wild = r(3);
                let packets = (0..r(300)).map(|_| {
                    let at = if wild == 0 { r(u64::MAX) as i64 } else { r(500_000) as i64 };
                    (seq.wrapping_sub(r(600) as u16), (r(5) > 0).then_some(at))
                });
                catch_up.feedback(now, packets.collect::<Vec<_>>().into_iter());
            }
            if r(20) == 0 {
                catch_up.lost(now);
            }
            if let Some(at) = catch_up.deadline() {
                assert!(at > now && at <= now + Duration::from_millis(5));
            }
            // Clocks may stand still.
            now += Duration::from_micros(r(12_000));
        }
    }
}

#[test]
fn given_up_is_for_good_and_not_before_the_keyframe_is_out() {
    let start = epoch();
    let (keyframe_bytes, bitrate_bps) = (60_000, 2_000_000);
    let backlog = Backlog {
        age: OLD,
        keyframe_bytes,
        bytes: 900_000,
        bitrate_bps,
        feedback: true,
        rtt: None,
    };
    let mut catch_up = CatchUp::new(start, backlog);
    assert!(catch_up.allowance(start, 900_000) >= 40_000);
    (0..34).for_each(|seq| catch_up.sent(start, seq, 1200));
    let now = start + Duration::from_millis(120);
    // 3 Mbit/s.
    catch_up.feedback(now, (0..34).map(|seq| (seq, Some(i64::from(seq) * 3_200))));
    assert_eq!(catch_up.verdict(), Verdict::Continue);
    let later = now + Duration::from_millis(80);
    assert!(catch_up.allowance(later, 860_000) > 0, "the keyframe goes on");
    (34..50).for_each(|seq| catch_up.sent(later, seq, 1200));
    let Verdict::GiveUp { capacity_bps: Some(capacity) } = catch_up.verdict() else {
        panic!("{catch_up:?}");
    };
    assert!((2_900_000..3_100_000).contains(&capacity), "{capacity}");
    assert_eq!(catch_up.deadline(), None);
    assert_eq!(catch_up.allowance(later + Duration::from_secs(1), 10), 0);
}

#[test]
fn what_is_live_goes_at_once() {
    let backlog = |age| Backlog {
        age: Duration::from_millis(age),
        keyframe_bytes: 60_000,
        bytes: 75_000,
        bitrate_bps: 1_000_000,
        feedback: true,
        rtt: None,
    };
    let start = epoch();
    let mut fresh = CatchUp::new(start, backlog(150));
    assert_eq!(fresh.allowance(start, 75_000), 75_000);
    assert_eq!(fresh.time_left(), Duration::ZERO);
    assert!(CatchUp::new(start, backlog(250)).allowance(start, 75_000) <= BURST as usize);
}

#[test]
fn who_has_seen_pictures_move_and_has_little_left_is_not_given_up() {
    let cases = [
        (600, 30_000, 50_000, true),
        (400, 30_000, 50_000, false),
        (600, 40_000, 50_000, false),
        (600, 30_000, 150_000, false),
    ];
    for (after, behind, standing, leaps) in cases {
        let start = epoch();
        let backlog = Backlog {
            age: OLD,
            keyframe_bytes: 24_000,
            bytes: 100_000,
            bitrate_bps: 1_000_000,
            feedback: true,
            rtt: None,
        };
        let mut catch_up = CatchUp::new(start, backlog);
        catch_up.allowance(start, 100_000);
        (0..34).for_each(|seq| catch_up.sent(start, seq, 1200));
        let now = start + Duration::from_millis(after);
        catch_up.allowance(now, behind);
        catch_up.standing = standing;
        catch_up.give_up(now);
        assert_eq!(catch_up.verdict() == Verdict::Continue, leaps, "{after} {behind} {standing}");
        let allowed = catch_up.allowance(now, behind);
        assert_eq!(allowed, if leaps { 30_000 } else { 0 }, "{after} {behind} {standing}");
    }
}

#[test]
fn feasible_is_what_85_percent_carry_in_two_seconds() {
    // 2 Mbit/s over 3 Mbit/s: 0.55 Mbit/s to spare, 137,500 bytes in 2 s.
    assert!(feasible(137_000, 2_000_000, 3_000_000));
    assert!(!feasible(138_000, 2_000_000, 3_000_000));
    assert!(!feasible(1, 3_000_000, 3_000_000));
    assert!(!feasible(u64::MAX, 0, u64::MAX / 8));
    assert!(feasible(0, 0, 0));
}

#[test]
fn table() {
    println!(
        "link | Mbit/s | age | keyframe | live | given up | capacity | dropped/sent | longest queue | at the end"
    );
    type Make = fn(u64) -> Link;
    let rows: [(&str, Make); 15] = [
        ("wide", |_| wide()),
        ("100M 64K", |_| Link::new(100e6, 64e3, 10_000)),
        ("30M 64K", |_| Link::new(30e6, 64e3, 20_000)),
        ("40M 128K, radio", |_| radio()),
        ("wide, 2% loss", |_| Link { loss: 20, ..wide() }),
        ("wide, jitter", |_| Link { jitter: 25_000, ..wide() }),
        ("wide, reordering", |_| Link { jitter: 25_000, reorders: true, ..wide() }),
        ("wide, 30% of reports lost", |_| Link { deaf: 300, ..wide() }),
        ("1.5x 64K", |b| thin(b, 64e3)),
        ("1.5x 125K", |b| thin(b, 125e3)),
        ("1.5x 1M", |b| thin(b, 1e6)),
        ("1.5x 64K, 2% loss", |b| Link { loss: 20, ..thin(b, 64e3) }),
        ("1.5x 64K, jitter", |b| Link { jitter: 25_000, ..thin(b, 64e3) }),
        ("1.5x 64K, reordering", |b| Link { jitter: 25_000, reorders: true, ..thin(b, 64e3) }),
        ("3x 64K", |b| Link::new(b as f64 * 3.0, 64e3, 20_000)),
    ];
    for (name, make) in rows {
        for bitrate in BITRATES {
            for age in AGES {
                let o = join(make(bitrate), bitrate, age, 1);
                let ms = |t: Option<f64>| t.map_or("-".into(), |t| format!("{t:.0}"));
                println!(
                    "{name} | {:.1} | {age} | {:.0} | {} | {} | {} | {}/{} | {:.0} | {:.0}",
                    bitrate as f64 / 1e6,
                    o.keyframe,
                    ms(o.caught_up),
                    ms(o.given_up),
                    o.capacity.map_or("-".into(), |c| format!("{:.2}", c as f64 / 1e6)),
                    o.overflow,
                    o.sent,
                    o.longest,
                    o.queue,
                );
            }
        }
    }
}
