//! SRTP and SRTCP (RFC 3711, RFC 7714, RFC 5764): from the keying material of a DTLS handshake to
//! sealed and opened packets, in place. No sockets, no RTP semantics: a packet is bytes, the length
//! of its header, and an index.
//!
//! **The nonce rule.** Two different packets sealed under one key, SSRC and index give the key away
//! (AES-GCM) or their difference (AES-CM). So new indices rise strictly per SSRC, and an old one may
//! be sealed again only for a byte-identical packet. [`Sealer::seal_rtp`] asserts this in debug
//! builds; SRTCP counts its own indices.

mod cipher;
#[cfg(debug_assertions)]
mod guard;
mod replay;
#[cfg(test)]
mod tests;

use aws_lc_rs::error::Unspecified;

use self::cipher::{Cipher, Purpose};
use self::replay::Windows;

/// SRTCP indices are 31 bits; then the key is used up (RFC 3711 section 9.2).
const LAST_RTCP_INDEX: u32 = (1 << 31) - 1;

/// What DTLS-SRTP can agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `SRTP_AEAD_AES_128_GCM` (RFC 7714).
    Aes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM` (RFC 7714).
    Aes256Gcm,
    /// `SRTP_AES128_CM_HMAC_SHA1_80` (RFC 5764).
    Aes128CmSha1,
}

impl Profile {
    /// Best first: one pass over the packet where the other needs two.
    pub const ALL: [Self; 3] = [Self::Aes128Gcm, Self::Aes256Gcm, Self::Aes128CmSha1];

    /// As `use_srtp` names it (RFC 5764 section 4.1.2).
    pub fn id(self) -> u16 {
        match self {
            Self::Aes128CmSha1 => 1,
            Self::Aes128Gcm => 7,
            Self::Aes256Gcm => 8,
        }
    }

    /// As OpenSSL names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm => "SRTP_AEAD_AES_128_GCM",
            Self::Aes256Gcm => "SRTP_AEAD_AES_256_GCM",
            Self::Aes128CmSha1 => "SRTP_AES128_CM_SHA1_80",
        }
    }

    /// Bytes of keying material to export from DTLS, label `EXTRACTOR-dtls_srtp`.
    pub fn material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }

    /// Bytes that sealing adds to an RTP packet.
    pub fn rtp_overhead(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => 16,
            Self::Aes128CmSha1 => 10,
        }
    }

    /// Bytes that sealing adds to an RTCP compound: the tag, and four of flag and index.
    pub fn rtcp_overhead(self) -> usize {
        self.rtp_overhead() + 4
    }

    fn key_len(self) -> usize {
        match self {
            Self::Aes256Gcm => 32,
            Self::Aes128Gcm | Self::Aes128CmSha1 => 16,
        }
    }

    fn salt_len(self) -> usize {
        match self {
            Self::Aes128CmSha1 => 14,
            Self::Aes128Gcm | Self::Aes256Gcm => 12,
        }
    }
}

/// Master key and salt of one direction.
#[derive(Clone)]
pub struct Keys {
    profile: Profile,
    key: [u8; 32],
    salt: [u8; 14],
}

impl Keys {
    /// What the client sends with and what the server sends with (RFC 5764 section 4.2). `None` if
    /// the material is not [`Profile::material_len`] bytes.
    pub fn pair(profile: Profile, material: &[u8]) -> Option<(Self, Self)> {
        let (key, salt) = (profile.key_len(), profile.salt_len());
        if material.len() != profile.material_len() {
            return None;
        }
        let (keys, salts) = material.split_at(2 * key);
        let take = |side: usize| {
            let mut keys_of = Self { profile, key: [0; 32], salt: [0; 14] };
            keys_of.key[..key].copy_from_slice(&keys[side * key..][..key]);
            keys_of.salt[..salt].copy_from_slice(&salts[side * salt..][..salt]);
            keys_of
        };
        Some((take(0), take(1)))
    }

    /// What they are for.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    fn key(&self) -> &[u8] {
        &self.key[..self.profile.key_len()]
    }

    fn salt(&self) -> &[u8] {
        &self.salt[..self.profile.salt_len()]
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// The crypto library refused a key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the crypto library refused an SRTP key")]
pub struct KeyError;

impl From<Unspecified> for KeyError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// One direction, at its sender. Not `Clone`: two copies would count SRTCP indices twice.
pub struct Sealer {
    rtp: Cipher,
    rtcp: Cipher,
    next_rtcp: u32,
    profile: Profile,
    #[cfg(debug_assertions)]
    guard: guard::Guard,
}

impl Sealer {
    /// Expands the keys.
    ///
    /// # Errors
    /// If the crypto library refuses them.
    pub fn new(keys: &Keys) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: Cipher::new(keys, Purpose::Rtp)?,
            rtcp: Cipher::new(keys, Purpose::Rtcp)?,
            next_rtcp: 0,
            profile: keys.profile,
            #[cfg(debug_assertions)]
            guard: guard::Guard::default(),
        })
    }

    /// What packets are sealed with.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Seals an RTP packet in place: a header of `header` bytes, the payload, and
    /// [`Profile::rtp_overhead`] bytes of room. `index` is the extended sequence number, rollover
    /// counter above 16 bits of sequence number; see the rule at the top of this module.
    ///
    /// `false` if the lengths do not fit; the packet is then all zeros, so that nothing leaves
    /// unsealed by mistake.
    pub fn seal_rtp(&mut self, packet: &mut [u8], header: usize, index: u64) -> bool {
        #[cfg(debug_assertions)]
        self.guard
            .check(&packet[..packet.len().saturating_sub(self.profile.rtp_overhead())], index);
        let sealed = self.rtp.seal_rtp(packet, header, index).is_some();
        if !sealed {
            packet.fill(0);
        }
        sealed
    }

    /// Seals an RTCP compound in place, followed by [`Profile::rtcp_overhead`] bytes of room.
    ///
    /// `false` if it is shorter than a header with an SSRC, or after 2^31 compounds; the packet is
    /// then all zeros.
    pub fn seal_rtcp(&mut self, packet: &mut [u8]) -> bool {
        let index = self.next_rtcp;
        let fresh = index <= LAST_RTCP_INDEX;
        if fresh {
            self.next_rtcp += 1;
        }
        let sealed = fresh && self.rtcp.seal_rtcp(packet, index).is_some();
        if !sealed {
            packet.fill(0);
        }
        sealed
    }

    /// True if a compound of this length can be sealed.
    pub(super) fn takes_rtcp(&self, len: usize) -> bool {
        len >= cipher::RTCP_CLEAR && self.next_rtcp <= LAST_RTCP_INDEX
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// One direction, at its receiver.
#[derive(Debug)]
pub struct Opener {
    rtp: RtpOpener,
    rtcp: RtcpOpener,
}

impl Opener {
    /// Expands the keys.
    ///
    /// # Errors
    /// If the crypto library refuses them.
    pub fn new(keys: &Keys) -> Result<Self, KeyError> {
        let rtp = RtpOpener(Cipher::new(keys, Purpose::Rtp)?);
        Ok(Self { rtp, rtcp: RtcpOpener::new(keys)? })
    }

    /// Opens an RTP packet in place: how long header and payload are, `None` if it is not
    /// authentic. Replays are the caller's to notice, by `index`.
    pub fn open_rtp(&self, packet: &mut [u8], header: usize, index: u64) -> Option<usize> {
        self.rtp.0.open_rtp(packet, header, index)
    }

    /// See [`RtcpOpener::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open_rtcp<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        self.rtcp.open(packet)
    }
}

