//! The attributes of a STUN message (RFC 8489 section 5), walked without a full parse.

const HEADER: usize = 20;

/// Offset, type and value of each attribute, up to the first that is cut short.
pub(crate) fn attributes(message: &[u8]) -> impl Iterator<Item = (usize, u16, &[u8])> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let [t0, t1, l0, l1] = *message.get(at..)?.first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = message.get(at + 4..at + 4 + length)?;
        let start = at;
        at += 4 + length.next_multiple_of(4);
        Some((start, u16::from_be_bytes([t0, t1]), value))
    })
}
