//! One webrtc-rs connection and a tap on its wire: what both clients share.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use rtc::interceptor::{
    Interceptor, NackGeneratorBuilder, NackResponderBuilder, Packet as Heard, Slot, StreamInfo,
    TaggedPacket,
};
use rtc::peer_connection::configuration::setting_engine::SettingEngineBuilder;
use rtc::rtcp::goodbye::Goodbye;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use tokio::sync::{Notify, watch};
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler,
    RTCIceCandidateInit, RTCIceGatheringState, RTCPeerConnectionState, RTCSdpType,
    RTCSessionDescription, Registry, configure_rtcp_reports, configure_twcc_receiver_only,
    configure_twcc_sender_only,
};

use crate::clip::Codec;
use crate::http::{self, Answer};
use crate::relay::{Impairment, Relay};
use crate::sdp;
use crate::track::{Packet, Track};
use crate::wire::Wire;

/// RFC 9143 media identification.
pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// RFC 8852 stream identification.
pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// RFC 8852 repaired stream identification.
pub const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
/// Payload type of Opus in our offers.
pub const OPUS: u8 = 111;
/// Format parameters of Opus in our offers.
pub const OPUS_FMTP: &str = "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1";
/// RTCP type and format of sender reports (RFC 3550).
pub const SENDER_REPORT: (u8, u8) = (200, 0);
/// RTCP type and format of lists of lost packets (RFC 4585).
pub const NACK: (u8, u8) = (205, 1);
/// RTCP type and format of transport-wide congestion control feedback.
pub const TRANSPORT_CC: (u8, u8) = (205, 15);
/// How long anything may take that happens at once on a healthy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the wire has brought.
#[derive(Debug, Default)]
pub struct Inbound {
    /// Media by SSRC.
    pub tracks: HashMap<u32, Track>,
    /// RTCP packets that ask for a keyframe: when, and of which SSRC.
    pub keyframe_requests: Vec<(Instant, u32)>,
    /// How many RTCP packets of each type and feedback format (or count of reports).
    pub rtcp: HashMap<(u8, u8), u64>,
    /// Sources that said goodbye.
    pub goodbyes: Vec<u32>,
}

/// The ear on the wire, shared with the test.
#[derive(Debug, Default)]
pub struct Ear {
    inbound: Mutex<Inbound>,
    news: Notify,
    /// Retransmission SSRC to media SSRC, and retransmission payload type to media payload type.
    repairs: OnceLock<(HashMap<u32, u32>, HashMap<u8, u8>)>,
}

impl Ear {
    /// Looks at what has come.
    pub fn look<T>(&self, eye: impl FnOnce(&Inbound) -> T) -> T {
        eye(&self.inbound.lock().unwrap())
    }

    /// Waits until `eye` sees something. `what` says what was waited for in vain.
    pub async fn until<T>(&self, what: &str, mut eye: impl FnMut(&Inbound) -> Option<T>) -> T {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let news = self.news.notified();
            if let Some(seen) = eye(&self.inbound.lock().unwrap()) {
                return seen;
            }
            if tokio::time::timeout_at(end, news).await.is_err() {
                let have = self.look(|inbound| {
                    let tracks = inbound.tracks.iter();
                    let tracks: Vec<_> = tracks.map(|(s, t)| (s, t.len(), t.missing())).collect();
                    format!("(ssrc, packets, missing): {tracks:?}, rtcp {:?}", inbound.rtcp)
                });
                panic!("never: {what}; {have}");
            }
        }
    }

    /// SSRC and payload type that a retransmission repairs.
    fn repair(&self, header: &rtc::rtp::Header) -> Option<(u32, u8)> {
        let (ssrcs, pts) = self.repairs.get()?;
        Some((*ssrcs.get(&header.ssrc)?, *pts.get(&header.payload_type)?))
    }

    fn hear(&self, now: Instant, packet: &Heard) {
        let mut inbound = self.inbound.lock().unwrap();
        match packet {
            Heard::Rtp(packet) => self.hear_rtp(&mut inbound, now, packet),
            Heard::Rtcp(packets) => {
                for packet in packets {
                    let header = packet.header();
                    let kind = (header.packet_type as u8, header.count);
                    *inbound.rtcp.entry(kind).or_default() += 1;
                    let any = packet.as_any();
                    if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
                        inbound.keyframe_requests.push((now, pli.media_ssrc));
                    } else if let Some(fir) = any.downcast_ref::<FullIntraRequest>() {
                        inbound.keyframe_requests.extend(fir.fir.iter().map(|f| (now, f.ssrc)));
                    } else if let Some(bye) = any.downcast_ref::<Goodbye>() {
                        inbound.goodbyes.extend(&bye.sources);
                    }
                }
            }
            _ => {}
        }
        drop(inbound);
        self.news.notify_waiters();
    }

    fn hear_rtp(&self, inbound: &mut Inbound, now: Instant, packet: &rtc::rtp::Packet) {
        let header = &packet.header;
        let mut seen = Packet {
            at: now,
            seq: 0,
            timestamp: header.timestamp,
            pt: header.payload_type,
            marker: header.marker,
            payload: packet.payload.clone(),
            repaired: false,
        };
        match self.repair(header) {
            Some((ssrc, pt)) if packet.payload.len() >= 2 => {
                let seq = u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
                (seen.pt, seen.repaired) = (pt, true);
                seen.payload = packet.payload.slice(2..);
                inbound.tracks.entry(ssrc).or_default().push(seq, seen);
            }
            // Nothing but padding: a probe.
            Some(_) => {}
            None => {
                inbound.tracks.entry(header.ssrc).or_default().push(header.sequence_number, seen);
            }
        }
    }
}

