//! A WHIP publisher (RFC 9725) by webrtc-rs: real bitstreams in real time, one or several
//! encodings, and a keyframe whenever one is asked for. It remembers every packet it has sent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp::{Header, Packet as Rtp};
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
    RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use rtc_rtp::codec::av1::Av1Payloader;
use rtc_rtp::codec::h264::H264Payloader;
use rtc_rtp::codec::vp8::Vp8Payloader;
use rtc_rtp::codec::vp9::Vp9Payloader;
use rtc_rtp::packetizer::Payloader;
use tokio::task::JoinHandle;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;

use crate::clip::{Clip, Codec, FPS};
use crate::peer::{self, By, MID, OPUS, OPUS_FMTP, Peer, Post, RID, Role, Session};
use crate::random::Random;
use crate::relay::Impairment;
use crate::sdp;
use crate::weir::Weir;

/// Largest RTP payload; what browsers use, more or less.
const MTU: usize = 1_150;

/// Every publisher of a test program counts from numbers of its own, the same in every run.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// One packet as it was handed to webrtc-rs.
#[derive(Clone, Debug)]
pub struct Sent {
    /// When.
    pub at: Instant,
    /// Sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload.
    pub payload: Bytes,
    /// It belongs to a keyframe.
    pub key: bool,
}

