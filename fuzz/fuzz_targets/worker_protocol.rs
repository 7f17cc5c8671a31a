//! What a worker, or whoever holds its end of the socket, may send: cut into frames, read, written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use transcode::protocol::{MAX_FRAME, Message, Reader, VERSION};

fn frame(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes).expect("what was read can be written");
    bytes
}

// The first byte says into what pieces the socket cuts the rest.
fuzz_target!(|data: &[u8]| {
    let Some((piece, rest)) = data.split_first() else { return };
    let (mut reader, piece) = (Reader::default(), usize::from(*piece) + 1);
    for piece in rest.chunks(piece) {
        reader.push(piece);
        loop {
            match reader.read() {
                Err(_) => return,
                Ok(None) => break,
                // Of another version only the number is kept.
                Ok(Some(Message::Hello(hello))) if hello.version != VERSION => {}
                Ok(Some(message)) => {
                    let mut again = Reader::default();
                    again.push(&frame(&message));
                    assert_eq!(again.read(), Ok(Some(message)));
                    assert_eq!(again.held(), 0);
                }
            }
        }
        assert!(reader.held() <= 4 + MAX_FRAME + piece.len());
    }
});