/// The interceptor nearest to the wire: hears everything that comes in, and unwraps
/// retransmissions (RFC 4588) at once. webrtc-rs itself unwraps them above its NACK generator, which
/// so never learns that a gap is closed and asks for each lost packet for ever; no browser does.
struct Tap {
    ear: Arc<Ear>,
    up: VecDeque<TaggedPacket>,
    down: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        self.ear.hear(packet.now, &packet.message.packet);
        if let Heard::Rtp(rtp) = &mut packet.message.packet
            && let Some((ssrc, pt)) = self.ear.repair(&rtp.header)
        {
            if rtp.payload.len() < 2 {
                return Ok(()); // nothing but padding: a probe
            }
            rtp.header.sequence_number = u16::from_be_bytes([rtp.payload[0], rtp.payload[1]]);
            (rtp.header.ssrc, rtp.header.payload_type) = (ssrc, pt);
            rtp.payload = rtp.payload.slice(2..);
        }
        self.up.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.up.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.down.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.down.pop_front()
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

struct Handler {
    state: watch::Sender<RTCPeerConnectionState>,
    gathered: watch::Sender<bool>,
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }
}

/// Publisher or viewer: decides which way transport-cc feedback flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends media.
    Publisher,
    /// Receives media.
    Viewer,
    /// Receives, and says by receiver reports what came.
    Reporter,
}

/// How an offer goes to the server.
#[derive(Clone, Copy, Debug)]
pub struct Post {
    /// What the server gets in place of it.
    pub bend: fn(&str) -> String,
    /// By HTTP/2 in clear.
    pub by_two: bool,
}

impl Default for Post {
    fn default() -> Self {
        Self { bend: str::to_owned, by_two: false }
    }
}

/// What a client gets through to the server by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// UDP.
    #[default]
    Udp,
    /// UDP; who restarts ICE does so from another port, as after a change of networks, and has left the old one.
    Roaming,
    /// UDP, from this machine's address of that name to this one of the server's alone.
    To(SocketAddr),
    /// TCP alone, by webrtc-rs' own active candidates (RFC 6544).
    Tcp,
    /// TCP alone, by a [`Wire`] that webrtc-rs knows nothing of.
    Wire,
}

/// A connection under test.
pub struct Peer {
    /// webrtc-rs' own handle.
    pub connection: Box<dyn PeerConnection>,
    /// Everything inbound.
    pub ear: Arc<Ear>,
    /// Connection state as webrtc-rs reports it.
    pub state: watch::Receiver<RTCPeerConnectionState>,
    gathered: watch::Receiver<bool>,
    by: By,
}

/// What offer and answer have brought.
#[derive(Debug)]
pub struct Session {
    /// The 201.
    pub answer: Answer,
    /// Our offer.
    pub offer: String,
    /// Its body, as the server wrote it.
    pub sdp: String,
    /// Absolute URL of the session.
    pub resource: String,
    /// Between us and the server, where a bad network was asked for.
    pub relay: Option<Relay>,
    /// The same, where nothing but TCP comes through.
    pub wire: Option<Wire>,
}

impl Session {
    /// Ends the session by DELETE.
    pub async fn delete(&self) -> Answer {
        http::send_async("DELETE", self.resource.clone(), vec![], vec![]).await
    }

