//! Chunk streams: what is written is read, whatever the sizes and splits; what real writers do that the
//! specification does not; and what hostile ones do.

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::Error;
use crate::output::Output;

fn drain(output: &mut Output) -> Vec<u8> {
    std::iter::from_fn(|| output.poll()).flatten().collect()
}

/// All messages in `bytes`, given in pieces of `split`.
fn read(reader: &mut Reader, bytes: &[u8], split: usize) -> Result<Vec<Message>, Error> {
    let mut messages = Vec::new();
    for mut part in bytes.chunks(split.max(1)) {
        while let Some(message) = reader.read(&mut part)? {
            messages.push(message);
        }
        assert!(part.is_empty(), "all of it is taken");
    }
    Ok(messages)
}

fn read_all(bytes: &[u8]) -> Result<Vec<Message>, Error> {
    read(&mut Reader::new(Limits::default()), bytes, usize::MAX)
}

/// A header of type 0.
fn header(chunk_stream: u8, time: u32, length: u32, kind: u8) -> Vec<u8> {
    let mut out = vec![chunk_stream];
    out.extend_from_slice(&time.to_be_bytes()[1..]);
    out.extend_from_slice(&length.to_be_bytes()[1..]);
    out.put_u8(kind);
    out.put_u32_le(1);
    out
}

