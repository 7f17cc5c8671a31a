//! Bytes of the specifications and of hand, both ways, and hostile ones.

use super::*;

/// The compound that `write` writes.
fn written(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Vec<u8> {
    let mut buffer = [0xaa; 1500];
    let mut writer = Writer::new(&mut buffer);
    write(&mut writer).expect("room");
    writer.written().to_vec()
}

fn only(compound: &[u8]) -> Packet<'_> {
    let mut all = packets(compound);
    let first = all.next().expect("a packet");
    assert!(all.next().is_none(), "more than one packet");
    first
}

#[test]
fn picture_loss() {
    let bytes = [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
    assert_eq!(written(|w| w.pli(1, 2)), bytes);
    assert!(matches!(only(&bytes), Packet::Pli { media_ssrc: 2 }));
}
