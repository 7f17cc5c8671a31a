//! Paths and queries of requests to the audience path: reading never panics, a name is read as the one file that it is the
//! name of, and what has to wait is within reach of the stream. The first bytes say how far that has come.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::{Codec, Format, MediaTime};
use packager::hls::{
    Answer, Directives, Form, Reach, decide, decide_keyframes, keyframes, media as playlist, reach,
};
use packager::name::File;
use packager::{Bandwidth, Epoch, Init, Part, Rendition, RenditionId, Segment, Targets, View};

fuzz_target!(|data: &[u8]| {
    let [first, whole, last, parts, target, ended, rest @ ..] = data else { return };
    let target = (*target > 0).then(|| Duration::from_millis(u64::from(*target) * 10));
    let first_msn = 1 + u64::from(*first);
    let view = view(first_msn, whole % 16, last % 16, parts % 16, target, ended % 8 == 0);
    let text = String::from_utf8_lossy(rest);
    let (path, query) = text.split_once('?').unwrap_or((&text, &text));

    if let Some(file) = File::parse(path) {
        assert_eq!(file.to_string(), path);
        let next = view.next();
        if reach(&view, file) == Reach::Soon {
            assert!(matches!(file, File::Part(_, msn, part) if (msn, part as usize) == next));
        }
    }
    let asked = Directives::parse(query);
    for answer in [decide(&view, &asked), decide_keyframes(&view, &asked)] {
        if let Answer::WaitFor { msn, part } = answer {
            assert!(!view.ended && (view.next().0..=view.next().0 + 1).contains(&msn));
            assert!(part.is_none_or(|part| view.part(msn, part as usize).is_none()));
        }
    }
    for form in [Form::Full, Form::Delta] {
        assert!(playlist(&view, &[], form, "").len() < 1 << 16);
        assert!(keyframes(&view, form, "").len() < 1 << 16);
    }
});

fn view(
    first_msn: u64,
    whole: u8,
    last: u8,
    parts: u8,
    part: Option<Duration>,
    ended: bool,
) -> View {
    let init = Arc::new(Init {
        number: 0,
        bytes: Bytes::new(),
        timescale: 90_000,
        format: Format { codec: Codec::H264, config: Bytes::new(), dimensions: None, sound: None },
        codecs: "avc1.42e01f".into(),
    });
    let segment = |msn: u64, parts: u8, complete| {
        Arc::new(Segment {
            msn,
            start: MediaTime::from_millis(0),
            duration: MediaTime::from_millis(i64::from(parts) * 200),
            unix: Duration::ZERO,
            discontinuity: false,
            gap: complete && parts == 0,
            complete,
            init: init.clone(),
            parts: vec![
                Part {
                    start: MediaTime::from_millis(0),
                    duration: MediaTime::from_millis(200),
                    independent: true,
                    keyframe: Some(1),
                    bytes: Bytes::from_static(b"part"),
                };
                usize::from(parts)
            ],
            stored: None,
        })
    };
    let next = first_msn + u64::from(whole);
    View {
        epoch: Epoch::new("e").expect("a plain name"),
        rendition: Arc::new(Rendition {
            id: RenditionId::VIDEO,
            label: String::new(),
            language: None,
        }),
        targets: Targets { segment: 2, part, independent: true },
        init: init.clone(),
        frame_rate: None,
        bandwidth: Bandwidth::default(),
        discontinuity_sequence: 0,
        segments: Arc::new((first_msn..next).map(|msn| segment(msn, last, true)).collect()),
        spare: Arc::default(),
        running: (parts > 0).then(|| segment(next, parts, false)),
        first_msn,
        ended,
    }
}
