//! The judge judged: it finds nothing where all is right, and each rule finds what breaks it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::client::Exchange;
use super::fake;
use super::rules::{broken, ending, watching};
use super::watch::{Probe, Recording};

#[test]
fn nothing_is_found_where_all_is_right() {
    assert_eq!(broken(&fake::recording(), watching()), Vec::<String>::new());
    assert_eq!(broken(&fake::ended(), watching().chain(ending())), Vec::<String>::new());
}

#[test]
fn what_was_never_looked_at_is_not_right() {
    let mut recording = fake::recording();
    recording.probes.clear();
    assert!(broken(&recording, watching()).contains(&"http2: nothing of it was seen".to_owned()));
    assert_eq!(broken(&Recording::default(), watching()).len(), 1);
}

/// Changes the text of some answers.
fn edit<'a>(answers: impl IntoIterator<Item = &'a mut Exchange>, from: &str, to: &str) {
    for answer in answers {
        answer.body = answer.text().replace(from, to).into_bytes();
    }
}

fn lists(recording: &mut Recording) -> impl Iterator<Item = &mut Exchange> {
    recording.renditions.iter_mut().flat_map(|rendition| &mut rendition.reloads)
}

/// All versions from the fifth on.
fn later(recording: &mut Recording) -> impl Iterator<Item = &mut Exchange> {
    recording.renditions.iter_mut().flat_map(|rendition| rendition.reloads.iter_mut().skip(5))
}

fn media(recording: &mut Recording) -> impl Iterator<Item = &mut Exchange> {
    recording.renditions.iter_mut().flat_map(|rendition| &mut rendition.media)
}

fn file<'a>(recording: &'a mut Recording, name: &str) -> impl Iterator<Item = &'a mut Exchange> {
    media(recording).filter(move |file| file.path.ends_with(name))
}

fn probe(recording: &mut Recording, kind: Probe) -> &mut Exchange {
    let all = recording.probes.iter_mut();
    all.map(|(probe, answer)| (*probe, answer))
        .find(|(probe, _)| *probe == kind)
        .expect("it is there")
        .1
}

fn header(answer: &mut Exchange, name: &str, value: &str) {
    answer.headers.retain(|(known, _)| known != name);
    answer.headers.push((name.into(), value.into()));
}

/// A four-byte field behind a box's name in these files.
fn field(
    files: impl Iterator<Item = impl std::ops::DerefMut<Target = Exchange>>,
    name: &[u8; 4],
    at: usize,
    value: u32,
) {
    for mut file in files {
        let start = file.body.windows(4).position(|w| w == name).expect("it has that box") + 4 + at;
        file.body[start..start + 4].copy_from_slice(&value.to_be_bytes());
    }
}

type Break = fn(&mut Recording);

