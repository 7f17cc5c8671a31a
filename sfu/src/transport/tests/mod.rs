//! A [`Transport`] against a client made of libssl, in memory, on a clock that only moves when told
//! to, over a network that loses what the test says.

mod hostile;
mod interop;
mod life;
mod loss;
mod path;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, TransId};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{
    ErrorCode, ShutdownResult, Ssl, SslContextBuilder, SslMethod, SslOptions, SslStream,
    SslVerifyMode,
};
use openssl::x509::X509;
use signaling::{Agreement, DtlsRole, Fingerprint, IceCredentials};

use super::records::Numbers;
use super::srtp::{Keys, Opener, Profile, Sealer};
use super::*;
use crate::egress::{SendRun, Sink};
use crate::test::epoch;

/// A certificate and its key.
pub(super) struct Identity {
    certificate: X509,
    key: PKey<Private>,
}

pub(super) static ECDSA: LazyLock<Identity> = LazyLock::new(|| {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    let key = EcKey::generate(&group).and_then(PKey::from_ec_key);
    Identity::new(key.expect("a key"))
});

pub(super) static RSA: LazyLock<Identity> = LazyLock::new(|| {
    let key = Rsa::generate(2048).and_then(PKey::from_rsa);
    Identity::new(key.expect("a key"))
});

pub(super) static SERVER: LazyLock<crate::Certificate> =
    LazyLock::new(|| crate::Certificate::generate(epoch()).expect("randomness"));

impl Identity {
    fn new(key: PKey<Private>) -> Self {
        let make = || {
            let mut builder = X509::builder()?;
            builder.set_version(2)?;
            let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(30)?);
            builder.set_not_before(&from)?;
            builder.set_not_after(&to)?;
            builder.set_pubkey(&key)?;
            builder.sign(&key, MessageDigest::sha256())?;
            Ok::<_, ErrorStack>(builder.build())
        };
        Self { certificate: make().expect("a certificate"), key }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        let digest = self.certificate.digest(MessageDigest::sha256()).expect("a digest");
        Fingerprint { algorithm: "sha-256".into(), digest: digest.to_vec() }
    }
}

pub(super) fn credentials(who: &str) -> IceCredentials {
    IceCredentials { ufrag: who.into(), pwd: format!("{who}-password-of-22-chars") }
}

pub(super) fn agreement(fingerprint: Fingerprint, dtls: DtlsRole) -> Agreement {
    Agreement {
        local_ice: credentials("ours"),
        remote_ice: credentials("they"),
        remote_fingerprint: fingerprint,
        dtls,
        bundle: Vec::new(),
        media: Vec::new(),
    }
}

/// A binding request as a browser makes it.
pub(super) fn check(ice: &IceCredentials, controlling: bool, nominates: bool) -> Vec<u8> {
    let user = format!("{}:they", ice.ufrag);
    let request = StunMessage::binding_request(&user, TransId::new(), controlling, 7, 1, nominates);
    let mut bytes = vec![0; 256];
    let len = request.to_bytes(Some(ice.pwd.as_bytes()), &mut bytes, ice::sha1);
    bytes.truncate(len.expect("it fits"));
    bytes
}

/// Datagrams out of an [`Egress`]: from, to, bytes.
#[derive(Default)]
pub(super) struct Collect(pub(super) Vec<(SocketAddr, SocketAddr, Vec<u8>)>);

impl Sink for Collect {
    fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
        for run in runs {
            let datagrams = bytes[run.range.clone()].chunks(run.segment_size);
            self.0.extend(datagrams.map(|d| (run.path.local, run.path.remote, d.to_vec())));
        }
    }
}