    /// URL of the first `Link` of this relation.
    pub fn link(&self, relation: &str) -> Option<String> {
        self.answer.all("link").into_iter().find_map(|l| {
            let (url, rest) = l.trim().strip_prefix('<')?.split_once('>')?;
            rest.contains(&format!("\"{relation}\"")).then(|| url.to_owned())
        })
    }
}

impl Peer {
    /// Makes a connection that offers `codecs` and, if asked, Opus.
    pub async fn new(role: Role, codecs: &[Codec], audio: bool, by: By) -> Self {
        let mut engine = engine(codecs, audio);
        let ear = Arc::new(Ear::default());
        let tap = Tap { ear: ear.clone(), up: VecDeque::new(), down: VecDeque::new() };
        let registry = Registry::new()
            .with(Slot::from(500), tap)
            .with(Slot::NackResponder, NackResponderBuilder::new().with_size(2048).build());
        // With a short interval: these tests are about the server's repairs, not about the
        // patience of webrtc-rs.
        let nacks = NackGeneratorBuilder::new()
            .with_size(2048)
            .with_interval(Duration::from_millis(50))
            .build();
        let registry = registry.with(Slot::NackGenerator, nacks);
        let registry = configure_rtcp_reports(registry);
        let registry = match role {
            Role::Publisher => configure_twcc_sender_only(registry, &mut engine),
            Role::Viewer => configure_twcc_receiver_only(registry, &mut engine),
            // With transport-cc this client sends no receiver reports.
            Role::Reporter => Ok(registry),
        };
        let settings = SettingEngineBuilder::new()
            .with_include_loopback_candidate(true)
            .with_discard_local_candidates_during_ice_restart(by == By::Roaming)
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .build();
        let (state, states) = watch::channel(RTCPeerConnectionState::New);
        let (gathered, gatherings) = watch::channel(false);
        let here = || vec!["127.0.0.1:0".to_owned()];
        let (udp, tcp) = match by {
            By::Udp | By::Roaming | By::Wire => (here(), vec![]),
            By::To(server) => (vec![SocketAddr::new(server.ip(), 0).to_string()], vec![]),
            By::Tcp => (vec![], here()),
        };
        let connecting = PeerConnectionBuilder::new()
            .with_media_engine(engine)
            .with_setting_engine(settings)
            .with_interceptor_registry(registry.expect("transport-cc can be registered"))
            .with_handler(Arc::new(Handler { state, gathered }))
            .with_udp_addrs(udp)
            .with_tcp_addrs(tcp)
            .build();
        let connection = Box::pin(connecting).await.expect("webrtc-rs builds a connection");
        Self { connection: Box::new(connection), ear, state: states, gathered: gatherings, by }
    }

    /// The complete offer, candidates gathered.
    pub async fn offer(&mut self) -> String {
        let offer = self.connection.create_offer(None).await.expect("an offer");
        self.connection.set_local_description(offer).await.expect("its own offer");
        let gathered = self.gathered.wait_for(|done| *done);
        tokio::time::timeout(PATIENCE, gathered).await.expect("gathers").expect("lives");
        self.connection.local_description().await.expect("just set").sdp
    }

    /// Offers to the endpoint, takes the answer, through a relay where one is wanted.
    pub async fn negotiate(
        &mut self,
        url: &str,
        headers: &[(&str, &str)],
        network: Option<(Impairment, u64)>,
        post: Post,
    ) -> Session {
        let offer = (post.bend)(&self.offer().await);
        let mut fields = vec![("content-type".to_owned(), "application/sdp".to_owned())];
        fields.extend(headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        let body = offer.clone().into_bytes();
        let answer = match post.by_two {
            false => http::send_async("POST", url.to_owned(), fields, body).await,
            true => http::by_two_async("POST", url.to_owned(), fields, body).await,
        };
        assert_eq!(answer.status, 201, "{}\n{offer}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/sdp"));
        let resource = answer.header("location").expect("a 201 has a Location").to_owned();
        let sdp = answer.text();
        let mut local = sdp.clone();
        let (mut relay, mut wire) = (None, None);
        if let By::To(server) = self.by {
            local = sdp::with_only_candidate(&sdp, server);
        }
        if self.by == By::Wire {
            let between = Wire::new(first_by_tcp(&sdp)).await;
            local = sdp::with_only_candidate(&sdp, between.address);
            wire = Some(between);
        }
        if let Some((impairment, seed)) = network {
            let server = first_candidate(&sdp);
            let between = Relay::new(server, impairment, seed).await;
            local = sdp::with_only_candidate(&sdp, between.address);
            relay = Some(between);
        }
        if let Some(video) = sdp::section(&sdp, "video") {
            let flows = sdp::flows(video).into_iter().map(|(media, rtx)| (rtx, media)).collect();
            let repaired = sdp::payload_types(video)
                .into_iter()
                .filter_map(|(pt, _)| Some((pt, sdp::repaired(video, pt)?)))
                .collect();
            self.ear.repairs.set((flows, repaired)).expect("negotiated once");
        }
        self.take_answer(&local).await;
        if self.by == By::Tcp {
            self.learn_tcp(&sdp).await;
        }
        Session { answer, offer, sdp, resource, relay, wire }
    }

