//! The STUN and TURN servers that clients are told by `Link` with `rel="ice-server"` (RFC 9725 section 4.6), each time with
//! credentials of their own that end: what coturn calls `use-auth-secret`
//! (draft-uberti-behave-turn-rest-00 section 2.2).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use signaling::Link;

use crate::access::Secret;
use crate::config::{IceServer, Webrtc};

/// What clients are told.
pub(super) struct IceServers {
    servers: Vec<IceServer>,
    grant: Grant,
}

/// What a TURN server lets in by.
enum Grant {
    /// A name that says until when, and its signature by a secret that the TURN server knows too.
    Signed { key: Box<hmac::Key>, ttl: Duration },
    /// The same for everybody.
    Fixed { username: String, password: Secret },
}

impl IceServers {
    pub(super) fn new(config: &Webrtc) -> Self {
        let grant = if config.turn_secret.is_empty() {
            let username = config.turn_username.clone();
            Grant::Fixed { username, password: config.turn_password.clone() }
        } else {
            let secret = config.turn_secret.reveal().as_bytes();
            // What coturn checks; nothing else speaks for SHA-1.
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
            Grant::Signed { key: Box::new(key), ttl: config.turn_ttl }
        };
        Self { servers: config.ice_servers.clone(), grant }
    }

    /// One link for each server. `who` is in the name, for the TURN server's log; `now` is the time since 1970.
    pub(super) fn links(&self, who: &str, now: Duration) -> Vec<Link> {
        if self.servers.is_empty() {
            return Vec::new();
        }
        let (username, credential) = match &self.grant {
            Grant::Signed { key, ttl } => {
                let username = format!("{}:{who}", now.saturating_add(*ttl).as_secs());
                let signature = hmac::sign(key, username.as_bytes());
                (username, BASE64_STANDARD.encode(signature))
            }
            Grant::Fixed { username, password } => (username.clone(), password.reveal().to_owned()),
        };
        let link = |server: &IceServer| {
            let link = Link::new(server.uri(), "ice-server");
            if !server.is_turn() {
                return link;
            }
            link.with("username", username.as_str())
                .with("credential", credential.as_str())
                .with("credential-type", "password")
        };
        self.servers.iter().map(link).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(toml: &str) -> Vec<String> {
        let servers = IceServers::new(&toml::from_str(toml).unwrap());
        let links = servers.links("0000beef", Duration::from_secs(1_700_000_000));
        links.iter().map(Link::to_string).collect()
    }

    #[test]
    fn credentials_are_those_of_coturn() {
        let told = links(
            "ice_servers = ['stun:s.example', 'turn:t.example?transport=udp']\n\
             turn_secret = 'north'\nturn_ttl = '1h'",
        );
        // printf %s 1700003600:0000beef | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(
            told,
            [
                "<stun:s.example>; rel=\"ice-server\"",
                "<turn:t.example?transport=udp>; rel=\"ice-server\"; \
                 username=\"1700003600:0000beef\"; credential=\"TJgO0F7EG7h0RvULHehtslbGWSo=\"; \
                 credential-type=\"password\"",
            ]
        );
    }

    #[test]
    fn or_the_same_for_everybody() {
        let told =
            links("ice_servers = ['turns:t.example']\nturn_username = 'u'\nturn_password = 'p\"w'");
        let expected = "<turns:t.example>; rel=\"ice-server\"; username=\"u\"; \
                        credential=\"p\\\"w\"; credential-type=\"password\"";
        assert_eq!(told, [expected]);
        assert_eq!(links(""), [""; 0]);
    }
}
