//! Frames on a TCP connection (RFC 4571): wherever the bytes are cut, the same frames come out, each within its bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sfu::frames::{self, Frames, TooLong};

type Cut = (Vec<Vec<u8>>, Result<(), TooLong>);

fn cut(bytes: &[u8], size: usize) -> Cut {
    let (mut all, mut out) = (Frames::default(), Vec::new());
    for piece in bytes.chunks(size) {
        let taken = all.take(&mut piece.to_vec(), |frame| {
            assert!((1..=frames::MAX).contains(&frame.len()));
            out.push(frame.to_vec());
        });
        if taken.is_err() {
            return (out, taken);
        }
    }
    (out, Ok(()))
}

// The first byte says where the rest is cut.
fuzz_target!(|data: &[u8]| {
    let Some((size, bytes)) = data.split_first() else { return };
    let whole = cut(bytes, bytes.len().max(1));
    assert_eq!(cut(bytes, usize::from(*size).max(1)), whole);
    if let Ok(Some(first)) = frames::first(bytes) {
        assert!(first.is_empty() || whole.0.first().is_some_and(|frame| frame == first));
    }
});
