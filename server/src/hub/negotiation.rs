//! The random parts of a negotiation: ICE credentials and SSRCs.

use std::net::SocketAddr;

use aws_lc_rs::rand;
use signaling::{Fingerprint, IceCredentials, Local};

/// ICE characters that need no escaping anywhere (RFC 8839 section 5.4 without `+` and `/`).
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// 95 bits: nobody meets another session's by chance.
const UFRAG: usize = 16;
/// 190 bits (RFC 8839 wants at least 128).
const PWD: usize = 32;

/// Our side of a negotiation.
pub(super) fn local(
    fingerprint: Fingerprint,
    candidates: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
) -> Local {
    let mut ssrcs = [0_u32; 3];
    while ssrcs.contains(&0) || ssrcs[0] == ssrcs[1] || ssrcs[1] == ssrcs[2] || ssrcs[0] == ssrcs[2]
    {
        ssrcs = ssrcs.map(|_| u32::from_be_bytes(random()));
    }
    Local {
        ice: credentials(),
        fingerprint,
        candidates,
        tcp,
        // RFC 8829 section 5.2.1: a 64-bit number with the highest bit clear.
        session: u64::from_be_bytes(random()) >> 1,
        ssrcs,
    }
}

/// Nobody else has them.
pub(super) fn credentials() -> IceCredentials {
    IceCredentials { ufrag: text(UFRAG), pwd: text(PWD) }
}

fn text(length: usize) -> String {
    let mut out = String::with_capacity(length);
    while out.len() < length {
        let bytes: [u8; 32] = random();
        // Values that would favour the first letters are thrown away.
        let letters = bytes.iter().map(|b| usize::from(b & 63)).filter_map(|i| ALPHABET.get(i));
        out.extend(letters.take(length - out.len()).map(|b| char::from(*b)));
    }
    out
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system's random source does not fail once it has started");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_long_enough_and_never_the_same() {
        let (a, b) = (text(UFRAG), text(UFRAG));
        assert_eq!((a.len(), text(PWD).len()), (UFRAG, PWD));
        assert_ne!(a, b);
        assert!(a.bytes().all(|b| ALPHABET.contains(&b)));
    }
}
