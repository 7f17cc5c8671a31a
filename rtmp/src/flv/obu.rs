//! OBUs of AV1 as FLV carries them: a temporal unit, low-overhead format (AV1 specification, section 5.3), in
//! the form of [`media::AccessUnit`], and the sequence header among them.

use bytes::{Bytes, BytesMut};

use super::{Counters, Dropped};

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const HAS_EXTENSION: u8 = 4;
const HAS_SIZE: u8 = 2;

/// What a temporal unit holds.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// OBUs with their sizes, without temporal delimiters; empty if nothing was left.
    pub data: Bytes,
    /// The body of its sequence header, and all of that OBU.
    pub sequence: Option<(Bytes, Bytes)>,
}

/// One OBU and where it lies.
struct Obu {
    kind: u8,
    /// Header, and extension.
    header: usize,
    /// First byte behind header and size.
    body: usize,
    end: usize,
    sized: bool,
}

/// Reads a temporal unit. What is cut short is dropped, with what follows it.
pub(super) fn read(payload: &Bytes, counters: &mut Counters) -> Unit {
    let mut unit = Unit::default();
    let (mut at, mut first, mut as_it_is) = (0, 0, true);
    while at < payload.len() {
        let Some(obu) = next(payload, at) else {
            counters.count(Dropped::Overrun);
            as_it_is = false;
            break;
        };
        match obu.kind {
            // The usual place.
            TEMPORAL_DELIMITER if at == first => first = obu.end,
            TEMPORAL_DELIMITER => as_it_is = false,
            SEQUENCE_HEADER if unit.sequence.is_none() => {
                unit.sequence =
                    Some((payload.slice(obu.body..obu.end), payload.slice(at..obu.end)));
            }
            _ => {}
        }
        as_it_is &= obu.sized;
        at = obu.end;
    }
    unit.data = if as_it_is { payload.slice(first..) } else { rewrite(payload) };
    unit
}

/// The body of the sequence header in OBUs of a configuration.
pub(super) fn sequence(obus: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while let Some(obu) = next(obus, at) {
        if obu.kind == SEQUENCE_HEADER {
            return obus.get(obu.body..obu.end);
        }
        at = obu.end;
    }
    None
}

fn next(bytes: &[u8], at: usize) -> Option<Obu> {
    let first = *bytes.get(at)?;
    let header = if first & HAS_EXTENSION != 0 { 2 } else { 1 };
    let (sized, mut body) = (first & HAS_SIZE != 0, at.checked_add(header)?);
    let mut len = bytes.len().checked_sub(body)?;
    if sized {
        (len, body) = leb128(bytes, body)?;
    }
    let end = body.checked_add(len).filter(|end| *end <= bytes.len())?;
    Some(Obu { kind: first >> 3 & 15, header, body, end, sized })
}

/// A number, and where it ends.
fn leb128(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut value = 0u64;
    for n in 0..8 {
        let byte = *bytes.get(at.checked_add(n)?)?;
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, at + n + 1));
        }
    }
    None
}

/// The same, with sizes everywhere and no temporal delimiters.
fn rewrite(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(payload.len() + 8);
    let mut at = 0;
    while let Some(obu) = next(payload, at) {
        if obu.kind != TEMPORAL_DELIMITER {
            out.extend_from_slice(&[payload[at] | HAS_SIZE]);
            out.extend_from_slice(&payload[at + 1..at + obu.header]);
            let mut len = obu.end - obu.body;
            while len >= 0x80 {
                out.extend_from_slice(&[len as u8 | 0x80]);
                len >>= 7;
            }
            out.extend_from_slice(&[len as u8]);
            out.extend_from_slice(&payload[obu.body..obu.end]);
        }
        at = obu.end;
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &'static [u8]) -> (Unit, Counters) {
        let mut counters = Counters::default();
        (read(&Bytes::from_static(bytes), &mut counters), counters)
    }

    #[test]
    fn a_temporal_delimiter_in_front_is_cut_off_without_a_copy() {
        const UNIT: &[u8] = &[0x12, 0, 0x0a, 2, 1, 2, 0x32, 1, 9];
        let (unit, counters) = read_all(UNIT);
        assert_eq!(unit.data, &UNIT[2..]);
        assert_eq!(unit.data.as_ptr(), UNIT[2..].as_ptr(), "shared");
        assert_eq!(unit.sequence.unwrap().0, &[1, 2][..]);
        assert_eq!(counters, Counters::default());
    }

    #[test]
    fn sizes_are_added_and_delimiters_within_go() {
        // The last has no size; the second has an extension.
        let (unit, _) = read_all(&[0x32, 1, 9, 0x12, 0, 0x36, 8, 1, 7, 0x34, 16, 5, 6]);
        assert_eq!(unit.data, &[0x32, 1, 9, 0x36, 8, 1, 7, 0x36, 16, 2, 5, 6][..]);
    }

    #[test]
    fn a_size_that_was_left_out_is_all_that_a_unit_lacks() {
        assert_eq!(read_all(&[0x32, 1, 9, 0x30, 5, 6]).0.data, &[0x32, 1, 9, 0x32, 2, 5, 6][..]);
    }

    #[test]
    fn what_runs_over_the_end_is_dropped() {
        let (unit, counters) = read_all(&[0x32, 1, 9, 0x32, 100, 1]);
        assert_eq!(unit.data, &[0x32, 1, 9][..]);
        assert_eq!(counters.dropped(Dropped::Overrun), 1);
        assert!(read_all(&[0x36]).0.data.is_empty());
        assert!(
            read_all(&[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]).0.data.is_empty()
        );
    }
}
