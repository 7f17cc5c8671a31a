//! Keys and certificates that are made here: the request for a certificate (RFC 2986), and the proof that a name leads
//! here (RFC 8737 section 3), which a connection is shown that asks for it by ALPN.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::sign::CertifiedKey;

use super::Failure;

/// What the authority looks at: for this name, with the digest of its challenge.
pub(super) fn proof(name: &str, digest: &[u8; 32]) -> Result<Arc<CertifiedKey>, Failure> {
    let key = KeyPair::generate().map_err(made)?;
    let mut params = CertificateParams::new([name.to_owned()]).map_err(made)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(made)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(key.into());
    let key = key.map_err(|e| Failure::Made(e.to_string()))?;
    // Nobody is to believe this one, so it is not looked at: its extension is critical, and not known to all.
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}

/// A request for a certificate of these names in DER form, and its new key in PEM form.
pub(super) fn request(names: &[String]) -> Result<(Vec<u8>, String), Failure> {
    let key = KeyPair::generate().map_err(made)?;
    let mut params = CertificateParams::new(names).map_err(made)?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(made)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}

fn made(e: rcgen::Error) -> Failure {
    Failure::Made(e.to_string())
}
