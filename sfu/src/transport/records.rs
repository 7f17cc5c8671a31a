//! DTLS 1.2 records (RFC 6347 section 4.1), as far as they are judged before libssl sees them: a
//! peer must not make it hold much. And the peer's goodbye, which is still understood after libssl's
//! state is gone.

use std::fmt;

use aws_lc_rs::aead;
use aws_lc_rs::tls_prf::{Algorithm, P_SHA256, P_SHA384, Secret};

/// Datagrams above this are not the handshake of a browser.
pub(super) const MAX_DATAGRAM: usize = 2048;
/// A certificate message with a self-signed RSA 4096 certificate is a quarter of this.
const MAX_MESSAGE: usize = 8 * 1024;
/// Encrypted records before libssl can read them are kept by it, some 16 KB each.
const MAX_EARLY: u8 = 16;

const RECORD_HEADER: usize = 13;
const MESSAGE_HEADER: usize = 12;
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
const EXPLICIT_NONCE: usize = 8;
const TAG: usize = 16;

/// One record, its payload behind the header.
struct Record<'a> {
    kind: u8,
    epoch: u16,
    /// Type, version, epoch and sequence number; length.
    header: [u8; RECORD_HEADER],
    body: &'a [u8],
}

/// The next record and what follows it.
fn split(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let header: [u8; RECORD_HEADER] = *bytes.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
    let rest = &bytes[RECORD_HEADER..];
    let (body, rest) = rest.split_at_checked(len)?;
    let epoch = u16::from_be_bytes([header[3], header[4]]);
    // The major version of all DTLS is 254.
    (header[1] == 254).then_some((Record { kind: header[0], epoch, header, body }, rest))
}

/// Judges what libssl may read during one handshake.
#[derive(Debug, Default)]
pub(super) struct Filter {
    early: u8,
}

impl Filter {
    /// True if the whole datagram may pass.
    pub(super) fn passes(&mut self, datagram: &[u8]) -> bool {
        let mut rest = datagram;
        if rest.is_empty() || rest.len() > MAX_DATAGRAM {
            return false;
        }
        while !rest.is_empty() {
            let Some((record, tail)) = split(rest) else { return false };
            rest = tail;
            let fine = match (record.kind, record.epoch) {
                (HANDSHAKE, 0) => messages_are_small(record.body),
                (CHANGE_CIPHER_SPEC | ALERT, 0) => true,
                (HANDSHAKE | ALERT, 1) if self.early < MAX_EARLY => {
                    self.early += 1;
                    true
                }
                _ => false,
            };
            if !fine {
                return false;
            }
        }
        true
    }
}

/// Each handshake message says how long it is as a whole, which libssl then allocates.
fn messages_are_small(mut body: &[u8]) -> bool {
    while !body.is_empty() {
        let Some(header) = body.first_chunk::<MESSAGE_HEADER>() else { return false };
        let long = |at: usize| {
            usize::from(header[at]) << 16
                | usize::from(header[at + 1]) << 8
                | usize::from(header[at + 2])
        };
        let Some(rest) = body.get(MESSAGE_HEADER + long(9)..) else { return false };
        if long(1) > MAX_MESSAGE {
            return false;
        }
        body = rest;
    }
    true
}

/// How to read the peer's alerts without libssl: about 60 bytes instead of its 70 KB.
pub(super) struct Farewell {
    key: [u8; 32],
    key_len: usize,
    salt: [u8; 4],
}

/// What the handshake left: RFC 5246 section 6.3.
pub(super) struct Session<'a> {
    /// OpenSSL's name of the cipher suite.
    pub(super) suite: &'a str,
    pub(super) master: &'a [u8],
    pub(super) client_random: &'a [u8],
    pub(super) server_random: &'a [u8],
    /// The peer is the client of the handshake.
    pub(super) peer_is_client: bool,
}

impl Farewell {
    /// `None`: not a suite of ours.
    pub(super) fn new(session: &Session<'_>) -> Option<Self> {
        let (prf, key_len): (&'static Algorithm, usize) =
            if session.suite.ends_with("AES128-GCM-SHA256") {
                (&P_SHA256, 16)
            } else if session.suite.ends_with("AES256-GCM-SHA384") {
                (&P_SHA384, 32)
            } else {
                return None;
            };
        let block = Secret::new(prf, session.master).ok()?.derive_with_seed_concatination(
            b"key expansion",
            session.server_random,
            session.client_random,
            2 * (key_len + 4),
        );
        let block = block.ok()?;
        let (keys, salts) = block.as_ref().split_at_checked(2 * key_len)?;
        let side = usize::from(!session.peer_is_client);
        let mut farewell = Self { key: [0; 32], key_len, salt: [0; 4] };
        farewell.key[..key_len].copy_from_slice(keys.get(side * key_len..)?.get(..key_len)?);
        farewell.salt.copy_from_slice(salts.get(side * 4..)?.get(..4)?);
        Some(farewell)
    }

    /// True if the datagram is an authentic alert that ends the connection: close_notify, or a
    /// fatal one.
    pub(super) fn ends(&self, datagram: &[u8]) -> bool {
        self.alert(datagram).is_some_and(|[level, description]| level == 2 || description == 0)
    }

    fn alert(&self, datagram: &[u8]) -> Option<[u8; 2]> {
        let (record, _) = split(datagram)?;
        if (record.kind, record.epoch) != (ALERT, 1) {
            return None;
        }
        let (explicit, sealed) = record.body.split_first_chunk::<EXPLICIT_NONCE>()?;
        let mut sealed: [u8; 2 + TAG] = sealed.try_into().ok()?;
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.salt);
        nonce[4..].copy_from_slice(explicit);
        // RFC 5246 section 6.2.3.3: epoch and sequence number, type, version, plain length.
        let mut aad = [0; RECORD_HEADER];
        aad[..8].copy_from_slice(&record.header[3..11]);
        aad[8..11].copy_from_slice(&record.header[..3]);
        aad[12] = 2;
        let algorithm = if self.key_len == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
        let key = aead::UnboundKey::new(algorithm, &self.key[..self.key_len]).ok()?;
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        let key = aead::LessSafeKey::new(key);
        let plain = key.open_in_place(nonce, aead::Aad::from(aad), &mut sealed).ok()?;
        plain.first_chunk().copied()
    }
}

impl fmt::Debug for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Farewell")
    }
}