#[derive(Default)]
struct Wire {
    incoming: Option<Vec<u8>>,
    outgoing: Vec<Vec<u8>>,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.take().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The browser's DTLS.
pub(super) struct Client {
    stream: SslStream<Wire>,
    flight: Vec<Vec<u8>>,
    repeat: Instant,
    numbers: Numbers,
    pub(super) up: bool,
    pub(super) closed: bool,
}

/// How long the client waits before it repeats its flight.
const CLIENT_REPEAT: Duration = Duration::from_millis(250);

impl Client {
    fn new(identity: &Identity, role: DtlsRole, profiles: &[Profile], mtu: u32) -> Self {
        let make = || {
            let mut builder = SslContextBuilder::new(SslMethod::dtls())?;
            let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
            builder.set_verify_callback(mode, |_, _| true);
            builder.set_certificate(&identity.certificate)?;
            builder.set_private_key(&identity.key)?;
            // Makes the ClientHello as long as a browser's.
            builder.set_alpn_protos(&[[4].as_slice(), b"long"].concat().repeat(30))?;
            builder.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
            if !profiles.is_empty() {
                let names: Vec<&str> = profiles.iter().map(|p| p.name()).collect();
                builder.set_tlsext_use_srtp(&names.join(":"))?;
            }
            let mut ssl = Ssl::new(&builder.build())?;
            ssl.set_mtu(mtu)?;
            match role {
                DtlsRole::Client => ssl.set_connect_state(),
                DtlsRole::Server => ssl.set_accept_state(),
            }
            SslStream::new(ssl, Wire::default())
        };
        Self {
            stream: make().expect("libssl works"),
            flight: Vec::new(),
            repeat: epoch(),
            numbers: Numbers::default(),
            up: false,
            closed: false,
        }
    }

    /// One datagram in, or none to begin; what it says to that.
    fn step(&mut self, now: Instant, datagram: Option<&[u8]>) -> Vec<Vec<u8>> {
        self.stream.get_mut().incoming = datagram.map(<[u8]>::to_vec);
        if !self.up {
            match self.stream.do_handshake() {
                Ok(()) => self.up = true,
                Err(e) if e.code() == ErrorCode::WANT_READ => {}
                Err(e) => panic!("the client's handshake: {e}"),
            }
        }
        if self.up {
            match self.stream.ssl_read(&mut [0; 64]) {
                Err(e) if e.code() == ErrorCode::ZERO_RETURN => self.closed = true,
                Err(e) if e.code() == ErrorCode::WANT_READ => {}
                other => panic!("the client read {other:?}"),
            }
        }
        let mut said = std::mem::take(&mut self.stream.get_mut().outgoing);
        said.iter_mut().for_each(|d| self.numbers.put(d, None));
        if !said.is_empty() {
            (self.flight, self.repeat) = (said.clone(), now + CLIENT_REPEAT);
        }
        said
    }

    fn repeat(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.up || self.flight.is_empty() || now < self.repeat {
            return Vec::new();
        }
        self.repeat = now + CLIENT_REPEAT;
        self.flight.iter_mut().for_each(|d| self.numbers.put(d, None));
        self.flight.clone()
    }

    pub(super) fn goodbye(&mut self) -> Vec<u8> {
        assert_eq!(self.stream.shutdown().expect("up"), ShutdownResult::Sent);
        self.stream.get_mut().outgoing.pop().expect("an alert")
    }

    pub(super) fn profile(&self) -> Option<Profile> {
        let id = self.stream.ssl().selected_srtp_profile()?.id().as_raw();
        Profile::ALL.into_iter().find(|p| u64::from(p.id()) == id)
    }

    /// What the DTLS client and what the DTLS server sends with.
    pub(super) fn keys(&self) -> (Keys, Keys) {
        let profile = self.profile().expect("a profile");
        let mut material = vec![0; profile.material_len()];
        let ssl = self.stream.ssl();
        ssl.export_keying_material(&mut material, "EXTRACTOR-dtls_srtp", None).expect("keys");
        Keys::pair(profile, &material).expect("the right length")
    }
}

/// What a session is to be like.
pub(super) struct Setup<'a> {
    pub(super) identity: &'a Identity,
    pub(super) fingerprint: Fingerprint,
    /// What the client can do, and our server.
    pub(super) client: &'a [Profile],
    pub(super) server: &'a [Profile],
    /// Our role.
    pub(super) role: DtlsRole,
    pub(super) mtu: u32,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            identity: &ECDSA,
            fingerprint: ECDSA.fingerprint(),
            client: &Profile::ALL,
            server: &Profile::ALL,
            role: DtlsRole::Server,
            mtu: 1200,
        }
    }
}

/// See the top of the file.
pub(super) struct Rig {
    pub(super) now: Instant,
    pub(super) transport: Transport,
    pub(super) client: Client,
    pub(super) egress: Egress,
    pub(super) events: Vec<Event>,
    /// DTLS datagrams so far, either way, and which of them the network loses.
    pub(super) sent: usize,
    pub(super) lose: Box<dyn FnMut(usize) -> bool>,
    /// Everything that left us, DTLS and other.
    pub(super) said: Vec<Vec<u8>>,
    role: DtlsRole,
}