/// Every rule, and what breaks it.
const BREAKS: &[(&str, Break)] = &[
    ("target-duration-fixed", |r| edit(later(r), "TARGETDURATION:2", "TARGETDURATION:3")),
    ("part-target-fixed", |r| edit(later(r), "PART-TARGET=0.5", "PART-TARGET=0.51")),
    ("server-control-fixed-and-the-same-everywhere", |r| {
        edit(&mut r.renditions[1].reloads, "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.6");
    }),
    ("part-at-most-target", |r| edit(lists(r), "DURATION=0.5,", "DURATION=0.6,")),
    ("part-at-least-85-percent", |r| {
        edit(lists(r), "DURATION=0.5,URI=\"v0-5.1.m4s", "DURATION=0.4,URI=\"v0-5.1.m4s")
    }),
    ("segment-within-target-duration", |r| edit(lists(r), "EXTINF:2.0", "EXTINF:2.6")),
    ("part-hold-back-three-parts", |r| edit(lists(r), "PART-HOLD-BACK=1.5", "PART-HOLD-BACK=1.4")),
    ("can-skip-until-six-targets", |r| edit(lists(r), "SKIP-UNTIL=12", "SKIP-UNTIL=11")),
    ("can-skip-dateranges", |r| edit(lists(r), ",CAN-SKIP-DATERANGES=YES", "")),
    ("can-block-reload", |r| edit(lists(r), "CAN-BLOCK-RELOAD=YES", "CAN-BLOCK-RELOAD=NO")),
    ("preload-hint-always", |r| edit(later(r).skip(3).take(1), "#EXT-X-PRELOAD-HINT", "#NOTHING")),
    ("preload-hint-comes-true", |r| {
        edit(later(r).skip(3).take(1), "HINT:TYPE=PART,URI=\"v0", "HINT:TYPE=PART,URI=\"x0")
    }),
    ("rendition-reports", |r| edit(later(r).take(1), "#EXT-X-RENDITION-REPORT", "#NOTHING")),
    ("old-parts-pruned", |r| {
        edit(
            later(r),
            "#EXTINF:2.0,\nv0-3.m4s",
            "#EXT-X-PART:DURATION=0.5,URI=\"v0-3.0.m4s\"\n#EXTINF:2.0,\nv0-3.m4s",
        )
    }),
    ("sound-has-parts", |r| edit(&mut r.renditions[1].reloads, "#EXT-X-PART:", "#NOTHING:")),
    ("program-date-time", |r| {
        edit(later(r), "#EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:16", "#NOTHING")
    }),
    ("program-date-time-goes-on", |r| edit(lists(r), "20:14:16.000Z", "20:14:16.040Z")),
    ("six-segments-in-the-window", |r| {
        let list = r.renditions[0].reloads.last_mut().expect("there are versions");
        let text = list.text().replace("MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:12");
        let (head, rest) = text.split_once("#EXT-X-MAP").expect("it has a map");
        let from = rest.find("#EXT-X-PROGRAM-DATE-TIME:2026-11-21T20:14:22").expect("the twelfth");
        list.body = format!("{head}{}", &rest[from..]).into_bytes();
    }),
    ("first-msn-at-least-one", |r| edit(lists(r).take(1), "MEDIA-SEQUENCE:1", "MEDIA-SEQUENCE:0")),
    ("media-sequence-counts", |r| edit(lists(r).last(), "MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:8")),
    ("nothing-told-is-changed", |r| {
        edit(later(r).take(1), "DURATION=0.5,URI=\"v0-3.0", "DURATION=0.49,URI=\"v0-3.0")
    }),
    ("discontinuity-sequence-from-the-first", |r| {
        edit(lists(r), "#EXT-X-DISCONTINUITY-SEQUENCE:1", "#EXT-X-DISCONTINUITY-SEQUENCE:0")
    }),
    ("discontinuity-at-the-same-instant", |r| {
        edit(&mut r.renditions[1].reloads, "#EXT-X-DISCONTINUITY\n", "")
    }),
    ("delta-is-shorter-and-true", |r| {
        lists(r).for_each(|list| list.path = list.path.replace("&_HLS_skip=YES", ""));
        let texts: Vec<_> = r
            .renditions
            .iter_mut()
            .map(|rendition| {
                rendition.reloads.retain(|list| !list.text().contains("#EXT-X-SKIP"));
            })
            .collect();
        drop(texts);
    }),
    ("codecs-name-all-there-is", |r| edit(&mut r.multivariant, ",opus\"", "\"")),
    ("h264-level-is-that-of-the-stream", |r| edit(&mut r.multivariant, "42e01f", "42e02a")),
    ("resolution-is-that-of-the-stream", |r| edit(&mut r.multivariant, "320x180", "640x360")),
    ("frame-rate-is-that-of-the-stream", |r| edit(&mut r.multivariant, "RATE=10", "RATE=30")),
    ("bandwidth-is-measured", |r| {
        edit(&mut r.multivariant, "AVERAGE-BANDWIDTH=", "AVERAGE-BANDWIDTH=9")
    }),
    ("audio-group-with-language", |r| edit(&mut r.multivariant, ",LANGUAGE=\"und\"", "")),
    ("closed-captions-none", |r| edit(&mut r.multivariant, ",CLOSED-CAPTIONS=NONE", "")),
    ("keyframe-playlists", |r| edit(&mut r.renditions[2].reloads, "@0", "@1")),
    ("independent-segments-are", |r| {
        // The first sample's flags, behind its duration and size.
        field(file(r, "v0-7.m4s"), b"trun", 20, 0x0101_0000);
    }),
    ("no-number-or-part-alone-is-400", |r| probe(r, Probe::Refused).status = 200),
    ("far-segment-is-400", |r| probe(r, Probe::FarSegment).whole = Duration::from_secs(3)),
    ("far-part-is-400", |r| probe(r, Probe::FarPart).status = 503),
    ("past-the-last-part-is-the-next-segment", |r| {
        edit([probe(r, Probe::PastLast)], "#EXT-X-PART:DURATION=0.5,URI=\"v0-9", "#NOTHING")
    }),
    ("segment-alone-waits-for-all-of-it", |r| {
        edit([probe(r, Probe::Whole)], "#EXTINF:2.0,\nv0-9.m4s", "")
    }),
    ("older-than-the-window-is-now", |r| probe(r, Probe::Old).head = Duration::from_secs(2)),
    ("a-reload-has-what-it-waited-for", |r| {
        let list = &mut r.renditions[0].reloads[3];
        list.path = list.path.replace("_HLS_part=", "_HLS_part=1");
    }),
    ("woken-only-by-a-change", |r| {
        let body = r.renditions[0].reloads[4].body.clone();
        r.renditions[0].reloads[5].body = body;
    }),
    ("hinted-part-waits-and-then-comes-at-once", |r| {
        let media = r.renditions[0].media.iter_mut();
        media.for_each(|f| f.whole = f.head + Duration::from_secs(1));
    }),
    ("not-ready-in-three-targets-is-503", |r| {
        probe(r, Probe::Never).head = Duration::from_secs(20)
    }),
    ("endlist-on-stop", |r| edit(r.renditions[1].reloads.last_mut(), "#EXT-X-ENDLIST", "")),
    ("after-the-end-directives-are-ignored", |r| probe(r, Probe::Ended).status = 400),
    ("cache-multivariant-half-a-segment", |r| {
        header(&mut r.multivariant[1], "cache-control", "max-age=9")
    }),
    ("cache-playlist-with-directives", |r| {
        lists(r).for_each(|l| header(l, "cache-control", "max-age=1"))
    }),
    ("cache-playlist-without-at-most-a-second", |r| {
        lists(r).for_each(|l| header(l, "cache-control", "max-age=12"))
    }),
    ("cache-media-immutable", |r| {
        file(r, "v0-2.m4s").for_each(|f| header(f, "cache-control", "max-age=604800"))
    }),
    ("cache-errors-not-at-all", |r| header(probe(r, Probe::Refused), "cache-control", "max-age=1")),
    ("cors-with-age-and-date", |r| {
        file(r, "v0-2.m4s").for_each(|f| header(f, "access-control-expose-headers", "Age"))
    }),
    ("media-types", |r| file(r, "v0-2.m4s").for_each(|f| header(f, "content-type", "text/plain"))),
    ("no-query-in-media-names", |r| edit(lists(r), "v0-9.m4s", "v0-9.m4s?viewer=7")),
    ("ranges-are-206-and-sliced", |r| probe(r, Probe::Range).body[0] ^= 1),
    ("range-beyond-is-416", |r| probe(r, Probe::Beyond).status = 200),
    ("missing-is-404-or-410", |r| probe(r, Probe::Missing).status = 200),
    ("playlists-packed", |r| header(probe(r, Probe::Gzip), "vary", "Origin")),
    ("http2", |r| probe(r, Probe::Http2).status = 0),
    ("a-name-is-the-same-bytes-for-ever", |r| probe(r, Probe::Again).body[9] ^= 1),
    ("part-lasts-as-long-as-it-says", |r| field(file(r, "v0-4.1.m4s"), b"trun", 12, 9_500)),
    ("segment-lasts-as-long-as-it-says", |r| field(file(r, "v0-4.m4s"), b"trun", 12, 9_500)),
    ("segment-is-the-chain-of-its-parts", |r| {
        file(r, "v0-4.m4s").for_each(|f| *f.body.last_mut().expect("bytes") ^= 1)
    }),
    ("decode-times-go-on", |r| field(file(r, "v0-4.m4s"), b"tfdt", 8, 7)),
    ("independent-parts-have-a-keyframe", |r| {
        edit(lists(r), "v0-4.1.m4s\"", "v0-4.1.m4s\",INDEPENDENT=YES")
    }),
    ("one-timeline-for-all", |r| field(file(r, "a0-4.m4s"), b"tfdt", 8, 48_000 * 7)),
    ("dates-are-the-media-clock", |r| {
        edit(&mut r.renditions[1].reloads, "20:14:16.000Z", "20:14:16.040Z")
    }),
    ("no-edit-lists", |r| {
        file(r, "v0-0.mp4").for_each(|f| {
            // A child of the track that was named otherwise.
            let at = f.body.windows(4).position(|w| w == b"trak").expect("a track");
            let len = f.body.len();
            let edit = [0, 0, 0, 8, b'e', b'd', b't', b's'];
            let size = u32::from_be_bytes(f.body[at - 4..at].try_into().expect("four bytes")) + 8;
            f.body[at - 4..at].copy_from_slice(&size.to_be_bytes());
            f.body.splice(at + 4..at + 4, edit);
            let moov = f.body.windows(4).position(|w| w == b"moov").expect("a movie");
            let size =
                u32::from_be_bytes(f.body[moov - 4..moov].try_into().expect("four bytes")) + 8;
            f.body[moov - 4..moov].copy_from_slice(&size.to_be_bytes());
            assert_eq!(f.body.len(), len + 8);
        })
    }),
    ("composition-offsets-are-signed", |r| field(file(r, "v0-4.m4s"), b"trun", 0, 0x0000_0f01)),
    ("all-that-is-named-is-there", |r| file(r, "v0-4.2.m4s").for_each(|f| f.status = 404)),
];

#[test]
fn every_rule_can_fail() {
    let rules: BTreeSet<&str> = watching().chain(ending()).map(|rule| rule.name).collect();
    let broken_here: BTreeSet<&str> = BREAKS.iter().map(|(name, _)| *name).collect();
    assert_eq!(rules, broken_here, "each rule has what breaks it");
    let mut silent = Vec::new();
    for (name, ruin) in BREAKS {
        let mut recording = fake::ended();
        ruin(&mut recording);
        let found = broken(&recording, watching().chain(ending()));
        if !found.iter().any(|found| found.starts_with(&format!("{name}: "))) {
            silent.push(format!("{name} is broken, and it is found: {found:?}"));
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}
