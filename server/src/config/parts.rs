//! The parts of the configuration and their defaults.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::elsewhere::Elsewhere;
use super::ice::IceServer;
use super::streams::LiveStream;
use super::value::{
    Advertise, Apps, Listen, LiveStart, Network, OnConflict, Origin, Preset, PublicUrl, duration,
};
use crate::access::Secret;
use crate::bridges::Limit;

/// `[http]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Where pages, WHIP, WHEP and the API listen.
    pub listen: Listen,
    /// What absolute URLs begin with behind a proxy; empty: the request's own host.
    pub public_url: PublicUrl,
    /// Whose `Forwarded` and `X-Forwarded-*` headers count.
    pub trusted_proxies: Vec<Network>,
    /// Bytes of the largest offer or other body taken.
    pub body_limit: usize,
    /// POST, PATCH and DELETE per second and client address, ten seconds' worth at once; 0: any number.
    pub rate: u32,
    /// The same for clients on this machine.
    pub loopback_rate: u32,
    /// TCP connections at once; one address that is neither this machine nor a trusted proxy may have a quarter.
    pub max_connections: usize,
    /// Whose pages may use WHIP and WHEP from another site.
    pub cors_origins: Vec<Origin>,
    /// Which streams other nodes have: offers for them are sent there.
    pub elsewhere: Vec<Elsewhere>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Listen::any(8080),
            public_url: PublicUrl::default(),
            trusted_proxies: Vec::new(),
            body_limit: 64 * 1024,
            rate: 20,
            loopback_rate: 1000,
            max_connections: 10_000,
            cors_origins: vec![Origin::Any],
            elsewhere: Vec::new(),
        }
    }
}

/// `[webrtc]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webrtc {
    /// Where STUN, DTLS and SRTP come in, for everybody on one port.
    pub listen: Listen,
    /// More addresses for candidates.
    pub advertise: Vec<Advertise>,
    /// STUN and TURN servers that clients are told.
    pub ice_servers: Vec<IceServer>,
    /// What the TURN servers among them share with us to sign credentials (coturn: `static-auth-secret`).
    pub turn_secret: Secret,
    /// How long such credentials hold.
    #[serde(with = "duration")]
    pub turn_ttl: Duration,
    /// Without a secret: one name for everybody.
    pub turn_username: String,
    /// Its password.
    pub turn_password: Secret,
    /// Media by TCP too, on the port of `http.listen`.
    pub tcp: bool,
    /// TCP connections of media at once.
    pub tcp_connections: usize,
    /// Media threads, 0: one per core; at most 256.
    pub shards: u16,
    /// What each encoding keeps for retransmissions and for viewers who join, in payload bytes.
    pub ring_bytes: usize,
    /// See `ring_bytes`. OBS's x264 has a keyframe every 250 frames unless told otherwise.
    #[serde(with = "duration")]
    pub ring_time: Duration,
    /// WHIP sessions at once.
    pub max_publishers: usize,
    /// WHEP sessions at once.
    pub max_viewers: usize,
    /// A viewer without a publisher waits for one, instead of being told 409.
    pub wait_for_publisher: bool,
}

impl Default for Webrtc {
    fn default() -> Self {
        Self {
            listen: Listen::any(8080),
            advertise: Vec::new(),
            ice_servers: Vec::new(),
            turn_secret: Secret::default(),
            turn_ttl: Duration::from_secs(12 * 3600),
            turn_username: String::new(),
            turn_password: Secret::default(),
            tcp: true,
            tcp_connections: 10_000,
            shards: 0,
            ring_bytes: 16 << 20,
            ring_time: Duration::from_secs(12),
            max_publishers: 1000,
            max_viewers: 10_000,
            wait_for_publisher: true,
        }
    }
}

/// `[rtmp]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rtmp {
    /// Where RTMP comes in.
    pub listen: Listen,
    /// Where RTMPS comes in; needs `[tls]`.
    pub tls_listen: Listen,
    /// The application names of `rtmp://host/{app}/{stream}`.
    pub app: Apps,
    /// TCP connections at once, of both listeners together.
    pub max_connections: usize,
}

impl Default for Rtmp {
    fn default() -> Self {
        Self {
            listen: Listen::any(1935),
            tls_listen: Listen::default(),
            app: Apps::default(),
            max_connections: 1000,
        }
    }
}

/// `[transcode]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transcode {
    /// The worker program. Empty: `weir-transcoder` beside this one.
    worker: PathBuf,
    /// How much a worker stands back for others, 0 to 19.
    nice: u8,
    /// What one worker may take, in MiB; 0: no limit.
    memory_mb: u32,
    /// Threads of one codec; 0: as the worker thinks best.
    threads: u16,
    /// Bridges at once; 0: as many as the cores can do with.
    max_bridges: u32,
}

