//! NAL units of H.264 and H.265 as FLV carries them (ISO/IEC 14496-15: each behind its length), in the
//! form of [`media::AccessUnit`], and the parameter sets among them.

use bytes::{Bytes, BytesMut};
use media::Codec;

use super::{Counters, Dropped};

/// All parameter sets of a track may be so long together: no stream comes near.
const MOST: usize = 64 * 1024;

/// What a unit's bytes hold.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// NAL units behind lengths of four bytes, empty if nothing was left.
    pub data: Bytes,
    /// A picture that decoders can start with is in it.
    pub random_access: bool,
    /// The parameter sets in it.
    pub sets: Sets,
}

/// Parameter sets, NAL unit headers included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    pub vps: Vec<Bytes>,
    pub sps: Vec<Bytes>,
    pub pps: Vec<Bytes>,
}

/// Reads a coded frame whose lengths have `size` bytes, 1 to 4. What is cut short or empty is dropped.
pub(super) fn read(codec: Codec, payload: &Bytes, size: u8, counters: &mut Counters) -> Unit {
    let size = usize::from(size.clamp(1, 4));
    let mut unit = Unit::default();
    let (mut at, mut len, mut whole) = (0, 0, size == 4);
    while at < payload.len() {
        let Some(end) = end(payload, at, size) else {
            counters.count(Dropped::Overrun);
            whole = false;
            break;
        };
        let nal = payload.slice(at + size..end);
        at = end;
        if nal.is_empty() {
            counters.count(Dropped::EmptyNal);
            whole = false;
            continue;
        }
        len += 4 + nal.len();
        unit.look(codec, nal);
    }
    unit.data = if whole { payload.clone() } else { rewrite(payload, size, len) };
    unit
}

/// Where the NAL unit ends whose length is at `at`; `None` if that is behind the end.
fn end(payload: &[u8], at: usize, size: usize) -> Option<usize> {
    let start = at.checked_add(size)?;
    let bytes = payload.get(at..start)?;
    let len = bytes.iter().fold(0, |len: usize, byte| len << 8 | usize::from(*byte));
    start.checked_add(len).filter(|end| *end <= payload.len())
}

/// The same with lengths of four bytes, without what is empty or cut short; `len` bytes come out.
fn rewrite(payload: &[u8], size: usize, len: usize) -> Bytes {
    let mut out = BytesMut::with_capacity(len);
    let mut at = 0;
    while let Some(end) = end(payload, at, size) {
        let nal = &payload[at + size..end];
        if let Ok(len @ 1..) = u32::try_from(nal.len()) {
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(nal);
        }
        at = end;
    }
    out.freeze()
}

impl Unit {
    fn look(&mut self, codec: Codec, nal: Bytes) {
        let sets = &mut self.sets;
        if codec == Codec::H264 {
            match nal[0] & 0x1f {
                5 => self.random_access = true,
                7 => sets.sps.push(nal),
                8 => sets.pps.push(nal),
                _ => {}
            }
        } else {
            match nal[0] >> 1 & 0x3f {
                16..=21 => self.random_access = true,
                32 => sets.vps.push(nal),
                33 => sets.sps.push(nal),
                34 => sets.pps.push(nal),
                _ => {}
            }
        }
    }
}

impl Sets {
    /// Takes over what `newer` has; whether that changed anything. A PPS takes the place of that with its
    /// number, the others replace all of their kind: encoders have one of them.
    pub(super) fn update(&mut self, codec: Codec, newer: &Self) -> bool {
        if newer.vps.is_empty() && newer.sps.is_empty() && newer.pps.is_empty() {
            return false;
        }
        let old = self.clone();
        for (mine, theirs) in [(&mut self.vps, &newer.vps), (&mut self.sps, &newer.sps)] {
            if theirs.iter().any(|set| !mine.contains(set)) {
                *mine = theirs.iter().map(own).collect();
            }
        }
        for set in &newer.pps {
            let number = pps_number(codec, set);
            match self.pps.iter_mut().find(|pps| pps_number(codec, pps) == number) {
                Some(pps) if pps == set => {}
                Some(pps) => *pps = own(set),
                None => self.pps.push(own(set)),
            }
        }
        let len = |sets: &Vec<Bytes>| sets.iter().map(Bytes::len).sum::<usize>();
        if len(&self.vps) + len(&self.sps) + len(&self.pps) > MOST {
            *self = old;
            return false;
        }
        *self != old
    }
}

/// A copy of its own, so that a few bytes do not hold a whole message.
fn own(set: &Bytes) -> Bytes {
    Bytes::copy_from_slice(set)
}

/// `pic_parameter_set_id`, the first Exp-Golomb number behind the header.
fn pps_number(codec: Codec, set: &[u8]) -> Option<u32> {
    let header = if codec == Codec::H264 { 1 } else { 2 };
    let mut bits = [0; 8];
    let body = set.get(header..)?;
    let n = body.len().min(bits.len());
    bits[..n].copy_from_slice(&body[..n]);
    let word = u64::from_be_bytes(bits);
    let zeros = word.leading_zeros();
    // Numbers go to 255: at most eight zeros, a one, and as many bits again.
    (zeros <= 8).then(|| (word >> (63 - 2 * zeros)) as u32 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_pps() {
        assert_eq!(pps_number(Codec::H264, &[0x68, 0b1000_0000]), Some(0));
        assert_eq!(pps_number(Codec::H264, &[0x68, 0b0100_0000]), Some(1));
        assert_eq!(pps_number(Codec::H265, &[0x44, 1, 0b0110_0000]), Some(2));
        assert_eq!(pps_number(Codec::H265, &[0x44, 1, 0, 0]), None);
        assert_eq!(pps_number(Codec::H264, &[0x68]), None);
    }

    #[test]
    fn a_changed_pps_takes_the_place_of_its_number() {
        let set = |bytes: &'static [u8]| Bytes::from_static(bytes);
        let pps = |sets: Vec<Bytes>| Sets { pps: sets, ..Sets::default() };
        let mut sets = pps(vec![set(&[0x68, 0x80]), set(&[0x68, 0x40])]);
        assert!(!sets.update(Codec::H264, &pps(vec![set(&[0x68, 0x40])])), "nothing new");
        assert!(sets.update(Codec::H264, &pps(vec![set(&[0x68, 0x41])])));
        assert_eq!(sets, pps(vec![set(&[0x68, 0x80]), set(&[0x68, 0x41])]));
        let long = Bytes::from(vec![0x68; MOST]);
        let before = sets.clone();
        assert!(!sets.update(Codec::H264, &pps(vec![long])), "too long altogether");
        assert_eq!(sets, before);
    }
}
