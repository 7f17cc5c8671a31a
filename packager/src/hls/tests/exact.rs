//! Playlists, character by character.

use std::sync::Arc;

use insta::assert_snapshot;

use ::media::Codec;

use super::live::{AAC, Live, Plan, V0, Voice};
use crate::hls::{Form, keyframes, media, multivariant};
use crate::{Init, View};

#[test]
fn a_young_stream_names_all_its_parts() {
    let views = Live::usual(3).at(1, 2);
    assert_snapshot!(media(&views[0], &views, Form::Full, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-PART-INF:PART-TARGET=0.23000
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="v0-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-1.8.m4s"
    #EXTINF:2.00000,
    v0-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:20.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.1.m4s"
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="v0-2.2.m4s"
    #EXT-X-RENDITION-REPORT:URI="a0.m3u8",LAST-MSN=2,LAST-PART=1
    #EXT-X-RENDITION-REPORT:URI="a1.m3u8",LAST-MSN=2,LAST-PART=1
    "#);
}

#[test]
fn sound_has_parts_of_its_own() {
    let views = Live::usual(3).at(1, 1);
    assert_snapshot!(media(&views[1], &views[..2], Form::Full, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-PART-INF:PART-TARGET=0.23000
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="a0-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.1.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.2.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.3.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.4.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.5.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.6.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="a0-1.7.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.16000,URI="a0-1.8.m4s",INDEPENDENT=YES
    #EXTINF:2.00000,
    a0-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:20.123Z
    #EXT-X-PART:DURATION=0.23000,URI="a0-2.0.m4s",INDEPENDENT=YES
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="a0-2.1.m4s"
    #EXT-X-RENDITION-REPORT:URI="v0.m3u8",LAST-MSN=2,LAST-PART=0
    "#);
}

#[test]
fn old_segments_have_no_parts_and_a_delta_leaves_them_out() {
    let mut live = Live::usual(12);
    live.window = 10;
    (live.plan[1].discontinuity, live.plan[3].discontinuity) = (true, true);
    (3..12).for_each(|index| live.plan[index].init = 1);
    let views = live.at(11, 0);
    assert_snapshot!(media(&views[0], &views[..1], Form::Full, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-PART-INF:PART-TARGET=0.23000
    #EXT-X-MEDIA-SEQUENCE:2
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-DISCONTINUITY
    #EXT-X-MAP:URI="v0-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:20.123Z
    #EXTINF:2.00000,
    v0-2.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:22.123Z
    #EXTINF:2.00000,
    v0-3.m4s
    #EXT-X-DISCONTINUITY
    #EXT-X-MAP:URI="v0-1.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:24.123Z
    #EXTINF:2.00000,
    v0-4.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:26.123Z
    #EXTINF:2.00000,
    v0-5.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:28.123Z
    #EXTINF:2.00000,
    v0-6.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:30.123Z
    #EXTINF:2.00000,
    v0-7.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:32.123Z
    #EXTINF:2.00000,
    v0-8.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:34.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-9.8.m4s"
    #EXTINF:2.00000,
    v0-9.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:36.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-10.8.m4s"
    #EXTINF:2.00000,
    v0-10.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:38.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-11.8.m4s"
    #EXTINF:2.00000,
    v0-11.m4s
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="v0-12.0.m4s"
    "#);
    assert_snapshot!(media(&views[0], &views[..1], Form::Delta, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-PART-INF:PART-TARGET=0.23000
    #EXT-X-MEDIA-SEQUENCE:2
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-SKIP:SKIPPED-SEGMENTS=3
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:26.123Z
    #EXTINF:2.00000,
    v0-5.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:28.123Z
    #EXTINF:2.00000,
    v0-6.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:30.123Z
    #EXTINF:2.00000,
    v0-7.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:32.123Z
    #EXTINF:2.00000,
    v0-8.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:34.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-9.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-9.8.m4s"
    #EXTINF:2.00000,
    v0-9.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:36.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-10.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-10.8.m4s"
    #EXTINF:2.00000,
    v0-10.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:38.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-11.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-11.8.m4s"
    #EXTINF:2.00000,
    v0-11.m4s
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="v0-12.0.m4s"
    "#);
}

#[test]
fn a_report_on_a_gap_names_a_part_all_the_same() {
    let mut live = Live::usual(3);
    live.plan[1].gap = true;
    let (gone, here) = (live.at(2, 0), Live::usual(3).at(2, 1));
    let text = media(&here[0], &[Arc::clone(&here[0]), Arc::clone(&gone[1])], Form::Full, "");
    assert!(text.contains("URI=\"a0.m3u8\",LAST-MSN=2,LAST-PART=0\n"), "{text}");
}

#[test]
fn a_discontinuity_and_a_gap_are_said_before_the_first_part() {
    let mut live = Live::usual(6);
    (live.plan[3].gap, live.plan[3].discontinuity) = (true, true);
    (live.plan[4].discontinuity, live.plan[4].init) = (true, 1);
    let views = live.at(4, 1);
    assert_snapshot!(media(&views[0], &views[..1], Form::Full, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-PART-INF:PART-TARGET=0.23000
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="v0-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXTINF:2.00000,
    v0-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:20.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-2.8.m4s"
    #EXTINF:2.00000,
    v0-2.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:22.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-3.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-3.8.m4s"
    #EXTINF:2.00000,
    v0-3.m4s
    #EXT-X-DISCONTINUITY
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:24.123Z
    #EXT-X-GAP
    #EXTINF:2.00000,
    v0-4.m4s
    #EXT-X-DISCONTINUITY
    #EXT-X-MAP:URI="v0-1.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:26.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-5.0.m4s",INDEPENDENT=YES
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="v0-5.1.m4s"
    "#);
}

#[test]
fn an_ended_stream_says_so_and_hints_at_nothing() {
    let views = Live::usual(2).ended();
    assert_snapshot!(media(&views[0], &views[..1], Form::Delta, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-PART-INF:PART-TARGET=0.23000
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="v0-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-1.8.m4s"
    #EXTINF:2.00000,
    v0-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:20.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.0.m4s",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.1.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.2.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.3.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.4.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.5.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.6.m4s"
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.7.m4s"
    #EXT-X-PART:DURATION=0.16000,URI="v0-2.8.m4s"
    #EXTINF:2.00000,
    v0-2.m4s
    #EXT-X-ENDLIST
    "#);
}

#[test]
fn a_token_stands_behind_every_name() {
    let mut live = Live::usual(2);
    live.plan = vec![Plan { parts: vec![230, 100], ..Plan::default() }; 2];
    let views = live.at(1, 1);
    assert_snapshot!(media(&views[0], &views[..2], Form::Full, "token=a%2Fb"), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-PART-INF:PART-TARGET=0.23000
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="v0-0.mp4?token=a%2Fb"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-1.0.m4s?token=a%2Fb",INDEPENDENT=YES
    #EXT-X-PART:DURATION=0.10000,URI="v0-1.1.m4s?token=a%2Fb"
    #EXTINF:0.33000,
    v0-1.m4s?token=a%2Fb
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.453Z
    #EXT-X-PART:DURATION=0.23000,URI="v0-2.0.m4s?token=a%2Fb",INDEPENDENT=YES
    #EXT-X-PRELOAD-HINT:TYPE=PART,URI="v0-2.1.m4s?token=a%2Fb"
    #EXT-X-RENDITION-REPORT:URI="a0.m3u8?token=a%2Fb",LAST-MSN=2,LAST-PART=0
    "#);
    assert_snapshot!(keyframes(&views[0], Form::Full, "token=a%2Fb"), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-I-FRAMES-ONLY
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="v0-0.mp4?token=a%2Fb"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXTINF:0.33000,
    #EXT-X-BYTERANGE:700@0
    v0-1.m4s?token=a%2Fb
    "#);
    assert_snapshot!(multivariant(&views[..2], "token=a%2Fb"), @r#"
    #EXTM3U
    #EXT-X-VERSION:6
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="Audio",LANGUAGE="und",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="k3x9/a0.m3u8?token=a%2Fb"
    #EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2628000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="aac",CLOSED-CAPTIONS=NONE
    k3x9/v0.m3u8?token=a%2Fb
    #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=16969,CODECS="avc1.64001f",RESOLUTION=1280x720,URI="k3x9/v0-iframes.m3u8?token=a%2Fb"
    "#);
}

#[test]
fn keyframes_are_the_beginnings_of_segments() {
    let mut live = Live::usual(5);
    (live.plan[1].dependent, live.plan[2].discontinuity) = (true, true);
    assert_snapshot!(keyframes(&live.at(3, 4)[0], Form::Full, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:9
    #EXT-X-TARGETDURATION:2
    #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12.00000,CAN-SKIP-DATERANGES=YES,PART-HOLD-BACK=0.80500
    #EXT-X-I-FRAMES-ONLY
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="v0-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXTINF:2.00000,
    #EXT-X-BYTERANGE:700@0
    v0-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:20.123Z
    #EXT-X-GAP
    #EXTINF:2.00000,
    v0-2.m4s
    #EXT-X-DISCONTINUITY
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:22.123Z
    #EXTINF:2.00000,
    #EXT-X-BYTERANGE:700@0
    v0-3.m4s
    "#);
}

#[test]
fn the_safe_preset_is_plain_hls() {
    let mut live = Live::usual(9);
    live.targets.part = None;
    live.targets.segment = 4;
    let views = live.at(2, 5);
    assert_snapshot!(media(&views[0], &views, Form::Delta, ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:6
    #EXT-X-TARGETDURATION:4
    #EXT-X-MEDIA-SEQUENCE:1
    #EXT-X-DISCONTINUITY-SEQUENCE:0
    #EXT-X-MAP:URI="v0-0.mp4"
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:18.123Z
    #EXTINF:2.00000,
    v0-1.m4s
    #EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:20.123Z
    #EXTINF:2.00000,
    v0-2.m4s
    "#);
}

#[test]
fn pictures_with_sound_in_two_codecs_are_two_variants() {
    assert_snapshot!(multivariant(&Live::usual(3).at(1, 0), ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:6
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="Audio",LANGUAGE="und",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="k3x9/a0.m3u8"
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="opus",NAME="Audio",LANGUAGE="und",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="k3x9/a1.m3u8"
    #EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2628000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="aac",CLOSED-CAPTIONS=NONE
    k3x9/v0.m3u8
    #EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2628000,CODECS="avc1.64001f,opus",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="opus",CLOSED-CAPTIONS=NONE
    k3x9/v0.m3u8
    #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=2800,CODECS="avc1.64001f",RESOLUTION=1280x720,URI="k3x9/v0-iframes.m3u8"
    "#);
}

#[test]
fn sound_alone_is_a_variant() {
    let mut live = Live::usual(3);
    live.voices.remove(0);
    live.targets.independent = false;
    assert_snapshot!(multivariant(&live.at(1, 0), ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:6
    #EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=128000,CODECS="mp4a.40.2",CLOSED-CAPTIONS=NONE
    k3x9/a0.m3u8
    #EXT-X-STREAM-INF:BANDWIDTH=130000,AVERAGE-BANDWIDTH=128000,CODECS="opus",CLOSED-CAPTIONS=NONE
    k3x9/a1.m3u8
    "#);
}

#[test]
fn pictures_alone_have_no_group() {
    let mut live = Live::usual(3);
    live.voices.truncate(1);
    assert_snapshot!(multivariant(&live.at(1, 0), ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:6
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-STREAM-INF:BANDWIDTH=3000000,AVERAGE-BANDWIDTH=2500000,CODECS="avc1.64001f",RESOLUTION=1280x720,FRAME-RATE=29.970,CLOSED-CAPTIONS=NONE
    k3x9/v0.m3u8
    #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=2800,CODECS="avc1.64001f",RESOLUTION=1280x720,URI="k3x9/v0-iframes.m3u8"
    "#);
}

#[test]
fn what_an_encoder_says_of_the_range_of_its_colours_is_told() {
    let views = Live::usual(3).at(1, 0);
    let said = |transfer: u8| {
        // AV1 of 10 bits by libaom, BT.2020; its sequence header ends with primaries, transfer, matrix.
        let mut bits = 0xda_f9_50_91_00_98_40_u64 & !(0xff << 20);
        bits |= u64::from(transfer) << 20;
        let head = [0x81, 0, 0x4c, 0, 0x0a, 0x0e, 0, 0, 0, 4, 0x3c, 0xfe, 0xcc];
        let config: Vec<u8> =
            head.into_iter().chain(bits.to_be_bytes().into_iter().skip(1)).collect();
        let mut view = View::clone(&views[0]);
        let mut init = Init::clone(&view.init);
        (init.format.codec, init.format.config) = (Codec::Av1, config.into());
        view.init = Arc::new(init);
        let text = multivariant(&[Arc::new(view)], "");
        let range = |line: &str| line.split_once("VIDEO-RANGE=").map(|(_, r)| r[..3].to_owned());
        text.lines().filter_map(range).collect::<Vec<_>>()
    };
    assert_eq!(
        [said(16), said(18), said(1), said(2)].map(|all| all.join(" ")),
        ["PQ, PQ,", "HLG HLG", "SDR SDR", ""]
    );
}

#[test]
fn languages_are_members_of_one_group() {
    let mut live = Live::usual(3);
    let german = Voice { label: "Ton \"eins\"", language: Some("de"), ..AAC };
    let mut english = Voice { label: "Ton \"eins\"", language: Some("en"), ..AAC };
    english.id.index = 1;
    live.voices = vec![V0, german, english];
    assert_snapshot!(multivariant(&live.at(1, 0), ""), @r#"
    #EXTM3U
    #EXT-X-VERSION:6
    #EXT-X-INDEPENDENT-SEGMENTS
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="Ton eins",LANGUAGE="de",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="k3x9/a0.m3u8"
    #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="aac",NAME="Ton eins 2",LANGUAGE="en",DEFAULT=NO,AUTOSELECT=YES,CHANNELS="2",URI="k3x9/a1.m3u8"
    #EXT-X-STREAM-INF:BANDWIDTH=3130000,AVERAGE-BANDWIDTH=2628000,CODECS="avc1.64001f,mp4a.40.2",RESOLUTION=1280x720,FRAME-RATE=29.970,AUDIO="aac",CLOSED-CAPTIONS=NONE
    k3x9/v0.m3u8
    #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=2800,CODECS="avc1.64001f",RESOLUTION=1280x720,URI="k3x9/v0-iframes.m3u8"
    "#);
}
