//! What the API says of streams, publishers and viewers: the JSON shapes of `/api/v1`.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Viewers wait, no publisher.
    Idle,
    /// A publisher is connecting; no media yet.
    Starting,
    /// Media flows.
    Live,
    /// The publisher is lost, within the grace period.
    Interrupted,
    /// The publisher has left.
    Ended,
    /// The stream cannot run; a warning says why.
    Failed,
}

impl State {
    /// Every state, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Starting, Self::Live, Self::Interrupted, Self::Ended, Self::Failed];

    /// As JSON and `/metrics` write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Interrupted => "interrupted",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// How many streams are in which state.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateCounts([usize; State::ALL.len()]);

impl StateCounts {
    /// One more.
    pub fn count(&mut self, state: State) {
        self.0[state as usize] += 1;
    }

    /// How many are in this one.
    pub fn of(&self, state: State) -> usize {
        self.0[state as usize]
    }
}

/// One stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub state: State,
    /// Who publishes, if anybody.
    pub publisher: Option<Publisher>,
    /// Publishers that stand by for it (`stream.on_conflict = "standby"`).
    pub standbys: usize,
    /// What is published.
    pub tracks: Vec<Track>,
    /// Running codec bridges.
    pub bridges: Vec<Bridge>,
    /// How many watch, by protocol.
    pub viewers: ViewerCounts,
    /// The stream as files; `null` while nobody has asked for it.
    pub hls: Option<Hls>,
    /// What an operator should know and do.
    pub warnings: Vec<Warning>,
}

/// Who publishes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Publisher {
    /// First eight digits of the session's id.
    pub session: String,
    /// `whip`, `rtmp`
    pub protocol: &'static str,
    /// RFC 3339, UTC.
    pub since: String,
    /// Where the HTTP request or the connection came from.
    pub address: String,
    /// What the client calls itself.
    pub user_agent: Option<String>,
}

/// An audio or video track.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Track {
    /// Pictures.
    Video {
        /// `h264`, `vp8`, `vp9`, `av1`, `h265`
        codec: &'static str,
        /// Best first.
        encodings: Vec<Encoding>,
    },
    /// Sound.
    Audio {
        /// `opus`, `aac`
        codec: &'static str,
        /// 1 or 2.
        channels: u8,
        /// Hz.
        sample_rate: u32,
        /// Packets received; of RTMP: frames.
        packets: u64,
        /// Payload bytes received.
        bytes: u64,
        /// Packets that never came, not even by retransmission.
        lost: u64,
        /// Over the last second.
        bitrate_bps: u64,
    },
}

/// One encoding of a video track.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Encoding {
    /// The publisher's rid, or `main`.
    pub id: String,
    /// `source`, or `bridge`: this server makes it of what the publisher sends.
    pub origin: &'static str,
    /// Pixels; `null` until a keyframe has said it.
    pub width: Option<u16>,
    /// See `width`.
    pub height: Option<u16>,
    /// Frames per second over the last second.
    pub fps: f64,
    /// Over the last second.
    pub bitrate_bps: u64,
    /// Between the last two keyframes.
    pub keyframe_interval_ms: Option<u64>,
    /// Packets received, retransmissions of lost ones included, duplicates not; of RTMP: pictures.
    pub packets: u64,
    /// Payload bytes received.
    pub bytes: u64,
    /// Packets that never came, not even by retransmission.
    pub lost: u64,
    /// Frames that need a later one have been seen.
    pub b_frames: bool,
    /// Packets arrive now (a browser drops simulcast layers under pressure).
    pub active: bool,
}

/// A codec bridge. Its counters are of this publisher and pair of codecs, restarts of its worker included.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Bridge {
    /// Codec in.
    pub from: String,
    /// Codec out.
    pub to: String,
    /// Who needs it.
    pub why: String,
    /// `starting`, `running`, `restarting`, `failed`
    pub state: &'static str,
    /// Why it has to start again, or has failed; `null` while it runs.
    pub reason: Option<String>,
    /// Of one that has failed: when it is tried again, if somebody still needs it.
    pub next_try_seconds: Option<u64>,
    /// Times that its worker was started again.
    pub restarts: u64,
    /// Pictures or packets of sound that came to it.
    pub units_in: u64,
    /// That came out of it.
    pub units_out: u64,
    /// That did not, by the reason: `skipped` (decoded and not encoded, to catch up), `dropped` (not even
    /// decoded, up to the next keyframe), `late` (came out and could not be passed on in time), `astray` (came
    /// out with a time that cannot be), `unusable` (empty, too large, or with such a time), `undecodable`.
    pub left_out: BTreeMap<&'static str, u64>,
}

