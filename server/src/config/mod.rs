//! What an operator may set, and where a value comes from: defaults < file < environment < flags.
//!
//! Each part of the server owns its piece and its defaults; this file composes them. A key that
//! nobody knows is an error that names the nearest known one ([`keys`]); the sources are laid over
//! each other in [`load`]. Times are texts such as `10s` or `500ms`.

mod elsewhere;
mod ice;
mod keys;
mod load;
mod parts;
mod streams;
mod tls;
mod value;

use serde::{Deserialize, Serialize};

pub use elsewhere::Elsewhere;
pub use ice::IceServer;
pub use keys::{KEYS, Kind, kind};
pub(crate) use load::flag;
pub use load::{Error, Sources, load};
pub use parts::{Admin, Data, Http, Live, Rtmp, Server, Stream, Transcode, Webrtc};
pub use streams::LiveStream;
pub use tls::{AcmeName, Contact, Directory, Tls};
pub use value::{
    Advertise, Apps, Listen, LiveStart, Network, OnConflict, Origin, Preset, Protocol, PublicUrl,
};

use crate::access::Rule;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Pages, WHIP, WHEP, API.
    pub http: Http,
    /// Media.
    pub webrtc: Webrtc,
    /// RTMP and RTMPS.
    pub rtmp: Rtmp,
    /// Who we are on encrypted connections.
    pub tls: Tls,
    /// Bridges between codecs.
    pub transcode: Transcode,
    /// Streams as files.
    pub live: Live,
    /// The life of every stream.
    pub stream: Stream,
    /// The process.
    pub server: Server,
    /// A listener of their own for API, metrics and the admin page.
    pub admin: Admin,
    /// What is kept between runs.
    pub data: Data,
    /// Who may publish, watch and use the API.
    pub access: Vec<Rule>,
}

impl Config {
    /// As a TOML file would say it; secrets are masked.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration has only tables, lists and scalars")
    }

    /// Keys whose values differ from `other`'s and need a restart: all but the access rules.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (keys::table(self), keys::table(other));
        KEYS.iter()
            .map(|(key, _)| *key)
            .chain([keys::STREAMS])
            .filter(|key| keys::get(&ours, key) != keys::get(&theirs, key))
            .collect()
    }
}
