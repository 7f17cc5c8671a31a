//! What is said of a publisher that sends, pauses, is lost and comes back, and how long a session
//! outlives its client.

use media::Activity;

use super::*;
use crate::test::peer::Offer;

const MS: Duration = Duration::from_millis(1);

fn on_air() -> (World, Studio) {
    let mut world = World::new();
    world.join_peer(PUBLISHER, &Offer::publisher());
    world.connect();
    let studio = Studio::new(&world, PUBLISHER, &[Content::Opus, Content::H264 { sets: true }]);
    (world, studio)
}

/// Everything that was said of the publisher so far.
fn said_of_it(world: &World) -> Vec<Activity> {
    let said = |event: &Event| match event {
        Event::Activity { session, activity } if *session == World::id(PUBLISHER) => {
            Some(*activity)
        }
        _ => None,
    };
    world.events.iter().filter_map(said).collect()
}

/// How long it takes until this is said next.
fn until(world: &mut World, studio: &mut Studio, activity: Activity) -> Duration {
    let (start, before) = (world.now, said_of_it(world).len());
    while said_of_it(world).len() == before {
        assert!(world.now - start < SECOND * 20, "{activity:?} was never said");
        play(world, studio, MS);
    }
    assert_eq!(said_of_it(world)[before..], [activity]);
    world.now - start
}

fn pause(studio: &mut Studio, paused: bool) {
    studio.streams.iter_mut().for_each(|stream| stream.on = !paused);
}

#[test]
fn media_is_said_once_with_its_first_packet_after_its_codec() {
    let (mut world, mut studio) = on_air();
    assert_eq!(said_of_it(&world), [], "who has just connected is quiet");
    play(&mut world, &mut studio, SECOND * 5);
    assert_eq!(said_of_it(&world), [Activity::Media]);
    let session = World::id(PUBLISHER);
    let place = |wanted: &Event| world.events.iter().position(|e| e == wanted).expect("was said");
    let media = place(&Event::Activity { session, activity: Activity::Media });
    assert_eq!(media, place(&Event::MediaStarted { session, codec: Codec::Opus }) + 1);
}

#[test]
fn a_pause_of_media_is_said_within_350_ms_and_its_end_at_once() {
    let (mut world, mut studio) = on_air();
    play(&mut world, &mut studio, SECOND);
    for _ in 0..3 {
        pause(&mut studio, true);
        let quiet = until(&mut world, &mut studio, Activity::Quiet);
        assert!((280 * MS..=351 * MS).contains(&quiet), "{quiet:?}");
        pause(&mut studio, false);
        let media = until(&mut world, &mut studio, Activity::Media);
        assert!(media <= 25 * MS, "a packet is sent each 20 ms, and was said after {media:?}");
        // Long enough that pauses are not what it is known for.
        play(&mut world, &mut studio, SECOND * 4);
    }
}

#[test]
fn pauses_shorter_than_that_are_none() {
    let (mut world, mut studio) = on_air();
    play(&mut world, &mut studio, SECOND);
    for _ in 0..10 {
        pause(&mut studio, true);
        play(&mut world, &mut studio, 250 * MS);
        pause(&mut studio, false);
        play(&mut world, &mut studio, 100 * MS);
    }
    assert_eq!(said_of_it(&world), [Activity::Media]);
}

#[test]
fn a_dead_publisher_is_noticed_within_two_seconds_and_a_returning_one_at_once() {
    let (mut world, mut studio) = on_air();
    play(&mut world, &mut studio, SECOND);
    for _ in 0..3 {
        world.peer(PUBLISHER).silent = true;
        let quiet = until(&mut world, &mut studio, Activity::Quiet);
        let silent = quiet + until(&mut world, &mut studio, Activity::Silent);
        assert!((SECOND..SECOND * 2).contains(&silent), "{silent:?}");
        world.peer(PUBLISHER).silent = false;
        let back = until(&mut world, &mut studio, Activity::Media);
        assert!(back <= 25 * MS, "{back:?}");
        play(&mut world, &mut studio, SECOND * 4);
    }
}

#[test]
fn reports_alone_are_life() {
    let (mut world, mut studio) = on_air();
    play(&mut world, &mut studio, SECOND);
    // Reports come each second, checks not at all.
    world.peer(PUBLISHER).unchecked = true;
    pause(&mut studio, true);
    play(&mut world, &mut studio, SECOND * 15);
    assert_eq!(said_of_it(&world), [Activity::Media, Activity::Quiet]);
    assert!(!world.encodings(PUBLISHER).is_empty(), "its session goes on");
}

#[test]
fn media_alone_is_life() {
    let (mut world, mut studio) = on_air();
    world.peer(PUBLISHER).unchecked = true;
    studio.streams.iter_mut().for_each(|stream| stream.lie = None);
    play(&mut world, &mut studio, SECOND * 15);
    assert_eq!(said_of_it(&world), [Activity::Media]);
    assert!(!world.encodings(PUBLISHER).is_empty(), "its session goes on");
}

#[test]
fn one_late_look_says_nothing_of_silence() {
    let (mut world, mut studio) = on_air();
    play(&mut world, &mut studio, SECOND);
    // The thread stands still for a second, and then looks before it reads.
    world.now += SECOND;
    world.run(MS, |_| {});
    assert_eq!(said_of_it(&world), [Activity::Media]);
    play(&mut world, &mut studio, SECOND);
    assert_eq!(said_of_it(&world), [Activity::Media]);
}

#[test]
fn a_dead_viewer_is_freed_within_fifteen_seconds_and_one_that_only_reports_never() {
    let (mut world, mut studio) = on_air();
    world.watch(VIEWER, PUBLISHER);
    world.watch(VIEWER + 1, PUBLISHER);
    world.connect();
    play(&mut world, &mut studio, SECOND);
    world.peer(VIEWER + 1).unchecked = true;
    world.peer(VIEWER).silent = true;
    let gone = Event::Closed { session: World::id(VIEWER), reason: Closed::Silent };
    play(&mut world, &mut studio, SECOND * 14);
    assert!(!world.events.contains(&gone), "too early");
    // What was under way when it fell silent takes a millisecond.
    play(&mut world, &mut studio, SECOND + MS);
    assert!(world.events.contains(&gone));
    assert!(world.snapshot(VIEWER).is_none());
    play(&mut world, &mut studio, SECOND * 10);
    assert!(world.snapshot(VIEWER + 1).is_some());
}
