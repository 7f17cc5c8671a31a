//! Bytes that nobody should send.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What must be true of whatever comes out.
fn check(feed: &Feed) {
    let mut tracks: Vec<Track> = Vec::new();
    let mut last = std::collections::BTreeMap::new();
    for item in &feed.items {
        match item {
            Item::Track { track, .. } => tracks.push(*track),
            Item::Unit { track, unit } => {
                assert!(tracks.contains(track), "a unit before its format");
                assert!(!unit.data.is_empty());
                if let Some(before) = last.insert(*track, unit.dts) {
                    assert!(unit.dts > before, "decoding goes back");
                }
            }
            _ => {}
        }
    }
}

/// Heads that lead far into the parser.
const HEADS: [&[u8]; 16] = [
    b"\x17\x00\x00\x00\x00\x01",
    b"\x17\x01\x00\x00\x00",
    b"\x1c\x01\x00\x00\x00",
    b"\x90hvc1\x01",
    b"\x91hvc1",
    b"\x93av01",
    b"\x90av01\x81",
    b"\x93vp09",
    b"\x93vp08\x10\x00\x00\x9d\x01\x2a",
    b"\x97\x02",
    b"\x97\xff",
    b"\x96\x11avc1",
    b"\x96\x23",
    b"\xaf\x00",
    b"\xaf\x01",
    b"\x91Opus",
];

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        messages in vec((any::<bool>(), any::<u32>(), 0..=HEADS.len(), vec(any::<u8>(), 0..80)), 1..40),
    ) {
        let mut feed = Feed::new();
        for (audio, timestamp, head, body) in messages {
            let kind = if audio { Kind::Audio } else { Kind::Video };
            let head = HEADS.get(head).copied().unwrap_or_default();
            let body = Bytes::from([head, &body].concat());
            let (now, mut items) = (feed.start, Vec::new());
            feed.ingest.message(now, kind, timestamp, body, &mut items);
            feed.items.append(&mut items);
        }
        check(&feed);
    }

    #[test]
    fn damaged_tags_of_encoders_are_read_without_panic(
        file in 0..FILES.len(),
        cuts in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 60),
    ) {
        let mut feed = Feed::new();
        for ((kind, timestamp, body), (at, len, value, cut)) in
            tags(FILES[file]).into_iter().zip(cuts)
        {
            let mut body = body.to_vec();
            if !body.is_empty() && value > 128 {
                let at = at.index(body.len().min(64));
                body[at] = value;
            }
            if cut {
                body.truncate(len.index(body.len() + 1));
            }
            feed.say(kind, timestamp, &body);
        }
        check(&feed);
    }
}

#[test]
fn a_flood_of_tracks_in_one_message_is_cut_off() {
    let mut body = b"\x96\x13avc1".to_vec();
    body.extend([0; 40_000]);
    let mut feed = Feed::new();
    let said = feed.say(Kind::Video, 0, &body);
    assert!(said.len() <= 1, "{said:?}");
    assert_eq!(feed.dropped(Dropped::Tracks), 1);
}
