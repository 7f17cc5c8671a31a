//! Nomination without waiting for it.
//!
//! A controlling agent puts USE-CANDIDATE (RFC 8445 section 7.2.5.1) into the check *after* the one
//! that made a pair valid; browsers wait 50 ms to a second before they do. str0m's ICE sends nothing
//! but STUN until then, though the peer's ClientHello is here already. So the first check whose
//! integrity is right is given to it as a nominating one. Where the peer really nominates another
//! pair later, media follows that ([`super::Peer`] keeps the address).

use aws_lc_rs::hmac;

use crate::stun;

const HEADER: usize = 20;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const USE_CANDIDATE: u16 = 0x0025;
/// The attribute's own header and the digest of HMAC-SHA1 (RFC 8489 section 14.5).
const INTEGRITY_LENGTH: usize = 4 + 20;

/// True if the peer nominates with this message.
pub(super) fn is_nominating(message: &[u8]) -> bool {
    stun::attributes(message).any(|(_, kind, _)| kind == USE_CANDIDATE)
}

/// The same message with USE-CANDIDATE, sealed with our password; `None` if it has no integrity.
pub(super) fn nominating(message: &[u8], password: &str) -> Option<Vec<u8>> {
    let (end, ..) = stun::attributes(message).find(|(_, kind, _)| *kind == MESSAGE_INTEGRITY)?;
    let mut out = message.get(..end)?.to_vec();
    out.extend(USE_CANDIDATE.to_be_bytes());
    out.extend([0, 0]);
    let length = u16::try_from(out.len() - HEADER + INTEGRITY_LENGTH).ok()?;
    out.get_mut(2..4)?.copy_from_slice(&length.to_be_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes());
    let digest = hmac::sign(&key, &out);
    out.extend(MESSAGE_INTEGRITY.to_be_bytes());
    out.extend([0, 20]);
    out.extend(digest.as_ref());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5769 section 2.1, the sample request: made by others, for a known password.
    const SAMPLE: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e20746573742\
        0636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000\
        800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    fn sample() -> Vec<u8> {
        let hex: Vec<u8> = SAMPLE.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(text, 16).expect("hex")
        };
        hex.chunks(2).map(byte).collect()
    }

    #[test]
    fn the_digest_is_the_one_that_others_compute() {
        // Without the inserted attribute the function would write the sample's own digest.
        let message = sample();
        let (end, ..) = stun::attributes(&message)
            .find(|(_, kind, _)| *kind == MESSAGE_INTEGRITY)
            .expect("the sample has integrity");
        let mut sealed = message[..end].to_vec();
        let length = (end - HEADER + INTEGRITY_LENGTH) as u16;
        sealed[2..4].copy_from_slice(&length.to_be_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, PASSWORD.as_bytes());
        assert_eq!(hmac::sign(&key, &sealed).as_ref(), &message[end + 4..end + 24]);
    }

    #[test]
    fn a_check_becomes_a_nominating_one_that_still_parses() {
        let message = sample();
        assert!(!is_nominating(&message));
        let nominating = nominating(&message, PASSWORD).expect("it has integrity");
        assert!(is_nominating(&nominating));
        assert_eq!(nominating.len(), message.len() - 8 + 4, "no FINGERPRINT, one more attribute");
        let parsed = is::stun::StunMessage::parse(&nominating).expect("well formed");
        assert!(parsed.use_candidate());
        assert_eq!(parsed.split_username(), Some(("evtj", "h6vY")));
    }

    #[test]
    fn cut_short_messages_are_no_messages() {
        let message = sample();
        for end in 0..message.len() {
            let _ = (is_nominating(&message[..end]), nominating(&message[..end], PASSWORD));
        }
        assert_eq!(nominating(&message[..60], PASSWORD), None);
    }
}
