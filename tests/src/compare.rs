//! Whether a viewer got what a publisher sent: the same payloads in the same order, nothing
//! missing, picture boundaries and time steps kept; across switches of encodings too.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;

use crate::clip::Codec;
use crate::pictures::{bare, picture_id};
use crate::publisher::Sent;
use crate::track::Packet;

/// Checks that `got` (in order) is a run of `sent` without a hole, and returns where it begins.
/// Only picture ids, sequence numbers and the timestamps' origin may differ.
#[track_caller]
pub fn follow(codec: Option<Codec>, sent: &[Sent], got: &[Packet]) -> usize {
    assert!(!got.is_empty(), "nothing came");
    for pair in got.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1, "a packet is missing");
    }
    let strip = |p: &Bytes| codec.map_or_else(|| p.clone(), |c| bare(c, p));
    let same =
        |s: &Sent, p: &Packet| s.marker == p.marker && strip(&s.payload) == strip(&p.payload);
    // Clips repeat, so the same payload was sent several times: the one sent last before the first
    // arrival is it.
    let starts =
        (0..sent.len()).rev().filter(|i| sent[*i].at <= got[0].at && same(&sent[*i], &got[0]));
    let mut best = (0, None);
    for start in starts {
        let run = sent[start..].iter().zip(got).take_while(|(s, p)| same(s, p)).count();
        if run == got.len() {
            time_steps(&sent[start..start + run], got);
            return start;
        }
        if run >= best.0 {
            best = (run, Some(start));
        }
    }
    panic!(
        "the {} packets that came are no run of the {} that were sent; the longest common one is \
         {} from {:?}",
        got.len(),
        sent.len(),
        best.0,
        best.1
    );
}

/// Time goes on as it was sent. A viewer that has joined between two keyframes gets what it has missed
/// in less time than that took, never backwards; between the keyframe and the rest lies the time that
/// the server waited for the first feedback, 250 ms at most. What was sent when the server has had its
/// time to catch up is as it was.
#[track_caller]
fn time_steps(sent: &[Sent], got: &[Packet]) {
    const WAIT: u32 = 90 * 300;
    const CAUGHT_UP: Duration = Duration::from_secs(3);
    for (index, (s, p)) in sent.windows(2).zip(got.windows(2)).enumerate() {
        let should = s[1].timestamp.wrapping_sub(s[0].timestamp);
        let is = p[1].timestamp.wrapping_sub(p[0].timestamp);
        let live = s[0].at > got[0].at + CAUGHT_UP;
        let squeezed = !live && is > 0 && is < should + WAIT;
        assert!(squeezed || should == is, "a step of {should} is {is} at packet {index}");
    }
}

/// A stretch of one encoding in what a viewer has received.
#[derive(Debug)]
pub struct Stretch {
    /// Which encoding, by its place in the publisher's list.
    pub encoding: usize,
    /// In order.
    pub packets: Vec<Packet>,
    /// Its first packet belongs to a keyframe.
    pub starts_with_key: bool,
}

/// Cuts what came into stretches of one encoding each.
#[track_caller]
pub fn stretches(codec: Codec, sent: &[Vec<Sent>], got: &[Packet]) -> Vec<Stretch> {
    let mut origin: HashMap<Bytes, (usize, bool)> = HashMap::new();
    let mut shared: HashSet<Bytes> = HashSet::new();
    for (encoding, packets) in sent.iter().enumerate() {
        for packet in packets {
            let payload = bare(codec, &packet.payload);
            match origin.get(&payload) {
                Some((other, _)) if *other != encoding => drop(shared.insert(payload)),
                _ => drop(origin.insert(payload, (encoding, packet.key))),
            }
        }
    }
    origin.retain(|payload, _| !shared.contains(payload));
    let mut all: Vec<Stretch> = Vec::new();
    for packet in got {
        let payload = bare(codec, &packet.payload);
        let Some((encoding, key)) = origin.get(&payload).copied() else {
            assert!(shared.contains(&payload), "packet {} was never sent", packet.seq);
            // Two encodings have sent these bytes: it belongs to the one that is running.
            all.last_mut().expect("a stretch starts with a keyframe").packets.push(packet.clone());
            continue;
        };
        match all.last_mut() {
            Some(last) if last.encoding == encoding => last.packets.push(packet.clone()),
            _ => {
                all.push(Stretch { encoding, packets: vec![packet.clone()], starts_with_key: key })
            }
        }
    }
    all
}

/// What a decoder needs across any number of switches: whole pictures, each stretch beginning with
/// a keyframe, sequence numbers and picture ids without a hole, time that only goes forward.
#[track_caller]
pub fn seamless(codec: Codec, stretches: &[Stretch]) {
    for stretch in stretches {
        assert!(stretch.starts_with_key, "encoding {} starts mid-way", stretch.encoding);
    }
    for pair in stretches.windows(2) {
        let last = pair[0].packets.last().expect("a stretch has packets");
        assert!(last.marker, "the switch after packet {} cuts a picture in two", last.seq);
    }
    let packets: Vec<&Packet> = stretches.iter().flat_map(|s| &s.packets).collect();
    for pair in packets.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        assert_eq!(b.seq, a.seq + 1, "a packet is missing");
        let step = b.timestamp.wrapping_sub(a.timestamp) as i32;
        let ids = (picture_id(codec, &a.payload), picture_id(codec, &b.payload));
        if a.marker {
            assert!(step > 0, "time goes back after packet {}: {step}", a.seq);
            // As far apart as they were in real time, give or take what a test machine does.
            let real = b.at.saturating_duration_since(a.at).as_secs_f64() * 90_000.0;
            assert!(f64::from(step) < real + 45_000.0, "a jump of {step} ticks after {}", a.seq);
            if let (Some(x), Some(y)) = ids {
                assert_eq!(y, (x + 1) & 0x7fff, "picture ids jump after packet {}", a.seq);
            }
        } else {
            assert_eq!(step, 0, "two times in one picture, at packet {}", b.seq);
            assert_eq!(ids.0, ids.1, "two ids in one picture, at packet {}", b.seq);
        }
    }
    let with_ids = matches!(codec, Codec::Vp8 | Codec::Vp9);
    assert_eq!(packets.iter().all(|p| picture_id(codec, &p.payload).is_some()), with_ids);
}