#[derive(Clone, Debug)]
struct Sent {
    head: Head,
    front: Vec<u8>,
    rest: Vec<u8>,
    chunk_size: Option<u32>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let times = prop_oneof![
        0u32..5000,
        (EXTENDED - 50)..(EXTENDED + 50),
        (u32::MAX - 50)..=u32::MAX,
        any::<u32>()
    ];
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    let size = prop::option::weighted(0.2, prop_oneof![1u32..200, 1000u32..100_000]);
    (2u8..8, 8u8..10, times, 0u32..3, bytes(40), bytes(2000), size).prop_map(
        |(chunk_stream, kind, timestamp, stream, front, rest, chunk_size)| Sent {
            head: Head { chunk_stream, kind, timestamp, stream },
            front,
            rest,
            chunk_size,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(all in prop::collection::vec(sent(), 1..20), split in 1usize..3000) {
        let (mut writer, mut output) = (Writer::new(), Output::new());
        for sent in &all {
            if let Some(size) = sent.chunk_size {
                writer.set_chunk_size(size, &mut output);
            }
            let rest = Bytes::from(sent.rest.clone());
            prop_assert!(writer.write(sent.head, &sent.front, &rest, &mut output));
        }
        let mut reader = Reader::new(Limits::default());
        let messages = read(&mut reader, &drain(&mut output), split).unwrap();
        prop_assert_eq!(messages.len(), all.len());
        for (message, sent) in messages.iter().zip(&all) {
            prop_assert_eq!(message.timestamp, sent.head.timestamp);
            prop_assert_eq!((message.kind, message.stream), (sent.head.kind, sent.head.stream));
            prop_assert_eq!(&message.body[..], [&sent.front[..], &sent.rest].concat());
        }
        prop_assert!(reader.held() <= 4 * 1024 * reader.streams(), "room for the next");
    }

    #[test]
    fn any_bytes_are_read_the_same_in_any_pieces_and_hold_no_more_than_came(
        bytes in prop::collection::vec(prop_oneof![Just(3u8), Just(0xC3), Just(0), any::<u8>()], 0..3000),
        split in 1usize..50,
    ) {
        let limits = Limits::default();
        let (mut whole, mut pieces) = (Reader::new(limits), Reader::new(limits));
        let one = read(&mut whole, &bytes, usize::MAX);
        let other = read(&mut pieces, &bytes, split);
        prop_assert_eq!(one, other);
        prop_assert!(whole.held() <= bytes.len() * 2 + 16 * 1024 * whole.streams());
    }
}

#[test]
fn chunks_of_several_messages_interleave() {
    let mut bytes = header(4, 10, 200, kind::AUDIO);
    bytes.extend([1; 128]);
    bytes.extend(header(6, 11, 130, kind::VIDEO));
    bytes.extend([2; 128]);
    bytes.push(0xC4);
    bytes.extend([1; 72]);
    bytes.push(0xC6);
    bytes.extend([2; 2]);
    let messages = read_all(&bytes).unwrap();
    let said: Vec<_> = messages.iter().map(|m| (m.kind, m.timestamp, m.body.len())).collect();
    assert_eq!(said, [(kind::AUDIO, 10, 200), (kind::VIDEO, 11, 130)]);
    assert!(messages[0].body.iter().all(|&b| b == 1) && messages[1].body.iter().all(|&b| b == 2));
}

#[test]
fn ids_of_two_and_three_bytes() {
    for id in [[0, 0].as_slice(), &[0, 255], &[1, 0, 0], &[1, 255, 255]] {
        let mut bytes = id.to_vec();
        bytes.extend_from_slice(&header(0, 5, 1, kind::AUDIO)[1..]);
        bytes.push(7);
        bytes.push(0xC0 | id[0]);
        bytes.extend_from_slice(&id[1..]);
        bytes.push(8);
        let messages = read_all(&bytes).unwrap();
        assert_eq!(messages.len(), 2, "{id:?}");
        assert_eq!((messages[1].timestamp, messages[1].body[0]), (10, 8));
    }
}

#[test]
fn differences_go_on_and_a_type_3_behind_a_type_0_adds_its_time_again() {
    let mut bytes = header(4, 1000, 1, kind::AUDIO);
    bytes.push(0);
    bytes.extend([0xC4, 0]);
    bytes.extend([0x84, 0, 0, 23, 0]);
    bytes.extend([0xC4, 0]);
    bytes.extend([0x44, 0, 0, 21, 0, 0, 2, kind::VIDEO, 0, 0]);
    let times: Vec<_> = read_all(&bytes).unwrap().iter().map(|m| m.timestamp).collect();
    assert_eq!(times, [1000, 2000, 2023, 2046, 2067]);
}

#[test]
fn extended_times_with_and_without_their_repetition() {
    let time = 0x0123_4567u32;
    for repeated in [true, false] {
        let mut bytes = header(4, EXTENDED, 300, kind::VIDEO);
        bytes.extend(time.to_be_bytes());
        bytes.extend([9; 128]);
        for part in [128, 44] {
            bytes.push(0xC4);
            if repeated {
                bytes.extend(time.to_be_bytes());
            }
            bytes.extend(vec![9; part]);
        }
        for split in [1, 3, 1000] {
            let messages = read(&mut Reader::new(Limits::default()), &bytes, split).unwrap();
            assert_eq!(messages.len(), 1);
            assert_eq!(messages[0].timestamp, time);
            assert_eq!(&messages[0].body[..], [9; 300], "repeated: {repeated}, split: {split}");
        }
    }
}

#[test]
fn librtmp_begins_a_chunk_stream_with_type_1() {
    let bytes = [0x42, 0, 0, 0, 0, 0, 6, kind::USER_CONTROL, 0, 3, 0, 0, 0, 1];
    let messages = read_all(&bytes).unwrap();
    assert_eq!((messages[0].kind, messages[0].stream, messages[0].timestamp), (4, 0, 0));
}

#[test]
fn an_abort_forgets_half_a_message() {
    let mut bytes = header(4, 0, 200, kind::VIDEO);
    bytes.extend([1; 128]);
    bytes.extend(header(2, 0, 4, kind::ABORT));
    bytes.extend(4u32.to_be_bytes());
    bytes.extend(header(4, 7, 3, kind::VIDEO));
    bytes.extend([2; 3]);
    let mut reader = Reader::new(Limits::default());
    let messages = read(&mut reader, &bytes, 5).unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].timestamp, &messages[0].body[..]), (7, &[2u8, 2, 2][..]));
}

