//! Tests only: the other end of a session, as a browser would be it, in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use media::{Codec, EncodingId, Kind};
use signaling::agreement::Ssrcs;
use signaling::{Agreement, DtlsRole, Extension, Fingerprint, IceCredentials, Media, Payload};
use str0m::media::{Frequency, Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionMap, ExtensionValues, RtpWrite, Ssrc};
use str0m::{Candidate, Event, IceCreds, Input, Output, Rtc, RtcConfig};

use super::{Certificate, Transmit, convert};
use crate::path::Path;

/// What a client has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) pt: u8,
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Arc<[u8]>,
    pub(crate) at: Instant,
}

/// A publisher or viewer in memory.
pub(crate) struct Client {
    rtc: Rtc,
    pub(crate) address: SocketAddr,
    pub(crate) received: Vec<Received>,
    /// Keyframe requests, by rid.
    pub(crate) keyframe_requests: Vec<Option<EncodingId>>,
    pub(crate) connected: bool,
    pub(crate) closed: bool,
    transmits: Vec<Transmit>,
}

const MID_EXTENSION: u8 = 1;
const RID_EXTENSION: u8 = 2;
const REPAIRED_RID_EXTENSION: u8 = 3;
const TRANSPORT_CC_EXTENSION: u8 = 4;
/// Payload types of the video codecs; retransmissions are one above, audio is 111.
pub(crate) const PAYLOADS: [(Codec, u8); 4] =
    [(Codec::H264, 96), (Codec::Vp8, 98), (Codec::Vp9, 100), (Codec::Av1, 102)];
const AUDIO_PT: u8 = 111;

/// What a client would have agreed on with us. `number` makes its names unique.
pub(crate) fn agreement(
    number: u32,
    rids: &[EncodingId],
    codecs: &[Codec],
    send: bool,
    client: &Fingerprint,
) -> Agreement {
    let creds = |who: &str| IceCredentials {
        ufrag: format!("{who}{number:08}"),
        pwd: format!("{who}-password-{number:024}"),
    };
    let line = |mid: &str, kind, payloads: Vec<Payload>, main: u32| Media {
        mid: mid.into(),
        kind,
        payloads,
        extensions: vec![
            (MID_EXTENSION, Extension::Mid),
            (RID_EXTENSION, Extension::Rid),
            (REPAIRED_RID_EXTENSION, Extension::RepairedRid),
            (TRANSPORT_CC_EXTENSION, Extension::TransportCc),
        ],
        rids: if kind == Kind::Video { rids.to_vec() } else { Vec::new() },
        remote_ssrcs: Vec::new(),
        local_ssrcs: (!send)
            .then_some(Ssrcs { main, rtx: (kind == Kind::Video).then_some(main + 1) }),
    };
    let payload = |codec, pt, rtx| Payload { pt, rtx, codec, fmtp: String::new(), channels: 2 };
    let video = PAYLOADS
        .iter()
        .filter(|(codec, _)| codecs.contains(codec))
        .map(|(codec, pt)| payload(*codec, *pt, Some(pt + 1)))
        .collect();
    let audio = vec![payload(Codec::Opus, AUDIO_PT, None)];
    Agreement {
        local_ice: creds("ours"),
        remote_ice: creds("they"),
        remote_fingerprint: client.clone(),
        dtls: DtlsRole::Server,
        bundle: Vec::new(),
        media: vec![
            line("0", Kind::Audio, audio, 0x1000_0000 + number * 16),
            line("1", Kind::Video, video, 0x2000_0000 + number * 16),
        ],
    }
}

impl Client {
    /// The peer of `agreement`, which was made for `certificate` (the client's own).
    pub(crate) fn new(
        agreement: &Agreement,
        certificate: &Certificate,
        server: (&Certificate, SocketAddr),
        address: SocketAddr,
        now: Instant,
    ) -> Self {
        let mut config = RtcConfig::new()
            .set_rtp_mode(true)
            .set_dtls_cert(certificate.cert.clone())
            .set_local_ice_credentials(IceCreds {
                ufrag: agreement.remote_ice.ufrag.clone(),
                pass: agreement.remote_ice.pwd.clone(),
            })
            .clear_codecs();
        let mut map = ExtensionMap::empty();
        for (id, extension) in &agreement.media[0].extensions {
            map.set(*id, convert::extension(*extension));
        }
        config = config.set_extension_map(map);
        for p in agreement.media.iter().flat_map(|m| &m.payloads) {
            let rate = Frequency::new(p.codec.clock_rate()).expect("not zero");
            config.codec_config().add_config(
                p.pt.into(),
                p.rtx.map(Into::into),
                convert::codec(p.codec),
                rate,
                None,
                Default::default(),
            );
        }
        let mut rtc = config.build(now);
        let local = Candidate::host(address, "udp").expect("a valid candidate");
        rtc.add_local_candidate(local);
        rtc.add_remote_candidate(Candidate::host(server.1, "udp").expect("a valid candidate"));
        let mut api = rtc.direct_api();
        api.set_ice_controlling(true);
        api.set_remote_ice_credentials(IceCreds {
            ufrag: agreement.local_ice.ufrag.clone(),
            pass: agreement.local_ice.pwd.clone(),
        });
        let theirs = server.0.fingerprint();
        api.set_remote_fingerprint(str0m::config::Fingerprint {
            hash_func: theirs.algorithm.clone(),
            bytes: theirs.digest.clone(),
        });
        api.start_dtls(true).expect("DTLS starts");
        for media in &agreement.media {
            declare(&mut rtc, media);
        }
        Self {
            rtc,
            address,
            received: Vec::new(),
            keyframe_requests: Vec::new(),
            connected: false,
            closed: false,
            transmits: Vec::new(),
        }
    }

