//! The table of what a request for a playlist gets, row by row, and what a request for a file gets.

use std::time::Duration;

use super::live::{Live, Plan};
use crate::hls::{
    Answer, Directives, Fault, Form, Reach, decide, decide_keyframes, patience, reach,
};
use crate::name::File;
use crate::track::RenditionId;

/// Segments 3 to 8 are whole, of nine parts each; the ninth has two.
fn live() -> Live {
    Live::usual(12)
}

fn ask(query: &str) -> Answer {
    decide(&live().at(8, 2)[0], &Directives::parse(query))
}

const FULL: Answer = Answer::Now(Form::Full);
const DELTA: Answer = Answer::Now(Form::Delta);

fn wait(msn: u64, part: impl Into<Option<u32>>) -> Answer {
    Answer::WaitFor { msn, part: part.into() }
}

#[test]
fn without_directives_it_is_the_playlist_as_it_is() {
    assert_eq!(ask(""), FULL);
    assert_eq!(ask("token=x"), FULL);
    assert_eq!(ask("_HLS_skip=YES"), DELTA);
    assert_eq!(ask("_HLS_skip=v2"), DELTA);
    assert_eq!(ask("_HLS_skip=perhaps"), FULL);
}

#[test]
fn a_part_without_a_segment_or_what_is_no_number_is_400() {
    for query in
        ["_HLS_part=1", "_HLS_msn=x", "_HLS_msn=-1", "_HLS_msn=9&_HLS_part=-1", "_HLS_msn="]
    {
        assert!(matches!(ask(query), Answer::BadRequest(_)), "{query}");
    }
}

#[test]
fn a_segment_more_than_two_ahead_is_400() {
    assert_eq!(ask("_HLS_msn=10"), wait(10, None), "the last whole one is 8");
    assert_eq!(ask("_HLS_msn=11"), Answer::BadRequest(Fault::FarMsn { asked: 11, most: 10 }));
    let max = Fault::FarMsn { asked: u64::MAX, most: 10 };
    assert_eq!(ask("_HLS_msn=18446744073709551615"), Answer::BadRequest(max));
    assert_eq!(ask("_HLS_msn=99999999999999999999999&_HLS_part=0"), Answer::BadRequest(max));
}

#[test]
fn a_part_more_than_three_seconds_ahead_is_400() {
    // 3 s are 14 parts of 230 ms; the last is 9.1.
    assert_eq!(ask("_HLS_msn=9&_HLS_part=15"), wait(9, 15));
    let far = |asked, most| Answer::BadRequest(Fault::FarPart { asked, most });
    assert_eq!(ask("_HLS_msn=9&_HLS_part=16"), far(16, 15));
    assert_eq!(ask("_HLS_msn=10&_HLS_part=13"), wait(10, 13));
    assert_eq!(ask("_HLS_msn=10&_HLS_part=14"), far(14, 13));
    assert_eq!(ask("_HLS_msn=9&_HLS_part=18446744073709551615"), far(u64::MAX, 15));
    assert_eq!(ask("_HLS_msn=8&_HLS_part=4294967296"), far(1 << 32, 22));
}

#[test]
fn the_limit_of_parts_of_a_second_and_longer_is_three() {
    let mut live = live();
    live.targets.part = Some(Duration::from_secs(1));
    let ask = |query| decide(&live.at(8, 2)[0], &Directives::parse(query));
    assert_eq!(ask("_HLS_msn=9&_HLS_part=4"), wait(9, 4));
    assert_eq!(
        ask("_HLS_msn=9&_HLS_part=5"),
        Answer::BadRequest(Fault::FarPart { asked: 5, most: 4 })
    );
}

#[test]
fn a_part_past_the_last_of_a_segment_is_the_first_of_the_next() {
    assert_eq!(ask("_HLS_msn=8&_HLS_part=8"), FULL, "its last");
    assert_eq!(ask("_HLS_msn=8&_HLS_part=9"), FULL, "9.0 is there");
    let young = live().at(8, 0);
    let ask = |query| decide(&young[0], &Directives::parse(query));
    assert_eq!(ask("_HLS_msn=8&_HLS_part=8"), FULL);
    assert_eq!(ask("_HLS_msn=8&_HLS_part=9"), wait(9, 0));
    assert_eq!(ask("_HLS_msn=8&_HLS_part=12"), wait(9, 0));
}

#[test]
fn a_segment_without_a_part_waits_for_the_whole_of_it() {
    assert_eq!(ask("_HLS_msn=8"), FULL);
    assert_eq!(ask("_HLS_msn=9"), wait(9, None), "two of its parts are not enough");
    assert_eq!(ask("_HLS_msn=9&_HLS_part=1"), FULL);
    assert_eq!(ask("_HLS_msn=9&_HLS_part=2"), wait(9, 2));
    assert_eq!(ask("_HLS_msn=9&_HLS_part=1&_HLS_skip=YES"), DELTA);
}

#[test]
fn a_segment_older_than_the_window_gets_the_playlist_as_it_is() {
    for query in
        ["_HLS_msn=0", "_HLS_msn=1&_HLS_part=5000", "_HLS_msn=2", "_HLS_msn=7&_HLS_part=99"]
    {
        assert_eq!(ask(query), FULL, "{query}");
    }
}

