//! DTLS 1.2 (RFC 6347, RFC 5764) by libssl, both roles: one context and one certificate for all
//! sessions of a run. The certificate of the other side is judged by the fingerprint of its SDP.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, Read, Write};

use anyhow::{Context as _, Result, anyhow, bail};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode,
    SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::{X509, X509NameBuilder};

use crate::srtp::{Keys, Profile};

/// First wait for an answer; doubled each time.
const RETRY: u64 = 200_000;
const TRIES: u32 = 7;
/// Chromium's order: the first is what every endpoint must have.
const PROFILES: [(Profile, &str); 3] = [
    (Profile::Aes128CmSha1, "SRTP_AES128_CM_SHA1_80"),
    (Profile::Aes256Gcm, "SRTP_AEAD_AES_256_GCM"),
    (Profile::Aes128Gcm, "SRTP_AEAD_AES_128_GCM"),
];

/// What all sessions of a run share.
pub struct Shared {
    client: SslContext,
    server: SslContext,
    /// `sha-256 AB:CD:…`, as `a=fingerprint` has it.
    pub fingerprint: String,
}

impl Shared {
    /// A fresh ECDSA certificate, and contexts that offer every profile, or only one.
    ///
    /// # Errors
    /// If libssl refuses.
    pub fn new(only: Option<Profile>) -> Result<Self> {
        let (certificate, key) = certificate().context("no certificate can be made")?;
        let names: Vec<&str> = PROFILES
            .iter()
            .filter(|(p, _)| only.is_none_or(|o| o == *p))
            .map(|(_, n)| *n)
            .collect();
        let context = |method| -> Result<SslContext> {
            let mut builder = SslContextBuilder::new(method)?;
            builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
            builder.set_groups_list("X25519:P-256:P-384")?;
            builder.set_tlsext_use_srtp(&names.join(":"))?;
            let both = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
            builder.set_verify_callback(both, |_, _| true);
            builder.set_certificate(&certificate)?;
            builder.set_private_key(&key)?;
            builder.set_session_cache_mode(SslSessionCacheMode::OFF);
            builder.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
            Ok(builder.build())
        };
        let digest = certificate.digest(MessageDigest::sha256())?;
        let (client, server) =
            (context(SslMethod::dtls_client())?, context(SslMethod::dtls_server())?);
        Ok(Self { client, server, fingerprint: format!("sha-256 {}", colons(&digest)) })
    }
}

fn certificate() -> Result<(X509, PKey<Private>)> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "WebRTC")?;
    let name = name.build();
    let mut serial = [0; 8];
    openssl::rand::rand_bytes(&mut serial)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let serial = BigNum::from_slice(&serial)?.to_asn1_integer()?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_pubkey(&key)?;
    let (from, until) = (Asn1Time::from_unix(1_577_836_800)?, Asn1Time::days_from_now(30)?);
    builder.set_not_before(&from)?;
    builder.set_not_after(&until)?;
    builder.sign(&key, MessageDigest::sha256())?;
    Ok((builder.build(), key))
}

fn colons(digest: &[u8]) -> String {
    digest.iter().enumerate().fold(String::new(), |mut text, (i, byte)| {
        let _ = write!(text, "{}{byte:02X}", if i == 0 { "" } else { ":" });
        text
    })
}

