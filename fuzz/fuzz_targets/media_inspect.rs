//! RTP payloads of every codec: reading never panics, and writing picture ids changes nothing else.
//! The first byte picks the codec, the next four the ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::Codec;
use media::payload::{PictureIds, inspect, write_ids};

fuzz_target!(|data: &[u8]| {
    let [codec, high, low, tl0, which, payload @ ..] = data else { return };
    let codec = Codec::WEBRTC[usize::from(*codec) % Codec::WEBRTC.len()];
    let before = inspect(codec, payload);

    let ids = PictureIds {
        picture_id: (which & 1 != 0).then_some(u16::from_be_bytes([*high, *low])),
        long: which & 2 != 0,
        tl0_pic_idx: (which & 4 != 0).then_some(*tl0),
    };
    let mut written = payload.to_vec();
    write_ids(codec, &mut written, ids);
    let after = inspect(codec, &written);
    assert_eq!(media::payload::PayloadInfo { ids: before.ids, ..after }, before);

    write_ids(codec, &mut written, before.ids);
    assert_eq!(written, payload);
});
