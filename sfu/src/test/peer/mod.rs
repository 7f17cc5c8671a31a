//! A client whose every byte is known: real ICE, DTLS and SRTP, and on top of them whatever a test
//! wants said, true or not. It keeps each datagram of media as it came and as it was opened. Only the
//! public face of `sfu` is used, so that tests of the crate from outside can have it too.

mod tls;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use is::stun::{StunMessage, TransId};
use media::{Codec, EncodingId, Kind};
use sfu::rtcp::{self, ReportBlock, SenderInfo, Writer};
use sfu::transport::srtp::{Opener, Sealer};
use sfu::{Path, Transmit};
use signaling::agreement::Ssrcs;
use signaling::{Agreement, DtlsRole, Extension, Fingerprint, IceCredentials, Media, Payload};

pub(crate) use self::tls::Identity;
use self::tls::Tls;

const MID: u8 = 1;
const RID: u8 = 2;
const TRANSPORT_CC: u8 = 4;
pub(crate) const AUDIO_PT: u8 = 111;
const H264_PT: u8 = 96;
const VP8_PT: u8 = 98;
/// The SSRC of its own reports.
const OWN_SSRC: u32 = 1;
/// How often it says what came, and what did not.
const FEEDBACK: Duration = Duration::from_millis(50);
const CHECKS: Duration = Duration::from_secs(2);

/// What it has agreed on with us.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// Publisher or viewer.
    pub(crate) send: bool,
    pub(crate) rids: Vec<EncodingId>,
    /// Retransmissions in a stream of their own, for video.
    pub(crate) rtx: bool,
    /// Format parameters of H.264.
    pub(crate) fmtp: String,
    /// SSRCs of audio, video and video's retransmissions, where we are to send.
    pub(crate) ssrcs: [u32; 3],
}

impl Offer {
    pub(crate) fn publisher() -> Self {
        let rids = Vec::new();
        Self { send: true, rids, rtx: true, fmtp: String::new(), ssrcs: [0; 3] }
    }

    /// `number` makes its SSRCs unique.
    pub(crate) fn viewer(number: u32) -> Self {
        let ssrcs = [0x1000_0000, 0x2000_0000, 0x2000_0001].map(|base| base + number * 16);
        Self { send: false, ssrcs, ..Self::publisher() }
    }

    pub(crate) fn agreement(&self, number: u32, fingerprint: &Fingerprint) -> Agreement {
        let creds = |who: &str| IceCredentials {
            ufrag: format!("{who}{number:08}"),
            pwd: format!("{who}-password-{number:024}"),
        };
        let payload = |codec, pt: u8, rtx| {
            let fmtp = if codec == Codec::H264 { self.fmtp.clone() } else { String::new() };
            Payload { pt, rtx, codec, fmtp, channels: 2 }
        };
        let rtx = |pt| (self.rtx && !self.send).then_some(pt + 1);
        let video =
            [(Codec::H264, H264_PT), (Codec::Vp8, VP8_PT)].map(|(c, pt)| payload(c, pt, rtx(pt)));
        let line = |mid: &str, kind, payloads, ssrcs: Ssrcs| Media {
            mid: mid.into(),
            kind,
            payloads,
            extensions: vec![
                (MID, Extension::Mid),
                (RID, Extension::Rid),
                (TRANSPORT_CC, Extension::TransportCc),
            ],
            rids: if kind == Kind::Video { self.rids.clone() } else { Vec::new() },
            remote_ssrcs: Vec::new(),
            local_ssrcs: (!self.send).then_some(ssrcs),
        };
        let [audio, main, again] = self.ssrcs;
        let opus = vec![payload(Codec::Opus, AUDIO_PT, None)];
        Agreement {
            local_ice: creds("ours"),
            remote_ice: creds("they"),
            remote_fingerprint: fingerprint.clone(),
            dtls: DtlsRole::Server,
            bundle: Vec::new(),
            media: vec![
                line("0", Kind::Audio, opus, Ssrcs { main: audio, rtx: None }),
                line(
                    "1",
                    Kind::Video,
                    video.to_vec(),
                    Ssrcs { main, rtx: self.rtx.then_some(again) },
                ),
            ],
        }
    }
}

/// A packet that was authentic.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) at: Instant,
    pub(crate) ssrc: u32,
    pub(crate) pt: u8,
    /// Extended.
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) transport_cc: Option<u16>,
    /// Without padding; of a retransmission without the number in front.
    pub(crate) payload: Vec<u8>,
    /// The number in front of a retransmission, extended.
    pub(crate) original: Option<u64>,
    /// The datagram as it came.
    pub(crate) wire: Vec<u8>,
}

