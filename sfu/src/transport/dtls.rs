//! The DTLS 1.2 handshake (RFC 6347, RFC 5764) by libssl, datagrams in and out, either role, time as
//! argument. It ends with keys, or fails; nothing of libssl outlives it. What is left to say and to
//! understand then is an [`Epilogue`].
//!
//! libssl's own timer reads the wall clock. So the last flight is kept and said again on the caller's
//! clock, its records with new numbers.

use std::fmt;
use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use openssl::error::ErrorStack;
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslOptions, SslRef,
    SslSessionCacheMode, SslStream, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use signaling::DtlsRole;

use super::Failure;
use super::records::{self, Farewell, Filter, Numbers, Secrets, Session};
use super::srtp::{Keys, Profile};

/// ICE has just shown a live path, so less patience than the second of RFC 6347 section 4.2.4.1.
const FIRST_REPEAT: Duration = Duration::from_millis(100);
/// Doubling from there: 51 s in all, more than any session waits to connect.
const REPEATS: u8 = 8;
/// A ClientHello that nobody hears is repeated without doubling: see `rtc/hello.rs`.
const HELLO_REPEATS: u8 = 150;
/// How often our last flight is said again to a peer that repeats its own.
pub(super) const LAST_FLIGHT_REPEATS: u8 = 16;
/// A handshake has three flights of ours at most; libssl itself repeats some.
const MAX_FLIGHTS: u8 = 32;
/// Below every path's MTU that we care for, IP and UDP headers included.
const MTU: u32 = 1200;

// As a server our certificate is ECDSA; as a client the server's may be RSA. Only GCM suites, which
// `records::Farewell` knows too.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
    ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384";

/// Our end of all handshakes: certificate `der`, PKCS #8 `key`, SRTP profiles, best first.
pub(crate) fn context(
    (der, key): (&[u8], &[u8]),
    profiles: &[Profile],
) -> Result<SslContext, ErrorStack> {
    let mut builder = SslContextBuilder::new(SslMethod::dtls())?;
    builder.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    builder.set_cipher_list(CIPHERS)?;
    builder.set_groups_list("X25519:P-256:P-384")?;
    let names: Vec<&str> = profiles.iter().map(|p| p.name()).collect();
    builder.set_tlsext_use_srtp(&names.join(":"))?;
    // Certificates are self-signed; the fingerprint of the offer decides.
    let verify = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    builder.set_verify_callback(verify, |_, _| true);
    let certificate = X509::from_der(der)?;
    builder.set_certificate(&certificate)?;
    let private = PKey::private_key_from_der(key)?;
    builder.set_private_key(&private)?;
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    // Without it a client that brings a session id fails, as its certificate is asked for.
    builder.set_session_id_context(b"w")?;
    builder.set_options(
        SslOptions::NO_QUERY_MTU
            | SslOptions::NO_TICKET
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_COMPRESSION
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    Ok(builder.build())
}

/// Where a handshake stands.
#[derive(Debug)]
pub(crate) enum Step {
    Waiting,
    Done(Box<Outcome>),
    /// The peer said goodbye.
    Closed,
    Failed(Failure),
}

/// What a handshake leaves.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The peer's, DER.
    pub(crate) certificate: Vec<u8>,
    pub(crate) profile: Profile,
    pub(crate) material: Material,
    pub(crate) epilogue: Epilogue,
    role: DtlsRole,
}

/// What the SRTP keys are cut from (RFC 5764 section 4.2).
pub(crate) struct Material(Vec<u8>);

impl Outcome {
    /// What the peer sends with, and we.
    pub(super) fn keys(&self) -> Option<(Keys, Keys)> {
        let (client, server) = Keys::pair(self.profile, &self.material.0)?;
        Some(match self.role {
            DtlsRole::Server => (client, server),
            DtlsRole::Client => (server, client),
        })
    }
}

impl Material {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Material")
    }
}

/// DTLS when the keys are there and libssl is gone: our last flight for a peer that has not heard it,
/// and the goodbyes.
#[derive(Debug)]
pub(crate) struct Epilogue {
    last_flight: Vec<Box<[u8]>>,
    repeats: u8,
    /// Our close_notify, sealed.
    goodbye: Box<[u8]>,
    farewell: Option<Box<Farewell>>,
}