/// What a publisher brings.
#[derive(Clone, Debug)]
pub struct Show {
    /// Rid and pictures of each encoding; a single one has no rid.
    pub encodings: Vec<(Option<&'static str>, Arc<Clip>)>,
    /// Opus beside it.
    pub audio: bool,
    /// The first packet of each keyframe is overtaken by the second.
    pub overtaken: bool,
    /// It connects and sends nothing until [`Publisher::pause`] says otherwise.
    pub paused: bool,
    /// A bad network and its seed.
    pub network: Option<(Impairment, u64)>,
    /// More HTTP header fields.
    pub headers: Vec<(&'static str, String)>,
    /// How it offers.
    pub post: Post,
    /// What it gets through by.
    pub by: By,
}

impl Show {
    /// One encoding and sound.
    pub fn of(clip: Arc<Clip>) -> Self {
        Self {
            encodings: vec![(None, clip)],
            audio: true,
            overtaken: false,
            paused: false,
            network: None,
            headers: Vec::new(),
            post: Post::default(),
            by: By::Udp,
        }
    }

    /// Three encodings, lowest first as browsers list them, and no sound.
    pub fn simulcast(codec: Codec) -> Self {
        let best = Clip::new(codec, 640, 360, 900);
        let encodings = vec![
            (Some("q"), Clip::new(codec, 160, 90, 100)),
            (Some("h"), Clip::new(codec, 320, 180, 300)),
            (Some("f"), best.clone()),
        ];
        Self { encodings, audio: false, ..Self::of(best) }
    }
}

/// A publisher.
pub struct Publisher {
    /// The connection.
    pub peer: Peer,
    /// Offer and answer.
    pub session: Session,
    lanes: Arc<Mutex<Vec<Lane>>>,
    sound: Arc<Mutex<Vec<Sent>>>,
    paused: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

/// One encoding on its way.
struct Lane {
    rid: Option<&'static str>,
    clip: Arc<Clip>,
    payloader: Box<dyn Payloader>,
    ssrc: u32,
    seq: u16,
    offset: u32,
    next: usize,
    overtaken: bool,
    silent: bool,
    requests: usize,
    sent: Vec<Sent>,
    keyframes: Vec<Instant>,
}

impl Publisher {
    /// Publishes one encoding and sound, connected on return.
    pub async fn start(weir: &Weir, stream: &str, clip: Arc<Clip>) -> Self {
        Self::showing(weir, stream, Show::of(clip)).await
    }

    /// Publishes, connected on return.
    pub async fn showing(weir: &Weir, stream: &str, show: Show) -> Self {
        Self::to(&weir.at(&format!("/whip/{stream}")), show).await
    }

    /// What such a publisher would offer; nobody is there to take the answer.
    pub async fn offer(show: &Show) -> String {
        let mut random = Random::seeded(NEXT.fetch_add(1, Ordering::Relaxed));
        Ready::new(show, &mut random).await.peer.offer().await
    }

    /// Publishes to a WHIP endpoint, connected on return.
    pub async fn to(url: &str, show: Show) -> Self {
        let mut random = Random::seeded(NEXT.fetch_add(1, Ordering::Relaxed));
        let Ready { mut peer, lanes, video, audio, audio_ssrc } =
            Ready::new(&show, &mut random).await;
        let headers: Vec<_> = show.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let session = peer.negotiate(url, &headers, show.network, show.post).await;
        peer.connected().await;

        let marks = Marks::new(&session.sdp);
        let lanes = Arc::new(Mutex::new(lanes));
        let sound = Arc::new(Mutex::new(Vec::new()));
        let ear = peer.ear.clone();
        let paused = Arc::new(AtomicBool::new(show.paused));
        let mut tasks = vec![tokio::spawn(play(lanes.clone(), video, marks, ear, paused.clone()))];
        if show.audio {
            let seq = random.bits() as u16;
            let track = (audio, audio_ssrc, seq);
            tasks.push(tokio::spawn(sing(sound.clone(), track, paused.clone())));
        }
        Self { peer, session, lanes, sound, paused, tasks }
    }

    /// Every video packet of this encoding until now.
    pub fn sent(&self, encoding: usize) -> Vec<Sent> {
        self.lanes.lock().unwrap()[encoding].sent.clone()
    }

    /// Every audio packet until now.
    pub fn sang(&self) -> Vec<Sent> {
        self.sound.lock().unwrap().clone()
    }

    /// Stops sending one encoding, as a browser under pressure does; or takes it up again.
    pub fn silence(&self, encoding: usize, silent: bool) {
        self.lanes.lock().unwrap()[encoding].silent = silent;
    }

    /// Sends no media while the connection goes on; or takes it up again.
    pub fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    /// When each keyframe of this encoding left until now.
    pub fn keyframes(&self, encoding: usize) -> Vec<Instant> {
        self.lanes.lock().unwrap()[encoding].keyframes.clone()
    }

    /// How many times a keyframe of this encoding was asked for.
    pub fn keyframe_requests(&self, encoding: usize) -> usize {
        self.lanes.lock().unwrap()[encoding].requests
    }

    /// Nothing is sent any more; the connection stays.
    pub fn stop(&mut self) {
        self.tasks.drain(..).for_each(|t| t.abort());
    }

    /// Leaves as a good client does.
    pub async fn leave(mut self) {
        self.stop();
        let answer = self.session.delete().await;
        assert!(answer.status == 200 || answer.status == 204, "{}", answer.text());
        let _ = tokio::time::timeout(Duration::from_secs(5), self.peer.connection.close()).await;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A connection with its tracks, before anybody was offered them.
struct Ready {
    peer: Peer,
    lanes: Vec<Lane>,
    video: Arc<TrackLocalStaticRTP>,
    audio: Arc<TrackLocalStaticRTP>,
    audio_ssrc: u32,
}

impl Ready {
    async fn new(show: &Show, random: &mut Random) -> Self {
        let codec = show.encodings[0].1.codec;
        let lanes: Vec<Lane> = show
            .encodings
            .iter()
            .map(|(rid, clip)| Lane::new(*rid, clip, show.overtaken, random))
            .collect();
        let peer = Peer::new(Role::Publisher, &[codec], show.audio, show.by).await;
        let audio_ssrc = random.bits() as u32;
        let audio = opus_track(audio_ssrc);
        if show.audio {
            send(&peer, audio.clone()).await;
        }
        let video = video_track(codec, &lanes, random);
        send(&peer, video.clone()).await;
        Self { peer, lanes, video, audio, audio_ssrc }
    }
}

impl Lane {
    fn new(
        rid: Option<&'static str>,
        clip: &Arc<Clip>,
        overtaken: bool,
        random: &mut Random,
    ) -> Self {
        Self {
            overtaken,
            rid,
            clip: clip.clone(),
            payloader: payloader(clip.codec, random),
            ssrc: random.bits() as u32,
            seq: random.bits() as u16,
            offset: random.bits() as u32,
            next: 0,
            silent: false,
            requests: 0,
            sent: Vec::new(),
            keyframes: Vec::new(),
        }
    }

    /// The packets of the next picture.
    fn picture(&mut self, tick: u32, marks: &Marks) -> Vec<Rtp> {
        let index = self.next % self.clip.frames.len();
        self.next = index + 1;
        if index == 0 {
            self.keyframes.push(Instant::now());
        }
        let payloads =
            self.payloader.payload(MTU, &self.clip.frames[index]).expect("a real bitstream");
        let timestamp = self.offset.wrapping_add(tick.wrapping_mul(90_000 / FPS));
        let last = payloads.len() - 1;
        let mut packets = Vec::new();
        for (i, payload) in payloads.into_iter().enumerate() {
            let mut header = Header {
                version: 2,
                marker: i == last,
                payload_type: self.clip.codec.payload_type(),
                sequence_number: self.seq,
                timestamp,
                ssrc: self.ssrc,
                ..Header::default()
            };
            if let Some(rid) = self.rid {
                marks.write(&mut header, rid);
            }
            self.sent.push(Sent {
                at: Instant::now(),
                seq: self.seq,
                timestamp,
                marker: i == last,
                payload: payload.clone(),
                key: index == 0,
            });
            self.seq = self.seq.wrapping_add(1);
            packets.push(Rtp { header, payload });
        }
        if self.overtaken && index == 0 && packets.len() > 1 {
            packets.swap(0, 1);
        }
        packets
    }
}

/// Header extensions that tell simulcast encodings apart.
struct Marks {
    mid: Option<(u8, String)>,
    rid: Option<u8>,
}

impl Marks {
    fn new(answer: &str) -> Self {
        let video = sdp::section(answer, "video").expect("video was answered");
        let mid = sdp::attributes(video, "mid")[0].to_owned();
        Self {
            mid: sdp::extension_id(video, MID).map(|id| (id, mid)),
            rid: sdp::extension_id(video, RID),
        }
    }

    fn write(&self, header: &mut Header, rid: &'static str) {
        let (mid_id, mid) =
            self.mid.as_ref().expect("simulcast was answered with the mid extension");
        let rid_id = self.rid.expect("simulcast was answered with the rid extension");
        header.set_extension(*mid_id, mid.clone().into()).expect("a short mid");
        header.set_extension(rid_id, Bytes::from_static(rid.as_bytes())).expect("a short rid");
    }
}

/// Sends a picture of every encoding 30 times a second.
async fn play(
    lanes: Arc<Mutex<Vec<Lane>>>,
    track: Arc<TrackLocalStaticRTP>,
    marks: Marks,
    ear: Arc<peer::Ear>,
    paused: Arc<AtomicBool>,
) {
    let mut clock = tokio::time::interval(Duration::from_secs(1) / FPS);
    let mut answered = 0;
    for tick in 0.. {
        clock.tick().await;
        let mut packets = Vec::new();
        {
            let mut lanes = lanes.lock().unwrap();
            ear.look(|inbound| {
                for (_, ssrc) in &inbound.keyframe_requests[answered..] {
                    if let Some(lane) = lanes.iter_mut().find(|l| l.ssrc == *ssrc) {
                        lane.requests += 1;
                        lane.next = 0;
                    }
                }
                answered = inbound.keyframe_requests.len();
            });
            let paused = paused.load(Ordering::Relaxed);
            for lane in lanes.iter_mut().filter(|l| !l.silent && !paused) {
                packets.extend(lane.picture(tick, &marks));
            }
        }
        for packet in packets {
            if track.write_rtp(packet).await.is_err() {
                return; // closed
            }
        }
    }
}

/// Sends 20 ms of stereo Opus 50 times a second; each packet is unlike any other.
async fn sing(
    sound: Arc<Mutex<Vec<Sent>>>,
    (track, ssrc, mut seq): (Arc<TrackLocalStaticRTP>, u32, u16),
    paused: Arc<AtomicBool>,
) {
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    let mut random = Random::seeded(u64::from(ssrc));
    let mut timestamp = random.bits() as u32;
    loop {
        clock.tick().await;
        if paused.load(Ordering::Relaxed) {
            timestamp = timestamp.wrapping_add(960);
            continue;
        }
        // TOC byte (RFC 6716 section 3.1): CELT, full band, 20 ms, stereo, one frame.
        let mut payload = vec![0xfc];
        payload.extend_from_slice(&random.bytes::<80>());
        let payload = Bytes::from(payload);
        let header = Header {
            version: 2,
            payload_type: OPUS,
            sequence_number: seq,
            timestamp,
            ssrc,
            ..Header::default()
        };
        sound.lock().unwrap().push(Sent {
            at: Instant::now(),
            seq,
            timestamp,
            marker: false,
            payload: payload.clone(),
            key: true,
        });
        if track.write_rtp(Rtp { header, payload }).await.is_err() {
            return; // closed
        }
        seq = seq.wrapping_add(1);
        timestamp = timestamp.wrapping_add(960);
    }
}

fn payloader(codec: Codec, random: &mut Random) -> Box<dyn Payloader> {
    match codec {
        Codec::H264 => Box::new(H264Payloader::default()),
        Codec::Av1 => Box::new(Av1Payloader::default()),
        Codec::Vp9 => {
            let first = random.bits() as u16 & 0x7fff;
            let start = Arc::new(move || first);
            let mut vp9 = Vp9Payloader::default();
            vp9.initial_picture_id_fn = Some(start);
            Box::new(vp9)
        }
        Codec::Vp8 => {
            let mut vp8 = Vp8Payloader::default();
            vp8.enable_picture_id = true;
            // Below 128 it writes 7-bit ids, which no browser does; and every encoding shall
            // count from a number of its own.
            for _ in 0..130 + random.below(1000) {
                let _ = vp8.payload(MTU, &Bytes::from_static(&[0]));
            }
            Box::new(vp8)
        }
    }
}

async fn send(peer: &Peer, track: Arc<TrackLocalStaticRTP>) {
    let init = RTCRtpTransceiverInit {
        direction: RTCRtpTransceiverDirection::Sendonly,
        streams: vec![],
        send_encodings: vec![],
    };
    peer.connection.add_transceiver_from_track(track, Some(init)).await.expect("a transceiver");
}

fn video_track(codec: Codec, lanes: &[Lane], random: &mut Random) -> Arc<TrackLocalStaticRTP> {
    let mime = peer::mime(codec);
    let media = peer::parameters(&mime, 90_000, 0, codec.fmtp(), codec.payload_type());
    let codings = lanes
        .iter()
        .map(|l| coding(&media, l.rid.unwrap_or_default(), l.ssrc, Some(random.bits() as u32)))
        .collect();
    track(RtpCodecKind::Video, "camera", codings)
}

fn opus_track(ssrc: u32) -> Arc<TrackLocalStaticRTP> {
    let opus = peer::parameters("audio/opus", 48_000, 2, OPUS_FMTP, OPUS);
    track(RtpCodecKind::Audio, "microphone", vec![coding(&opus, "", ssrc, None)])
}

fn coding(
    codec: &RTCRtpCodecParameters,
    rid: &str,
    ssrc: u32,
    rtx: Option<u32>,
) -> RTCRtpEncodingParameters {
    RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            rid: rid.into(),
            ssrc: Some(ssrc),
            rtx: rtx.map(|ssrc| RTCRtpRtxParameters { ssrc }),
            fec: None,
        },
        active: true,
        codec: codec.rtp_codec.clone(),
        ..Default::default()
    }
}

fn track(
    kind: RtpCodecKind,
    label: &str,
    codings: Vec<RTCRtpEncodingParameters>,
) -> Arc<TrackLocalStaticRTP> {
    let name = |what: &str| format!("{what}-{label}");
    let track = MediaStreamTrack::new("show".into(), name("track"), label.into(), kind, codings);
    Arc::new(TrackLocalStaticRTP::new(track))
}
