//! The ciphers of SRTP for one key: AES-GCM (RFC 7714) and AES-CM with HMAC-SHA1 (RFC 3711), how a
//! session key comes from the master key, and how a nonce is made. In place; nothing is allocated
//! per packet. No packet formats but the parts that are authenticated: those are one floor up.

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{aead, constant_time, hmac};

use super::{Keys, Profile};

/// Bit of the SRTCP trailer that says: encrypted (RFC 3711 section 3.4).
const ENCRYPTED: u32 = 1 << 31;
/// An RTP header without CSRCs and extensions.
const RTP_HEADER: usize = 12;
/// What stays in the clear of an RTCP compound: its first header and SSRC.
pub(super) const RTCP_CLEAR: usize = 8;
const TRAILER: usize = 4;

/// Whether a session key is for RTP or for RTCP: the first of its three labels (RFC 3711 section 4.3.2).
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Rtp = 0,
    Rtcp = 3,
}

/// One expanded session key of one direction.
pub(super) struct Cipher {
    suite: Suite,
    salt: [u8; 14],
}

enum Suite {
    Gcm(aead::LessSafeKey),
    /// Boxed: rare, and several times the size.
    Cm(Box<(EncryptingKey, hmac::Key)>),
}

impl Cipher {
    pub(super) fn new(keys: &Keys, purpose: Purpose) -> Result<Self, Unspecified> {
        let master = counter_mode(keys.key())?;
        let label = purpose as u8;
        let (mut key, mut mac, mut salt) = ([0; 32], [0; 20], [0; 14]);
        let key = &mut key[..keys.profile().key_len()];
        derive(&master, keys.salt(), label, key)?;
        derive(&master, keys.salt(), label + 1, &mut mac)?;
        derive(&master, keys.salt(), label + 2, &mut salt[..keys.profile().salt_len()])?;
        Self::from_session(keys.profile(), key, &mac, salt)
    }

    /// From a session key, not a master key.
    pub(super) fn from_session(
        profile: Profile,
        key: &[u8],
        mac: &[u8],
        salt: [u8; 14],
    ) -> Result<Self, Unspecified> {
        let gcm = |algorithm| {
            let key = aead::UnboundKey::new(algorithm, key)?;
            Ok::<_, Unspecified>(Suite::Gcm(aead::LessSafeKey::new(key)))
        };
        let suite = match profile {
            Profile::Aes128Gcm => gcm(&aead::AES_128_GCM)?,
            Profile::Aes256Gcm => gcm(&aead::AES_256_GCM)?,
            Profile::Aes128CmSha1 => {
                let mac = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, mac);
                Suite::Cm(Box::new((counter_mode(key)?, mac)))
            }
        };
        Ok(Self { suite, salt })
    }

    fn tag_len(&self) -> usize {
        match self.suite {
            Suite::Gcm(_) => 16,
            Suite::Cm(_) => 10,
        }
    }

    /// Header, payload and room for the tag; `None` if the lengths do not fit each other.
    pub(super) fn seal_rtp(&self, packet: &mut [u8], header: usize, index: u64) -> Option<()> {
        let end = packet.len().checked_sub(self.tag_len())?;
        let (ssrc, body) = (rtp_ssrc(packet)?, end.checked_sub(header)?);
        if header < RTP_HEADER {
            return None;
        }
        match &self.suite {
            Suite::Gcm(key) => {
                let (aad, rest) = packet.split_at_mut(header);
                let (body, tag) = rest.split_at_mut(body);
                let nonce = self.gcm_nonce(ssrc, index);
                let aad = aead::Aad::from(&*aad);
                let sealed = key.seal_in_place_separate_tag(nonce, aad, body).ok()?;
                tag.copy_from_slice(sealed.as_ref());
            }
            Suite::Cm(keys) => {
                let (cipher, mac) = &**keys;
                let (signed, tag) = packet.split_at_mut(end);
                xor(cipher, self.cm_nonce(ssrc, index), &mut signed[header..]).ok()?;
                tag.copy_from_slice(&rtp_tag(mac, signed, index));
            }
        }
        Some(())
    }

    /// How long header and payload are; `None` if the packet is not authentic.
    pub(super) fn open_rtp(&self, packet: &mut [u8], header: usize, index: u64) -> Option<usize> {
        let end = packet.len().checked_sub(self.tag_len())?;
        let ssrc = rtp_ssrc(packet)?;
        if header < RTP_HEADER || header > end {
            return None;
        }
        match &self.suite {
            Suite::Gcm(key) => {
                let (aad, body) = packet.split_at_mut(header);
                let nonce = self.gcm_nonce(ssrc, index);
                key.open_in_place(nonce, aead::Aad::from(&*aad), body).ok()?;
            }
            Suite::Cm(keys) => {
                let (cipher, mac) = &**keys;
                let (signed, tag) = packet.split_at_mut(end);
                let ours = rtp_tag(mac, signed, index);
                constant_time::verify_slices_are_equal(&ours, tag).ok()?;
                xor(cipher, self.cm_nonce(ssrc, index), &mut signed[header..]).ok()?;
            }
        }
        Some(end)
    }

    /// The compound and room for tag and trailer.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], index: u32) -> Option<()> {
        let end = packet.len().checked_sub(TRAILER + self.tag_len())?;
        let (ssrc, body) = (rtcp_ssrc(packet)?, end.checked_sub(RTCP_CLEAR)?);
        let trailer = (index | ENCRYPTED).to_be_bytes();
        match &self.suite {
            Suite::Gcm(key) => {
                let aad = rtcp_aad(packet, trailer)?;
                let (body, rest) = packet[RTCP_CLEAR..].split_at_mut(body);
                let nonce = self.gcm_nonce(ssrc, index.into());
                let tag = key.seal_in_place_separate_tag(nonce, aad, body).ok()?;
                let (at, last) = rest.split_at_mut(self.tag_len());
                at.copy_from_slice(tag.as_ref());
                last.copy_from_slice(&trailer);
            }
            Suite::Cm(keys) => {
                let (cipher, mac) = &**keys;
                xor(cipher, self.cm_nonce(ssrc, index.into()), &mut packet[RTCP_CLEAR..end])
                    .ok()?;
                let (signed, tag) = packet.split_at_mut(end + TRAILER);
                signed[end..].copy_from_slice(&trailer);
                tag.copy_from_slice(&hmac::sign(mac, signed).as_ref()[..tag.len()]);
            }
        }
        Some(())
    }

    /// The SRTCP index of a packet, to be checked before the packet is; `None`: it is none, or not
    /// encrypted, which WebRTC never does.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let end = packet.len().checked_sub(TRAILER + self.tag_len())?;
        let at = match self.suite {
            Suite::Gcm(_) => end + self.tag_len(),
            Suite::Cm(_) => end,
        };
        let trailer = u32::from_be_bytes(*packet.get(at..)?.first_chunk()?);
        (end >= RTCP_CLEAR && trailer & ENCRYPTED != 0).then_some(trailer & !ENCRYPTED)
    }

    /// The compound; `None` if the packet is not authentic.
    pub(super) fn open_rtcp<'a>(&self, packet: &'a mut [u8], index: u32) -> Option<&'a [u8]> {
        let end = packet.len().checked_sub(TRAILER + self.tag_len())?;
        let ssrc = rtcp_ssrc(packet)?;
        match &self.suite {
            Suite::Gcm(key) => {
                let aad = rtcp_aad(packet, (index | ENCRYPTED).to_be_bytes())?;
                let body = packet.get_mut(RTCP_CLEAR..end + self.tag_len())?;
                key.open_in_place(self.gcm_nonce(ssrc, index.into()), aad, body).ok()?;
            }
            Suite::Cm(keys) => {
                let (cipher, mac) = &**keys;
                let (signed, tag) = packet.split_at_mut(end + TRAILER);
                let ours = hmac::sign(mac, signed);
                constant_time::verify_slices_are_equal(ours.as_ref().get(..tag.len())?, tag)
                    .ok()?;
                let body = signed.get_mut(RTCP_CLEAR..end)?;
                xor(cipher, self.cm_nonce(ssrc, index.into()), body).ok()?;
            }
        }
        packet.get(..end)
    }

    /// RFC 7714 sections 8.1 and 9.1: two zeros, the SSRC, the 48-bit index (of SRTCP: 31 bits, in
    /// the same place), all xor the salt.
    fn gcm_nonce(&self, ssrc: u32, index: u64) -> aead::Nonce {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        nonce.iter_mut().zip(&self.salt).for_each(|(n, s)| *n ^= s);
        aead::Nonce::assume_unique_for_key(nonce)
    }

    /// RFC 3711 section 4.1.1: (salt << 16) xor (SSRC << 64) xor (index << 16).
    fn cm_nonce(&self, ssrc: u32, index: u64) -> [u8; 16] {
        let mut nonce = [0; 16];
        nonce[4..8].copy_from_slice(&ssrc.to_be_bytes());
        nonce[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        nonce.iter_mut().zip(&self.salt).for_each(|(n, s)| *n ^= s);
        nonce
    }
}

