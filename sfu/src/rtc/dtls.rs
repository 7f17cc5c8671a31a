//! str0m's DTLS is ours, by libssl, as viewers have it: the one that comes with str0m knows no RSA
//! certificates (GStreamer before 1.28), and a ClientHello that is not heard, because FFmpeg throws
//! away what it reads while ICE goes on, has to be said again sooner than after a second.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openssl::ssl::SslContext;
use signaling::DtlsRole;
use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion, KeyingMaterial};
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion, SrtpProfile,
};

use crate::transport::dtls::{Epilogue, Handshake, Outcome, Step};
use crate::transport::srtp::Profile;
use crate::transport::{Failure, dtls};

/// Nothing to be done before a datagram comes.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// str0m's crypto, but for DTLS; `certificate` is ours, DER.
pub(super) fn provider(
    certificate: (&[u8], &[u8]),
) -> Result<Arc<CryptoProvider>, openssl::error::ErrorStack> {
    let context = dtls::context(certificate, &Profile::ALL)?;
    // str0m wants it for as long as the process lives, and there is one certificate a run.
    let dtls_provider = Box::leak(Box::new(Provider { context }));
    Ok(Arc::new(CryptoProvider { dtls_provider, ..str0m::crypto::from_feature_flags() }))
}

struct Provider {
    context: SslContext,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

impl DtlsProvider for Provider {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        None
    }

    /// The certificate is the context's.
    fn new_dtls(
        &self,
        _: &DtlsCert,
        now: Instant,
        _: DtlsVersion,
        _: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, str0m::crypto::CryptoError> {
        Ok(Box::new(Instance {
            context: self.context.clone(),
            now,
            role: DtlsRole::Server,
            phase: Phase::New,
            said: VecDeque::new(),
            late: false,
            failure: None,
        }))
    }
}

/// One session's.
struct Instance {
    context: SslContext,
    /// The time that str0m said last.
    now: Instant,
    role: DtlsRole,
    phase: Phase,
    said: VecDeque<Said>,
    /// Something was done at a time that str0m did not say: it is to say it.
    late: bool,
    failure: Option<Failure>,
}

#[derive(Debug)]
enum Phase {
    New,
    Handshake(Box<Handshake>),
    Up(Epilogue),
    Over,
}

/// What str0m has not asked for yet.
enum Said {
    Packet(Box<[u8]>),
    Certificate(Vec<u8>),
    Keys(KeyingMaterial, SrtpProfile),
    Connected,
    Closed,
}

impl Instance {
    fn handshake(
        &mut self,
        act: impl FnOnce(&mut Handshake, &mut dyn FnMut(&[u8])) -> Option<Step>,
    ) {
        if matches!(self.phase, Phase::New) {
            match Handshake::new(&self.context, self.role, None) {
                Ok(handshake) => self.phase = Phase::Handshake(Box::new(handshake)),
                Err(error) => {
                    tracing::debug!(%error, "no DTLS handshake");
                    return self.fail(Failure::Handshake);
                }
            }
        }
        let Phase::Handshake(handshake) = &mut self.phase else { return };
        let said = &mut self.said;
        let mut send = |datagram: &[u8]| said.push_back(Said::Packet(datagram.into()));
        match act(handshake, &mut send) {
            None | Some(Step::Waiting) => {}
            Some(Step::Done(outcome)) => self.connect(*outcome),
            Some(Step::Closed) => self.end(),
            Some(Step::Failed(failure)) => self.fail(failure),
        }
    }

    /// str0m compares the certificate before it takes the keys.
    fn connect(&mut self, outcome: Outcome) {
        let Outcome { certificate, profile, material, epilogue, .. } = outcome;
        let profile = match profile {
            Profile::Aes128Gcm => SrtpProfile::AEAD_AES_128_GCM,
            Profile::Aes256Gcm => SrtpProfile::AEAD_AES_256_GCM,
            Profile::Aes128CmSha1 => SrtpProfile::AES128_CM_SHA1_80,
        };
        let keys = KeyingMaterial::new(material.bytes());
        self.phase = Phase::Up(epilogue);
        self.said.extend([
            Said::Certificate(certificate),
            Said::Keys(keys, profile),
            Said::Connected,
        ]);
    }

