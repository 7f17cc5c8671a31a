//! RTMP's audio and video messages: any bytes at any time, read, and what was read written and read again.
//! Input: per message a byte of kind and head, four of timestamp, one of milliseconds, one of length, the body.
#![no_main]

use std::time::{Duration, Instant};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::{Kind, MediaTime};
use rtmp::flv::{Ingest, Item, Peer, Track, Writer};

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let (mut ingest, mut items, mut rest) = (Ingest::new(), Vec::new(), data);
    while let [kind, t0, t1, t2, t3, later, len, tail @ ..] = rest {
        let kind = if kind & 1 == 0 { Kind::Video } else { Kind::Audio };
        let (body, next) = tail.split_at(usize::from(*len).min(tail.len()));
        let timestamp = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        now += Duration::from_millis(u64::from(*later) * 8);
        ingest.message(now, kind, timestamp, Bytes::copy_from_slice(body), &mut items);
        rest = next;
    }
    let mut last: Vec<(Track, MediaTime)> = Vec::new();
    let mut writer = Writer::new(Peer::everything());
    let (mut again, mut read) = (Ingest::new(), Vec::new());
    for item in &items {
        let message = match item {
            Item::Track { track, format } => writer.format(track.id, format).ok(),
            Item::Unit { track, unit } => {
                assert!(!unit.data.is_empty());
                let newer = last.iter().all(|(t, dts)| t != track || *dts < unit.dts);
                assert!(newer, "decoding goes back");
                last.retain(|(t, _)| t != track);
                last.push((*track, unit.dts));
                let message = writer.unit(*track, unit);
                assert!(message.is_some(), "a unit before its format");
                message
            }
            Item::End { track } => writer.end(*track),
            _ => None,
        };
        if let Some(message) = message {
            again.message(now, message.kind, message.timestamp, message.body(), &mut read);
        }
    }
    let units = |items: &[Item]| items.iter().filter(|i| matches!(i, Item::Unit { .. })).count();
    assert_eq!(units(&items), units(&read));
});
