//! ICE connectivity checks (RFC 8445 section 7.2.2, RFC 8489) by hand, for what no client says.

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;

use crate::random::Random;

const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLING: u16 = 0x802a;

/// A binding request of a controlling agent to `ours` (the server's user name fragment) from `theirs`, made with this
/// password of the server's.
pub fn check(
    (ours, theirs): (&str, &str),
    password: &str,
    nominates: bool,
    random: &mut Random,
) -> Vec<u8> {
    let mut message = vec![0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    message.extend_from_slice(&random.bytes::<12>());
    attribute(&mut message, USERNAME, format!("{ours}:{theirs}").as_bytes());
    attribute(&mut message, PRIORITY, &0x6e00_1eff_u32.to_be_bytes());
    attribute(&mut message, ICE_CONTROLLING, &random.bytes::<8>());
    if nominates {
        attribute(&mut message, USE_CANDIDATE, &[]);
    }
    // Each of the two covers what is before it, and a length that counts itself.
    say_length(&mut message, 24);
    let key = PKey::hmac(password.as_bytes()).expect("a key");
    let mut signer = Signer::new(MessageDigest::sha1(), &key).expect("HMAC-SHA1");
    let integrity = signer.sign_oneshot_to_vec(&message).expect("a signature");
    attribute(&mut message, MESSAGE_INTEGRITY, &integrity);
    say_length(&mut message, 8);
    let fingerprint = crc32(&message) ^ 0x5354_554e;
    attribute(&mut message, FINGERPRINT, &fingerprint.to_be_bytes());
    message
}

fn say_length(message: &mut [u8], more: usize) {
    let length = u16::try_from(message.len() - 20 + more).expect("a short message");
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

fn attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&(value.len() as u16).to_be_bytes());
    message.extend_from_slice(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// As ITU V.42 has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}
