//! Tags of real encoders, read, written again and read back; and tags that no encoder should write.

mod fixtures;
mod hostile;
mod reading;
mod writing;

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{AccessUnit, Codec, Format, Kind};

use super::{Dropped, Ingest, Item, Notice, Refusal, Track};

const VIDEO: Track = Track::main(Kind::Video);
const AUDIO: Track = Track::main(Kind::Audio);

/// Some instant; tests only ever add to it.
#[expect(clippy::disallowed_methods, reason = "a test needs one real instant to begin with")]
fn epoch() -> Instant {
    Instant::now()
}

/// An [`Ingest`] that is handed one body after the other.
struct Feed {
    ingest: Ingest,
    start: Instant,
    items: Vec<Item>,
}

impl Feed {
    fn new() -> Self {
        Self { ingest: Ingest::new(), start: epoch(), items: Vec::new() }
    }

    /// One message that arrives at its timestamp; what it said.
    fn say(&mut self, kind: Kind, timestamp: u32, body: &[u8]) -> Vec<Item> {
        self.hand(kind, timestamp, &Bytes::copy_from_slice(body))
    }

    fn hand(&mut self, kind: Kind, timestamp: u32, body: &Bytes) -> Vec<Item> {
        let now = self.start + Duration::from_millis(timestamp.into());
        let mut items = Vec::new();
        self.ingest.message(now, kind, timestamp, body.clone(), &mut items);
        self.items.extend(items.iter().cloned());
        items
    }

    fn dropped(&self, why: Dropped) -> u64 {
        self.ingest.counters().dropped(why)
    }

    /// Everything that was dropped, by name.
    fn dropped_at_all(&self) -> Vec<(&'static str, u64)> {
        let all = Dropped::ALL.into_iter().map(|why| (why.name(), self.dropped(why)));
        all.filter(|(_, n)| *n > 0).collect()
    }

    fn formats(&self, track: Track) -> Vec<Format> {
        let of = |item: &Item| match item {
            Item::Track { track: t, format } if *t == track => Some(format.clone()),
            _ => None,
        };
        self.items.iter().filter_map(of).collect()
    }

    fn units(&self, track: Track) -> Vec<AccessUnit> {
        let of = |item: &Item| match item {
            Item::Unit { track: t, unit } if *t == track => Some(unit.clone()),
            _ => None,
        };
        self.items.iter().filter_map(of).collect()
    }
}

/// The tags of an FLV file: kind, timestamp, body. Script data is left out.
fn tags(file: &'static [u8]) -> Vec<(Kind, u32, Bytes)> {
    let mut rest = &file[13..];
    let mut tags = Vec::new();
    while let [kind, l0, l1, l2, t0, t1, t2, t3, _, _, _, body @ ..] = rest {
        let len = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let timestamp = u32::from_be_bytes([*t3, *t0, *t1, *t2]);
        match kind {
            8 => tags.push((Kind::Audio, timestamp, Bytes::from_static(&body[..len]))),
            9 => tags.push((Kind::Video, timestamp, Bytes::from_static(&body[..len]))),
            _ => {}
        }
        rest = &body[len + 4..];
    }
    tags
}

fn read(file: &'static [u8]) -> Feed {
    let mut feed = Feed::new();
    for (kind, timestamp, body) in tags(file) {
        feed.hand(kind, timestamp, &body);
    }
    feed
}

/// Made by FFmpeg 5.1 (x264) and 9.0 (the rest), `-f flv`: half a second of its test picture at 25 per
/// second, 64x48, and of a tone.
const AVC_AAC: &[u8] = include_bytes!("../../../fixtures/avc_aac.flv");
const HEVC_AAC: &[u8] = include_bytes!("../../../fixtures/hevc_aac.flv");
const AV1_OPUS: &[u8] = include_bytes!("../../../fixtures/av1_opus.flv");
const VP9_OPUS: &[u8] = include_bytes!("../../../fixtures/vp9_opus.flv");
/// Two H.264 tracks, the second of 32x24; AAC, and Opus as the second.
const MULTITRACK: &[u8] = include_bytes!("../../../fixtures/multitrack.flv");
const FILES: [&[u8]; 5] = [AVC_AAC, HEVC_AAC, AV1_OPUS, VP9_OPUS, MULTITRACK];
