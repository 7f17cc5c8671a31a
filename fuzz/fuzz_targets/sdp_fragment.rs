//! Trickle fragments: reading never panics, and what was read is within its bounds. The bytes are
//! tried by themselves and below valid credentials.
#![no_main]

use libfuzzer_sys::fuzz_target;
use signaling::SdpFragment;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let below = format!("a=ice-ufrag:abcd\na=ice-pwd:0123456789abcdefghijkl\n{text}");
    for text in [&*text, &below] {
        if let Ok(fragment) = SdpFragment::parse(text) {
            assert!((4..=256).contains(&fragment.ice.ufrag.len()));
            assert!((22..=256).contains(&fragment.ice.pwd.len()));
            assert!(fragment.media.len() <= 16);
        }
    }
});
