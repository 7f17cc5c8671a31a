//! The policy against a clock that the test holds.

use proptest::prelude::*;

use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[expect(clippy::disallowed_methods, reason = "any moment to begin with")]
fn new() -> (Supervisor, Instant) {
    let now = Instant::now();
    (Supervisor::new(Policy::default(), now), now)
}

/// Started, ready and heard at `now`.
fn run(supervisor: &mut Supervisor, now: Instant) {
    assert_eq!(supervisor.step(now), Step::Start);
    supervisor.started(now);
    supervisor.heard(now);
    supervisor.ready();
    assert_eq!(supervisor.state(), State::Running);
}

/// When `step` next says something else than to wait; fails if that is never.
fn next(supervisor: &Supervisor, now: Instant) -> (Step, Duration) {
    let mut at = now;
    loop {
        match supervisor.step(at) {
            Step::Wait(Some(until)) => {
                assert!(until > at, "waiting for the past spins");
                at = until;
            }
            Step::Wait(None) => panic!("waits for ever in {:?}", supervisor.state()),
            step => return (step, at - now),
        }
    }
}

#[test]
fn three_restarts_in_a_row_then_it_is_over() {
    let (mut supervisor, mut now) = new();
    assert_eq!(supervisor.state(), State::Starting);
    for _ in 0..3 {
        run(&mut supervisor, now);
        now += ms(100);
        supervisor.ended(now, "it broke".to_owned(), true);
        assert_eq!(supervisor.state(), State::Restarting { reason: "it broke".to_owned() });
        let (step, wait) = next(&supervisor, now);
        assert_eq!(step, Step::Start);
        assert!(wait <= ms(500));
        now += wait;
    }
    run(&mut supervisor, now);
    supervisor.ended(now, "it broke".to_owned(), true);
    let State::Failed { reason } = supervisor.state() else { panic!("not failed") };
    assert_eq!(reason, "4 starts in a row went wrong, at last: it broke");
    assert_eq!(supervisor.step(now + ms(1_000_000)), Step::Wait(None));
    supervisor.unit(now);
    assert_eq!(supervisor.step(now), Step::Wait(None), "a unit does not revive it");
}

#[test]
fn a_long_run_ends_the_row() {
    let (mut supervisor, mut now) = new();
    for _ in 0..20 {
        run(&mut supervisor, now);
        now += ms(30_000);
        supervisor.ended(now, "it broke".to_owned(), true);
        let (step, wait) = next(&supervisor, now);
        assert_eq!((step, wait), (Step::Start, ms(50)));
        now += wait;
    }
    assert_eq!(supervisor.restarts(), 20);
}

#[test]
fn what_no_start_can_mend_fails_at_once() {
    let (mut supervisor, now) = new();
    run(&mut supervisor, now);
    supervisor.ended(now, "no libx264".to_owned(), false);
    assert_eq!(supervisor.state(), State::Failed { reason: "no libx264".to_owned() });
}

#[test]
fn silence_kills_only_while_units_wait() {
    let (mut supervisor, start) = new();
    run(&mut supervisor, start);
    supervisor.unit(start + ms(9000));
    let now = start + ms(10_000);
    assert!(matches!(supervisor.step(now), Step::Wait(_)), "nothing to do, nothing to say");
    supervisor.waits(now, true);
    let (step, wait) = next(&supervisor, now);
    assert_eq!(step, Step::Kill("the worker hung: no sign of life for 1 s".to_owned()));
    assert_eq!(wait, ms(1000), "since the unit waits, not since the last word");
    supervisor.heard(now + ms(800));
    supervisor.waits(now + ms(800), true);
    assert_eq!(next(&supervisor, now).1, ms(1800));
    supervisor.waits(now + ms(900), false);
    assert!(matches!(supervisor.step(now + ms(5000)), Step::Wait(_)));
}

#[test]
fn one_that_is_heard_and_takes_nothing_is_killed_too() {
    let (mut supervisor, start) = new();
    run(&mut supervisor, start);
    supervisor.waits(start, true);
    for beat in 0..24 {
        supervisor.heard(start + ms(200 * beat));
        assert!(matches!(supervisor.step(start + ms(200 * beat)), Step::Wait(_)));
    }
    supervisor.heard(start + ms(5000));
    let step = supervisor.step(start + ms(5000));
    assert_eq!(step, Step::Kill("the worker took nothing for 5 s".to_owned()));
    supervisor.taken(start + ms(4000));
    assert!(matches!(supervisor.step(start + ms(5000)), Step::Wait(_)));
}

#[test]
fn one_that_is_never_ready_is_killed() {
    let (mut supervisor, now) = new();
    supervisor.started(now);
    supervisor.waits(now, true);
    let (step, wait) = next(&supervisor, now);
    assert_eq!(
        (step, wait),
        (Step::Kill("the worker was not ready after 5 s".to_owned()), ms(5000))
    );
}

#[test]
fn idle_ends_it_and_a_unit_wakes_it() {
    let (mut supervisor, now) = new();
    run(&mut supervisor, now);
    supervisor.unit(now + ms(1000));
    assert_eq!(next(&supervisor, now), (Step::End, ms(31_000)));
    supervisor.idled(now + ms(31_000));
    assert_eq!(supervisor.state(), State::Idle);
    let now = now + ms(99_000);
    assert_eq!(supervisor.step(now), Step::Wait(None));
    supervisor.unit(now);
    assert_eq!(supervisor.state(), State::Starting);
    run(&mut supervisor, now);
    assert_eq!(supervisor.restarts(), 0, "it was wanted so");
}

#[test]
fn one_that_does_not_end_is_ended() {
    let (mut supervisor, now) = new();
    run(&mut supervisor, now);
    supervisor.draining(now);
    supervisor.draining(now + ms(4000));
    let (step, wait) = next(&supervisor, now);
    assert_eq!(
        (step, wait),
        (Step::Kill("the worker did not end within 5 s".to_owned()), ms(5000))
    );
}

proptest! {
    /// Whatever happens in whatever order: there are never more restarts than the policy allows without a
    /// settled run between them, and nothing panics.
    #[test]
    fn restarts_are_bounded(events in proptest::collection::vec((0u8..9, 0u64..3000), 0..300)) {
        let (mut supervisor, mut now) = new();
        let mut restarts = Vec::new();
        for (event, wait) in events {
            now += ms(wait);
            match event {
                0 => supervisor.heard(now),
                1 => supervisor.taken(now),
                2 => supervisor.waits(now, wait % 2 == 0),
                3 => supervisor.unit(now),
                4 => supervisor.ready(),
                5 => supervisor.draining(now),
                _ => {}
            }
            match supervisor.step(now) {
                Step::Start => {
                    if matches!(supervisor.state(), State::Restarting { .. }) {
                        restarts.push(now);
                    }
                    supervisor.started(now);
                }
                Step::Kill(reason) => supervisor.ended(now, reason, true),
                Step::End => supervisor.idled(now),
                Step::Wait(_) if event > 6 => supervisor.ended(now, "x".to_owned(), true),
                Step::Wait(_) => {}
            }
        }
        for four in restarts.windows(4) {
            let within = four[3] - four[0];
            prop_assert!(within >= ms(30_000), "four restarts within {within:?}");
        }
    }
}