impl Epilogue {
    /// A datagram of DTLS: true if it ends the connection. A peer that repeats its last flight has not
    /// heard ours. At most one answer per datagram, smaller than the flight that asks for it.
    pub(crate) fn receive(&mut self, datagram: &[u8], send: &mut dyn FnMut(&[u8])) -> bool {
        match datagram.first() {
            Some(&records::ALERT) => self.farewell.as_ref().is_some_and(|f| f.ends(datagram)),
            Some(&(records::HANDSHAKE | records::CHANGE_CIPHER_SPEC)) => {
                if self.repeats < LAST_FLIGHT_REPEATS {
                    self.repeats += 1;
                    self.last_flight.iter().for_each(|d| send(d));
                }
                false
            }
            _ => false,
        }
    }

    /// The peer has our last flight: it need not be said again.
    pub(super) fn heard(&mut self) {
        self.last_flight = Vec::new();
    }

    /// Our close_notify; empty if there is none.
    pub(crate) fn goodbye(&self) -> &[u8] {
        &self.goodbye
    }
}

/// libssl's network: one datagram in, all datagrams out.
#[derive(Default)]
struct Wire {
    incoming: Option<Vec<u8>>,
    outgoing: Vec<Box<[u8]>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.take().ok_or(io::ErrorKind::WouldBlock)?;
        // A datagram that does not fit is cut off, never continued in the next read.
        let len = datagram.len().min(buffer.len());
        buffer[..len].copy_from_slice(&datagram[..len]);
        Ok(len)
    }
}

impl Write for Wire {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push(datagram.into());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One handshake.
pub(crate) struct Handshake {
    stream: SslStream<Wire>,
    role: DtlsRole,
    /// SHA-256 of the certificate that the peer must show; `None`: the caller looks at it.
    fingerprint: Option<Box<[u8]>>,
    filter: Filter,
    numbers: Numbers,
    /// What was sent last, and how often again.
    flight: Vec<Box<[u8]>>,
    repeats: u8,
    due: Option<Instant>,
    flights: u8,
    heard: bool,
}

impl Handshake {
    pub(crate) fn new(
        context: &SslContext,
        role: DtlsRole,
        fingerprint: Option<&[u8]>,
    ) -> Result<Self, ErrorStack> {
        let mut ssl = Ssl::new(context)?;
        ssl.set_mtu(MTU)?;
        match role {
            DtlsRole::Client => ssl.set_connect_state(),
            DtlsRole::Server => ssl.set_accept_state(),
        }
        Ok(Self {
            stream: SslStream::new(ssl, Wire::default())?,
            role,
            fingerprint: fingerprint.map(Into::into),
            filter: Filter::default(),
            numbers: Numbers::default(),
            flight: Vec::new(),
            repeats: 0,
            due: None,
            flights: 0,
            heard: false,
        })
    }

    /// The client speaks first; a server waits.
    pub(crate) fn start(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) -> Step {
        match self.role {
            DtlsRole::Client => self.step(now, send),
            DtlsRole::Server => Step::Waiting,
        }
    }

    /// A datagram; `None` if it is not fit for libssl.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        datagram: &[u8],
        send: &mut dyn FnMut(&[u8]),
    ) -> Option<Step> {
        if !self.filter.passes(datagram) {
            return None;
        }
        if !self.heard {
            (self.heard, self.repeats) = (true, 0);
        }
        self.stream.get_mut().incoming = Some(datagram.into());
        let step = self.step(now, send);
        self.stream.get_mut().incoming = None;
        Some(step)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// What was said since the last call of anything with a time was said now.
    pub(crate) fn said_at(&mut self, now: Instant) {
        self.due = self.due.map(|_| now + FIRST_REPEAT);
    }

    /// Says the last flight again where that is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) -> Step {
        if self.due.is_none_or(|due| now < due) {
            return Step::Waiting;
        }
        let unheard = self.role == DtlsRole::Client && !self.heard;
        if self.repeats >= if unheard { HELLO_REPEATS } else { REPEATS } {
            self.due = None;
            return Step::Failed(Failure::Timeout);
        }
        self.repeats += 1;
        let doublings = if unheard { 0 } else { u32::from(self.repeats) };
        self.due = Some(now + FIRST_REPEAT * 2_u32.pow(doublings));
        // Sealed records are repeated only by a client, whose Finished makes the server repeat its own.
        let secrets = secrets(self.stream.ssl(), self.role);
        for datagram in &mut self.flight {
            self.numbers.put(datagram, secrets.as_ref());
            send(datagram);
        }
        Step::Waiting
    }

