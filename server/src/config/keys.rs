//! Which keys there are, what each says, and which one a typo meant.

use toml::Table;

use super::{Config, streams};
use crate::access;

/// Every key but the access rules, with its help: the flags and the environment follow from it.
pub const KEYS: &[(&str, &str)] = &[
    ("http.listen", "TCP address of pages, WHIP, WHEP and API; empty: off"),
    ("http.public_url", "what absolute URLs begin with behind a proxy"),
    ("http.trusted_proxies", "ranges whose forwarding headers count, and which are many clients"),
    ("http.body_limit", "bytes of the largest request body"),
    ("http.rate", "signalling requests per second and client address; 0: any number"),
    ("http.loopback_rate", "the same for clients on this machine"),
    ("http.max_connections", "TCP connections at once"),
    ("http.cors_origins", "pages that may publish and watch from another site; *: any"),
    ("http.elsewhere", "streams that other nodes have, such as show-*=https://node2.example"),
    ("webrtc.listen", "UDP address of all media; empty: off"),
    ("webrtc.ice_servers", "STUN and TURN servers that clients are told, stun:… and turn:…"),
    ("webrtc.turn_secret", "signs credentials for TURN servers: coturn's static-auth-secret"),
    ("webrtc.turn_ttl", "how long such credentials hold"),
    ("webrtc.turn_username", "without a secret: one name for all of a TURN server's users"),
    ("webrtc.turn_password", "its password"),
    ("webrtc.advertise", "more addresses for clients: [udp/ or tcp/]host[:port]"),
    ("webrtc.tcp", "media by TCP too, at http.listen, where UDP is blocked"),
    ("webrtc.tcp_connections", "TCP connections of media at once"),
    ("webrtc.shards", "media threads, 0: one per core; at most 256"),
    ("webrtc.ring_bytes", "what each encoding keeps for viewers who join, in bytes"),
    ("webrtc.ring_time", "the same in time: a keyframe older than that starts nobody"),
    ("webrtc.max_publishers", "publishers at once"),
    ("webrtc.max_viewers", "viewers at once"),
    ("webrtc.wait_for_publisher", "viewers without a publisher wait (else: 409)"),
    ("rtmp.listen", "TCP address of RTMP; empty: off"),
    ("rtmp.tls_listen", "TCP address of RTMPS, which needs tls.cert and tls.key; empty: off"),
    ("rtmp.app", "application names that are taken, with commas between them; *: any"),
    ("rtmp.max_connections", "RTMP and RTMPS connections at once"),
    ("tls.cert", "PEM file with the certificate chain: HTTP then is HTTPS"),
    ("tls.key", "PEM file with its private key"),
    ("tls.acme", "host names to get a certificate for; their port 443 leads to http.listen"),
    ("tls.acme_contact", "mail address for the authority; empty: none"),
    ("tls.acme_directory", "URL of the authority's directory"),
    ("tls.acme_roots", "PEM file that vouches for the authority; empty: the system's roots"),
    ("transcode.worker", "program that bridges codecs; empty: weir-transcoder beside this one"),
    ("transcode.nice", "how much a worker stands back for other programs, 0 to 19"),
    ("transcode.memory_mb", "MiB that one worker may take; 0: no limit"),
    ("transcode.threads", "threads of one codec in a worker; 0: as it thinks best"),
    ("transcode.max_bridges", "bridges at once; 0: 16 of sound and 4 of pictures for each core"),
    ("live.preset", "how near to live HLS plays: near, far, or safe (plain HLS)"),
    ("live.segment", "length of a segment; 0s: as the preset says"),
    ("live.part", "length of a part, about; 0s: as the preset says"),
    ("live.window", "how far back an audience can seek"),
    ("live.memory_mb", "MiB of memory for all streams' files; older ones go to data.dir"),
    ("live.start", "streams are packaged on_demand, by the first request, or always"),
    ("stream.grace", "how long a lost publisher is waited for until the stream has ended"),
    ("stream.on_conflict", "of two publishers of a stream: takeover, reject or standby"),
    ("server.drain_timeout", "time to close everything when stopped"),
    ("admin.listen", "TCP address of its own for API, metrics and /admin; empty: http.listen"),
    ("data.dir", "folder for what is kept between runs"),
];

/// Rules about single streams; in a file only.
pub(super) const STREAMS: &str = "live.streams";

/// How a text from the environment or a flag becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As it is.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Texts with commas between them.
    List,
}

