//! What offer and answer said of addresses: what a session that never connects is judged by.

use std::net::SocketAddr;

/// How a session was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Candidates of the offer.
    pub offered: Offered,
    /// Addresses of the answer, by UDP.
    pub udp: Vec<SocketAddr>,
    /// The same by TCP.
    pub tcp: Vec<SocketAddr>,
    /// How many other nodes sent the offer on (307).
    pub hops: u8,
}

/// Candidates of an offer (RFC 8839 section 5.1). None is needed here: who checks is found by its checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offered {
    all: usize,
    /// Of a TURN server.
    relays: usize,
    /// Behind a name of mDNS, which is told to nobody else.
    hidden: usize,
}

impl Offered {
    /// What a body names.
    pub fn of(sdp: &[u8]) -> Self {
        let lines = sdp.split(|b| *b == b'\n');
        let candidates = lines.filter_map(|line| line.strip_prefix(b"a=candidate:"));
        candidates.fold(Self::default(), |sum, line| {
            let mut words = line.split(|b| b.is_ascii_whitespace());
            let hidden = words.clone().nth(4).is_some_and(|host| host.ends_with(b".local"));
            let relay = words.nth(7) == Some(b"relay");
            Self {
                all: sum.all + 1,
                relays: sum.relays + usize::from(relay),
                hidden: sum.hidden + usize::from(hidden),
            }
        })
    }

    /// There are some, and all lead through a TURN server.
    pub fn only_relays(self) -> bool {
        self.all > 0 && self.relays == self.all
    }
}

impl std::fmt::Display for Offered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.all {
            0 => f.write_str("no candidate")?,
            1 => f.write_str("1 candidate")?,
            all => write!(f, "{all} candidates")?,
        }
        if self.only_relays() {
            f.write_str(", by relay only")?;
        } else if self.all > 0 && self.hidden == self.all {
            f.write_str(", by .local names only")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_offer_names() {
        let line = |host: &str, kind: &str| {
            format!("a=candidate:1 1 udp 2122260223 {host} 54321 typ {kind} generation 0\r\n")
        };
        let plain = line("192.0.2.7", "host");
        let hidden = line("1b2c3d.local", "host");
        let relay = line("203.0.113.9", "relay raddr 192.0.2.7 rport 1");
        for (sdp, text, only_relays) in [
            (String::new(), "no candidate", false),
            (format!("v=0\r\n{plain}"), "1 candidate", false),
            (format!("{plain}{hidden}{relay}"), "3 candidates", false),
            (format!("{hidden}{hidden}"), "2 candidates, by .local names only", false),
            (relay.clone(), "1 candidate, by relay only", true),
            (format!("{relay}{relay}"), "2 candidates, by relay only", true),
            ("a=candidate:\r\na=candidate:x\n".to_owned(), "2 candidates", false),
        ] {
            let offered = Offered::of(sdp.as_bytes());
            assert_eq!((offered.to_string().as_str(), offered.only_relays()), (text, only_relays));
        }
    }
}