/// A sender report that was authentic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) at: Instant,
    pub(crate) ssrc: u32,
    pub(crate) info: SenderInfo,
}

/// Header of a packet to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    pub(crate) ssrc: u32,
    pub(crate) pt: u8,
    /// Extended.
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) rid: Option<EncodingId>,
}

/// See the top of the file.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) agreement: Agreement,
    pub(crate) connected: bool,
    /// Says what came by reports and transport-cc, and asks for what did not come.
    pub(crate) answers: bool,
    /// Says nothing at all any more.
    pub(crate) silent: bool,
    /// Sends no checks.
    pub(crate) unchecked: bool,
    /// Only keeps what it must: for long runs.
    pub(crate) forgetful: bool,
    pub(crate) media: Vec<Packet>,
    pub(crate) reports: Vec<Report>,
    /// SSRCs of keyframe requests.
    pub(crate) asked: Vec<u32>,
    pub(crate) received: u64,
    /// Datagrams that did not open.
    pub(crate) broken: u64,
    server: SocketAddr,
    ssrcs: [u32; 3],
    tls: Tls,
    keys: Option<(Sealer, Opener)>,
    out: Vec<Transmit>,
    /// Highest sequence number of each SSRC.
    highest: HashMap<u32, u64>,
    /// Of the video: what is missing, and how often it was asked for.
    missing: BTreeMap<u64, u8>,
    arrivals: BTreeMap<u64, Instant>,
    /// Highest transport-wide number.
    transport_cc: Option<u64>,
    feedback: u8,
    next_check: Option<Instant>,
    next_feedback: Option<Instant>,
    began: Option<Instant>,
    started: bool,
}

impl Peer {
    pub(crate) fn new(
        offer: &Offer,
        agreement: Agreement,
        identity: &Identity,
        (address, server): (SocketAddr, SocketAddr),
    ) -> Self {
        Self {
            address,
            agreement,
            connected: false,
            answers: true,
            silent: false,
            unchecked: false,
            forgetful: false,
            media: Vec::new(),
            reports: Vec::new(),
            asked: Vec::new(),
            received: 0,
            broken: 0,
            server,
            ssrcs: offer.ssrcs,
            tls: Tls::new(identity),
            keys: None,
            out: Vec::new(),
            highest: HashMap::new(),
            missing: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            transport_cc: None,
            feedback: 0,
            next_check: None,
            next_feedback: None,
            began: None,
            started: false,
        }
    }

    pub(crate) fn audio(&self) -> u32 {
        self.ssrcs[0]
    }

    pub(crate) fn video(&self) -> u32 {
        self.ssrcs[1]
    }

    pub(crate) fn closed(&self) -> bool {
        self.tls.closed
    }

    /// What came of one SSRC, its retransmissions in their places, by sequence number.
    pub(crate) fn stream(&self, ssrc: u32) -> BTreeMap<u64, &Packet> {
        let mut all: BTreeMap<u64, &Packet> =
            self.media.iter().filter(|p| p.ssrc == ssrc).map(|p| (p.seq, p)).collect();
        if ssrc == self.video() {
            for packet in self.media.iter().filter(|p| p.ssrc == self.ssrcs[2]) {
                let original = packet.original.expect("a retransmission has a number in front");
                all.entry(original).or_insert(packet);
            }
        }
        all
    }

    /// Sends bytes as they are.
    pub(crate) fn throw(&mut self, bytes: Vec<u8>) {
        if self.silent {
            return;
        }
        let path = Path::udp(self.address, self.server);
        self.out.push(Transmit { path, contents: bytes });
    }

    /// A binding request with these credentials, ours where it is to be true.
    pub(crate) fn check(ufrag: &str, password: &str, nominates: bool) -> Vec<u8> {
        let user = format!("{ufrag}:{}", ufrag.replace("ours", "they"));
        let request = StunMessage::binding_request(&user, TransId::new(), true, 7, 1, nominates);
        let mut bytes = vec![0; 256];
        let len = request.to_bytes(Some(password.as_bytes()), &mut bytes, sha1);
        bytes.truncate(len.expect("it fits"));
        bytes
    }

    /// An authentic binding request.
    pub(crate) fn own_check(&self, nominates: bool) -> Vec<u8> {
        let ice = &self.agreement.local_ice;
        Self::check(&ice.ufrag, &ice.pwd, nominates)
    }

    /// From this address on; the next check says so.
    pub(crate) fn moves(&mut self, address: SocketAddr) {
        self.address = address;
        self.next_check = None;
    }

