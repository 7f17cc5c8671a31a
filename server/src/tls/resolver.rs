//! Which certificate is shown: one for all names and listeners, which may come late and change while connections are
//! open.

use std::sync::{Arc, PoisonError, RwLock};

use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;

/// What clients see.
#[derive(Debug, Default)]
pub(super) struct Certificates(RwLock<Option<Arc<CertifiedKey>>>);

impl Certificates {
    /// From now on this one; connections that are open keep theirs.
    pub(super) fn show(&self, certificate: Arc<CertifiedKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(certificate);
    }

    /// The one that is shown.
    pub(super) fn shown(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shown()
    }
}
