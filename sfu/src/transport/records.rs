//! DTLS 1.2 records (RFC 6347 section 4.1) where libssl is not enough: incoming ones are judged
//! before it sees them, so that no peer makes it hold much; outgoing ones get new numbers when they
//! are said again; and the peer's goodbye is understood after libssl's state is gone.

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
const SALT: usize = 4;

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

/// The sequence numbers of what we send. A repeated record must be a new one (RFC 6347 section
/// 4.2.4): who ignored the first as too early takes the same number for a replay.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    clear: u64,
    sealed: u64,
}

impl Numbers {
    /// Gives the records of a datagram their numbers: the next ones of ours, in the clear; what is
    /// sealed keeps libssl's number, or is sealed anew, if there are `secrets` for it.
    pub(super) fn put(&mut self, datagram: &mut [u8], secrets: Option<&Secrets>) {
        let mut rest = datagram;
        while let Some(len) = split(rest).map(|(record, _)| RECORD_HEADER + record.body.len()) {
            let (record, tail) = rest.split_at_mut(len);
            match (record[4], secrets) {
                (0, _) => {
                    record[5..11].copy_from_slice(&self.clear.to_be_bytes()[2..]);
                    self.clear += 1;
                }
                (_, Some(secrets)) => {
                    self.sealed += 1;
                    // Fails only for what libssl did not seal with these keys: then it stays.
                    let _ = secrets.ours.reseal(record, self.sealed);
                }
                (_, None) => {}
            }
            rest = tail;
        }
    }
}

/// The keys of epoch 1, both ways.
pub(super) struct Secrets {
    ours: Key,
    theirs: Key,
}

/// What the handshake left: RFC 5246 section 6.3.
pub(super) struct Session<'a> {
    /// OpenSSL's name of the cipher suite.
    pub(super) suite: &'a str,
    pub(super) master: &'a [u8],
    pub(super) client_random: &'a [u8],
    pub(super) server_random: &'a [u8],
    /// We are the client of the handshake.
    pub(super) client: bool,
}

impl Secrets {
    /// `None`: not a suite of ours.
    pub(super) fn new(session: &Session<'_>) -> Option<Self> {
        let (prf, len): (&'static Algorithm, usize) =
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
            2 * (len + SALT),
        );
        let block = block.ok()?;
        let (keys, salts) = block.as_ref().split_at_checked(2 * len)?;
        let key = |side: usize| {
            let mut key = Key { bytes: [0; 32], len, salt: [0; SALT] };
            key.bytes[..len].copy_from_slice(keys.get(side * len..)?.get(..len)?);
            key.salt.copy_from_slice(salts.get(side * SALT..)?.get(..SALT)?);
            Some(key)
        };
        let (client, server) = (key(0)?, key(1)?);
        let (ours, theirs) = if session.client { (client, server) } else { (server, client) };
        Some(Self { ours, theirs })
    }

    /// What is kept when the handshake is over.
    pub(super) fn into_farewell(self) -> Farewell {
        Farewell(self.theirs)
    }
}

/// AES-GCM of one way (RFC 5288).
struct Key {
    bytes: [u8; 32],
    len: usize,
    salt: [u8; SALT],
}

impl Key {
    fn gcm(&self) -> Option<aead::LessSafeKey> {
        let algorithm = if self.len == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
        let key = aead::UnboundKey::new(algorithm, &self.bytes[..self.len]).ok()?;
        Some(aead::LessSafeKey::new(key))
    }

    fn nonce(&self, explicit: [u8; EXPLICIT_NONCE]) -> aead::Nonce {
        let mut nonce = [0; SALT + EXPLICIT_NONCE];
        nonce[..SALT].copy_from_slice(&self.salt);
        nonce[SALT..].copy_from_slice(&explicit);
        aead::Nonce::assume_unique_for_key(nonce)
    }

    /// Opens the body of a record in place: the plain text follows the explicit nonce.
    fn open(&self, header: &[u8; RECORD_HEADER], body: &mut [u8]) -> Option<usize> {
        let (explicit, sealed) = body.split_first_chunk_mut::<EXPLICIT_NONCE>()?;
        let len = sealed.len().checked_sub(TAG)?;
        let aad = aad(header, len);
        self.gcm()?.open_in_place(self.nonce(*explicit), aad, sealed).ok()?;
        Some(len)
    }

    /// The same content as a new record. The explicit nonce lies 2^32 and more beyond libssl's,
    /// which counts up by one: no nonce comes twice.
    fn reseal(&self, record: &mut [u8], number: u64) -> Option<()> {
        let (header, body) = record.split_first_chunk_mut::<RECORD_HEADER>()?;
        let len = self.open(header, body)?;
        let (explicit, rest) = body.split_first_chunk_mut::<EXPLICIT_NONCE>()?;
        *explicit = u64::from_be_bytes(*explicit).wrapping_add(number << 32).to_be_bytes();
        header[5..11].copy_from_slice(&number.to_be_bytes()[2..]);
        let (plain, tag) = rest.split_at_mut(len);
        let sealed =
            self.gcm()?.seal_in_place_separate_tag(self.nonce(*explicit), aad(header, len), plain);
        tag.copy_from_slice(sealed.ok()?.as_ref());
        Some(())
    }
}

/// RFC 5246 section 6.2.3.3: epoch and sequence number, type, version, plain length.
fn aad(header: &[u8; RECORD_HEADER], len: usize) -> aead::Aad<[u8; RECORD_HEADER]> {
    let mut aad = [0; RECORD_HEADER];
    aad[..8].copy_from_slice(&header[3..11]);
    aad[8..11].copy_from_slice(&header[..3]);
    aad[11..].copy_from_slice(&(len as u16).to_be_bytes());
    aead::Aad::from(aad)
}

/// How to read the peer's alerts without libssl: about 50 bytes instead of its 70 KB.
pub(super) struct Farewell(Key);

impl Farewell {
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
        let mut body: [u8; EXPLICIT_NONCE + 2 + TAG] = record.body.try_into().ok()?;
        self.0.open(&record.header, &mut body)?;
        body[EXPLICIT_NONCE..].first_chunk().copied()
    }
}

impl fmt::Debug for Farewell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Farewell")
    }
}