    /// webrtc-rs connects to candidates by TCP that come by trickle, not to those of an answer.
    async fn learn_tcp(&self, sdp: &str) {
        let lines = sdp::attributes(sdp::section(sdp, "video").unwrap_or(sdp), "candidate");
        for line in lines.into_iter().filter(|line| line.contains(" tcp ")) {
            let candidate = format!("candidate:{line}");
            let init = RTCIceCandidateInit { candidate, ..Default::default() };
            self.connection.add_ice_candidate(init).await.expect("a candidate");
        }
    }

    /// Hands the answer to webrtc-rs.
    pub async fn take_answer(&self, sdp: &str) {
        let answer = RTCSessionDescription::answer(sdp.to_owned()).expect("an answer parses");
        assert_eq!(answer.sdp_type, RTCSdpType::Answer);
        self.connection
            .set_remote_description(answer)
            .await
            .unwrap_or_else(|e| panic!("webrtc-rs refuses the answer: {e}\n{sdp}"));
    }

    /// Waits for ICE and DTLS.
    pub async fn connected(&mut self) {
        self.reaches(RTCPeerConnectionState::Connected).await;
    }

    /// Waits for a connection state.
    pub async fn reaches(&mut self, wanted: RTCPeerConnectionState) {
        let reached = self.state.wait_for(|s| *s == wanted);
        let result = tokio::time::timeout(PATIENCE, reached).await.map(|r| r.map(|s| *s));
        match result {
            Ok(Ok(_)) => {}
            other => panic!("never {wanted}: {other:?}, now {}", *self.state.borrow()),
        }
    }
}

/// The server's first UDP address.
pub fn first_candidate(sdp: &str) -> SocketAddr {
    *sdp::candidates(sdp).first().unwrap_or_else(|| panic!("no UDP candidate in\n{sdp}"))
}

/// The server's first TCP address.
fn first_by_tcp(sdp: &str) -> SocketAddr {
    let all = sdp::candidates_by(sdp, "tcp");
    *all.first().unwrap_or_else(|| panic!("no TCP candidate in\n{sdp}"))
}

fn engine(codecs: &[Codec], audio: bool) -> MediaEngine {
    let mut engine = MediaEngine::default();
    for codec in codecs {
        let pt = codec.payload_type();
        let rtx = parameters("video/rtx", 90_000, 0, &format!("apt={pt}"), pt + 1);
        let mut media = parameters(&mime(*codec), 90_000, 0, codec.fmtp(), pt);
        media.rtp_codec.rtcp_feedback = [("ccm", "fir"), ("nack", ""), ("nack", "pli")]
            .map(|(typ, parameter)| RTCPFeedback { typ: typ.into(), parameter: parameter.into() })
            .to_vec();
        for one in [media, rtx] {
            engine.register_codec(one, RtpCodecKind::Video).expect("a codec");
        }
    }
    if audio {
        let opus = parameters("audio/opus", 48_000, 2, OPUS_FMTP, OPUS);
        engine.register_codec(opus, RtpCodecKind::Audio).expect("a codec");
    }
    for uri in [MID, RID, REPAIRED_RID] {
        let extension = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
        engine
            .register_header_extension(extension, RtpCodecKind::Video, None)
            .expect("an extension");
    }
    engine
}

/// MIME type of a video codec.
pub fn mime(codec: Codec) -> String {
    format!("video/{}", codec.name())
}

/// A codec as webrtc-rs wants it.
pub fn parameters(
    mime: &str,
    clock_rate: u32,
    channels: u16,
    fmtp: &str,
    payload_type: u8,
) -> RTCRtpCodecParameters {
    RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: mime.to_owned(),
            clock_rate,
            channels,
            sdp_fmtp_line: fmtp.to_owned(),
            rtcp_feedback: vec![],
        },
        payload_type,
    }
}