impl Default for Transcode {
    fn default() -> Self {
        let transcode::Config { nice, memory_mb, threads, .. } = transcode::Config::default();
        Self { worker: PathBuf::new(), nice, memory_mb, threads, max_bridges: 0 }
    }
}

impl Transcode {
    /// The worker program, if one is named.
    pub fn program(&self) -> Option<&Path> {
        Some(self.worker.as_path()).filter(|path| !path.as_os_str().is_empty())
    }

    /// How many may run at once.
    pub fn bridges(&self) -> Limit {
        match usize::try_from(self.max_bridges).unwrap_or(usize::MAX) {
            0 => Limit::of_cores(std::thread::available_parallelism().map_or(1, NonZero::get)),
            all => Limit::All(all),
        }
    }

    /// What a worker is started with.
    pub fn limits(&self) -> transcode::Config {
        transcode::Config {
            worker: self.program().map(Path::to_owned),
            nice: self.nice,
            memory_mb: self.memory_mb,
            threads: self.threads,
        }
    }
}

/// `[live]`: streams as files, for audiences by HLS.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    /// How near to live.
    pub preset: Preset,
    /// Length of a segment; zero: as the preset says.
    #[serde(with = "duration")]
    pub segment: Duration,
    /// Length of a part, about; zero: as the preset says.
    #[serde(with = "duration")]
    pub part: Duration,
    /// How far back players can seek.
    #[serde(with = "duration")]
    pub window: Duration,
    /// What the files of all streams may take in memory, in MiB; older segments lie in `data.dir`.
    pub memory_mb: u64,
    /// When packaging begins.
    pub start: LiveStart,
    /// Streams for which something else holds: see [`Live::of`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<LiveStream>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            segment: Duration::ZERO,
            part: Duration::ZERO,
            window: Duration::from_secs(60),
            memory_mb: 1024,
            start: LiveStart::default(),
            streams: Vec::new(),
        }
    }
}

impl Live {
    /// What is outside of what players and memory can take, in words.
    pub(super) fn lengths(&self) -> Result<(), &'static str> {
        let within = |value: Duration, least: u64, most: u64| {
            (Duration::from_millis(least)..=Duration::from_millis(most)).contains(&value)
        };
        if !self.segment.is_zero() && !within(self.segment, 1000, 20_000) {
            return Err("live.segment lies between 1s and 20s, or is 0s: as the preset says");
        }
        if !self.part.is_zero() && !within(self.part, 100, 2000) {
            return Err("live.part lies between 100ms and 2s, or is 0s: as the preset says");
        }
        let preset = packager::hls::Preset::from(self.preset);
        let or = |value: Duration, preset| if value.is_zero() { preset } else { value };
        if let Some(part) = preset.part()
            && or(self.part, part) * 2 > or(self.segment, preset.segment())
        {
            return Err("live.part is at most half of live.segment");
        }
        if !within(self.window, 0, 86_400_000) {
            return Err("live.window is 24h at most");
        }
        if !(1..=1 << 24).contains(&self.memory_mb) {
            return Err("live.memory_mb is 1 at least");
        }
        Ok(())
    }
}

/// `[stream]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// From the loss of a publisher until its stream has ended.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// What happens when a stream that has a publisher is published again.
    pub on_conflict: OnConflict,
}

impl Default for Stream {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10), on_conflict: OnConflict::default() }
    }
}

/// `[server]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// From the signal to stop until the end, at most.
    #[serde(with = "duration")]
    pub drain_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self { drain_timeout: Duration::from_secs(10) }
    }
}

/// `[admin]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Moves API, metrics and the admin page away from `http.listen`.
    pub listen: Listen,
}

/// `[data]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    /// Empty: [`Data::dir`] decides.
    dir: PathBuf,
}

impl Data {
    /// The folder: as configured, else `$XDG_STATE_HOME/weir`, `~/.local/state/weir`, `weir-data`.
    pub fn dir(&self, env: impl Fn(&str) -> Option<std::ffi::OsString>) -> PathBuf {
        if !self.dir.as_os_str().is_empty() {
            return self.dir.clone();
        }
        // The XDG specification says to ignore relative paths.
        let absolute = |name: &str| env(name).map(PathBuf::from).filter(|p| p.is_absolute());
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map_or_else(|| PathBuf::from("weir-data"), |state| state.join("weir"))
    }
}
