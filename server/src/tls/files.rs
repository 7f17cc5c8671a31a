//! Certificates and keys in PEM form (RFC 7468).

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

use super::Error;

/// What the files of `tls.cert` and `tls.key` hold.
///
/// # Errors
/// If a file is missing or no PEM, or the key is not that of the certificate.
pub(super) fn read(cert: &Path, key: &Path) -> Result<Arc<CertifiedKey>, Error> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| file("tls.cert", cert, &e))?;
    if chain.is_empty() {
        return Err(file("tls.cert", cert, &pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| file("tls.key", key, &e))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|e| Error::Pair(e.to_string()))
}

/// The same of one text with both.
///
/// # Errors
/// Why it cannot be used.
pub(super) fn pem(text: &[u8]) -> Result<Arc<CertifiedKey>, String> {
    let chain = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| format!("{e:?}"))?;
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|e| format!("{e:?}"))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map(Arc::new)
        .map_err(|e| e.to_string())
}

fn file(key: &'static str, path: &Path, error: &pem::Error) -> Error {
    let reason = match error {
        pem::Error::Io(e) if e.kind() == io::ErrorKind::NotFound => {
            "there is no such file".to_owned()
        }
        pem::Error::Io(e) => e.to_string(),
        pem::Error::NoItemsFound => "the file holds none in PEM form".to_owned(),
        other => format!("the file is no PEM: {other:?}"),
    };
    Error::File { key, path: path.to_owned(), reason }
}