#[test]
fn what_cannot_be_is_said_with_its_place() {
    let mut inside = header(4, 0, 200, kind::VIDEO);
    inside.extend([1; 128]);
    inside.extend(header(4, 0, 200, kind::VIDEO));
    let error = read_all(&inside).unwrap_err();
    assert_eq!(error.to_string(), "a message that begins inside another on chunk stream 4");
    assert!(matches!(read_all(&[0xC9]), Err(Error::Chunk { chunk_stream: 9, .. })));
    assert!(matches!(read_all(&[0x89, 0, 0, 0]), Err(Error::Chunk { chunk_stream: 9, .. })));
    for size in [0, 0x8000_0000u32, u32::MAX] {
        let mut bytes = header(2, 0, 4, kind::CHUNK_SIZE);
        bytes.extend(size.to_be_bytes());
        let error = read_all(&bytes).unwrap_err();
        assert_eq!(error, Error::Control { what: "a chunk size that cannot be", value: size });
    }
}

#[test]
fn a_declared_length_costs_nothing_and_a_longer_one_is_refused() {
    let mut bytes = Vec::new();
    for id in 2..34 {
        bytes.extend(header(id, 0, 8 << 20, kind::VIDEO));
        bytes.extend([0; 128]);
    }
    let mut reader = Reader::new(Limits::default());
    read(&mut reader, &bytes, 1000).unwrap();
    assert!(reader.held() <= 32 * 16 * 1024, "{}", reader.held());
    let error = read_all(&header(5, 0, 0xFF_FFFF, kind::VIDEO)).unwrap_err();
    assert_eq!(
        error,
        Error::TooLong { length: 0xFF_FFFF, limit: 8 << 20, chunk_stream: 5 },
        "before its payload has come"
    );
}

#[test]
fn ten_thousand_chunk_streams_end_at_the_bound() {
    let mut bytes = BytesMut::new();
    for id in 0..10_000u32 {
        bytes.put_slice(&[1, id as u8, (id >> 8) as u8]);
        bytes.put_slice(&header(0, 0, 1000, kind::VIDEO)[1..]);
        bytes.put_bytes(0, 128);
    }
    let mut reader = Reader::new(Limits::default());
    assert_eq!(read(&mut reader, &bytes, 4096).unwrap_err(), Error::ChunkStreams(64));
    assert_eq!(reader.streams(), 64);
}

#[test]
fn unfinished_messages_together_are_bounded_by_what_is_held() {
    let mut bytes = header(2, 0, 4, kind::CHUNK_SIZE);
    bytes.extend((1u32 << 20).to_be_bytes());
    for id in 3..20 {
        bytes.extend(header(id, 0, 4 << 20, kind::VIDEO));
        bytes.resize(bytes.len() + (1 << 20), 0);
    }
    let limits = Limits { unfinished: 3 << 20, ..Limits::default() };
    let mut reader = Reader::new(limits);
    assert_eq!(read(&mut reader, &bytes, 60_000).unwrap_err(), Error::Unfinished(3 << 20));
    assert!(reader.held() <= 8 << 20);
}

#[test]
fn a_message_that_no_header_can_declare_is_not_written() {
    let (mut writer, mut output) = (Writer::new(), Output::new());
    let head = Head { chunk_stream: 4, kind: kind::VIDEO, timestamp: 0, stream: 1 };
    let long = Bytes::from(vec![0; 0xFF_FFFF]);
    assert!(!writer.write(head, &[0], &long, &mut output));
    assert_eq!(output.queued(), 0);
}

#[test]
fn a_picture_is_shared_with_the_output() {
    let (mut writer, mut output) = (Writer::new(), Output::new());
    writer.set_chunk_size(65_536, &mut output);
    let picture = Bytes::from(vec![1; 100_000]);
    let head = Head { chunk_stream: 6, kind: kind::VIDEO, timestamp: 0, stream: 1 };
    writer.write(head, &[0x17, 1, 0, 0, 0], &picture, &mut output);
    let parts: Vec<Bytes> = std::iter::from_fn(|| output.poll()).collect();
    assert_eq!(parts.len(), 4, "headers, picture, header, picture");
    assert_eq!(parts[1].as_ptr(), picture.as_ptr());
    assert_eq!(parts[3].as_ptr(), picture[parts[1].len()..].as_ptr());
}
