//! What an offer and our answer agreed on: all that the transport needs, free of SDP text.

use std::net::SocketAddr;

use media::{Codec, EncodingId, Kind};

/// ICE credentials (RFC 8839 section 5.4).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    /// `a=ice-ufrag`, 4 to 256 ice-chars.
    pub ufrag: String,
    /// `a=ice-pwd`, 22 to 256 ice-chars. Never logged.
    pub pwd: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// A certificate's fingerprint (RFC 8122).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Hash function as SDP names it, lower case: `sha-256`.
    pub algorithm: String,
    /// The digest.
    pub digest: Vec<u8>,
}

/// Which side of the DTLS handshake we take (RFC 8842): `Client` answers `setup:active`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// We send the ClientHello.
    Client,
    /// We wait for it.
    Server,
}

/// RTP header extensions that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    /// `urn:ietf:params:rtp-hdrext:sdes:mid`
    Mid,
    /// `urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id`
    Rid,
    /// `urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id`
    RepairedRid,
    /// `http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01`
    TransportCc,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time`
    AbsSendTime,
    /// `urn:ietf:params:rtp-hdrext:ssrc-audio-level`
    AudioLevel,
    /// `http://www.webrtc.org/experiments/rtp-hdrext/playout-delay`
    PlayoutDelay,
}

impl Extension {
    const ALL: [(Self, &'static str); 7] = [
        (Self::Mid, "urn:ietf:params:rtp-hdrext:sdes:mid"),
        (Self::Rid, "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"),
        (Self::RepairedRid, "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"),
        (
            Self::TransportCc,
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
        ),
        (Self::AbsSendTime, "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"),
        (Self::AudioLevel, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
        (Self::PlayoutDelay, "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"),
    ];

    /// The URI of `a=extmap`.
    pub fn uri(self) -> &'static str {
        Self::ALL.iter().find(|(e, _)| *e == self).map_or("", |(_, uri)| uri)
    }

    /// From the URI of `a=extmap`.
    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, u)| *u == uri).map(|(e, _)| *e)
    }
}

/// One payload type that both sides accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Payload type number, 0 to 127.
    pub pt: u8,
    /// Payload type of its retransmissions (RFC 4588), where negotiated.
    pub rtx: Option<u8>,
    /// The codec.
    pub codec: Codec,
    /// Format parameters of the offer: `profile-level-id=42e01f;packetization-mode=1`. May be empty.
    pub fmtp: String,
    /// Audio channels of the rtpmap; 1 where not given, and for video.
    pub channels: u8,
}

impl Payload {
    /// A parameter of the fmtp line, by its name in any case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        parameter(&self.fmtp, name)
    }
}

/// A parameter of an fmtp line, by its name in any case.
pub(crate) fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').find_map(|p| {
        let (key, value) = p.trim().split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// SSRCs of one encoding as the offer declares them (`a=ssrc`, `a=ssrc-group:FID`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssrcs {
    /// Media.
    pub main: u32,
    /// Retransmissions.
    pub rtx: Option<u32>,
}

/// One accepted m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// `a=mid`, 1 to 16 bytes.
    pub mid: String,
    /// Audio or video.
    pub kind: Kind,
    /// Accepted payload types, best first.
    pub payloads: Vec<Payload>,
    /// Accepted header extensions by their id, 1 to 14.
    pub extensions: Vec<(u8, Extension)>,
    /// WHIP: simulcast rids, in the offer's order; empty without simulcast.
    pub rids: Vec<EncodingId>,
    /// WHIP: SSRCs that the offer declares; empty where it leaves them to the rid or mid extension,
    /// and always with simulcast, where nothing ties a declared SSRC to a rid.
    pub remote_ssrcs: Vec<Ssrcs>,
    /// WHEP: the SSRCs under which we send.
    pub local_ssrcs: Option<Ssrcs>,
}

/// What we bring into every negotiation; the caller makes the random parts.
#[derive(Clone, Debug)]
pub struct Local {
    /// Fresh for each session: at least 4 and 22 random ice-chars.
    pub ice: IceCredentials,
    /// Of our DTLS certificate.
    pub fingerprint: Fingerprint,
    /// Host candidates by UDP, best first.
    pub candidates: Vec<SocketAddr>,
    /// The same by TCP, where the peer connects (RFC 6544 `passive`); none where there is no such port.
    pub tcp: Vec<SocketAddr>,
    /// Random, for `o=`; and distinct random SSRCs: audio, video, video retransmission.
    pub session: u64,
    /// See `session`.
    pub ssrcs: [u32; 3],
}

/// What offer and answer agreed on.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// Ours.
    pub local_ice: IceCredentials,
    /// Theirs.
    pub remote_ice: IceCredentials,
    /// Of the certificate that the peer must show.
    pub remote_fingerprint: Fingerprint,
    /// Our side of the handshake.
    pub dtls: DtlsRole,
    /// At most one audio and one video.
    pub media: Vec<Media>,
    /// Mids of the group that shares the transport, the tagged one first (RFC 9143); empty where the
    /// offer has no group.
    pub bundle: Vec<String>,
}

impl Agreement {
    /// The m-line of this kind.
    pub fn media(&self, kind: Kind) -> Option<&Media> {
        self.media.iter().find(|m| m.kind == kind)
    }

    /// The m-line that the transport belongs to.
    pub fn tagged(&self) -> Option<&Media> {
        let tag = self.bundle.first();
        self.media.iter().find(|m| Some(&m.mid) == tag).or(self.media.first())
    }
}
