//! NACK (RFC 4585 section 6.2.1), full intra requests (RFC 5104 section 4.3.1) and REMB
//! (draft-alvestrand-rmcat-remb-03 section 2.2). Each entry costs its sender four bytes or more, so a
//! datagram bounds what it can ask for.

use super::{Packet, u16, u32};

/// The sequence numbers of a NACK, in the order of the wire.
#[derive(Clone, Debug)]
pub struct Seqs<'a> {
    entries: &'a [u8],
    /// The last number that an entry named, and which of the 16 behind it are missing too.
    base: u16,
    behind: u16,
}

impl<'a> Seqs<'a> {
    pub(super) fn new(entries: &'a [u8]) -> Self {
        Self { entries, base: 0, behind: 0 }
    }
}

impl Iterator for Seqs<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if self.behind != 0 {
            let bit = self.behind.trailing_zeros() as u16;
            self.behind &= self.behind - 1;
            return Some(self.base.wrapping_add(bit + 1));
        }
        let (base, rest) = u16(self.entries)?;
        (self.behind, self.entries) = u16(rest)?;
        self.base = base;
        Some(base)
    }
}

/// SSRCs in a row.
#[derive(Clone, Debug)]
pub struct Ssrcs<'a>(&'a [u8]);

impl Iterator for Ssrcs<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (ssrc, rest) = u32(self.0)?;
        self.0 = rest;
        Some(ssrc)
    }
}

/// The next entry of a full intra request, and what follows it.
pub(super) fn intra_request(entries: &[u8]) -> Option<(Packet<'static>, &[u8])> {
    let (&[a, b, c, d, seq, _, _, _], rest) = entries.split_first_chunk()?;
    Some((Packet::Fir { media_ssrc: u32::from_be_bytes([a, b, c, d]), seq }, rest))
}

/// Application layer feedback: REMB, or something of somebody else.
pub(super) fn application(body: &[u8]) -> Option<Packet<'_>> {
    let Some(body) = body.strip_prefix(b"REMB") else { return Some(Packet::Other) };
    let (&[count, high, mid, low], ssrcs) = body.split_first_chunk()?;
    let mantissa = u64::from(u32::from_be_bytes([0, high & 3, mid, low]));
    let exponent = u32::from(high >> 2);
    // An exponent of six bits can say more than there is.
    let bitrate_bps =
        (mantissa << exponent >> exponent == mantissa).then_some(mantissa << exponent)?;
    let ssrcs = Ssrcs(ssrcs.get(..4 * usize::from(count))?);
    Some(Packet::Remb { bitrate_bps, ssrcs })
}
