//! The controller over a modelled link: what a viewer gets, and what the link's queue suffers.
//!
//! The link, the source and the receiver are in `link.rs`: a GOP of 4 s at 30 fps whose keyframe is
//! ten times another frame, feedback every 50 to 100 ms. `--nocapture` shows `table`.

mod link;

use self::link::{Link, Outcome, World};

const BITRATES: [u64; 5] = [500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000];
const AGES: [i64; 8] = [100, 300, 500, 1000, 1500, 2000, 3000, 3900];
const SEEDS: u64 = 20;

const fn wide() -> Link {
    Link::new(1e9, 1e6, 1_000)
}

/// 20 ms each way, 1.5 times the stream.
fn thin(bitrate: u64, queue: f64) -> Link {
    Link::new(bitrate as f64 * 1.5, queue, 20_000)
}

fn join(link: Link, bitrate: u64, age_ms: i64, seed: u64) -> Outcome {
    World { link, bitrate, age: age_ms * 1000, feedback: true, seed, lie: None }.run()
}

/// Every bitrate, age and seed.
fn each(make: impl Fn(u64) -> Link, check: impl Fn(&Outcome, &str)) {
    for bitrate in BITRATES {
        for age in AGES {
            for seed in 0..SEEDS {
                let outcome = join(make(bitrate), bitrate, age, seed * 7919);
                check(&outcome, &format!("{bitrate} bit/s, {age} ms, seed {seed}: {outcome:?}"));
            }
        }
    }
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
fn table() {
    println!(
        "link | Mbit/s | age | keyframe | live | given up | capacity | dropped/sent | longest queue | at the end"
    );
    type Make = fn(u64) -> Link;
    let rows: [(&str, Make); 14] = [
        ("wide", |_| wide()),
        ("100M 64K", |_| Link::new(100e6, 64e3, 10_000)),
        ("30M 64K", |_| Link::new(30e6, 64e3, 20_000)),
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
