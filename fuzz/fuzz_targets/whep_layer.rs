//! Bodies of the layer extension: reading never panics, and a refusal is a 400.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Err(problem) = whep::Layer::parse(data) {
        assert_eq!(problem.status, 400);
    }
});