struct RtpOpener(Cipher);

impl std::fmt::Debug for RtpOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RtpOpener")
    }
}

/// Why an SRTCP packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Too short, not encrypted, or the tag is wrong.
    NotAuthentic,
    /// Seen before, or too old to tell.
    Replayed,
}

/// Only the feedback of one direction.
pub struct RtcpOpener {
    cipher: Cipher,
    windows: Windows,
}

impl RtcpOpener {
    /// Expands the key.
    ///
    /// # Errors
    /// If the crypto library refuses it.
    pub fn new(keys: &Keys) -> Result<Self, KeyError> {
        Ok(Self { cipher: Cipher::new(keys, Purpose::Rtcp)?, windows: Windows::default() })
    }

    /// Opens an SRTCP packet in place and returns the compound.
    ///
    /// # Errors
    /// See [`OpenError`]. The bytes are then undefined.
    pub fn open<'a>(&mut self, packet: &'a mut [u8]) -> Result<&'a [u8], OpenError> {
        let index = self.cipher.rtcp_index(packet).ok_or(OpenError::NotAuthentic)?;
        let sender = packet.get(4..8).and_then(|ssrc| ssrc.try_into().ok());
        let sender = u32::from_be_bytes(sender.ok_or(OpenError::NotAuthentic)?);
        if !self.windows.is_new(sender, index) {
            return Err(OpenError::Replayed);
        }
        let compound = self.cipher.open_rtcp(packet, index).ok_or(OpenError::NotAuthentic)?;
        self.windows.seen(sender, index);
        Ok(compound)
    }
}

impl std::fmt::Debug for RtcpOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RtcpOpener").field("windows", &self.windows).finish_non_exhaustive()
    }
}