    /// Seals a compound.
    pub(crate) fn sealed(&mut self, compound: &[u8]) -> Vec<u8> {
        let (sealer, _) = self.keys.as_mut().expect("connected");
        let mut bytes = compound.to_vec();
        bytes.resize(compound.len() + sealer.profile().rtcp_overhead(), 0);
        assert!(sealer.seal_rtcp(&mut bytes), "a compound that can be sealed");
        bytes
    }

    /// Says a compound.
    pub(crate) fn say(&mut self, compound: &[u8]) {
        let bytes = self.sealed(compound);
        self.throw(bytes);
    }

    /// Says what `write` writes.
    pub(crate) fn tell(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<(), rtcp::Full>) {
        let mut buffer = [0; 1200];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer).expect("it fits");
        let compound = writer.written().to_vec();
        self.say(&compound);
    }

    /// The highest sequence number that came.
    pub(crate) fn newest(&self, ssrc: u32) -> u64 {
        self.highest.get(&ssrc).copied().unwrap_or_default()
    }

    /// The SSRC of retransmissions.
    pub(crate) fn rtx(&self) -> u32 {
        self.ssrcs[2]
    }

    pub(crate) fn nack(&mut self, ssrc: u32, seqs: &[u16]) {
        self.tell(|w| w.nack(OWN_SSRC, ssrc, seqs.iter().copied()));
    }

    /// Sends a media packet.
    pub(crate) fn send(&mut self, packet: Outgoing, payload: &[u8]) {
        let Some((sealer, _)) = &mut self.keys else { return };
        let mid = if packet.pt == AUDIO_PT { b'0' } else { b'1' };
        let mut elements = vec![MID << 4, mid];
        if let Some(rid) = packet.rid {
            elements.push(RID << 4 | (rid.as_str().len() - 1) as u8);
            elements.extend(rid.as_str().as_bytes());
        }
        elements.resize(elements.len().next_multiple_of(4), 0);
        let mut bytes = vec![0x90, u8::from(packet.marker) << 7 | packet.pt];
        bytes.extend((packet.seq as u16).to_be_bytes());
        bytes.extend(packet.timestamp.to_be_bytes());
        bytes.extend(packet.ssrc.to_be_bytes());
        bytes.extend([0xbe, 0xde, 0, (elements.len() / 4) as u8]);
        bytes.extend(elements);
        let header = bytes.len();
        bytes.extend(payload);
        bytes.resize(bytes.len() + sealer.profile().rtp_overhead(), 0);
        assert!(sealer.seal_rtp(&mut bytes, header, packet.seq), "a packet that can be sealed");
        self.throw(bytes);
    }

    /// Everything it has to send now.
    pub(crate) fn drain(&mut self) -> Vec<Transmit> {
        std::mem::take(&mut self.out)
    }

    pub(crate) fn receive(&mut self, now: Instant, bytes: &[u8]) {
        match (bytes[0], bytes[1]) {
            (0..=3, _) => {
                if !std::mem::replace(&mut self.started, true) {
                    self.handshake(None);
                }
            }
            (20..=63, _) => self.handshake(Some(bytes)),
            (128..=191, 192..=223) => self.heard(now, bytes),
            _ => self.got(now, bytes),
        }
    }

    fn handshake(&mut self, datagram: Option<&[u8]>) {
        let (said, keys) = self.tls.step(datagram);
        said.into_iter().for_each(|d| self.throw(d));
        if keys.is_some() {
            (self.keys, self.connected) = (keys, true);
        }
    }

    fn heard(&mut self, now: Instant, bytes: &[u8]) {
        let Some((_, opener)) = &mut self.keys else { return };
        let mut bytes = bytes.to_vec();
        let Ok(compound) = opener.open_rtcp(&mut bytes) else {
            self.broken += 1;
            return;
        };
        for packet in rtcp::packets(compound) {
            match packet {
                rtcp::Packet::SenderReport { ssrc, info, .. } => {
                    self.reports.push(Report { at: now, ssrc, info });
                }
                rtcp::Packet::Pli { media_ssrc } | rtcp::Packet::Fir { media_ssrc, .. } => {
                    self.asked.push(media_ssrc);
                }
                rtcp::Packet::Malformed => panic!("we wrote broken RTCP"),
                _ => {}
            }
        }
    }

    fn got(&mut self, now: Instant, bytes: &[u8]) {
        let Some((_, opener)) = &mut self.keys else { return };
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let (ssrc, low) = (word(8), word(0) as u16);
        let highest = self.highest.get(&ssrc).copied();
        let seq = highest.map_or(u64::from(low), |highest| extend(highest, low));
        let mut header = 12;
        let mut transport_cc = None;
        if bytes[0] & 0x10 != 0 {
            let len = 4 * usize::from(word(12) as u16);
            transport_cc = element(&bytes[16..16 + len], TRANSPORT_CC);
            header += 4 + len;
        }
        let mut opened = bytes.to_vec();
        let Some(len) = opener.open_rtp(&mut opened, header, seq) else {
            self.broken += 1;
            return;
        };
        let padding = if bytes[0] & 0x20 != 0 { usize::from(opened[len - 1]) } else { 0 };
        let again = ssrc == self.ssrcs[2];
        let number = if again { 2 } else { 0 };
        let near = self.highest.get(&self.ssrcs[1]).copied().unwrap_or_default();
        let original = || extend(near, u16::from_be_bytes([opened[header], opened[header + 1]]));
        let original = again.then(original);
        self.received += 1;
        self.note(now, (ssrc, seq, highest), original, transport_cc);
        if !self.forgetful {
            self.media.push(Packet {
                at: now,
                ssrc,
                pt: bytes[1] & 0x7f,
                seq,
                timestamp: word(4),
                marker: bytes[1] & 0x80 != 0,
                transport_cc,
                payload: opened[header + number..len - padding].to_vec(),
                original,
                wire: bytes.to_vec(),
            });
        }
    }

    fn note(
        &mut self,
        now: Instant,
        (ssrc, seq, highest): (u32, u64, Option<u64>),
        original: Option<u64>,
        transport_cc: Option<u16>,
    ) {
        if highest.is_none_or(|h| h < seq) {
            self.highest.insert(ssrc, seq);
        }
        if ssrc == self.video() {
            self.missing.remove(&seq);
            let gap = highest.map_or(seq, |h| h + 1)..seq;
            self.missing.extend(gap.map(|seq| (seq, 0)));
        }
        if let Some(original) = original {
            self.missing.remove(&original);
        }
        if let Some(low) = transport_cc {
            let number = self.transport_cc.map_or(u64::from(low), |h| extend(h, low));
            self.transport_cc = Some(self.transport_cc.map_or(number, |h| h.max(number)));
            self.arrivals.insert(number, now);
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let began = *self.began.get_or_insert(now);
        if self.silent {
            return;
        }
        if !self.unchecked && self.next_check.is_none_or(|due| due <= now) {
            self.next_check = Some(now + CHECKS);
            let check = self.own_check(true);
            self.throw(check);
        }
        if self.connected && self.answers && self.next_feedback.is_none_or(|due| due <= now) {
            self.next_feedback = Some(now + FEEDBACK);
            self.answer(began);
        }
    }

    /// What a browser says several times a second.
    fn answer(&mut self, began: Instant) {
        let highest: Vec<(u32, u64)> = self.highest.iter().map(|(s, h)| (*s, *h)).collect();
        for (ssrc, seq) in highest {
            let highest_seq = seq as u32;
            let block = ReportBlock { ssrc, highest_seq, ..ReportBlock::default() };
            self.tell(|w| w.receiver_report(OWN_SSRC, &[block]));
        }
        let came = std::mem::take(&mut self.arrivals);
        let micros = |at: &Instant| (*at - began).as_micros() as i64;
        let came: Vec<(u16, Option<i64>)> =
            came.iter().map(|(seq, at)| (*seq as u16, Some(micros(at)))).collect();
        for part in came.chunks(400) {
            self.feedback = self.feedback.wrapping_add(1);
            let (count, video) = (self.feedback, self.video());
            self.tell(|w| w.transport_cc(OWN_SSRC, video, count, part).map(|_| ()));
        }
        self.missing.retain(|_, tries| *tries < 20);
        self.missing.values_mut().for_each(|tries| *tries += 1);
        let wanted: Vec<u16> = self.missing.keys().map(|seq| *seq as u16).take(500).collect();
        let video = self.video();
        if !wanted.is_empty() {
            self.nack(video, &wanted);
        }
    }
}

/// The number nearest to `near` with these low bits.
pub(crate) fn extend(near: u64, low: u16) -> u64 {
    let step = i64::from(low.wrapping_sub(near as u16).cast_signed());
    near.saturating_add_signed(step)
}

/// The two bytes of an element of a one-byte extension block (RFC 8285).
fn element(mut block: &[u8], wanted: u8) -> Option<u16> {
    while let Some((first, rest)) = block.split_first() {
        let (id, len) = (first >> 4, usize::from(first & 15) + 1);
        if id == 0 {
            block = rest;
            continue;
        }
        if id == wanted {
            return Some(u16::from_be_bytes([rest[0], rest[1]]));
        }
        block = &rest[len..];
    }
    None
}

fn sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    parts.iter().for_each(|p| context.update(p));
    let mut digest = [0; 20];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}