/// The kind of a key's value; `None` for an unknown key.
pub fn kind(key: &str) -> Option<Kind> {
    KEYS.iter().find(|(known, _)| *known == key)?;
    match get(&table(&Config::default()), key)? {
        toml::Value::Integer(_) => Some(Kind::Number),
        toml::Value::Boolean(_) => Some(Kind::Switch),
        toml::Value::Array(_) => Some(Kind::List),
        _ => Some(Kind::Text),
    }
}

/// A configuration as a tree.
pub(super) fn table(config: &Config) -> Table {
    Table::try_from(config).expect("a configuration has only tables, lists and scalars")
}

/// The value at `a.b`.
pub(super) fn get<'t>(table: &'t Table, key: &str) -> Option<&'t toml::Value> {
    let (part, name) = key.split_once('.')?;
    table.get(part)?.as_table()?.get(name)
}

/// Sets the value at `a.b`.
pub(super) fn set(table: &mut Table, key: &str, value: toml::Value) {
    let (part, name) = key.split_once('.').expect("every known key has two levels");
    let part = table.entry(part).or_insert_with(|| Table::new().into());
    if let Some(part) = part.as_table_mut() {
        part.insert(name.to_owned(), value);
    }
}

/// Checks that `key`, as it is written in a file (`http`, `http.listen`, `access.token`), is known;
/// else says which one was probably meant.
pub(super) fn check(key: &str) -> Result<(), String> {
    let parts = KEYS.iter().filter_map(|(known, _)| known.split_once('.').map(|(part, _)| part));
    let rules = access::KEYS.iter().map(|name| format!("access.{name}"));
    let streams = streams::KEYS.iter().map(|name| format!("{STREAMS}.{name}"));
    let known: Vec<String> = KEYS
        .iter()
        .map(|(known, _)| (*known).to_owned())
        .chain(parts.map(str::to_owned))
        .chain(["access".to_owned(), STREAMS.to_owned()])
        .chain(rules)
        .chain(streams)
        .collect();
    if known.iter().any(|k| k == key) {
        return Ok(());
    }
    // `jwt` and `callback` are names of the product, only not of this version.
    if let Some(name @ ("jwt" | "callback")) = key.strip_prefix("access.") {
        return Err(format!("access.{name} is not there yet; use token or open = true"));
    }
    // Compare names of the same depth first: `http.lisen` is near to `http.listen`, not to `http`.
    let depth = |k: &str| k.matches('.').count();
    let nearest = known
        .iter()
        .filter(|k| depth(k) == depth(key))
        .max_by(|a, b| similarity(a, key).total_cmp(&similarity(b, key)));
    Err(match nearest.filter(|k| similarity(k, key) > 0.6) {
        Some(nearest) => format!("unknown key {key}; did you mean {nearest}?"),
        None => format!("unknown key {key}; `weir check` prints the known ones"),
    })
}

fn similarity(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_help_and_no_help_lacks_its_key() {
        let defaults = table(&Config::default());
        let mut there: Vec<String> = Vec::new();
        for (part, value) in &defaults {
            for name in value.as_table().into_iter().flat_map(|t| t.keys()) {
                there.push(format!("{part}.{name}"));
            }
        }
        let mut known: Vec<String> = KEYS.iter().map(|(k, _)| (*k).to_owned()).collect();
        there.sort();
        known.sort();
        assert_eq!(there, known);
    }

    #[test]
    fn a_typo_names_the_nearest_key() {
        for (typo, meant) in [
            ("http.lisen", "http.listen"),
            ("htp.listen", "http.listen"),
            ("htp", "http"),
            ("webrtc.max_viewer", "webrtc.max_viewers"),
            ("webrtc.maxviewers", "webrtc.max_viewers"),
            ("server.drain-timeout", "server.drain_timeout"),
            ("acess", "access"),
            ("live.stream", "live.streams"),
            ("live.streams.widow", "live.streams.window"),
            ("access.tokn", "access.token"),
        ] {
            let error = check(typo).unwrap_err();
            assert_eq!(error, format!("unknown key {typo}; did you mean {meant}?"));
        }
        assert!(check("bananas").unwrap_err().contains("unknown key bananas;"));
        assert!(check("access.jwt").unwrap_err().contains("not there yet"));
        for (key, _) in KEYS {
            assert_eq!(check(key), Ok(()));
        }
    }
}
