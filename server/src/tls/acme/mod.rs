//! Certificates by ACME (RFC 8555), for names that lead here: the authority connects to port 443 of each and looks for a proof
//! in the handshake (TLS-ALPN-01, RFC 8737), so no other port and no other program is needed. When to ask is `plan`'s,
//! what is kept `keep`'s, what the authority is shown `proof`'s; here they are put to work.

mod keep;
mod plan;
mod proof;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AccountBuilder, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use super::files;
use super::resolver::{Certificates, Challenges};
use crate::{clock, config};
use keep::Keep;
use plan::{Life, Plan};

/// For one order, from the first word to the certificate.
const ORDER: Duration = Duration::from_secs(300);
/// For the authority to look at all names, and then to sign.
const STEP: Duration = Duration::from_secs(90);
/// The wall clock may be set meanwhile.
const LOOK: Duration = Duration::from_secs(3600);

/// Why an order brought nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// What the authority says, or the way to it.
    #[error("{}", told(.0))]
    Authority(#[from] instant_acme::Error),
    /// It looked, and did not find the proof.
    #[error("the authority did not find {name} here: {reason}")]
    Name { name: String, reason: String },
    /// It wants another proof than ours.
    #[error("the authority does not offer TLS-ALPN-01 for {0}")]
    NoChallenge(String),
    #[error("the order became {0:?}")]
    Order(OrderStatus),
    #[error("a key or certificate cannot be made: {0}")]
    Made(String),
    #[error("the certificate that came cannot be used: {0}")]
    Unusable(String),
    #[error("data.dir/acme cannot be used: {0}")]
    Kept(#[from] io::Error),
    #[error("the account in data.dir/acme cannot be read: {0}")]
    Account(#[from] serde_json::Error),
    #[error("no answer within {} s", ORDER.as_secs())]
    Slow,
}

/// With what is behind it: libraries say "connect error", and why in the next sentence.
fn told(error: &instant_acme::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

/// Who asks whom for what.
#[derive(Clone, Debug)]
pub(super) struct Acme {
    names: Vec<String>,
    contact: Option<String>,
    directory: String,
    roots: Option<PathBuf>,
    keep: Keep,
}

impl Acme {
    /// As configured; `None` without names.
    pub(super) fn new(config: &config::Tls, data: &Path) -> Option<Self> {
        if config.acme.is_empty() {
            return None;
        }
        let roots = config.acme_roots.as_path();
        Some(Self {
            names: config.acme.iter().map(|name| name.as_str().to_owned()).collect(),
            contact: config.acme_contact.uri(),
            directory: config.acme_directory.to_string(),
            roots: (!roots.as_os_str().is_empty()).then(|| roots.to_owned()),
            keep: Keep::new(data, config.acme_directory.as_str()),
        })
    }

    /// Shows what former runs have kept, and says how long it is good.
    fn kept(&self, certificates: &Certificates) -> Option<Life> {
        let text = match self.keep.certificate() {
            Ok(text) => text?,
            Err(e) => {
                let file = self.keep.certificate_file();
                tracing::warn!("{} cannot be read, another one is asked for: {e}", file.display());
                return None;
            }
        };
        match usable(&text, &self.names) {
            Ok((certificate, life)) => {
                certificates.show(certificate);
                Some(life)
            }
            Err(why) => {
                let file = self.keep.certificate_file();
                tracing::warn!("{} is of no use, another one is asked for: {why}", file.display());
                None
            }
        }
    }

    /// Keeps a certificate, until `stop` becomes true.
    pub(super) async fn run(
        &self,
        certificates: &Certificates,
        challenges: &Arc<Challenges>,
        mut stop: watch::Receiver<bool>,
    ) {
        // The library makes its client with whatever provider the process has.
        let _ = aws_lc_rs::default_provider().install_default();
        let mut life = self.kept(certificates);
        let mut plan = Plan::new(self.keep.orders(), clock::since_epoch());
        loop {
            let wait = plan.wait(clock::since_epoch(), life).min(LOOK);
            let next = async {
                if !wait.is_zero() {
                    sleep(wait).await;
                    return;
                }
                match self.order(&mut plan, certificates, challenges).await {
                    Ok(new) => {
                        life = Some(new);
                        plan.succeeded();
                        let (names, days) =
                            (self.names.join(", "), new.until.saturating_sub(clock::since_epoch()));
                        let days = days.as_secs() / 86_400;
                        tracing::info!("a new certificate for {names}, good for {days} days");
                    }
                    Err(failure) => {
                        plan.failed();
                        let names = self.names.join(", ");
                        let again = plan.wait(clock::since_epoch(), life).as_secs().div_ceil(60);
                        tracing::error!(
                            "no certificate for {names}, next try in {again} min: {failure}"
                        );
                    }
                }
            };
            tokio::select! {
                () = next => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// One order.
    async fn order(
        &self,
        plan: &mut Plan,
        certificates: &Certificates,
        challenges: &Arc<Challenges>,
    ) -> Result<Life, Failure> {
        // Written before it goes out: who is restarted again and again must not ask again and again.
        self.keep.keep_orders(plan.order(clock::since_epoch()))?;
        let text =
            timeout(ORDER, self.certificate(challenges)).await.map_err(|_| Failure::Slow)??;
        let (certificate, life) = usable(&text, &self.names).map_err(Failure::Unusable)?;
        // It is good, kept or not.
        certificates.show(certificate);
        if let Err(e) = self.keep.keep_certificate(&text) {
            let file = self.keep.certificate_file();
            tracing::error!("{} cannot be written, the next start asks again: {e}", file.display());
        }
        Ok(life)
    }

    /// Chain and key, in PEM form.
    async fn certificate(&self, challenges: &Arc<Challenges>) -> Result<String, Failure> {
        let account = self.account().await?;
        let names: Vec<_> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        let _shown = self.show(&mut order, challenges).await?;
        let patient = RetryPolicy::new().timeout(STEP);
        match order.poll_ready(&patient).await {
            Ok(OrderStatus::Ready) => {}
            Ok(status) => return Err(refused(&mut order, Failure::Order(status)).await),
            // What it says of an order that it looked into is what it says of a name of it.
            Err(instant_acme::Error::Api(said)) => {
                let (name, reason) = (self.names.join(" or "), said.to_string());
                return Err(refused(&mut order, Failure::Name { name, reason }).await);
            }
            Err(e) => return Err(e.into()),
        }
        let (request, key) = proof::request(&self.names)?;
        order.finalize_csr(&request).await?;
        let chain = order.poll_certificate(&patient).await?;
        Ok(format!("{}\n{key}", chain.trim_end()))
    }

    /// Shows what proves each name; for as long as what is returned lives.
    async fn show(
        &self,
        order: &mut Order,
        challenges: &Arc<Challenges>,
    ) -> Result<Shown, Failure> {
        let mut shown = Shown { challenges: Arc::clone(challenges), names: Vec::new() };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(Failure::NoChallenge(name));
            };
            let digest = challenge.key_authorization().digest();
            let digest =
                digest.as_ref().try_into().map_err(|_| Failure::NoChallenge(name.clone()))?;
            challenges.show(&name, proof::proof(&name, digest)?);
            shown.names.push(name);
            challenge.set_ready().await?;
        }
        Ok(shown)
    }

    /// The one that is kept, or a new one.
    async fn account(&self) -> Result<Account, Failure> {
        if let Some(text) = self.keep.account()? {
            let credentials = serde_json::from_str(&text)?;
            return Ok(self.client()?.from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.contact.iter().map(String::as_str).collect();
        // Who sets tls.acme agrees; the documentation says so.
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let made = self.client()?.create(&new, self.directory.clone(), None).await?;
        let (account, credentials) = made;
        self.keep.keep_account(&serde_json::to_string(&credentials)?)?;
        Ok(account)
    }

    fn client(&self) -> Result<AccountBuilder, Failure> {
        Ok(match &self.roots {
            Some(roots) => Account::builder_with_root(roots)?,
            None => Account::builder()?,
        })
    }
}

/// Which name it was, and what the authority saw there; where it does not say that, what it says of the order.
async fn refused(order: &mut Order, of_order: Failure) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let name = authorization.identifier().to_string();
        let error = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(error) = error {
            return Failure::Name { name, reason: error.to_string() };
        }
    }
    of_order
}

/// Proofs that the authority looks for.
struct Shown {
    challenges: Arc<Challenges>,
    names: Vec<String>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.names.iter().for_each(|name| self.challenges.hide(name));
    }
}

/// Chain and key in PEM form: what is to be shown, and how long it is good for all these names.
fn usable(text: &str, names: &[String]) -> Result<(Arc<CertifiedKey>, Life), String> {
    let certificate = files::pem(text.as_bytes())?;
    let first = certificate.cert.first().ok_or("there is none")?;
    let (_, read) = x509_parser::parse_x509_certificate(first).map_err(|e| e.to_string())?;
    let found = read.subject_alternative_name().map_err(|e| e.to_string())?;
    let found = found.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
    let is_for = |name: &String| {
        found.iter().any(|n| matches!(n, GeneralName::DNSName(n) if n.eq_ignore_ascii_case(name)))
    };
    if let Some(name) = names.iter().find(|name| !is_for(name)) {
        return Err(format!("it is not for {name}"));
    }
    let time = |stamp: i64| Duration::from_secs(u64::try_from(stamp).unwrap_or(0));
    let (from, until) = (read.validity().not_before, read.validity().not_after);
    let life = Life { from: time(from.timestamp()), until: time(until.timestamp()) };
    Ok((certificate, life))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate for these names and its key, as an authority's answer is kept.
    fn made(names: &[&str]) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let certificate = params.self_signed(&key).unwrap();
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_of_use_for_all_its_names_or_none() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let text = made(&["a.example", "B.example"]);
        let (_, life) = usable(&text, &names(&["b.example", "a.example"])).unwrap();
        assert_eq!(life.until - life.from, Duration::from_secs(90 * 86_400));
        let error = usable(&text, &names(&["a.example", "c.example"])).unwrap_err();
        assert_eq!(error, "it is not for c.example");
        let (chain, key) = text.split_at(text.find("-----BEGIN PRIVATE").unwrap());
        let other = made(&["a.example"]);
        let other = &other[other.find("-----BEGIN PRIVATE").unwrap()..];
        for spoilt in ["", chain, key, "-----BEGIN", &format!("{chain}{other}")] {
            assert!(usable(spoilt, &names(&["a.example"])).is_err(), "{spoilt}");
        }
    }

    #[test]
    fn a_proof_and_a_request_are_what_was_asked_for() {
        let proof = proof::proof("a.example", &[7; 32]).unwrap();
        let (_, read) = x509_parser::parse_x509_certificate(&proof.cert[0]).unwrap();
        // RFC 8737 section 3: critical, an octet string of the digest.
        let acme = read.extensions().iter().find(|e| e.oid.to_id_string() == "1.3.6.1.5.5.7.1.31");
        let acme = acme.unwrap();
        assert!(acme.critical);
        assert_eq!(acme.value, [&[4, 32][..], &[7; 32]].concat());
        let (request, key) = proof::request(&["a.example".to_owned()]).unwrap();
        assert!(request.windows(9).any(|bytes| bytes == b"a.example"));
        assert!(key.starts_with("-----BEGIN PRIVATE KEY-----"));
    }
}
