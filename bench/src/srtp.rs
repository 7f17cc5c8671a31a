//! SRTP and SRTCP (RFC 3711, RFC 7714) as a client needs them. Independent of the server's own on purpose: a load tool that shared its faults
//! would not find them.

use anyhow::{Result, bail};
use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{aead, constant_time, hmac};

/// A protection profile, by its number in the registry of DTLS-SRTP (RFC 5764, RFC 7714).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// `SRTP_AES128_CM_HMAC_SHA1_80`
    Aes128CmSha1,
    /// `SRTP_AEAD_AES_128_GCM`
    Aes128Gcm,
    /// `SRTP_AEAD_AES_256_GCM`
    Aes256Gcm,
}

/// Longest tag, and with SRTCP's index the most that sealing adds.
pub const OVERHEAD: usize = 16 + 4;

impl Profile {
    /// From its registered number.
    pub fn from_id(id: u64) -> Option<Self> {
        match id {
            1 => Some(Self::Aes128CmSha1),
            7 => Some(Self::Aes128Gcm),
            8 => Some(Self::Aes256Gcm),
            _ => None,
        }
    }

    /// Short name, as `--srtp` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1 => "aes128-cm-sha1",
            Self::Aes128Gcm => "aes128-gcm",
            Self::Aes256Gcm => "aes256-gcm",
        }
    }

    /// Bytes of master key and master salt.
    pub fn lengths(self) -> (usize, usize) {
        match self {
            Self::Aes128CmSha1 => (16, 14),
            Self::Aes128Gcm => (16, 12),
            Self::Aes256Gcm => (32, 12),
        }
    }

    /// Bytes that sealing adds to an RTP packet.
    pub fn tag(self) -> usize {
        if self == Self::Aes128CmSha1 { 10 } else { 16 }
    }
}

enum Cipher {
    Gcm(aead::LessSafeKey),
    // Large, and the profile that few agree on: in a box, so that it costs the others nothing.
    Cm(Box<(EncryptingKey, hmac::Key)>),
}

/// One of the two halves, RTP or RTCP.
struct Half {
    cipher: Cipher,
    salt: [u8; 14],
}

/// Keys of one direction.
pub struct Keys {
    rtp: Half,
    rtcp: Half,
    profile: Profile,
    /// Of the last SRTCP packet sent.
    index: u32,
}

fn counter_mode(key: &[u8]) -> Result<EncryptingKey> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    Ok(EncryptingKey::ctr(UnboundCipherKey::new(algorithm, key)?)?)
}

fn xor(key: &EncryptingKey, iv: [u8; 16], data: &mut [u8]) -> Option<()> {
    key.less_safe_encrypt(data, EncryptionContext::Iv128(FixedLength::from(&iv))).ok().map(drop)
}

/// RFC 3711 section 4.3.1, without key renewal.
fn derive(master: &EncryptingKey, salt: &[u8], label: u8, length: usize) -> Result<Vec<u8>> {
    let mut iv = [0; 16];
    iv[..salt.len()].copy_from_slice(salt);
    iv[7] ^= label;
    let mut out = vec![0; length];
    if xor(master, iv, &mut out).is_none() {
        bail!("SRTP keys cannot be derived");
    }
    Ok(out)
}

impl Half {
    fn new(profile: Profile, master: &EncryptingKey, salt: &[u8], label: u8) -> Result<Self> {
        let (key_length, salt_length) = profile.lengths();
        let key = derive(master, salt, label, key_length)?;
        let session = derive(master, salt, label + 2, salt_length)?;
        let mut salt_14 = [0; 14];
        salt_14[..salt_length].copy_from_slice(&session);
        let gcm = |algorithm| -> Result<Cipher> {
            Ok(Cipher::Gcm(aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, &key)?)))
        };
        let cipher = match profile {
            Profile::Aes128Gcm => gcm(&aead::AES_128_GCM)?,
            Profile::Aes256Gcm => gcm(&aead::AES_256_GCM)?,
            Profile::Aes128CmSha1 => {
                let auth = derive(master, salt, label + 1, 20)?;
                let auth = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &auth);
                Cipher::Cm(Box::new((counter_mode(&key)?, auth)))
            }
        };
        Ok(Self { cipher, salt: salt_14 })
    }

    /// RFC 7714 section 8.1 and 9.1.
    fn nonce(&self, ssrc: [u8; 4], index: u64) -> aead::Nonce {
        let mut iv = [0; 12];
        iv[2..6].copy_from_slice(&ssrc);
        iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
        iv.iter_mut().zip(&self.salt).for_each(|(a, b)| *a ^= b);
        aead::Nonce::assume_unique_for_key(iv)
    }

    /// RFC 3711 section 4.1.1.
    fn iv(&self, ssrc: [u8; 4], index: u64) -> [u8; 16] {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[4..8].iter_mut().zip(ssrc).for_each(|(a, b)| *a ^= b);
        iv[8..14].iter_mut().zip(&index.to_be_bytes()[2..]).for_each(|(a, b)| *a ^= b);
        iv
    }
}