/// RFC 3711 section 4.3.1 with a key derivation rate of 0. A salt of 12 bytes is padded on the
/// right (RFC 7714 section 11).
pub(super) fn derive(
    master: &EncryptingKey,
    salt: &[u8],
    label: u8,
    out: &mut [u8],
) -> Result<(), Unspecified> {
    let mut nonce = [0; 16];
    nonce.iter_mut().zip(salt).for_each(|(n, s)| *n = *s);
    nonce[7] ^= label;
    out.fill(0);
    xor(master, nonce, out)
}

pub(super) fn counter_mode(key: &[u8]) -> Result<EncryptingKey, Unspecified> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key)?)
}

fn xor(key: &EncryptingKey, nonce: [u8; 16], data: &mut [u8]) -> Result<(), Unspecified> {
    let context = EncryptionContext::Iv128(FixedLength::from(&nonce));
    key.less_safe_encrypt(data, context).map(|_| ())
}

/// Over the packet and the rollover counter (RFC 3711 section 4.2).
fn rtp_tag(mac: &hmac::Key, signed: &[u8], index: u64) -> [u8; 10] {
    let mut context = hmac::Context::with_key(mac);
    context.update(signed);
    context.update(&index.to_be_bytes()[2..6]);
    let mut tag = [0; 10];
    tag.copy_from_slice(&context.sign().as_ref()[..10]);
    tag
}

/// The clear part and the trailer (RFC 7714 section 9.2).
fn rtcp_aad(packet: &[u8], trailer: [u8; TRAILER]) -> Option<aead::Aad<[u8; 12]>> {
    let mut aad = [0; RTCP_CLEAR + TRAILER];
    aad[..RTCP_CLEAR].copy_from_slice(packet.get(..RTCP_CLEAR)?);
    aad[RTCP_CLEAR..].copy_from_slice(&trailer);
    Some(aead::Aad::from(aad))
}

fn rtp_ssrc(packet: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*packet.get(8..)?.first_chunk()?))
}

fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*packet.get(4..)?.first_chunk()?))
}
