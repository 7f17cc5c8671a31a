//! Who servers under test are (RFC 5280): certificates of an authority of our own, which the clients here trust and nobody
//! else does, and TLS as OpenSSL speaks it.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnector, SslMethod, SslStream};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

const MADE: &str = "libssl makes a certificate";
/// A connection that says nothing for so long is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// One for this whole test program.
static AUTHORITY: LazyLock<(X509, PKey<Private>)> = LazyLock::new(|| {
    let key = key();
    let mut made = begun("An authority for tests", &key);
    made.set_issuer_name(&name("An authority for tests")).expect(MADE);
    let authority = BasicConstraints::new().critical().ca().build().expect(MADE);
    made.append_extension(authority).expect(MADE);
    made.sign(&key, MessageDigest::sha256()).expect(MADE);
    (made.build(), key)
});

/// More of them.
static OTHERS: Mutex<Vec<X509>> = Mutex::new(Vec::new());

/// Another authority whose certificates the clients of this test program take, in PEM form.
pub fn also_trust(pem: &[u8]) {
    OTHERS.lock().unwrap().push(X509::from_pem(pem).expect("PEM"));
}

/// All of them.
fn authorities() -> Vec<X509> {
    let others = OTHERS.lock().unwrap();
    [AUTHORITY.0.clone()].into_iter().chain(others.iter().cloned()).collect()
}

/// Certificate and key of a server, in a folder of their own.
#[derive(Debug)]
pub struct Identity {
    folder: PathBuf,
}

impl Identity {
    /// Of this machine, good for two days.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-test-tls-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let new = Self { folder };
        fs::write(new.authority(), pem(&AUTHORITY.0)).expect(MADE);
        new.renew();
        new
    }

    /// With an RSA key.
    pub fn rsa() -> Self {
        let new = Self::new();
        let key = Rsa::generate(2048).and_then(PKey::from_rsa);
        new.write(&key.expect(MADE));
        new
    }

    /// Another certificate and key in the same files.
    pub fn renew(&self) {
        self.write(&key());
    }

    fn write(&self, key: &PKey<Private>) {
        let (authority, signer) = &*AUTHORITY;
        let mut made = begun("localhost", key);
        made.set_issuer_name(authority.subject_name()).expect(MADE);
        let mut names = SubjectAlternativeName::new();
        names.dns("localhost").ip("127.0.0.1").ip("::1");
        let names = names.build(&made.x509v3_context(Some(authority), None)).expect(MADE);
        made.append_extension(names).expect(MADE);
        made.sign(signer, MessageDigest::sha256()).expect(MADE);
        fs::write(self.certificate(), pem(&made.build())).expect(MADE);
        fs::write(self.key(), key.private_key_to_pem_pkcs8().expect(MADE)).expect(MADE);
    }

    /// The file with the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("cert.pem")
    }

    /// The file with its key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("key.pem")
    }

    /// The file with the authority's certificate.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// What a configuration file says of it.
    pub fn toml(&self) -> String {
        let (cert, key) = (self.certificate(), self.key());
        format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", cert.display(), key.display())
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The certificates of those whom clients trust in PEM form, into a file.
pub fn write_authorities(file: &Path) {
    let all: Vec<u8> = authorities().iter().flat_map(pem).collect();
    fs::write(file, all).expect("the temporary folder can be written");
}

/// Whom HTTP clients trust.
pub fn trust() -> TlsConfig {
    let root = |root: &X509| Certificate::from_der(&root.to_der().expect(MADE)).to_owned();
    let roots: Vec<_> = authorities().iter().map(root).collect();
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()))
        .build()
}

/// A connection to `host:port`, as `localhost`; of these protocols one may be chosen by ALPN.
///
/// # Errors
/// If there is none.
pub fn connect(address: &str, protocols: &[&str]) -> Result<SslStream<TcpStream>, String> {
    let mut ssl = SslConnector::builder(SslMethod::tls()).map_err(|e| e.to_string())?;
    for authority in authorities() {
        ssl.cert_store_mut().add_cert(authority).map_err(|e| e.to_string())?;
    }
    let wire: Vec<u8> =
        protocols.iter().flat_map(|name| [&[name.len() as u8], name.as_bytes()].concat()).collect();
    if !wire.is_empty() {
        ssl.set_alpn_protos(&wire).map_err(|e| e.to_string())?;
    }
    let socket = TcpStream::connect(address).map_err(|e| e.to_string())?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|e| e.to_string())?;
    ssl.build().connect("localhost", socket).map_err(|e| e.to_string())
}

/// The serial number of the certificate that a server shows now.
#[track_caller]
pub fn shown(address: &str) -> String {
    try_shown(address).unwrap_or_else(|e| panic!("{address}: {e}"))
}

/// As [`shown`].
///
/// # Errors
/// If there is none that is good for `localhost`.
pub fn try_shown(address: &str) -> Result<String, String> {
    let stream = connect(address, &[])?;
    Ok(serial(&stream.ssl().peer_certificate().expect("a server shows one")))
}

/// The same of a file.
#[track_caller]
pub fn serial_in(file: &Path) -> String {
    serial(&X509::from_pem(&fs::read(file).expect("a file of the test")).expect("PEM"))
}

fn serial(certificate: &X509) -> String {
    let number = certificate.serial_number().to_bn().expect("a number");
    number.to_hex_str().expect("a number").to_string()
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect(MADE);
    PKey::from_ec_key(EcKey::generate(&group).expect(MADE)).expect(MADE)
}

fn name(text: &str) -> openssl::x509::X509Name {
    let mut name = X509NameBuilder::new().expect(MADE);
    name.append_entry_by_text("CN", text).expect(MADE);
    name.build()
}

/// All but who signs it, and what for.
fn begun(subject: &str, key: &PKey<Private>) -> X509Builder {
    let mut made = X509::builder().expect(MADE);
    let mut serial = BigNum::new().expect(MADE);
    serial.rand(120, MsbOption::ONE, false).expect(MADE);
    made.set_version(2).expect(MADE);
    made.set_serial_number(&serial.to_asn1_integer().expect(MADE)).expect(MADE);
    made.set_subject_name(&name(subject)).expect(MADE);
    made.set_pubkey(key).expect(MADE);
    made.set_not_before(&Asn1Time::days_from_now(0).expect(MADE)).expect(MADE);
    made.set_not_after(&Asn1Time::days_from_now(2).expect(MADE)).expect(MADE);
    made
}

fn pem(certificate: &X509) -> Vec<u8> {
    certificate.to_pem().expect(MADE)
}
