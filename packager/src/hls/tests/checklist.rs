//! The checklist of what validators and players look at in a playlist, line by line, on a stream of usual
//! segments. How parts are cut is shown where that is decided; how long a request waits, in `reload`.

use std::sync::Arc;
use std::time::Duration;

use super::live::{Live, Plan};
use crate::hls::{Form, keyframes, media, multivariant};
use crate::store::View;

/// The playlist of the pictures, or of the sound, at a moment in the middle of a segment.
fn playlist(live: &Live, rendition: usize) -> String {
    let views = live.at(8, 2);
    media(&views[rendition], &views, Form::Full, "")
}

fn lines<'a>(text: &'a str, tag: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(tag)).collect()
}

/// A number of an attribute list.
fn number(text: &str, attribute: &str) -> f64 {
    let rest =
        text.split(&format!("{attribute}=")).nth(1).unwrap_or_else(|| panic!("no {attribute}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("{attribute} is {digits:?}"))
}

#[test]
fn targets_and_hold_back_stay_for_ever() {
    let live = Live::usual(30);
    let fixed = |whole, parts| {
        let views = live.at(whole, parts);
        let text = media(&views[0], &views, Form::Full, "");
        let tags = ["#EXT-X-TARGETDURATION", "#EXT-X-PART-INF", "#EXT-X-SERVER-CONTROL"];
        tags.map(|tag| lines(&text, tag).join("|"))
    };
    let first = fixed(0, 1);
    assert!(first.iter().all(|line| !line.is_empty()));
    for (whole, parts) in (0..30).flat_map(|whole| [(whole, 1), (whole, 5)]) {
        assert_eq!(fixed(whole, parts), first);
    }
}

#[test]
fn no_part_is_written_longer_than_the_target() {
    let mut live = Live::usual(12);
    live.targets.part = Some(Duration::from_millis(230));
    let text = playlist(&live, 0);
    let target = number(&text, "PART-TARGET");
    let parts = lines(&text, "#EXT-X-PART:");
    assert!(!parts.is_empty() && parts.iter().all(|part| number(part, "DURATION") <= target));
}

#[test]
fn three_parts_are_held_back_at_least() {
    for millis in [200, 230, 280, 500, 1000] {
        let mut live = Live::usual(12);
        live.targets.part = Some(Duration::from_millis(millis));
        let text = playlist(&live, 0);
        assert!(number(&text, "PART-HOLD-BACK") >= 3.0 * number(&text, "PART-TARGET"), "{text}");
    }
}

#[test]
fn six_target_durations_are_not_skipped() {
    let text = playlist(&Live::usual(12), 0);
    assert!(number(&text, "CAN-SKIP-UNTIL") >= 6.0 * 2.0);
    assert!(text.contains("CAN-SKIP-DATERANGES=YES"));
}

#[test]
fn reloads_may_block_in_every_rendition_alike() {
    let live = Live::usual(12);
    let views = live.at(8, 2);
    let mut controls: Vec<String> = (0..3).map(|of| playlist(&live, of)).collect();
    controls.push(keyframes(&views[0], Form::Full, ""));
    let controls: Vec<_> =
        controls.iter().map(|text| lines(text, "#EXT-X-SERVER-CONTROL:")).collect();
    assert!(controls.iter().all(|control| *control == controls[0]));
    assert!(controls[0][0].contains("CAN-BLOCK-RELOAD=YES"));
}

#[test]
fn a_preload_hint_names_what_comes_next() {
    let live = Live::usual(12);
    for (whole, parts) in (0..11).flat_map(|whole| (0..9).map(move |parts| (whole, parts))) {
        let views = live.at(whole, parts);
        let text = media(&views[0], &views, Form::Full, "");
        let hints = lines(&text, "#EXT-X-PRELOAD-HINT:");
        let (msn, next) = (whole + 1, parts);
        assert_eq!(hints, [format!("TYPE=PART,URI=\"v0-{msn}.{next}.m4s\"")]);
        // It is what is named then.
        let views = live.at(whole + usize::from(parts == 8), (parts + 1) % 9);
        let text = media(&views[0], &views, Form::Full, "");
        assert!(text.contains(&format!("URI=\"v0-{msn}.{next}.m4s\"")));
    }
}

#[test]
fn every_other_rendition_is_reported() {
    let live = Live::usual(12);
    for (of, others) in [(0, ["a0", "a1"]), (1, ["v0", "a1"]), (2, ["v0", "a0"])] {
        let text = playlist(&live, of);
        let want = others.map(|name| format!("URI=\"{name}.m3u8\",LAST-MSN=9,LAST-PART=1"));
        assert_eq!(lines(&text, "#EXT-X-RENDITION-REPORT:"), want);
    }
}

#[test]
fn parts_older_than_three_segments_are_not_named() {
    let text = playlist(&Live::usual(12), 0);
    for msn in 3..=9 {
        assert_eq!(text.contains(&format!("v0-{msn}.0.m4s")), msn >= 6, "{msn}");
    }
}

#[test]
fn sound_alone_has_parts() {
    let mut live = Live::usual(12);
    live.voices.remove(0);
    assert_eq!(lines(&playlist(&live, 0), "#EXT-X-PART:").len(), 3 * 9 + 2);
}

#[test]
fn every_segment_says_when_it_was_captured() {
    let text = playlist(&Live::usual(12), 0);
    let dates = lines(&text, "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:");
    assert_eq!(
        dates,
        ["22.123Z", "24.123Z", "26.123Z", "28.123Z", "30.123Z", "32.123Z", "34.123Z"]
    );
}

#[test]
fn the_first_segment_is_number_one() {
    let views = Live::usual(3).at(1, 0);
    assert_eq!(lines(&media(&views[0], &views, Form::Full, ""), "#EXT-X-MEDIA-SEQUENCE:"), ["1"]);
}

#[test]
fn a_discontinuity_is_at_the_same_number_in_all_renditions() {
    let mut live = Live::usual(12);
    (live.plan[4].discontinuity, live.plan[8].discontinuity) = (true, true);
    let cut = |of| {
        let text = playlist(&live, of);
        let before =
            |block: &str| block.split(".m4s").next().map(|name| name[name.len() - 2..].to_owned());
        text.split("#EXT-X-DISCONTINUITY\n").skip(1).filter_map(before).collect::<Vec<_>>()
    };
    assert_eq!(cut(0).len(), 2);
    assert!(cut(0) == cut(1) && cut(1) == cut(2));
}

#[test]
fn discontinuities_are_counted_from_the_first_playlist_on() {
    let mut live = Live::usual(12);
    live.plan[1].discontinuity = true;
    let sequence = |whole| {
        let views = live.at(whole, 1);
        let text = media(&views[0], &views, Form::Full, "");
        lines(&text, "#EXT-X-DISCONTINUITY-SEQUENCE:").join("|")
    };
    assert_eq!(
        [1, 7, 8, 9].map(sequence),
        ["0", "0", "1", "1"],
        "its segment leaves with the eighth"
    );
}

#[test]
fn a_stop_is_the_end_of_every_playlist() {
    let views = Live::usual(8).ended();
    for view in &views {
        assert_eq!(lines(&media(view, &views, Form::Full, ""), "#EXT-X-ENDLIST").len(), 1);
        assert_eq!(lines(&keyframes(view, Form::Full, ""), "#EXT-X-ENDLIST").len(), 1);
    }
}

#[test]
fn every_variant_says_all_that_players_choose_by() {
    let text = multivariant(&Live::usual(12).at(8, 2), "");
    let variants = lines(&text, "#EXT-X-STREAM-INF:");
    assert_eq!(variants.len(), 2);
    let attributes = [
        ",AVERAGE-BANDWIDTH=2628000,",
        "CODECS=\"avc1.64001f,",
        ",RESOLUTION=1280x720,",
        ",FRAME-RATE=29.970,",
        ",AUDIO=",
        ",CLOSED-CAPTIONS=NONE",
    ];
    for variant in variants {
        assert!(variant.starts_with("BANDWIDTH=3130000,"), "{variant}");
        attributes.iter().for_each(|attribute| assert!(variant.contains(attribute), "{variant}"));
    }
    let groups = lines(&text, "#EXT-X-MEDIA:TYPE=AUDIO,");
    assert!(groups.len() == 2 && groups.iter().all(|group| group.contains("LANGUAGE=\"und\"")));
    assert_eq!(lines(&text, "#EXT-X-I-FRAME-STREAM-INF:").len(), 1);
}

#[test]
fn a_rendition_is_named_unless_it_has_been_a_gap_for_three_segments() {
    let views = Live::usual(12).at(8, 2);
    let gaps = |count: usize| {
        let mut other = View::clone(&views[0]);
        let mut rendition = other.rendition.as_ref().clone();
        rendition.id.index = 1;
        other.rendition = Arc::new(rendition);
        other.running = None;
        other.targets.independent = count == 0;
        let segments = Arc::make_mut(&mut other.segments);
        for segment in segments.iter_mut().rev().take(count) {
            Arc::make_mut(segment).gap = true;
        }
        let text = multivariant(&[Arc::clone(&views[0]), Arc::new(other)], "");
        (text.contains("v1.m3u8"), text.contains("INDEPENDENT-SEGMENTS"))
    };
    assert_eq!(gaps(0), (true, true));
    assert_eq!(gaps(2), (true, false));
    assert_eq!(gaps(3), (false, true), "what is not named takes nothing from the others");
}

#[test]
fn independent_segments_are_promised_only_when_proven_and_only_where_it_can_change() {
    let mut live = Live::usual(12);
    let views = live.at(8, 2);
    assert!(multivariant(&views, "").contains("#EXT-X-INDEPENDENT-SEGMENTS\n"));
    assert!(!media(&views[0], &views, Form::Full, "").contains("INDEPENDENT-SEGMENTS"));
    live.targets.independent = false;
    assert!(!multivariant(&live.at(8, 2), "").contains("INDEPENDENT-SEGMENTS"));
}

/// An old player ignores the tags that it does not know, and comments.
#[test]
fn without_the_new_tags_it_is_the_playlist_of_old() {
    let text = playlist(&Live::usual(12), 0);
    let new = ["PART", "PRELOAD-HINT", "RENDITION-REPORT", "SERVER-CONTROL", "SKIP"];
    let old: Vec<&str> = text
        .lines()
        .filter(|line| !new.iter().any(|tag| line.starts_with(&format!("#EXT-X-{tag}"))))
        .collect();
    let Ok(read) = m3u8_rs::parse_media_playlist_res(format!("{}\n", old.join("\n")).as_bytes())
    else {
        panic!("{old:?}");
    };
    let whole = read.segments.iter().filter(|segment| !segment.uri.is_empty());
    assert_eq!(whole.clone().count(), 6);
    assert!(whole.clone().all(|segment| segment.duration.round() as u64 <= read.target_duration));
    assert!(whole.clone().next().is_some_and(|first| first.map.is_some()));
}

#[test]
fn a_window_of_hours_is_written_whole_and_its_delta_is_short() {
    let mut live = Live::usual(3600);
    live.window = 3600;
    live.plan.iter_mut().for_each(|plan| *plan = Plan { parts: vec![200; 10], ..Plan::default() });
    let views = live.at(3500, 1);
    let (full, delta) =
        (media(&views[0], &views, Form::Full, ""), media(&views[0], &views, Form::Delta, ""));
    assert!(full.len() > 200_000 && delta.len() < 5_000, "{} and {}", full.len(), delta.len());
    assert!(delta.contains("SKIPPED-SEGMENTS=3494\n"), "{delta}");
}
