//! What a viewer has received of one RTP stream (RFC 3550), retransmissions (RFC 4588) put back
//! where they belong.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use bytes::Bytes;

/// One media packet as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When.
    pub at: Instant,
    /// Sequence number without wrap-around; the first one lies above 2^16.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Payload type; of a retransmission the one that it repairs.
    pub pt: u8,
    /// The marker bit.
    pub marker: bool,
    /// The payload.
    pub payload: Bytes,
    /// Came as a retransmission.
    pub repaired: bool,
}

/// All packets of one SSRC by sequence number.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// By their unwrapped sequence number.
    pub packets: BTreeMap<u64, Packet>,
    /// Arrived although they were there already.
    pub duplicates: u64,
    /// RTP payload bytes that came on the stream itself, as getStats counts them.
    pub bytes: u64,
    highest: u64,
}

impl Track {
    /// Puts a packet in its place.
    pub fn push(&mut self, seq: u16, mut packet: Packet) {
        let near = if self.packets.is_empty() { 1 << 16 } else { self.highest };
        let step = seq.wrapping_sub(near as u16) as i16;
        packet.seq = near.wrapping_add_signed(i64::from(step));
        if !packet.repaired {
            self.bytes += packet.payload.len() as u64;
        }
        self.highest = self.highest.max(packet.seq);
        match self.packets.entry(packet.seq) {
            Entry::Occupied(_) => self.duplicates += 1,
            Entry::Vacant(place) => drop(place.insert(packet)),
        }
    }

    /// In sequence order.
    pub fn in_order(&self) -> Vec<Packet> {
        self.packets.values().cloned().collect()
    }

    /// Sequence numbers that are missing between the first and the last.
    pub fn missing(&self) -> Vec<u64> {
        let Some(first) = self.packets.keys().next() else { return Vec::new() };
        (*first..self.highest).filter(|s| !self.packets.contains_key(s)).collect()
    }

    /// The packet with the highest sequence number.
    pub fn last(&self) -> Option<&Packet> {
        self.packets.values().next_back()
    }

    /// How many packets.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Nothing has come.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }
}