    fn end(&mut self) {
        self.phase = Phase::Over;
        self.said.push_back(Said::Closed);
    }

    fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Over;
        self.failure = Some(failure);
    }

    fn deadline(&self) -> Instant {
        match &self.phase {
            _ if self.late || self.failure.is_some() => self.now,
            Phase::Handshake(handshake) => handshake.deadline().unwrap_or(self.now + NEVER),
            Phase::New | Phase::Up(_) | Phase::Over => self.now + NEVER,
        }
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.role = if active { DtlsRole::Client } else { DtlsRole::Server };
    }

    /// An error would be said to whoever sent this, and the session go on: [`Self::handle_timeout`] says it.
    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        let now = self.now;
        self.late = true;
        if packet.is_empty() {
            // str0m's way to let a client begin.
            self.handshake(|h, send| Some(h.start(now, send)));
            return Ok(());
        }
        let said = &mut self.said;
        let mut send = |datagram: &[u8]| said.push_back(Said::Packet(datagram.into()));
        match &mut self.phase {
            Phase::Up(epilogue) => {
                if epilogue.receive(packet, &mut send) {
                    self.end();
                }
            }
            Phase::Over => {}
            Phase::New | Phase::Handshake(_) => {
                self.handshake(|h, send| h.receive(now, packet, send));
            }
        }
        Ok(())
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        let needed = match self.said.front() {
            Some(Said::Packet(bytes)) => bytes.len(),
            Some(Said::Certificate(bytes)) => bytes.len(),
            _ => 0,
        };
        let Some((slot, _)) = buffer.split_at_mut_checked(needed) else {
            return DtlsOutput::BufferTooSmall { needed };
        };
        match self.said.pop_front() {
            Some(Said::Packet(bytes)) => {
                slot.copy_from_slice(&bytes);
                DtlsOutput::Packet(slot)
            }
            Some(Said::Certificate(bytes)) => {
                slot.copy_from_slice(&bytes);
                DtlsOutput::PeerCert(slot)
            }
            Some(Said::Keys(keys, profile)) => DtlsOutput::KeyingMaterial(keys, profile),
            Some(Said::Connected) => DtlsOutput::Connected,
            Some(Said::Closed) => DtlsOutput::CloseNotify,
            None => DtlsOutput::Timeout(self.deadline()),
        }
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.now = now;
        match (&mut self.phase, std::mem::take(&mut self.late)) {
            (Phase::Handshake(handshake), true) => handshake.said_at(now),
            (Phase::Handshake(_), false) => {
                self.handshake(|h, send| Some(h.handle_timeout(now, send)));
            }
            _ => {}
        }
        match self.failure {
            Some(_) => Err(DtlsImplError::ConnectionClosed),
            None => Ok(()),
        }
    }

    fn send_application_data(&mut self, _: &[u8]) -> Result<usize, DtlsImplError> {
        Err(DtlsImplError::ConnectionClosed)
    }

    fn is_active(&self) -> bool {
        self.role == DtlsRole::Client
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        matches!(self.phase, Phase::Up(_)).then_some(ProtocolVersion::DTLS1_2)
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.said.is_empty()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        if let Phase::Up(epilogue) = &self.phase
            && !epilogue.goodbye().is_empty()
        {
            self.said.push_back(Said::Packet(epilogue.goodbye().into()));
        }
        self.phase = Phase::Over;
        Ok(())
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, phase, failure, .. } = self;
        f.debug_struct("Instance")
            .field("role", role)
            .field("phase", phase)
            .field("failure", failure)
            .finish_non_exhaustive()
    }
}
