//! Which certificate is shown: one for all names and listeners, which may come late and change while connections are
//! open. Those that prove to a certificate authority whose name it is (RFC 8737) are shown to nobody else.

use std::collections::HashMap;
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

/// What an authority sees that looks for a proof, by name.
#[derive(Debug, Default)]
pub(super) struct Challenges(RwLock<HashMap<String, Arc<CertifiedKey>>>);

impl Challenges {
    pub(super) fn show(&self, name: &str, proof: Arc<CertifiedKey>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_ascii_lowercase(), proof);
    }

    pub(super) fn hide(&self, name: &str) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(&name.to_ascii_lowercase());
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned()
    }
}
