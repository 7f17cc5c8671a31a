//! RTMPS: TLS in front of the same connections. The crypto provider is named here, for another one may be part of
//! the build.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read, or holds something else.
    #[error("{key} = \"{}\": {reason}", path.display())]
    File {
        /// Of the configuration.
        key: &'static str,
        /// Its value.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The two do not belong together.
    #[error("tls.cert and tls.key cannot be used together: {0}")]
    Pair(String),
}

/// Accepts TLS 1.2 and 1.3 as whoever the certificate says.
///
/// # Errors
/// If a file is missing or no PEM, or the key is not that of the certificate.
pub(crate) fn acceptor(cert: &Path, key: &Path) -> Result<TlsAcceptor, Error> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| file("tls.cert", cert, &e))?;
    if chain.is_empty() {
        return Err(file("tls.cert", cert, &pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| file("tls.key", key, &e))?;
    let pair = |e: tokio_rustls::rustls::Error| Error::Pair(e.to_string());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
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
