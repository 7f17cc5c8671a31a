//! Aggregate messages (RTMP 1.0 section 7.1.6): FLV tags behind one another, each with its own time.
//! Flash Media Server sends them; what is cut off at the end is left out.

use crate::chunk::Message;

/// Before each tag: type, length, time in four bytes of odd order, stream.
const HEADER: usize = 11;
/// Behind each: how long it was.
const BACK: usize = 4;

/// The messages in it, as if they had come alone.
pub(crate) fn split(message: &Message) -> impl Iterator<Item = Message> + '_ {
    let (mut at, mut first) = (0, None);
    std::iter::from_fn(move || {
        let header = message.body.get(at..at + HEADER)?;
        let &[kind, a, b, c, t1, t2, t3, t0, ..] = header else { return None };
        let start = at + HEADER;
        let end = start + u32::from_be_bytes([0, a, b, c]) as usize;
        message.body.get(start..end)?;
        at = end + BACK;
        let time = u32::from_be_bytes([t0, t1, t2, t3]);
        // Only their distances count: the message says when the first of them is.
        let since = time.wrapping_sub(*first.get_or_insert(time));
        Some(Message {
            kind,
            timestamp: message.timestamp.wrapping_add(since),
            stream: message.stream,
            body: message.body.slice(start..end),
        })
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::kind;

    fn aggregate(body: Vec<u8>) -> Message {
        Message { kind: kind::AGGREGATE, timestamp: 1000, stream: 1, body: Bytes::from(body) }
    }

    #[test]
    fn times_are_relative_to_the_first_and_a_torn_end_is_left() {
        let mut body = Vec::new();
        for (kind, time, data) in [(9, 70u32, &b"abc"[..]), (8, 93, b"d"), (9, 103, b"lost")] {
            let [t0, t1, t2, t3] = time.to_be_bytes();
            body.extend([kind, 0, 0, data.len() as u8, t1, t2, t3, t0, 0, 0, 0]);
            body.extend_from_slice(data);
            body.extend([0; 4]);
        }
        body.truncate(body.len() - 5);
        let message = aggregate(body);
        let parts: Vec<_> =
            split(&message).map(|m| (m.kind, m.timestamp, m.stream, m.body.to_vec())).collect();
        assert_eq!(parts, [(9, 1000, 1, b"abc".to_vec()), (8, 1023, 1, b"d".to_vec())]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let message = aggregate(body);
            prop_assert!(split(&message).count() <= 200 / HEADER);
        }
    }
}