/// libssl's view of the network: one datagram in, any number out.
#[derive(Default)]
struct Wire {
    input: Option<Vec<u8>>,
    output: VecDeque<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.input.take().ok_or(io::ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.push_back(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One handshake.
pub struct Dtls {
    stream: Option<SslStream<Wire>>,
    client: bool,
    up: bool,
    /// The last flight as it was sent; what a lost one is mended with.
    flight: Vec<Vec<u8>>,
    due: u64,
    tries: u32,
    /// Says that we leave, sealed when the handshake was done.
    goodbye: Vec<Vec<u8>>,
}

/// What the handshake gave.
pub struct Established {
    /// What was agreed on.
    pub profile: Profile,
    /// What we seal with.
    pub send: Keys,
    /// What we open with.
    pub receive: Keys,
}

impl Dtls {
    /// `client` if the answer said `a=setup:passive`.
    ///
    /// # Errors
    /// If libssl refuses.
    pub fn new(shared: &Shared, client: bool) -> Result<Self> {
        let mut ssl = Ssl::new(if client { &shared.client } else { &shared.server })?;
        ssl.set_mtu(1200)?;
        if client {
            ssl.set_connect_state();
        } else {
            ssl.set_accept_state();
        }
        let stream = Some(SslStream::new(ssl, Wire::default())?);
        let (flight, goodbye) = (Vec::new(), Vec::new());
        Ok(Self { stream, client, up: false, flight, due: u64::MAX, tries: 0, goodbye })
    }

    /// Takes a datagram, or none to begin; gives the keys once. `fingerprint` is the one of the
    /// server's answer.
    ///
    /// # Errors
    /// If the handshake has failed or the certificate is somebody else's.
    pub fn step(
        &mut self,
        now: u64,
        datagram: Option<&[u8]>,
        fingerprint: &str,
        mut send: impl FnMut(&[u8]),
    ) -> Result<Option<Established>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        stream.get_mut().input = datagram.map(<[u8]>::to_vec);
        let mut made = None;
        if !self.up {
            match stream.do_handshake() {
                Ok(()) => {
                    self.up = true;
                    made = Some(established(stream.ssl(), fingerprint, self.client)?);
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => {}
                Err(error) => {
                    stream.get_mut().output.drain(..).for_each(|d| send(&d));
                    bail!("DTLS: {error}");
                }
            }
        } else {
            // A repeated flight of the other side makes libssl repeat ours.
            let _ = stream.ssl_read(&mut [0; 64]);
        }
        let fresh: Vec<Vec<u8>> = stream.get_mut().output.drain(..).collect();
        fresh.iter().for_each(|d| send(d));
        if self.up {
            (self.flight, self.due) = (Vec::new(), u64::MAX);
        } else if !fresh.is_empty() {
            (self.flight, self.tries, self.due) = (fresh, 0, now + RETRY);
        }
        if made.is_some() {
            let _ = stream.shutdown();
            self.goodbye = stream.get_mut().output.drain(..).collect();
            // The client had the last word but one: it has nothing to repeat any more, and 70 KB
            // per session are worth freeing.
            if self.client {
                self.stream = None;
            }
        }
        Ok(made)
    }

    /// Repeats a flight that was not answered.
    ///
    /// # Errors
    /// If that was tried too often.
    pub fn tick(&mut self, now: u64, mut send: impl FnMut(&[u8])) -> Result<()> {
        if now < self.due {
            return Ok(());
        }
        if self.tries == TRIES {
            bail!("DTLS: no answer");
        }
        self.tries += 1;
        self.due = now + (RETRY << self.tries);
        self.flight.iter().for_each(|d| send(d));
        Ok(())
    }

    /// The close_notify.
    pub fn close(&self, mut send: impl FnMut(&[u8])) {
        self.goodbye.iter().for_each(|d| send(d));
    }
}

fn established(ssl: &openssl::ssl::SslRef, fingerprint: &str, client: bool) -> Result<Established> {
    let certificate = ssl.peer_certificate().ok_or_else(|| anyhow!("DTLS: no certificate"))?;
    let (name, wanted) = fingerprint.split_once(' ').unwrap_or(("sha-256", fingerprint));
    let digest = MessageDigest::from_name(&name.replace('-', ""))
        .ok_or_else(|| anyhow!("the answer's fingerprint is by an unknown hash: {name}"))?;
    let got = colons(&certificate.digest(digest)?);
    if !got.eq_ignore_ascii_case(wanted.trim()) {
        bail!("DTLS: the certificate is not the one of the answer");
    }
    let id = ssl.selected_srtp_profile().map(|p| p.id().as_raw());
    let profile = id.and_then(Profile::from_id);
    let profile = profile.ok_or_else(|| anyhow!("DTLS: no SRTP profile in common"))?;
    let (key, salt) = profile.lengths();
    let mut material = vec![0; 2 * (key + salt)];
    ssl.export_keying_material(&mut material, "EXTRACTOR-dtls_srtp", None)?;
    let (send, receive) = Keys::pair(profile, &material, client)?;
    Ok(Established { profile, send, receive })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shake(server: &Shared, client: &Shared, told: &str) -> Result<(Established, Established)> {
        let (mut s, mut c) = (Dtls::new(server, false)?, Dtls::new(client, true)?);
        let (mut to_s, mut to_c) = (VecDeque::new(), VecDeque::<Vec<u8>>::new());
        c.step(0, None, told, |d| to_s.push_back(d.to_vec()))?;
        let (mut a, mut b) = (None, None);
        while a.is_none() || b.is_none() {
            if let Some(d) = to_s.pop_front() {
                let got =
                    s.step(0, Some(&d), &client.fingerprint, |d| to_c.push_back(d.to_vec()))?;
                a = a.or(got);
            } else if let Some(d) = to_c.pop_front() {
                let got = c.step(0, Some(&d), told, |d| to_s.push_back(d.to_vec()))?;
                b = b.or(got);
            } else {
                bail!("both wait");
            }
        }
        Ok((a.unwrap(), b.unwrap()))
    }

    #[test]
    fn both_roles_come_to_keys_that_fit() {
        for only in [None, Some(Profile::Aes128Gcm), Some(Profile::Aes256Gcm)] {
            let (server, client) = (Shared::new(None).unwrap(), Shared::new(only).unwrap());
            let (s, mut c) = shake(&server, &client, &server.fingerprint).unwrap();
            assert_eq!(s.profile, c.profile);
            assert!(only.is_none_or(|only| only == c.profile));
            let mut packet = [7; 64];
            let end = c.send.seal_rtcp(&mut packet, 32).unwrap();
            assert!(s.receive.open_rtcp(&mut packet[..end]).is_some());
        }
    }

    #[test]
    fn a_certificate_that_the_answer_did_not_name_is_refused() {
        let (server, client) = (Shared::new(None).unwrap(), Shared::new(None).unwrap());
        assert!(shake(&server, &client, &client.fingerprint).is_err());
    }
}