    pub(crate) fn send(
        &mut self,
        now: Instant,
        codec: Codec,
        rid: Option<EncodingId>,
        (seq, timestamp, marker): (u64, u32, bool),
        payload: &[u8],
    ) {
        let mid = Mid::from(if codec.kind() == Kind::Audio { "0" } else { "1" });
        let pt = PAYLOADS.iter().find(|(c, _)| *c == codec).map_or(AUDIO_PT, |(_, pt)| *pt);
        let rid = rid.map(|id| Rid::from(id.as_str()));
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, rid).expect("declared");
        let values = ExtensionValues { mid: Some(mid), rid, ..ExtensionValues::default() };
        stream.write_rtp(
            RtpWrite::new(pt.into(), seq.into(), timestamp, now, payload)
                .marker(marker)
                .nackable(true)
                .ext_vals(values),
        );
    }

    pub(crate) fn request_keyframe(&mut self) {
        let ssrc = self.received.len();
        let mut api = self.rtc.direct_api();
        let stream = api.stream_rx_by_mid("1".into(), None);
        stream
            .unwrap_or_else(|| panic!("no video yet, {ssrc} packets received"))
            .request_keyframe(str0m::media::KeyframeRequestKind::Pli);
    }

    pub(crate) fn receive(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        let Ok(contents) = bytes.try_into() else { return };
        let destination = self.address;
        let input =
            Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents });
        if self.rtc.accepts(&input) {
            self.rtc.handle_input(input).expect("the client's transport works");
            self.poll();
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.rtc.handle_input(Input::Timeout(now)).expect("the client's transport works");
    }

    /// Everything it has to send now.
    pub(crate) fn drain(&mut self) -> Vec<Transmit> {
        self.poll();
        std::mem::take(&mut self.transmits)
    }

    /// To be called after every input: str0m keeps only one event at a time.
    fn poll(&mut self) {
        loop {
            match self.rtc.poll_output().expect("the client's transport works") {
                Output::Timeout(_) => return,
                Output::Transmit(t) => self.transmits.push(Transmit {
                    path: Path::udp(t.source, t.destination),
                    contents: t.contents.into(),
                }),
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::Closed) => self.closed = true,
                Output::Event(Event::KeyframeRequest(r)) => {
                    let id = r.rid.and_then(|rid| EncodingId::new(&rid));
                    self.keyframe_requests.push(id);
                }
                Output::Event(Event::RtpPacket(p)) => self.received.push(Received {
                    pt: *p.header.payload_type,
                    seq: *p.seq_no,
                    timestamp: p.header.timestamp,
                    marker: p.header.marker,
                    at: p.timestamp,
                    payload: p.payload,
                }),
                Output::Event(_) => {}
            }
        }
    }
}

fn declare(rtc: &mut Rtc, media: &Media) {
    let mid = Mid::from(media.mid.as_str());
    let mut api = rtc.direct_api();
    api.declare_media(mid, convert::kind(media.kind));
    if let Some(ssrcs) = media.local_ssrcs {
        api.expect_stream_rx(ssrcs.main.into(), ssrcs.rtx.map(Into::into), mid, None);
        return;
    }
    let video = media.kind == Kind::Video;
    let rids = media.rids.iter().map(|id| Some(Rid::from(id.as_str())));
    let all: Vec<Option<Rid>> = if media.rids.is_empty() { vec![None] } else { rids.collect() };
    for (index, rid) in all.into_iter().enumerate() {
        let main = Ssrc::from(0x3000_0000 + u32::from(video) * 0x100 + index as u32 * 2);
        let rtx = video.then(|| Ssrc::from(*main + 1));
        api.declare_stream_tx(main, rtx, mid, rid);
    }
}
