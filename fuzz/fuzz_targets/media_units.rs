//! Access units of every codec to payloads: never a panic, an empty payload or one above the MTU. The first bytes
//! pick the codec, the MTU and how much of the rest is the configuration.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use media::packetize::Packetizer;
use media::{AccessUnit, Codec, Format, MediaTime};

fuzz_target!(|data: &[u8]| {
    let [codec, mtu, config, rest @ ..] = data else { return };
    let keyframe = *codec >= 128;
    let codec = Codec::WEBRTC[usize::from(*codec) % Codec::WEBRTC.len()];
    let (config, data) = rest.split_at(usize::from(*config).min(rest.len()));
    let config = Bytes::copy_from_slice(config);
    let format = Format { codec, config, dimensions: None, sound: None };
    let data = Bytes::copy_from_slice(data);
    let unit = AccessUnit { dts: MediaTime::ZERO, pts: MediaTime::ZERO, keyframe, data };
    let mtu = usize::from(*mtu) * 6;
    let mut out = Vec::new();
    let mut packetizer = Packetizer::new(codec, mtu);
    for _ in 0..2 {
        out.clear();
        packetizer.push(&format, &unit, &mut out);
    }
    let most = if codec == Codec::Opus { mtu.max(1276) } else { mtu.max(100) };
    assert!(out.iter().all(|payload| (1..=most).contains(&payload.bytes.len())));
    let markers = out.iter().filter(|payload| payload.marker).count();
    assert_eq!(markers, usize::from(!out.is_empty() && codec != Codec::Opus));
});
