//! Round trips, bounds, and bytes of anybody.

use bytes::Bytes;
use media::Codec;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::Error;

fn frame(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Option<Message>, Error> {
    let mut reader = Reader::default();
    reader.push(bytes);
    reader.read()
}

fn format() -> impl Strategy<Value = Format> {
    let codecs =
        [Codec::H264, Codec::H265, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::Opus, Codec::Aac];
    let config = vec(any::<u8>(), 0..40);
    (
        prop::sample::select(codecs.to_vec()),
        config,
        any::<Option<(u16, u16)>>(),
        any::<Option<(u32, u8)>>(),
    )
        .prop_map(|(codec, config, dimensions, sound)| Format {
            codec,
            config: config.into(),
            dimensions,
            sound,
        })
}

fn options() -> impl Strategy<Value = Options> {
    (option::of(1u32..), option::of(1u16..), any::<u32>(), any::<u16>()).prop_map(
        |(bitrate, frame_rate, interval, threads)| Options {
            bitrate,
            frame_rate,
            keyframe_interval: Duration::from_millis(interval.into()),
            threads,
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let target = prop::sample::select(Target::ALL.to_vec());
    let unit = (any::<i64>(), any::<i64>(), any::<bool>(), any::<bool>(), vec(any::<u8>(), 1..99));
    prop_oneof![
        (".{0,20}", vec(".{0,9}", 0..5))
            .prop_map(|(program, encoders)| Message::Hello(Hello::new(program, encoders))),
        (format(), target, options()).prop_map(|(from, to, options)| Message::Open(Spec {
            from,
            to,
            options
        })),
        format().prop_map(Message::Format),
        unit.prop_map(|(pts, dts, keyframe, preroll, data)| {
            Message::Unit(Unit { pts, dts, keyframe, preroll, data: data.into() })
        }),
        Just(Message::Keyframe),
        Just(Message::Drain),
        any::<([u64; 6], u32)>().prop_map(|([a, b, c, d, e, f], queued)| {
            Message::Stats(Stats {
                units_in: a,
                units_out: b,
                undecodable: c,
                skipped: d,
                decode_ns: e,
                encode_ns: f,
                queued,
            })
        }),
        any::<u64>().prop_map(|taken| Message::Heartbeat { taken }),
        (any::<bool>(), ".{0,50}")
            .prop_map(|(again, reason)| Message::Failed(Failed { reason, again })),
        Just(Message::Bye),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        messages in vec(message(), 1..6),
        piece in 1usize..50,
    ) {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| message.encode(&mut bytes).unwrap());
        let (mut reader, mut read) = (Reader::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(message) = reader.read().unwrap() {
                read.push(message);
            }
        }
        prop_assert_eq!(read, messages);
        prop_assert_eq!(reader.held(), 0);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200), kind in 0u8..12) {
        let _ = read(&bytes);
        let mut framed = (bytes.len() as u32 + 1).to_be_bytes().to_vec();
        framed.push(kind);
        framed.extend(bytes);
        // What is understood is written the same way.
        if let Ok(Some(message)) = read(&framed)
            && !matches!(&message, Message::Hello(hello) if hello.version != VERSION)
        {
            let same = read(&frame(&message)).unwrap().unwrap();
            prop_assert_eq!(same, message);
        }
    }

    #[test]
    fn a_message_cut_short_or_with_more_behind_is_an_error(message in message(), cut in 1usize..8) {
        let whole = frame(&message);
        let mut short = whole[..whole.len() - cut.min(whole.len() - 4)].to_vec();
        let length = short.len() as u32 - 4;
        short[..4].copy_from_slice(&length.to_be_bytes());
        prop_assert!(read(&short).is_err());
        let mut long = whole.clone();
        long.push(0);
        let length = long.len() as u32 - 4;
        long[..4].copy_from_slice(&length.to_be_bytes());
        prop_assert!(read(&long).is_err());
    }
}

#[test]
fn a_length_bomb_is_refused_before_anything_is_kept() {
    let bomb = (MAX_FRAME as u32 + 1).to_be_bytes();
    assert!(matches!(read(&bomb), Err(Error::TooLong { .. })));
    // One within the bound costs what has come, not what was announced.
    let mut reader = Reader::default();
    reader.push(&(MAX_FRAME as u32).to_be_bytes());
    assert_eq!(reader.read(), Ok(None));
    assert!(reader.capacity() < 4096);
}

#[test]
fn a_hello_of_another_version_says_which() {
    let mut bytes = frame(&Message::Hello(Hello::new("weir-transcoder 9", vec![])));
    bytes[9..11].copy_from_slice(&7u16.to_be_bytes());
    let Ok(Some(Message::Hello(hello))) = read(&bytes) else { panic!("no hello") };
    assert_eq!(hello.version, 7);
    bytes[5] = b'X';
    assert_eq!(read(&bytes), Err(Error::Invalid { what: "a hello of something else" }));
}

#[test]
fn long_texts_are_cut_and_long_data_is_refused() {
    let reason = "ä".repeat(MAX_TEXT);
    let bytes = frame(&Message::Failed(Failed { reason, again: true }));
    let Ok(Some(Message::Failed(failed))) = read(&bytes) else { panic!("no failure") };
    assert_eq!(failed.reason.len(), MAX_TEXT);

    let unit = |length: usize| {
        let data = Bytes::from(vec![1; length]);
        Message::Unit(Unit { pts: 1, dts: 0, keyframe: true, preroll: false, data })
    };
    let mut out = vec![9];
    assert!(matches!(unit(MAX_UNIT + 1).encode(&mut out), Err(Error::TooLong { .. })));
    assert!(unit(0).encode(&mut out).is_err());
    assert_eq!(out, [9], "nothing is left behind");
    unit(MAX_UNIT).encode(&mut out).unwrap();
    assert!(matches!(read(&out[1..]), Ok(Some(Message::Unit(_)))));
}

#[test]
fn times_go_through_exactly() {
    let unit = AccessUnit {
        dts: MediaTime::from_millis(40),
        pts: MediaTime::from_millis(-7),
        keyframe: true,
        data: Bytes::from_static(b"x"),
    };
    assert_eq!(AccessUnit::from(Unit::new(&unit, false)), unit);
}