#[test]
fn nobody_waits_longer_than_three_target_durations() {
    assert_eq!(patience(&live().at(8, 2)[0]), Duration::from_secs(6));
}

#[test]
fn after_the_end_directives_are_ignored() {
    let ended = live().ended();
    for query in
        ["_HLS_msn=99", "_HLS_part=1", "_HLS_msn=x", "_HLS_skip=YES", "_HLS_msn=1&_HLS_msn=2"]
    {
        assert_eq!(decide(&ended[0], &Directives::parse(query)), FULL, "{query}");
    }
}

#[test]
fn the_first_whole_segment_is_waited_for_by_who_names_none() {
    let young = live().at(0, 3);
    let ask = |query| decide(&young[0], &Directives::parse(query));
    assert_eq!(ask(""), wait(1, None));
    assert_eq!(ask("_HLS_msn=1&_HLS_part=2"), FULL);
    assert_eq!(ask("_HLS_msn=1&_HLS_part=3"), wait(1, 3));
    assert_eq!(ask("_HLS_msn=3"), Answer::BadRequest(Fault::FarMsn { asked: 3, most: 2 }));
}

#[test]
fn without_parts_nothing_is_waited_for() {
    let mut live = live();
    live.targets.part = None;
    let ask = |query| decide(&live.at(8, 2)[0], &Directives::parse(query));
    assert_eq!(ask("_HLS_msn=9"), FULL);
    assert_eq!(ask("_HLS_msn=9&_HLS_part=4&_HLS_skip=YES"), FULL);
    assert!(matches!(ask("_HLS_msn=x"), Answer::BadRequest(_)));
}

#[test]
fn the_playlist_of_keyframes_waits_for_segments_alone() {
    let views = live().at(8, 2);
    let ask = |query| decide_keyframes(&views[0], &Directives::parse(query));
    assert_eq!(ask(""), FULL);
    assert_eq!(ask("_HLS_msn=8&_HLS_part=50"), FULL);
    assert_eq!(ask("_HLS_msn=9"), wait(9, None));
    assert_eq!(ask("_HLS_msn=9&_HLS_part=1"), wait(9, None));
    assert_eq!(ask("_HLS_part=1"), Answer::BadRequest(Fault::PartAlone));
}

/// Whatever is waited for, at any moment: the stream gets there, and it is answered then and not refused meanwhile.
#[test]
fn who_has_to_wait_is_answered_in_the_end() {
    let mut live = live();
    live.plan[4] = Plan { parts: vec![230], ..Plan::default() };
    let moments = (0..live.plan.len())
        .flat_map(|whole| (0..live.plan[whole].parts.len()).map(move |parts| (whole, parts)))
        .collect::<Vec<_>>();
    let asked = (0..8).flat_map(|msn| {
        (0..40)
            .map(move |part| format!("_HLS_msn={msn}&_HLS_part={part}"))
            .chain([format!("_HLS_msn={msn}")])
    });
    for query in asked {
        let mut waits = false;
        for (whole, parts) in moments.iter().skip(1) {
            match decide(&live.at(*whole, *parts)[0], &Directives::parse(&query)) {
                Answer::Now(_) => waits = false,
                Answer::WaitFor { .. } => waits = true,
                Answer::BadRequest(_) => assert!(!waits, "{query} was waited for, then refused"),
            }
        }
        assert!(!waits, "{query} waits for ever");
    }
}

#[test]
fn the_hinted_part_is_waited_for_and_nothing_else() {
    let views = live().at(8, 2);
    let v0 = RenditionId::VIDEO;
    let file = |file| reach(&views[0], file);
    assert_eq!(file(File::Part(v0, 9, 1)), Reach::There);
    assert_eq!(file(File::Part(v0, 9, 2)), Reach::Soon);
    assert_eq!(file(File::Part(v0, 9, 3)), Reach::Never);
    assert_eq!(file(File::Part(v0, 10, 0)), Reach::Never);
    assert_eq!(file(File::Part(v0, 8, 8)), Reach::There);
    assert_eq!(file(File::Part(v0, 8, 9)), Reach::Never);
    assert_eq!(file(File::Part(v0, 3, 0)), Reach::There, "no longer named, still to be had");
    assert_eq!(file(File::Part(v0, 2, 0)), Reach::Gone);
    assert_eq!(file(File::Part(v0, u64::MAX, u32::MAX)), Reach::Never);
    assert_eq!(file(File::Segment(v0, 2)), Reach::Gone);
    assert_eq!(file(File::Segment(v0, 8)), Reach::There);
    assert_eq!(file(File::Segment(v0, 9)), Reach::Never);
    assert_eq!(file(File::Init(v0, 0)), Reach::There);
    assert_eq!(file(File::Init(v0, 1)), Reach::Never);
    let ended = live().ended();
    assert_eq!(reach(&ended[0], File::Part(v0, 13, 0)), Reach::Never);
    assert_eq!(reach(&ended[0], File::Segment(v0, 12)), Reach::There);
}