fn ssrc_at(packet: &[u8], at: usize) -> Option<[u8; 4]> {
    packet.get(at..)?.first_chunk().copied()
}

impl Keys {
    /// Both directions from the exported keying material: what we send with, what we receive with.
    ///
    /// # Errors
    /// If the material is too short.
    pub fn pair(profile: Profile, material: &[u8], client: bool) -> Result<(Self, Self)> {
        let (key, salt) = profile.lengths();
        if material.len() < 2 * (key + salt) {
            bail!("keying material of {} bytes is too short", material.len());
        }
        let (keys, salts) = material.split_at(2 * key);
        let ours = Self::new(profile, &keys[..key], &salts[..salt])?;
        let theirs = Self::new(profile, &keys[key..], &salts[salt..2 * salt])?;
        Ok(if client { (ours, theirs) } else { (theirs, ours) })
    }

    fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self> {
        let master = counter_mode(key)?;
        let half = |label| Half::new(profile, &master, salt, label);
        Ok(Self { rtp: half(0)?, rtcp: half(3)?, profile, index: 0 })
    }

    /// Seals the RTP packet `packet[..end]` with a header of `header` bytes in place; the tag goes
    /// behind it. `index` is the sequence number with its rollovers. Returns the new end, `None`
    /// if there is no room.
    pub fn seal_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        end: usize,
        index: u64,
    ) -> Option<usize> {
        let ssrc = ssrc_at(packet, 8)?;
        let sealed = end + self.profile.tag();
        let (body, tag) = packet.get_mut(..sealed)?.split_at_mut(end);
        match &self.rtp.cipher {
            Cipher::Gcm(key) => {
                let (aad, payload) = body.split_at_mut_checked(header)?;
                let nonce = self.rtp.nonce(ssrc, index);
                let aad = aead::Aad::from(&*aad);
                let made = key.seal_in_place_separate_tag(nonce, aad, payload).ok()?;
                tag.copy_from_slice(made.as_ref());
            }
            Cipher::Cm(keys) => {
                let (key, auth) = &**keys;
                xor(key, self.rtp.iv(ssrc, index), body.get_mut(header..)?)?;
                tag.copy_from_slice(&authentic(auth, body, index)[..10]);
            }
        }
        Some(sealed)
    }

    /// Opens an SRTP packet in place; returns where its payload ends (padding included), `None` if
    /// it is not authentic.
    pub fn open_rtp(&self, packet: &mut [u8], header: usize, index: u64) -> Option<usize> {
        let ssrc = ssrc_at(packet, 8)?;
        let end = packet.len().checked_sub(self.profile.tag()).filter(|end| *end >= header)?;
        match &self.rtp.cipher {
            Cipher::Gcm(key) => {
                let (aad, payload) = packet.split_at_mut(header);
                let nonce = self.rtp.nonce(ssrc, index);
                key.open_in_place(nonce, aead::Aad::from(&*aad), payload).ok()?;
            }
            Cipher::Cm(keys) => {
                let (key, auth) = &**keys;
                let (body, tag) = packet.split_at_mut(end);
                let right = authentic(auth, body, index);
                constant_time::verify_slices_are_equal(&right[..10], tag).ok()?;
                xor(key, self.rtp.iv(ssrc, index), &mut body[header..])?;
            }
        }
        Some(end)
    }

    /// Seals the compound RTCP packet `packet[..end]` in place; tag and index go behind it.
    pub fn seal_rtcp(&mut self, packet: &mut [u8], end: usize) -> Option<usize> {
        let ssrc = ssrc_at(packet, 4)?;
        let index = self.index;
        self.index = (self.index + 1) & 0x7fff_ffff;
        let trailer = (index | 0x8000_0000).to_be_bytes();
        let tag_length = self.profile.tag();
        let (body, rest) = packet.get_mut(..end + tag_length + 4)?.split_at_mut(end);
        match &self.rtcp.cipher {
            Cipher::Gcm(key) => {
                let (head, inside) = body.split_at_mut_checked(8)?;
                let nonce = self.rtcp.nonce(ssrc, u64::from(index));
                let aad = aead::Aad::from(rtcp_aad(head, trailer)?);
                let tag = key.seal_in_place_separate_tag(nonce, aad, inside).ok()?;
                rest[..16].copy_from_slice(tag.as_ref());
                rest[16..].copy_from_slice(&trailer);
            }
            Cipher::Cm(keys) => {
                let (key, auth) = &**keys;
                xor(key, self.rtcp.iv(ssrc, u64::from(index)), body.get_mut(8..)?)?;
                rest[..4].copy_from_slice(&trailer);
                let mut context = hmac::Context::with_key(auth);
                context.update(body);
                context.update(&trailer);
                rest[4..].copy_from_slice(&context.sign().as_ref()[..10]);
            }
        }
        Some(end + tag_length + 4)
    }

    /// Opens an SRTCP packet in place; returns the compound packet, `None` if it is not authentic.
    pub fn open_rtcp<'a>(&self, packet: &'a mut [u8]) -> Option<&'a [u8]> {
        let ssrc = ssrc_at(packet, 4)?;
        let number = |bytes: &[u8]| Some(u32::from_be_bytes(*bytes.first_chunk()?));
        match &self.rtcp.cipher {
            Cipher::Gcm(key) => {
                let at = packet.len().checked_sub(4).filter(|at| *at >= 8 + 16)?;
                let trailer = number(&packet[at..])?;
                let aad = rtcp_aad(&packet[..8], trailer.to_be_bytes())?;
                let nonce = self.rtcp.nonce(ssrc, u64::from(trailer & 0x7fff_ffff));
                key.open_in_place(nonce, aead::Aad::from(aad), &mut packet[8..at]).ok()?;
                Some(&packet[..at - 16])
            }
            Cipher::Cm(keys) => {
                let (key, auth) = &**keys;
                let at = packet.len().checked_sub(10).filter(|at| *at >= 8 + 4)?;
                let right = hmac::sign(auth, &packet[..at]);
                let right = &right.as_ref()[..10];
                constant_time::verify_slices_are_equal(right, &packet[at..]).ok()?;
                let index = number(&packet[at - 4..])? & 0x7fff_ffff;
                xor(key, self.rtcp.iv(ssrc, u64::from(index)), &mut packet[8..at - 4])?;
                Some(&packet[..at - 4])
            }
        }
    }
}

