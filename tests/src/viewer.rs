//! A WHEP viewer (draft-ietf-wish-whep) by webrtc-rs.

use std::time::Duration;

use rtc::rtp_transceiver::rtp_sender::RtpCodecKind;
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use crate::clip::Codec;
use crate::http::{self, Answer};
use crate::peer::{By, Ear, Inbound, Peer, Post, Role, Session};
use crate::relay::Impairment;
use crate::sdp;
use crate::track::Track;
use crate::weir::Weir;

/// The `rel` of the layer extension's `Link`.
pub const LAYER: &str = "urn:ietf:params:whep:ext:core:layer";

/// A viewer.
pub struct Viewer {
    /// The connection.
    pub peer: Peer,
    /// Offer and answer.
    pub session: Session,
    video_ssrc: Option<u32>,
    audio_ssrc: Option<u32>,
}

/// What a viewer asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Video codecs that it offers.
    pub codecs: Vec<Codec>,
    /// Whether it offers Opus.
    pub audio: bool,
    /// Feedback by transport-cc; this client then sends no receiver reports.
    pub transport_cc: bool,
    /// A bad network and its seed.
    pub network: Option<(Impairment, u64)>,
    /// What comes through.
    pub by: By,
    /// More HTTP header fields.
    pub headers: Vec<(&'static str, String)>,
    /// How it offers.
    pub post: Post,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            codecs: Codec::ALL.to_vec(),
            audio: true,
            transport_cc: true,
            network: None,
            by: By::Udp,
            headers: Vec::new(),
            post: Post::default(),
        }
    }
}

impl Viewer {
    /// Joins with all codecs and waits until connected.
    pub async fn join(weir: &Weir, stream: &str) -> Self {
        Self::wishing(weir, stream, Wish::default()).await
    }

    /// Joins and waits until connected.
    pub async fn wishing(weir: &Weir, stream: &str, wish: Wish) -> Self {
        let mut viewer = Self::offering(weir, stream, wish).await;
        viewer.peer.connected().await;
        viewer
    }

    /// Offers and takes the answer; ICE and DTLS go on behind its back.
    pub async fn offering(weir: &Weir, stream: &str, wish: Wish) -> Self {
        Self::to(&weir.at(&format!("/whep/{stream}")), wish).await
    }

    /// The same, to a WHEP endpoint.
    pub async fn to(url: &str, wish: Wish) -> Self {
        let mut peer = Self::silent(&wish).await;
        let headers: Vec<_> = wish.headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let session = peer.negotiate(url, &headers, wish.network, wish.post).await;
        let ssrc = |kind| sdp::ssrcs(sdp::section(&session.sdp, kind)?).first().copied();
        let (video_ssrc, audio_ssrc) = (ssrc("video"), ssrc("audio"));
        Self { peer, session, video_ssrc, audio_ssrc }
    }

    /// A connection that would receive, without anybody to offer to yet.
    pub async fn silent(wish: &Wish) -> Peer {
        let role = if wish.transport_cc { Role::Viewer } else { Role::Reporter };
        let peer = Peer::new(role, &wish.codecs, wish.audio, wish.by).await;
        let kinds = [(RtpCodecKind::Audio, wish.audio), (RtpCodecKind::Video, true)];
        for (kind, wanted) in kinds {
            if !wanted || (kind == RtpCodecKind::Video && wish.codecs.is_empty()) {
                continue;
            }
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                streams: vec![],
                send_encodings: vec![],
            };
            peer.connection
                .add_transceiver_from_kind(kind, Some(init))
                .await
                .expect("a transceiver");
        }
        peer
    }

    /// What has come in.
    pub fn ear(&self) -> &Ear {
        &self.peer.ear
    }

    /// A copy of the video that has come.
    pub fn video(&self) -> Track {
        self.ear().look(|i| track(i, self.video_ssrc))
    }

    /// A copy of the audio that has come.
    pub fn audio(&self) -> Track {
        self.ear().look(|i| track(i, self.audio_ssrc))
    }

    /// Waits until the video satisfies `good`.
    pub async fn until_video(&self, what: &str, mut good: impl FnMut(&Track) -> bool) {
        let ssrc = self.video_ssrc.expect("video was answered");
        let see = |i: &Inbound| i.tracks.get(&ssrc).filter(|t| good(t)).map(drop);
        self.ear().until(what, see).await;
    }

    /// Waits for this many more video packets.
    pub async fn more_video(&self, packets: usize) {
        let have = self.video().len();
        self.until_video("more video", |t| t.len() >= have + packets).await;
    }

    /// Waits until the audio satisfies `good`.
    pub async fn until_audio(&self, what: &str, mut good: impl FnMut(&Track) -> bool) {
        let ssrc = self.audio_ssrc.expect("audio was answered");
        let see = |i: &Inbound| i.tracks.get(&ssrc).filter(|t| good(t)).map(drop);
        self.ear().until(what, see).await;
    }

    /// Chooses an encoding by the layer extension; `None`: automatic again.
    pub async fn choose(&self, encoding: Option<&str>) -> Answer {
        let url = self.session.link(LAYER).expect("the 201 links the layer extension");
        let video = sdp::section(&self.session.sdp, "video").expect("video was answered");
        let mid = sdp::attributes(video, "mid")[0];
        let mut body = serde_json::json!({ "mediaId": mid });
        if let Some(encoding) = encoding {
            body["encodingId"] = encoding.into();
        }
        let headers = vec![("content-type".into(), "application/json".into())];
        http::send_async("POST", url, headers, body.to_string().into_bytes()).await
    }

    /// Leaves as a good client does.
    pub async fn leave(self) {
        let answer = self.session.delete().await;
        assert!(answer.status == 200 || answer.status == 204, "{}", answer.text());
        let _ = tokio::time::timeout(Duration::from_secs(5), self.peer.connection.close()).await;
    }
}

fn track(inbound: &Inbound, ssrc: Option<u32>) -> Track {
    ssrc.and_then(|s| inbound.tracks.get(&s)).cloned().unwrap_or_default()
}
