//! TLS 1.2 and 1.3 (RFC 8446) in front of HTTP and RTMP: one certificate for all listeners. What is spoken inside is
//! agreed on by ALPN (RFC 7301). It comes from files, or from an authority that is asked (`acme`). The crypto provider is named here, for another one may be part of the build.

mod acme;
mod files;
mod resolver;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::{Acceptor, ResolvesServerCert};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config;
use acme::Acme;
use resolver::{Certificates, Challenges};

/// From the first byte to the end of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For the last words.
const GOODBYE: Duration = Duration::from_secs(1);
/// HTTP/2, as ALPN calls it (RFC 9113 section 3.1).
const TWO: &[u8] = b"h2";
/// HTTP/1.1, likewise.
const ONE: &[u8] = b"http/1.1";

/// An authority that looks for a proof (RFC 8737 section 6.2).
const PROOF: &[u8] = b"acme-tls/1";

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
    /// The crypto library refuses.
    #[error("TLS cannot be set up: {0}")]
    Library(String),
}

/// Who we are on encrypted connections, of whatever listener.
#[derive(Debug)]
pub(crate) struct Tls {
    certificates: Arc<Certificates>,
    http: Arc<ServerConfig>,
    /// Without ALPN.
    rtmp: Arc<ServerConfig>,
    asking: Option<Asking>,
}

/// For a certificate.
#[derive(Debug)]
struct Asking {
    acme: Acme,
    challenges: Arc<Challenges>,
    proof: Arc<ServerConfig>,
}

impl Tls {
    /// As configured; `None` without a certificate. One that is asked for comes with [`Tls::run`].
    ///
    /// # Errors
    /// If its files cannot be used.
    pub(crate) fn open(config: &config::Tls, data: &Path) -> Result<Option<Arc<Self>>, Error> {
        let certificates = Arc::new(Certificates::default());
        let acme = Acme::new(config, data);
        match config.files() {
            Some((cert, key)) => certificates.show(files::read(cert, key)?),
            None if acme.is_none() => return Ok(None),
            None => {}
        }
        let http = server(certificates.clone(), &[TWO, ONE])?;
        let rtmp = server(certificates.clone(), &[])?;
        let asking = acme.map(|acme| -> Result<_, Error> {
            let challenges = Arc::new(Challenges::default());
            let proof = server(challenges.clone(), &[PROOF])?;
            Ok(Asking { acme, challenges, proof })
        });
        Ok(Some(Arc::new(Self { certificates, http, rtmp, asking: asking.transpose()? })))
    }

    /// Asks for certificates, where that is configured, until `stop` becomes true.
    pub(crate) async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        if let Some(Asking { acme, challenges, .. }) = &self.asking {
            acme.run(&self.certificates, challenges, stop).await;
        }
    }

    /// There is a certificate to show.
    pub(crate) fn is_ready(&self) -> bool {
        self.certificates.shown().is_some()
    }

    /// Reads the files anew; connections that are open keep what they have.
    ///
    /// # Errors
    /// If they cannot be used: everything stays as it was.
    pub(crate) fn reload(&self, cert: &Path, key: &Path) -> Result<(), Error> {
        self.certificates.show(files::read(cert, key)?);
        Ok(())
    }

    /// A connection on which HTTP is to be spoken, and whether by HTTP/2; `None` if it was an authority that looked for
    /// a proof, and has it.
    ///
    /// # Errors
    /// If there is no TLS in [`HANDSHAKE`].
    pub(crate) async fn http<S>(&self, stream: S) -> io::Result<Option<(TlsStream<S>, bool)>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let proof = self.asking.as_ref().map(|asking| &asking.proof);
        let mut stream = accept(stream, &self.http, proof).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(PROOF) => {
                let _ = timeout(GOODBYE, stream.shutdown()).await;
                Ok(None)
            }
            protocol => {
                let two = protocol == Some(TWO);
                Ok(Some((stream, two)))
            }
        }
    }

    /// A connection on which RTMP is to be spoken.
    ///
    /// # Errors
    /// Likewise.
    pub(crate) async fn rtmp<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        accept(stream, &self.rtmp, None).await
    }
}

async fn accept<S>(
    stream: S,
    config: &Arc<ServerConfig>,
    proof: Option<&Arc<ServerConfig>>,
) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = async {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        // An authority offers that and nothing else.
        let asked = begun.client_hello().alpn().is_some_and(|mut all| all.any(|one| one == PROOF));
        let config = proof.filter(|_| asked).unwrap_or(config);
        begun.into_stream(Arc::clone(config)).await
    };
    timeout(HANDSHAKE, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// What is said in a handshake.
fn server(
    certificates: Arc<dyn ResolvesServerCert>,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, Error> {
    let library = |e: rustls::Error| Error::Library(e.to_string());
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(library)?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    // Who comes back needs no signature, and costs no memory until then.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(library)?;
    Ok(Arc::new(config))
}