fn rtcp_aad(head: &[u8], trailer: [u8; 4]) -> Option<[u8; 12]> {
    let mut aad = [0; 12];
    aad[..8].copy_from_slice(head.get(..8)?);
    aad[8..].copy_from_slice(&trailer);
    Some(aad)
}

fn authentic(key: &hmac::Key, body: &[u8], index: u64) -> [u8; 20] {
    let mut context = hmac::Context::with_key(key);
    context.update(body);
    context.update(&((index >> 16) as u32).to_be_bytes());
    let mut tag = [0; 20];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Profile; 3] = [Profile::Aes128CmSha1, Profile::Aes128Gcm, Profile::Aes256Gcm];

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn keys_are_derived_as_in_the_rfc() {
        // RFC 3711 appendix B.3.
        let master = counter_mode(&hex("E1F97A0D3E018BE0D64FA32C06DE4139")).unwrap();
        let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
        let made = |label, length| derive(&master, &salt, label, length).unwrap();
        assert_eq!(made(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(made(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(made(1, 20), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn what_one_side_seals_the_other_opens_and_nothing_else() {
        for profile in ALL {
            let material: Vec<u8> = (0..96).collect();
            let (mut ours, _) = Keys::pair(profile, &material, true).unwrap();
            let (_, theirs) = Keys::pair(profile, &material, false).unwrap();
            let plain: Vec<u8> = (0..100).map(|i| if i == 0 { 0x80 } else { i }).collect();
            let index = (7 << 16) | 0x0203;

            let mut packet = plain.clone();
            packet.resize(100 + OVERHEAD, 0);
            let sealed = ours.seal_rtp(&mut packet, 12, 100, index).unwrap();
            packet.truncate(sealed);
            assert!(theirs.open_rtp(&mut packet.clone(), 12, index + 65536).is_none());
            assert_eq!(theirs.open_rtp(&mut packet, 12, index), Some(100));
            assert_eq!(packet[..100], plain);

            let mut report = plain.clone();
            report.resize(100 + OVERHEAD, 0);
            let sealed = ours.seal_rtcp(&mut report, 100).unwrap();
            report.truncate(sealed);
            let mut bent = report.clone();
            bent[50] ^= 1;
            assert!(theirs.open_rtcp(&mut bent).is_none());
            assert_eq!(theirs.open_rtcp(&mut report), Some(&plain[..]));
        }
    }
}