impl Bridge {
    /// What its state may be.
    pub const STATES: [&str; 4] = ["starting", "running", "restarting", "failed"];
}

/// How many watch.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct ViewerCounts {
    /// By WHEP.
    pub whep: usize,
    /// By RTMP.
    pub rtmp: usize,
    /// By HLS.
    pub hls: usize,
    /// By DASH.
    pub dash: usize,
}

/// A stream as files, for audiences by HLS.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Hls {
    /// Clients who have lately asked for a playlist; behind a cache, those whose requests it has passed on.
    pub viewers: usize,
    /// The folder of its files.
    pub epoch: String,
    /// What there is to choose from.
    pub renditions: Vec<Rendition>,
    /// No part is longer; `null` without parts.
    pub part_target_ms: Option<u64>,
    /// How far back players can seek.
    pub window_seconds: f64,
    /// There was no room for more of it.
    #[serde(skip)]
    pub(crate) window_short: bool,
    /// What of that lies in memory.
    pub window_bytes: u64,
    /// What of it lies on disk.
    pub stored_bytes: u64,
    /// Requests that wait for what comes next.
    pub waiting: usize,
    /// Answered so far.
    pub requests: u64,
    /// Of those answers.
    pub bytes: u64,
}

/// One rendition of a stream as files.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rendition {
    /// `v0`, `a0`
    pub name: String,
    /// `h264`, `aac`
    pub codec: &'static str,
    /// Of pictures, in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u16>,
    /// See `width`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
    /// Over the window.
    pub bandwidth_bps: u64,
}

/// Something an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// Stable name, snake_case.
    pub code: String,
    /// What it means and what to set.
    pub text: String,
}

/// The last minutes of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct History {
    /// Between two samples.
    pub interval_ms: u64,
    /// Oldest first, five minutes at most; there is none of a time when nobody published or watched.
    pub samples: Vec<Sample>,
}

/// A stream at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Sample {
    /// RFC 3339 with milliseconds, UTC.
    pub at: String,
    /// What the publisher sent, over the last second; 0 without a publisher.
    pub publisher_bitrate_bps: u64,
    /// Packets lost on the way in since the sample before.
    pub publisher_lost: u32,
    /// Connected viewers.
    pub viewers: u32,
    /// What they were sent in sum, over the last second.
    pub viewers_bitrate_bps: u64,
    /// Mean of the fractions that their receiver reports called lost, 0 to 1; `null` if nobody reports.
    pub viewers_loss: Option<f64>,
    /// Mean round-trip time by RTCP; `null` if nobody reports.
    pub viewers_rtt_ms: Option<f64>,
    /// How many viewers get which video encoding.
    pub layers: BTreeMap<String, u32>,
}

/// One viewer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Viewer {
    /// First eight digits of the session's id.
    pub session: String,
    /// `whep`, `rtmp`
    pub protocol: &'static str,
    /// RFC 3339, UTC.
    pub since: String,
    /// Where the HTTP request or the connection came from.
    pub address: String,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// `connecting`, `waiting` (for the publisher), `playing`
    pub state: &'static str,
    /// The encoding that is forwarded now.
    pub layer: Option<String>,
    /// The encoding that the viewer asked for, `null` for the highest.
    pub wanted_layer: Option<String>,
    /// Sent over the last second.
    pub bitrate_bps: u64,
    /// Packets sent, without retransmissions.
    pub packets: u64,
    /// Payload bytes sent, without retransmissions.
    pub bytes: u64,
    /// Fraction that the viewer's last receiver report called lost, 0 to 1.
    pub loss: Option<f64>,
    /// Round-trip time by RTCP.
    pub rtt_ms: Option<f64>,
    /// Bandwidth estimate; `null` until there is an estimator.
    pub estimate_bps: Option<u64>,
    /// Why nothing is shown, in plain words.
    pub problem: Option<String>,
}

