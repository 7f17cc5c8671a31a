//! From an agreement to a configured str0m: certificate, credentials, payload types, extensions,
//! m-lines and SSRCs, by the direct API and without any SDP.

use std::sync::Arc;
use std::time::{Duration, Instant};

use media::Codec;
use signaling::agreement::{Agreement, DtlsRole, Extension, Fingerprint, Media};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::format::FormatParams;
use str0m::media::{Frequency, Mid, Rid};
use str0m::rtp::ExtensionMap;
use str0m::{Rtc, RtcConfig};

use super::{Line, convert, dtls, front};

/// Packets kept per viewer and video stream for retransmission: about one second of 6 Mbit/s.
const SEND_BUFFER_VIDEO: usize = 600;
/// Sender reports are what a viewer keeps lips and voice together by: it wants them soon.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often receiver reports of a viewer are summed up.
const STATS_INTERVAL: Duration = Duration::from_secs(1);

/// Our DTLS certificate, the same for all sessions of one run.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub(super) cert: DtlsCert,
    fingerprint: Fingerprint,
    crypto: Arc<CryptoProvider>,
}

/// The crypto library could not make a certificate.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the crypto library could not make a DTLS certificate")]
pub struct CertificateError;

impl Certificate {
    /// A fresh self-signed ECDSA certificate.
    ///
    /// # Errors
    /// If the crypto library has no randomness.
    pub fn generate(now: Instant) -> Result<Self, CertificateError> {
        let provider = str0m::crypto::from_feature_flags();
        let cert = provider.dtls_provider.generate_certificate().ok_or(CertificateError)?;
        let mut rtc = RtcConfig::new().set_dtls_cert(cert.clone()).build(now);
        let ours = rtc.direct_api().local_dtls_fingerprint().clone();
        let fingerprint = Fingerprint { algorithm: ours.hash_func, digest: ours.bytes };
        let crypto = dtls::provider((&cert.certificate, &cert.private_key));
        Ok(Self { cert, fingerprint, crypto: crypto.map_err(|_| CertificateError)? })
    }

    /// Of this certificate, sha-256.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    /// The certificate and its private key (PKCS #8), both DER.
    pub(crate) fn der(&self) -> (&[u8], &[u8]) {
        (&self.cert.certificate, &self.cert.private_key)
    }
}

/// Builds the transport of one session.
pub(super) fn build(
    agreement: &Agreement,
    certificate: &Certificate,
    now: Instant,
) -> (Rtc, Vec<Line>) {
    let mut config = RtcConfig::new()
        .set_ice_lite(true)
        .set_rtp_mode(true)
        .set_dtls_cert(certificate.cert.clone())
        .set_crypto_provider(Arc::clone(&certificate.crypto))
        .set_local_ice_credentials(front::credentials().0)
        .set_rtcp_report_interval_audio(REPORT_INTERVAL)
        .set_rtcp_report_interval_video(REPORT_INTERVAL)
        .set_stats_interval(Some(STATS_INTERVAL))
        .set_send_buffer_video(SEND_BUFFER_VIDEO)
        .clear_codecs()
        .set_extension_map(extension_map(agreement));
    for payload in agreement.media.iter().flat_map(|m| &m.payloads) {
        let channels = (payload.codec == Codec::Opus).then_some(payload.channels.max(1));
        let clock = Frequency::new(payload.codec.clock_rate())
            .expect("clock rates are constants above zero");
        config.codec_config().add_config(
            payload.pt.into(),
            payload.rtx.map(Into::into),
            convert::codec(payload.codec),
            clock,
            channels,
            FormatParams::default(),
        );
    }
    let mut rtc = config.build(now);
    let lines = agreement.media.iter().map(|m| declare(&mut rtc, m)).collect();
    connect(&mut rtc, agreement);
    let ours = str0m::Candidate::host(front::OURS, "udp");
    rtc.add_local_candidate(ours.expect("a constant address of a host"));
    (rtc, lines)
}

fn extension_map(agreement: &Agreement) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    // Ids are the same in every m-line of a bundle (RFC 8843 section 9).
    for (id, extension) in agreement.media.iter().flat_map(|m| &m.extensions) {
        map.set(*id, convert::extension(*extension));
    }
    map
}

fn declare(rtc: &mut Rtc, media: &Media) -> Line {
    let mid = Mid::from(media.mid.as_str());
    let mut api = rtc.direct_api();
    let declared = api.declare_media(mid, convert::kind(media.kind));
    for id in &media.rids {
        declared.expect_rid_rx(Rid::from(id.as_str()));
    }
    // With rids, SSRCs of the offer do not say which layer they carry: the packets do.
    if media.rids.is_empty() {
        for ssrcs in &media.remote_ssrcs {
            api.expect_stream_rx(ssrcs.main.into(), ssrcs.rtx.map(Into::into), mid, None);
        }
    }
    let send = media.local_ssrcs.map(|ssrcs| {
        api.declare_stream_tx(ssrcs.main.into(), ssrcs.rtx.map(Into::into), mid, None);
        ssrcs.main.into()
    });
    let transport_cc = media.extensions.iter().any(|(_, e)| *e == Extension::TransportCc);
    if transport_cc && send.is_none() {
        api.enable_twcc_feedback();
    }
    Line { mid, kind: media.kind, rids: media.rids.clone(), send }
}

fn connect(rtc: &mut Rtc, agreement: &Agreement) {
    let mut api = rtc.direct_api();
    api.set_ice_controlling(false);
    api.set_remote_ice_credentials(front::credentials().1);
    api.set_remote_fingerprint(str0m::config::Fingerprint {
        hash_func: agreement.remote_fingerprint.algorithm.clone(),
        bytes: agreement.remote_fingerprint.digest.clone(),
    });
    if agreement.dtls == DtlsRole::Server {
        start(rtc, false);
    }
}

/// Lets DTLS begin, as a client or as a server.
pub(super) fn start(rtc: &mut Rtc, client: bool) {
    // Fails only without libssl's memory; a session that cannot start ends by its connect timeout.
    if let Err(error) = rtc.direct_api().start_dtls(client) {
        tracing::error!(%error, "DTLS did not start");
    }
}
