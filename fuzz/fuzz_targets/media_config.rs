//! Decoder configurations of every codec: reading never panics, and what was read and written again is read as
//! the same. The first byte picks the codec.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::Codec;
use media::config::{aac, av1, avc, facts, hevc, look, opus};

const CODECS: [Codec; 7] =
    [Codec::H264, Codec::H265, Codec::Av1, Codec::Aac, Codec::Opus, Codec::Vp8, Codec::Vp9];

fuzz_target!(|data: &[u8]| {
    let [codec, config @ ..] = data else { return };
    let codec = CODECS[usize::from(*codec) % CODECS.len()];
    let config = Bytes::copy_from_slice(config);
    let _ = (facts(codec, &config), look(codec, &config));
    match codec {
        Codec::H264 => {
            if let Ok(record) = avc::Record::parse(&config) {
                let again = avc::Record::parse(&record.build()).expect("what we write is read");
                assert_eq!((again.sps, again.pps), (record.sps, record.pps));
            }
            let _ = (avc::sps(&config), media::payload::h264::access_unit(&config));
        }
        Codec::H265 => {
            if let Ok(record) = hevc::Record::parse(&config) {
                let again = hevc::Record::parse(&record.build()).expect("what we write is read");
                assert_eq!(again, hevc::Record { length_size: 4, ..record });
            }
            let _ = hevc::sps(&config);
        }
        Codec::Av1 => {
            if let Ok(record) = av1::Record::parse(&config) {
                assert_eq!(av1::Record::parse(&record.build()), Ok(record));
            }
            if let Ok(record) = av1::Record::from_sequence_header(&config) {
                assert!(record.sequence_header().is_some());
            }
        }
        Codec::Aac => {
            if let Ok(config) = aac::Config::parse(&config)
                && let Some(built) = config.build()
            {
                assert_eq!(aac::Config::parse(&built), Ok(config));
            }
        }
        Codec::Opus => {
            if let Ok(head) = opus::Head::parse(&config) {
                assert_eq!(opus::Head::parse(&head.build()), Ok(head));
            }
        }
        _ => {}
    }
});