pub(super) fn local() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8080))
}

pub(super) fn remote() -> SocketAddr {
    SocketAddr::from(([10, 0, 1, 1], 5000))
}

impl Rig {
    pub(super) fn new(setup: &Setup<'_>) -> Self {
        let now = epoch();
        let context = Context::offering(&SERVER, setup.server).expect("a context");
        let agreement = agreement(setup.fingerprint.clone(), setup.role);
        let theirs = match setup.role {
            DtlsRole::Client => DtlsRole::Server,
            DtlsRole::Server => DtlsRole::Client,
        };
        Self {
            now,
            transport: Transport::new(&context, &agreement, now).expect("a transport"),
            client: Client::new(setup.identity, theirs, setup.client, setup.mtu),
            egress: Egress::default(),
            events: Vec::new(),
            sent: 0,
            lose: Box::new(|_| false),
            said: Vec::new(),
            role: setup.role,
        }
    }

    /// A datagram of the client's address.
    pub(super) fn give(&mut self, datagram: &[u8]) -> Result<String, Reject> {
        let mut bytes = datagram.to_vec();
        let path = Path::udp(local(), remote());
        let taken = self.transport.receive(self.now, path, &mut bytes, &mut self.egress);
        let taken = taken.map(|t| format!("{t:?}"));
        self.events.extend(std::iter::from_fn(|| self.transport.poll_event()));
        taken
    }

    /// What has left us since the last call.
    pub(super) fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut out = Collect::default();
        self.egress.drain(&mut out);
        let out: Vec<Vec<u8>> = out.0.into_iter().map(|(_, _, bytes)| bytes).collect();
        self.said.extend(out.iter().cloned());
        out
    }

    fn lost(&mut self) -> bool {
        self.sent += 1;
        (self.lose)(self.sent - 1)
    }

    /// Carries datagrams both ways until nobody has one.
    fn carry(&mut self, mut to_us: Vec<Vec<u8>>) {
        loop {
            for datagram in std::mem::take(&mut to_us) {
                if !self.lost() {
                    let _ = self.give(&datagram);
                }
            }
            let out = self.drain();
            for datagram in out.iter().filter(|d| matches!(d[0], 20..=63)) {
                if !self.lost() {
                    to_us.extend(self.client.step(self.now, Some(datagram)));
                }
            }
            if to_us.is_empty() {
                return;
            }
        }
    }

    /// The first check; where we are the DTLS server the client begins at once.
    pub(super) fn start(&mut self) {
        let check = check(&credentials("ours"), true, false);
        self.give(&check).expect("authentic");
        let first = match self.role {
            DtlsRole::Server => self.client.step(self.now, None),
            DtlsRole::Client => Vec::new(),
        };
        self.carry(first);
    }

    /// Lets time pass, in steps of 10 ms, until both ends are up or `end` has come.
    pub(super) fn run(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while self.now < end && !(self.client.up && self.transport.is_up()) {
            self.now += Duration::from_millis(10);
            if self.transport.deadline().is_some_and(|due| due <= self.now) {
                self.transport.handle_timeout(self.now, &mut self.egress);
                self.events.extend(std::iter::from_fn(|| self.transport.poll_event()));
            }
            let repeated = self.client.repeat(self.now);
            self.carry(repeated);
        }
        self.client.up && self.transport.is_up()
    }

    /// A session that is up.
    pub(super) fn connected(setup: &Setup<'_>) -> Self {
        let mut rig = Self::new(setup);
        rig.start();
        assert!(rig.run(Duration::from_secs(2)), "not up: {:?}", rig.events);
        rig
    }

    /// What the client sends and opens with.
    pub(super) fn media(&self) -> (Sealer, Opener) {
        let (client, server) = self.client.keys();
        let (theirs, ours) = match self.role {
            DtlsRole::Server => (client, server),
            DtlsRole::Client => (server, client),
        };
        (Sealer::new(&theirs).expect("keys"), Opener::new(&ours).expect("keys"))
    }
}

pub(super) const REPORT: [u8; 8] = [0x80, 201, 0, 1, 1, 2, 3, 4];

/// A receiver report of the client.
pub(super) fn report(sealer: &mut Sealer) -> Vec<u8> {
    let mut packet = REPORT.to_vec();
    packet.resize(REPORT.len() + sealer.profile().rtcp_overhead(), 0);
    assert!(sealer.seal_rtcp(&mut packet));
    packet
}
