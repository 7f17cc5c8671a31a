//! The DTLS of a client in memory, by libssl (RFC 6347, RFC 5764), on a network that loses nothing
//! until the keys are there.

use std::io::{self, Read, Write};

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    ErrorCode, Ssl, SslContextBuilder, SslMethod, SslOptions, SslStream, SslVerifyMode,
};
use openssl::x509::X509;
use sfu::transport::srtp::{Keys, Opener, Profile, Sealer};
use signaling::Fingerprint;

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    certificate: X509,
    key: PKey<Private>,
}

impl Identity {
    pub(crate) fn generate() -> Self {
        Self::try_generate().expect("libssl makes a certificate")
    }

    fn try_generate() -> Result<Self, ErrorStack> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(30)?);
        builder.set_not_before(&from)?;
        builder.set_not_after(&to)?;
        builder.set_pubkey(&key)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let digest = self.certificate.digest(MessageDigest::sha256()).expect("a digest");
        Fingerprint { algorithm: "sha-256".into(), digest: digest.to_vec() }
    }
}

#[derive(Default)]
struct Pipe {
    incoming: Option<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.take().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The client of a handshake.
pub(crate) struct Tls {
    stream: SslStream<Pipe>,
    up: bool,
    pub(crate) closed: bool,
}

impl Tls {
    pub(crate) fn new(identity: &Identity) -> Self {
        let make = || {
            let mut builder = SslContextBuilder::new(SslMethod::dtls())?;
            builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
            builder.set_certificate(&identity.certificate)?;
            builder.set_private_key(&identity.key)?;
            builder.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
            let names: Vec<&str> = Profile::ALL.iter().map(|p| p.name()).collect();
            builder.set_tlsext_use_srtp(&names.join(":"))?;
            let mut ssl = Ssl::new(&builder.build())?;
            ssl.set_mtu(1200)?;
            ssl.set_connect_state();
            SslStream::new(ssl, Pipe::default())
        };
        Self { stream: make().expect("libssl works"), up: false, closed: false }
    }

    /// One datagram in, or none to begin; what is said to that, and the keys when they are there.
    pub(crate) fn step(
        &mut self,
        datagram: Option<&[u8]>,
    ) -> (Vec<Vec<u8>>, Option<(Sealer, Opener)>) {
        self.stream.get_mut().incoming = datagram.map(<[u8]>::to_vec);
        let mut keys = None;
        if !self.up {
            match self.stream.do_handshake() {
                Ok(()) => {
                    self.up = true;
                    keys = Some(self.keys());
                }
                Err(e) if e.code() == ErrorCode::WANT_READ => {}
                Err(e) => panic!("the client's handshake: {e}"),
            }
        }
        if self.up {
            self.closed |= self
                .stream
                .ssl_read(&mut [0; 64])
                .is_err_and(|e| e.code() == ErrorCode::ZERO_RETURN);
        }
        (std::mem::take(&mut self.stream.get_mut().outgoing), keys)
    }

    fn keys(&self) -> (Sealer, Opener) {
        let ssl = self.stream.ssl();
        let id = ssl.selected_srtp_profile().expect("a profile").id().as_raw();
        let profile = Profile::ALL.into_iter().find(|p| u64::from(p.id()) == id);
        let profile = profile.expect("one that was offered");
        let mut material = vec![0; profile.material_len()];
        ssl.export_keying_material(&mut material, "EXTRACTOR-dtls_srtp", None).expect("keys");
        let (ours, theirs) = Keys::pair(profile, &material).expect("the right length");
        (Sealer::new(&ours).expect("keys"), Opener::new(&theirs).expect("keys"))
    }
}
