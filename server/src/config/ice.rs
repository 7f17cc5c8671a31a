//! `webrtc.ice_servers`, which clients are told: URIs of STUN (RFC 7064) and TURN (RFC 7065), and what the TURN servers
//! among them want to know.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::uri::Authority;
use serde::{Deserialize, Serialize};

use super::Webrtc;

/// Credentials that end sooner than this may end before a client has used them.
const SHORTEST: Duration = Duration::from_secs(60);

/// One entry of `webrtc.ice_servers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IceServer {
    uri: String,
    turn: bool,
}

impl IceServer {
    /// As clients take it.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// A TURN server: it wants credentials.
    pub fn is_turn(&self) -> bool {
        self.turn
    }
}

impl FromStr for IceServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} is no ICE server; write stun:host, stun:host:port, turn:host:port?transport=udp \
                 (or tcp) or turns:host:port"
            )
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(bad)?;
        let turn = matches!(scheme, "turn" | "turns");
        let (host, query) = rest.split_once('?').map_or((rest, None), |(h, q)| (h, Some(q)));
        let known = query.is_none_or(|q| turn && matches!(q, "transport=udp" | "transport=tcp"));
        let named = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        let authority: Authority = host.parse().map_err(|_| bad())?;
        let port = host.strip_prefix(authority.host()).unwrap_or_default();
        let port = port.is_empty() || authority.port_u16().is_some_and(|port| port != 0);
        let valid = host.len() <= 260 && host.bytes().all(named) && !authority.host().is_empty();
        if (turn || matches!(scheme, "stun" | "stuns")) && known && valid && port {
            return Ok(Self { uri: text.to_owned(), turn });
        }
        Err(bad())
    }
}

impl fmt::Display for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.uri)
    }
}

impl TryFrom<String> for IceServer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<IceServer> for String {
    fn from(server: IceServer) -> Self {
        server.uri
    }
}

/// What the keys say together.
pub(super) fn check(webrtc: &Webrtc) -> Result<(), String> {
    let turn = webrtc.ice_servers.iter().any(IceServer::is_turn);
    let secret = !webrtc.turn_secret.is_empty();
    let (name, password) = (!webrtc.turn_username.is_empty(), !webrtc.turn_password.is_empty());
    let wrong = match (secret, name, password) {
        (_, true, false) => "webrtc.turn_username needs webrtc.turn_password",
        (_, false, true) => "webrtc.turn_password needs webrtc.turn_username",
        (true, true, true) => "set either webrtc.turn_secret or webrtc.turn_username, not both",
        (false, false, false) if turn => {
            "a turn: server in webrtc.ice_servers needs webrtc.turn_secret (coturn's \
             static-auth-secret), or webrtc.turn_username and webrtc.turn_password"
        }
        _ if webrtc.turn_ttl < SHORTEST => "webrtc.turn_ttl is at least 1m",
        _ => return Ok(()),
    };
    Err(wrong.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_uris_of_stun_or_turn() {
        for (text, turn) in [
            ("stun:stun.example", false),
            ("stun:192.0.2.1:3478", false),
            ("stuns:[2001:db8::1]:5349", false),
            ("turn:turn.example", true),
            ("turn:turn.example:3478?transport=udp", true),
            ("turns:turn.example:443?transport=tcp", true),
        ] {
            let server: IceServer = text.parse().unwrap();
            assert_eq!((server.to_string().as_str(), server.is_turn()), (text, turn));
        }
        for text in [
            "",
            "stun",
            "stun:",
            "turn.example:3478",
            "http://turn.example",
            "stun://stun.example",
            "turn:user@turn.example",
            "turn:turn.example:0",
            "turn:turn.example:99999",
            "turn:turn.example:",
            "turn:turn.example?transport=sctp",
            "turn:turn.example?transport=udp&x",
            "stun:stun.example?transport=udp",
            "turn:turn example",
            "turn:<turn.example>",
            "turn:\"",
        ] {
            assert!(text.parse::<IceServer>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn turn_wants_credentials_of_one_kind() {
        let says = |text: &str| {
            let config: Webrtc = toml::from_str(text).unwrap();
            check(&config)
        };
        const TURN: &str = "ice_servers = ['stun:s.example', 'turn:t.example']\n";
        for (rest, good) in [
            ("turn_secret = 's'", true),
            ("turn_username = 'u'\nturn_password = 'p'", true),
            ("", false),
            ("turn_username = 'u'", false),
            ("turn_password = 'p'", false),
            ("turn_secret = 's'\nturn_username = 'u'\nturn_password = 'p'", false),
            ("turn_secret = 's'\nturn_ttl = '59s'", false),
        ] {
            assert_eq!(says(&format!("{TURN}{rest}")).is_ok(), good, "{rest}");
        }
        assert_eq!(says("ice_servers = ['stun:s.example']"), Ok(()));
    }
}
