//! Counters: what was received, sent and dropped, and the snapshots that the API shows.

use std::time::{Duration, Instant};

use media::{Codec, EncodingId, Kind};

use crate::recorder::Asks;

/// Why something was not taken or not forwarded. Every drop is counted under one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Drop {
    /// A datagram that belongs to no session, or a packet made for none.
    UnknownSource,
    /// No STUN, DTLS, RTP or RTCP, or cut short.
    Malformed,
    /// STUN whose integrity is wrong, or DTLS/SRTP from an address that did not prove itself.
    NotAuthentic,
    /// The transport refused it: a broken DTLS record.
    Transport,
    /// RTP that brought no media: not authentic, a duplicate, or the padding of a bandwidth probe.
    RtpUnusable,
    /// RTP with a payload type that was not negotiated, of one encoding too many, or made in a codec or for
    /// a session that cannot be.
    UnknownPayload,
    /// An encoding that this viewer does not watch now.
    NotSelected,
    /// The viewer waits for a keyframe of its encoding.
    AwaitingKeyframe,
    /// The publisher has just begun, and may be sending in haste what it has saved up: nobody begins yet.
    Settling,
    /// The viewer's offer has no payload type for this codec.
    NoCommonCodec,
    /// Arrived after the viewer had switched past it.
    Late,
    /// The viewer's transport is not up yet.
    NotConnected,
    /// A viewer's RTCP beyond what one may send in a second.
    RtcpFlood,
    /// A viewer's RTCP that is none, from the first broken packet of a compound on.
    RtcpMalformed,
    /// SRTCP that was there before.
    Replayed,
    /// A retransmission beyond what a viewer may cost.
    RepairLimit,
    /// A retransmission of a packet that never went out or is not kept any more.
    RepairUnknown,
    /// Media for another shard, from a maker or for a tap, whose lane was full.
    LaneFull,
    /// By TCP: the viewer's connection is behind, or full.
    WireFull,
}

impl Drop {
    /// How many reasons there are.
    pub const COUNT: usize = Self::NAMES.len();
    /// Every reason, in the order of the names.
    pub const ALL: [Self; Self::COUNT] = [
        Self::UnknownSource,
        Self::Malformed,
        Self::NotAuthentic,
        Self::Transport,
        Self::RtpUnusable,
        Self::UnknownPayload,
        Self::NotSelected,
        Self::AwaitingKeyframe,
        Self::Settling,
        Self::NoCommonCodec,
        Self::Late,
        Self::NotConnected,
        Self::RtcpFlood,
        Self::RtcpMalformed,
        Self::Replayed,
        Self::RepairLimit,
        Self::RepairUnknown,
        Self::LaneFull,
        Self::WireFull,
    ];
    const NAMES: [&'static str; 19] = [
        "unknown_source",
        "malformed",
        "not_authentic",
        "transport",
        "rtp_unusable",
        "unknown_payload",
        "not_selected",
        "awaiting_keyframe",
        "settling",
        "no_common_codec",
        "late",
        "not_connected",
        "rtcp_flood",
        "rtcp_malformed",
        "replayed",
        "repair_limit",
        "repair_unknown",
        "lane_full",
        "wire_full",
    ];

    /// The label in `/metrics`.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Drops by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops([u64; Drop::COUNT]);

impl Drops {
    /// Counts one.
    pub fn count(&mut self, reason: Drop) {
        self.add(reason, 1);
    }

    /// Counts many.
    pub fn add(&mut self, reason: Drop, many: u64) {
        self.0[reason as usize] += many;
    }

    /// Takes another shard's into the sum.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }

    /// How many for this reason.
    pub fn get(&self, reason: Drop) -> u64 {
        self.0[reason as usize]
    }

    /// Every reason by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Drop::NAMES.into_iter().zip(self.0)
    }
}

/// A counter's speed over the last full interval of at least [`Rate::INTERVAL`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    since: Option<(Instant, u64)>,
    per_second: f64,
}

impl Rate {
    /// The shortest interval that is measured over.
    pub const INTERVAL: Duration = Duration::from_millis(950);

    /// Of what begins then, with 0.
    pub fn since(now: Instant) -> Self {
        Self { since: Some((now, 0)), per_second: 0.0 }
    }

    /// The counter stands at `total` now.
    pub fn update(&mut self, now: Instant, total: u64) {
        let Some((then, _)) = self.since else {
            self.since = Some((now, total));
            return;
        };
        if now.saturating_duration_since(then) >= Self::INTERVAL {
            self.measure(now, total);
            self.since = Some((now, total));
        }
    }