/// One session, live or lately ended.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Session {
    /// First eight digits of its id.
    pub session: String,
    /// Which stream.
    pub stream: String,
    /// `publisher`, `viewer`
    pub role: &'static str,
    /// `whip`, `whep`, `rtmp`
    pub protocol: &'static str,
    /// RFC 3339, UTC.
    pub since: String,
    /// RFC 3339, UTC; `null` while it lives.
    pub ended: Option<String>,
    /// In plain words; `null` while it lives.
    pub ended_because: Option<String>,
    /// Where the HTTP request or the connection came from.
    pub address: String,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// Of a viewer `connecting`, `waiting` (for the publisher), `playing`; of a publisher `connecting`,
    /// `connected` (without media), `live`; of both `ended`.
    pub state: &'static str,
    /// How its datagrams go.
    pub transport: Transport,
    /// Of a publisher: what it sends, or sent last.
    pub tracks: Vec<Track>,
    /// Of a viewer: what it gets, or got last.
    #[serde(flatten)]
    pub viewer: Option<ViewerNumbers>,
}

/// The way of a session's datagrams.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Transport {
    /// Our address; `null` until a STUN check has come.
    pub local: Option<String>,
    /// The client's.
    pub remote: Option<String>,
    /// `udp` or `tcp`.
    pub protocol: Option<&'static str>,
    /// `AES-128-GCM`, …; `null` until DTLS is up, and of publishers.
    pub srtp: Option<&'static str>,
}

/// What a viewer gets, as in the list of viewers.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ViewerNumbers {
    /// The encoding that is forwarded now.
    pub layer: Option<String>,
    /// The encoding that the viewer asked for, `null` for the highest.
    pub wanted_layer: Option<String>,
    /// Sent over the last second.
    pub bitrate_bps: u64,
    /// Packets sent, without retransmissions.
    pub packets: u64,
    /// Payload bytes sent, without retransmissions.
    pub bytes: u64,
    /// Fraction that the viewer's last receiver report called lost, 0 to 1.
    pub loss: Option<f64>,
    /// Round-trip time by RTCP.
    pub rtt_ms: Option<f64>,
    /// Bandwidth estimate; `null` until there is an estimator.
    pub estimate_bps: Option<u64>,
    /// Why nothing is shown, in plain words.
    pub problem: Option<String>,
}

/// What is wrong with a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Health {
    /// Nothing is.
    pub ok: bool,
    /// What it means and what to do, the most basic first.
    pub problems: Vec<Warning>,
}

/// What happened to a session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Logs {
    /// The last 200, oldest first. Where a log is full, sums make room before decisions do.
    pub entries: Vec<LogEntry>,
}

/// One line of a session's log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LogEntry {
    /// RFC 3339 with milliseconds, UTC.
    pub at: String,
    /// Stable name, snake_case.
    pub code: &'static str,
    /// What happened and why.
    pub text: String,
}

/// Sums for `/metrics` and the server page.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Streams by state.
    pub streams: StateCounts,
    /// Publishers.
    pub publishers: usize,
    /// Viewers.
    pub viewers: usize,
    /// Media packets in.
    pub packets_in: u64,
    /// Payload bytes in.
    pub bytes_in: u64,
    /// Media packets out.
    pub packets_out: u64,
    /// Payload bytes out.
    pub bytes_out: u64,
    /// Datagrams and packets dropped, by reason.
    pub drops: Vec<(&'static str, u64)>,
    /// Keyframe requests sent to publishers.
    pub keyframe_requests: u64,
    /// TCP connections that carry media.
    pub wires: u64,
    /// Viewers by RTMP.
    pub rtmp_players: usize,
    /// The state of each bridge, one of [`Bridge::STATES`].
    pub bridges: Vec<&'static str>,
    /// Times that a bridge's worker was started again.
    pub bridge_restarts: u64,
    /// Bridges that were given up.
    pub bridge_failures: u64,
    /// Units that went into bridges, and that came out.
    pub bridge_units: (u64, u64),
    /// Units that went in and did not come out, by reason.
    pub bridge_left_out: Vec<(&'static str, u64)>,
    /// Units left out, by reason.
    pub units_dropped: Vec<(&'static str, u64)>,
}
