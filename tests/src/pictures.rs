//! From RTP payloads to coded pictures (RFC 6184, RFC 7741, RFC 9628, the AV1 RTP format), by
//! webrtc-rs' depacketizers (VP8 and VP9 by hand); and the two picture id fields that a switch of layers
//! rewrites.

use bytes::Bytes;
use rtc_rtp::codec::av1::Av1Depacketizer;
use rtc_rtp::codec::h264::H264Packet;
use rtc_rtp::packetizer::Depacketizer;

use crate::clip::Codec;
use crate::track::Packet;

/// One picture: all packets of one timestamp, from the first to the marker.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Sequence number of its first packet.
    pub first: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// As a decoder wants it.
    pub data: Bytes,
}

/// Cuts packets (in order, nothing missing) into pictures; what stands before the first complete
/// one and after the last is left out.
pub fn pictures(codec: Codec, packets: &[Packet]) -> Vec<Picture> {
    let mut all = Vec::new();
    let mut start = 0;
    for (i, packet) in packets.iter().enumerate() {
        let group = &packets[start..=i];
        let cut = packets.get(i + 1).is_none_or(|n| n.timestamp != packet.timestamp);
        if cut {
            if packet.marker {
                all.push(Picture {
                    first: group[0].seq,
                    timestamp: packet.timestamp,
                    data: assemble(codec, group),
                });
            }
            start = i + 1;
        }
    }
    all
}

fn assemble(codec: Codec, group: &[Packet]) -> Bytes {
    let mut reader: Box<dyn Depacketizer> = match codec {
        Codec::H264 => Box::new(H264Packet::default()),
        Codec::Av1 => Box::new(Av1Depacketizer::new()),
        Codec::Vp8 => return bared(group, vp8_descriptor),
        Codec::Vp9 => return bared(group, vp9_descriptor),
    };
    let mut data = Vec::new();
    if codec == Codec::Av1 {
        // RTP leaves out the temporal delimiter that a file wants.
        data.extend_from_slice(&[0x12, 0]);
    }
    for packet in group {
        let part = reader
            .depacketize(&packet.payload)
            .unwrap_or_else(|e| panic!("packet {} is no {}: {e}", packet.seq, codec.name()));
        data.extend_from_slice(&part);
    }
    data.into()
}

/// The payloads one after the other, without their descriptors.
fn bared(group: &[Packet], descriptor: fn(&[u8]) -> usize) -> Bytes {
    let parts = group.iter().map(|p| &p.payload[descriptor(&p.payload)..]);
    parts.collect::<Vec<_>>().concat().into()
}

/// Length of a VP9 payload descriptor (RFC 9628 section 4.2). By hand: webrtc-rs refuses pictures with three references, which Chromium sends.
fn vp9_descriptor(payload: &[u8]) -> usize {
    let has = |bit: u8| payload[0] & bit != 0;
    let (id, predicted, layers, flexible, structure) =
        (has(0x80), has(0x40), has(0x20), has(0x10), has(0x02));
    let mut at = 1;
    if id {
        at += 1 + usize::from(payload[at] >> 7);
    }
    if layers {
        at += if flexible { 1 } else { 2 };
    }
    if flexible && predicted {
        let references = payload[at..].iter().position(|r| r & 1 == 0);
        at += 1 + references.expect("a last reference");
    }
    if structure {
        at += vp9_structure(&payload[at..]);
    }
    at
}

/// Length of its scalability structure.
fn vp9_structure(structure: &[u8]) -> usize {
    let first = structure[0];
    let mut at = 1;
    if first & 0x10 != 0 {
        at += 4 * (usize::from(first >> 5) + 1);
    }
    if first & 0x08 != 0 {
        let pictures = structure[at];
        at += 1;
        for _ in 0..pictures {
            at += 1 + usize::from(structure[at] >> 2 & 3);
        }
    }
    at
}

/// Length of a VP8 payload descriptor (RFC 7741 section 4.2). By hand: webrtc-rs refuses the last
/// packet of a picture if it is shorter than four bytes.
fn vp8_descriptor(payload: &[u8]) -> usize {
    if payload[0] & 0x80 == 0 {
        return 1;
    }
    let (id, level, temporal) =
        (payload[1] & 0x80 != 0, payload[1] & 0x40 != 0, payload[1] & 0x30 != 0);
    let id = if !id { 0 } else { 1 + usize::from(payload[2] >> 7) };
    2 + id + usize::from(level) + usize::from(temporal)
}

/// Where the picture id stands in a payload, and how wide it is in bytes.
fn picture_id_at(codec: Codec, payload: &[u8]) -> Option<(usize, usize)> {
    let at = match codec {
        Codec::Vp8 if payload.first()? & 0x80 != 0 && payload.get(1)? & 0x80 != 0 => 2,
        Codec::Vp9 if payload.first()? & 0x80 != 0 => 1,
        _ => return None,
    };
    let wide = payload.get(at)? & 0x80 != 0;
    Some((at, if wide { 2 } else { 1 }))
}

/// The 15-bit picture id.
pub fn picture_id(codec: Codec, payload: &[u8]) -> Option<u16> {
    match picture_id_at(codec, payload)? {
        (at, 2) => Some(u16::from_be_bytes([payload[at] & 0x7f, *payload.get(at + 1)?])),
        _ => None,
    }
}

/// The payload without what a server may rewrite: the value of the picture id.
pub fn bare(codec: Codec, payload: &Bytes) -> Bytes {
    let Some((at, width)) = picture_id_at(codec, payload) else { return payload.clone() };
    let mut copy = payload.to_vec();
    copy[at] &= 0x80;
    if width == 2 && at + 1 < copy.len() {
        copy[at + 1] = 0;
    }
    copy.into()
}