    fn step(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) -> Step {
        let step = match self.stream.do_handshake() {
            Ok(()) => match self.finish() {
                Ok(outcome) => Step::Done(Box::new(outcome)),
                // The peer gets no last flight: it stays unconnected.
                Err(failure) => return Step::Failed(failure),
            },
            Err(error) if error.code() == ErrorCode::WANT_READ => Step::Waiting,
            Err(error) if error.code() == ErrorCode::ZERO_RETURN => Step::Closed,
            Err(error) => {
                tracing::debug!(%error, "DTLS handshake failed");
                Step::Failed(Failure::Handshake)
            }
        };
        if let Step::Done(outcome) = &step {
            outcome.epilogue.last_flight.iter().for_each(|d| send(d));
            return step;
        }
        // A flight, or the alert of a failure.
        let said = self.said();
        if said.is_empty() {
            return step;
        }
        said.iter().for_each(|d| send(d));
        self.flight = said;
        (self.repeats, self.due) = (0, Some(now + FIRST_REPEAT));
        self.flights += 1;
        if self.flights > MAX_FLIGHTS { Step::Failed(Failure::Handshake) } else { step }
    }

    /// What libssl has to say, numbered.
    fn said(&mut self) -> Vec<Box<[u8]>> {
        let mut said = std::mem::take(&mut self.stream.get_mut().outgoing);
        said.iter_mut().for_each(|d| self.numbers.put(d, None));
        said
    }

    fn finish(&mut self) -> Result<Outcome, Failure> {
        let last_flight = self.said();
        let ssl = self.stream.ssl();
        let certificate = ssl.peer_certificate().and_then(|c| c.to_der().ok());
        let certificate = certificate.ok_or(Failure::Fingerprint)?;
        let shown = digest(&SHA256, &certificate);
        if self.fingerprint.as_ref().is_some_and(|wanted| shown.as_ref() != &**wanted) {
            return Err(Failure::Fingerprint);
        }
        let (profile, material) = material(ssl).ok_or(Failure::NoProfile)?;
        let secrets = secrets(ssl, self.role);
        // Fails only where there is nothing to say goodbye with.
        let _ = self.stream.shutdown();
        let goodbye = std::mem::take(&mut self.stream.get_mut().outgoing).pop();
        let mut goodbye = goodbye.unwrap_or_default();
        if self.role == DtlsRole::Client {
            // Repeats may have used up libssl's number.
            self.numbers.put(&mut goodbye, secrets.as_ref());
        }
        let farewell = secrets.map(|secrets| Box::new(secrets.into_farewell()));
        let epilogue = Epilogue { last_flight, repeats: 0, goodbye, farewell };
        Ok(Outcome { certificate, profile, material, epilogue, role: self.role })
    }
}

fn material(ssl: &SslRef) -> Option<(Profile, Material)> {
    let id = ssl.selected_srtp_profile()?.id().as_raw();
    let profile = Profile::ALL.into_iter().find(|p| u64::from(p.id()) == id)?;
    let mut material = vec![0; profile.material_len()];
    ssl.export_keying_material(&mut material, "EXTRACTOR-dtls_srtp", None).ok()?;
    Some((profile, Material(material)))
}

/// `None` as long as there are none.
fn secrets(ssl: &SslRef, role: DtlsRole) -> Option<Secrets> {
    let (mut master, mut client, mut server) = ([0; 48], [0; 32], [0; 32]);
    if ssl.session()?.master_key(&mut master) != master.len() {
        return None;
    }
    ssl.client_random(&mut client);
    ssl.server_random(&mut server);
    Secrets::new(&Session {
        suite: ssl.current_cipher()?.name(),
        master: &master,
        client_random: &client,
        server_random: &server,
        client: role == DtlsRole::Client,
    })
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, repeats, due, flights, heard, .. } = self;
        f.debug_struct("Handshake")
            .field("role", role)
            .field("repeats", repeats)
            .field("due", due)
            .field("flights", flights)
            .field("heard", heard)
            .finish_non_exhaustive()
    }
}