    /// The mean up to now, however short that is; the interval goes on.
    pub fn measure(&mut self, now: Instant, total: u64) {
        let Some((then, before)) = self.since else { return };
        let elapsed = now.saturating_duration_since(then);
        if !elapsed.is_zero() {
            self.per_second = total.saturating_sub(before) as f64 / elapsed.as_secs_f64();
        }
    }

    /// Counts per second.
    pub fn per_second(&self) -> f64 {
        self.per_second
    }
}

/// Media that went out, without retransmissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packets.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

impl std::ops::Add for Sent {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

/// Sums over the life of a shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Media packets in.
    pub packets_in: u64,
    /// Their payload bytes.
    pub bytes_in: u64,
    /// Media out.
    pub sent: Sent,
    /// Packets sent again because a viewer asked.
    pub repaired: u64,
    /// Keyframe requests sent to publishers.
    pub keyframe_requests: u64,
    /// Everything that went nowhere.
    pub drops: Drops,
}

impl Totals {
    /// Takes another shard's into the sum.
    pub fn merge(&mut self, other: &Self) {
        self.packets_in += other.packets_in;
        self.bytes_in += other.bytes_in;
        self.sent += other.sent;
        self.repaired += other.repaired;
        self.keyframe_requests += other.keyframe_requests;
        self.drops.merge(&other.drops);
    }
}

/// What a publisher sends, in sums over its encodings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake {
    /// Over the last second.
    pub bitrate_bps: u64,
    /// Unique packets since it began.
    pub packets: u64,
    /// Sequence numbers that have not come so far. Goes back when a late packet comes.
    pub lost: u64,
}

impl std::ops::AddAssign for Intake {
    fn add_assign(&mut self, other: Self) {
        self.bitrate_bps += other.bitrate_bps;
        self.packets += other.packets;
        self.lost += other.lost;
    }
}

/// Where an encoding comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The publisher.
    #[default]
    Source,
    /// This server, which decodes what the publisher sends and encodes it anew, in another codec or form.
    Bridge,
}

impl Origin {
    /// As the API names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Bridge => "bridge",
        }
    }
}

/// One encoding as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodingSnapshot {
    /// Its id.
    pub id: EncodingId,
    /// Where it comes from.
    pub origin: Origin,
    /// Audio or video.
    pub kind: Kind,
    /// Codec of the last packet.
    pub codec: Codec,
    /// Audio channels: 2 once a packet has been in stereo.
    pub channels: u8,
    /// Pixels, once a keyframe has said it.
    pub dimensions: Option<(u16, u16)>,
    /// Over the last second.
    pub fps: f64,
    /// Over the last second.
    pub bitrate_bps: u64,
    /// Keyframes begun.
    pub keyframes: u64,
    /// Between the last two keyframes.
    pub keyframe_interval: Option<Duration>,
    /// How long the last keyframe that was asked for took.
    pub keyframe_wait: Option<Duration>,
    /// Unique packets.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// B frames have been seen.
    pub b_frames: bool,
    /// Packets arrive now.
    pub active: bool,
}

/// What of an encoding matters to who chooses one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodingState {
    /// Its id.
    pub id: EncodingId,
    /// Where it comes from.
    pub origin: Origin,
    /// Audio or video.
    pub kind: Kind,
    /// Codec of the last packet.
    pub codec: Codec,
    /// Pixels, once a keyframe has said it.
    pub dimensions: Option<(u16, u16)>,
    /// B frames have been seen: its pictures come in another order than they are shown in.
    pub b_frames: bool,
    /// Packets arrive now.
    pub active: bool,
    /// Over the last second; 0 before it is measured.
    pub bitrate_bps: u64,
}

impl EncodingState {
    /// True if this is news to who knows `before`: a bitrate counts when it is the first.
    pub fn is_news(&self, before: &Self) -> bool {
        let known = Self { bitrate_bps: self.bitrate_bps, ..*before };
        *self != known || (before.bitrate_bps == 0 && self.bitrate_bps > 0)
    }
}

/// One viewer as it is now.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewerSnapshot {
    /// DTLS is up.
    pub connected: bool,
    /// Media was forwarded within the last second.
    pub playing: bool,
    /// The video encoding that is forwarded.
    pub layer: Option<EncodingId>,
    /// The one that the viewer chose.
    pub wanted: Option<EncodingId>,
    /// Over the last second.
    pub bitrate_bps: u64,
    /// Without retransmissions.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Fraction of the last receiver report, 0 to 1.
    pub loss: Option<f32>,
    /// By RTCP.
    pub rtt: Option<Duration>,
    /// A codec of the publisher for which this viewer's offer has no payload type.
    pub missing: Option<Codec>,
    /// It watches somebody.
    pub attached: bool,
    /// The encoding whose keyframe it waits for, and for how long.
    pub awaiting: Option<(EncodingId, Duration)>,
    /// What it has asked for lately.
    pub asks: Asks,
}
