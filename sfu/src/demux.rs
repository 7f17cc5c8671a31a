//! Datagram → session: by the ICE user name for STUN (RFC 8445 section 7.3), by the source address
//! for everything else. Never a linear scan. Only a STUN message with right integrity opens a route.

use std::collections::HashMap;

use crate::path::Sender;
use crate::shard::Key;
use crate::stun;

/// Addresses one session may use at a time; the one that was proven least lately goes first.
const MAX_ADDRESSES: usize = 8;

/// The routes of one shard.
#[derive(Debug, Default)]
pub struct Demux {
    by_address: HashMap<Sender, Key>,
    by_ufrag: HashMap<String, Key>,
    sessions: HashMap<Key, Entry>,
}

/// What leads to one session.
#[derive(Debug, Default)]
struct Entry {
    ufrags: Vec<String>,
    addresses: Vec<Sender>,
}

impl Demux {
    /// The session has these local user name fragments from now on, and no others: returned are those
    /// that it had and has no more.
    pub fn name(&mut self, key: Key, ufrags: Vec<String>) -> Vec<String> {
        for ufrag in &ufrags {
            self.by_ufrag.insert(ufrag.clone(), key);
        }
        let entry = self.sessions.entry(key).or_default();
        let mut gone = std::mem::replace(&mut entry.ufrags, ufrags);
        gone.retain(|ufrag| !entry.ufrags.contains(ufrag));
        for ufrag in &gone {
            self.by_ufrag.remove(ufrag);
        }
        gone
    }

    /// The session is gone, with all its routes.
    pub fn remove(&mut self, key: Key) {
        let Some(entry) = self.sessions.remove(&key) else { return };
        for ufrag in entry.ufrags {
            self.by_ufrag.remove(&ufrag);
        }
        for address in entry.addresses {
            if self.by_address.get(&address) == Some(&key) {
                self.by_address.remove(&address);
            }
        }
    }

    /// Whose datagram this is.
    pub fn find(&self, source: Sender, bytes: &[u8]) -> Option<Key> {
        match bytes.first()? {
            0..=3 => self.by_ufrag.get(local_ufrag(bytes)?).copied(),
            _ => self.at(source),
        }
    }

    /// Who has proven last to be there.
    pub fn at(&self, address: Sender) -> Option<Key> {
        self.by_address.get(&address).copied()
    }

    /// The session has proven that it is at `source`.
    pub fn route(&mut self, key: Key, source: Sender) {
        let Some(entry) = self.sessions.get_mut(&key) else { return };
        if self.by_address.get(&source) == Some(&key) {
            if let Some(place) = entry.addresses.iter().position(|a| *a == source) {
                entry.addresses[place..].rotate_left(1);
            }
            return;
        }
        if entry.addresses.len() >= MAX_ADDRESSES {
            let oldest = entry.addresses.remove(0);
            if self.by_address.get(&oldest) == Some(&key) {
                self.by_address.remove(&oldest);
            }
        }
        entry.addresses.retain(|a| *a != source);
        entry.addresses.push(source);
        self.by_address.insert(source, key);
    }

    /// Nobody is there any more; who was.
    pub fn lose(&mut self, sender: Sender) -> Option<Key> {
        self.by_address.remove(&sender)
    }

    /// How many names and routes there are, for tests of leaks.
    pub fn len(&self) -> (usize, usize) {
        (self.by_ufrag.len(), self.by_address.len())
    }
}

/// Our half of the USERNAME attribute of a STUN message, see [`ufrags`].
pub fn local_ufrag(bytes: &[u8]) -> Option<&str> {
    ufrags(bytes).map(|(ours, _)| ours)
}

/// Both halves of the USERNAME attribute of a STUN message (RFC 8489 section 14.3), ours first, read without a
/// full parse: unknown senders cost little.
pub fn ufrags(bytes: &[u8]) -> Option<(&str, &str)> {
    const USERNAME: u16 = 0x0006;
    const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    if bytes.get(4..8)? != MAGIC {
        return None;
    }
    let (_, _, name) = stun::attributes(bytes).find(|(_, kind, _)| *kind == USERNAME)?;
    let name = std::str::from_utf8(name).ok()?;
    Some(name.split_once(':').unwrap_or((name, "")))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::path::Over;

    fn udp(address: impl Into<SocketAddr>) -> Sender {
        (address.into(), Over::Udp)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn binding(username: &str) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([7; 12]);
        bytes.extend([0x80, 0x22, 0, 1, b'x', 0, 0, 0]);
        bytes.extend([0, 6, 0, username.len() as u8]);
        bytes.extend(username.as_bytes());
        bytes.extend(vec![0; username.len().next_multiple_of(4) - username.len()]);
        bytes
    }

    #[test]
    fn stun_finds_its_session_by_user_name_and_the_rest_by_address() {
        let (a, b) = (udp(([192, 0, 2, 1], 5)), udp(([192, 0, 2, 2], 6)));
        let mut demux = Demux::default();
        demux.name(3, names(&["ours"]));
        assert_eq!(demux.find(a, &binding("ours:theirs")), Some(3));
        assert_eq!(demux.find(a, &binding("other:theirs")), None);
        assert_eq!(demux.find(a, &[0x80; 20]), None, "no route before proof");
        demux.route(3, a);
        assert_eq!(demux.find(a, &[0x80; 20]), Some(3));
        assert_eq!(demux.find(b, &[0x80; 20]), None);
        demux.remove(3);
        assert_eq!(demux.len(), (0, 0));
    }

    #[test]
    fn a_session_has_several_names_and_its_addresses_under_all_of_them() {
        let (a, b) = (udp(([192, 0, 2, 1], 5)), udp(([192, 0, 2, 2], 6)));
        let mut demux = Demux::default();
        assert!(demux.name(3, names(&["ours"])).is_empty());
        demux.route(3, a);
        assert!(demux.name(3, names(&["ours", "next"])).is_empty());
        demux.route(3, b);
        for name in ["ours:theirs", "next:theirs"] {
            assert_eq!(demux.find(a, &binding(name)), Some(3));
        }
        assert_eq!(demux.name(3, names(&["next", "more"])), ["ours"]);
        assert_eq!(demux.find(a, &binding("ours:theirs")), None);
        assert_eq!((demux.at(a), demux.at(b)), (Some(3), Some(3)), "the old pair still works");
        demux.remove(3);
        assert_eq!(demux.len(), (0, 0));
    }

    #[test]
    fn routes_are_bounded_and_a_taken_over_address_survives_its_first_owner() {
        let mut demux = Demux::default();
        demux.name(1, names(&["one"]));
        demux.name(2, names(&["two"]));
        for port in 0..100 {
            demux.route(1, udp(([192, 0, 2, 1], 1000 + port)));
        }
        assert_eq!(demux.len(), (2, MAX_ADDRESSES));
        let shared = udp(([192, 0, 2, 1], 1099));
        demux.route(2, shared);
        demux.remove(1);
        assert_eq!(demux.find(shared, &[0x80]), Some(2));
        demux.remove(2);
        assert_eq!(demux.len(), (0, 0));
    }

    #[test]
    fn what_comes_by_tcp_is_another_senders_than_what_comes_by_udp_from_there() {
        let mut demux = Demux::default();
        let at = SocketAddr::from(([192, 0, 2, 1], 5));
        let senders = [(at, Over::Udp), (at, Over::Tcp(0)), (at, Over::Tcp(1))];
        for (key, name) in ["one", "two", "three"].into_iter().enumerate() {
            demux.name(key, names(&[name]));
            demux.route(key, senders[key]);
        }
        assert_eq!(senders.map(|sender| demux.at(sender)), [0, 1, 2].map(Some));
        demux.remove(1);
        assert_eq!(senders.map(|sender| demux.at(sender)), [Some(0), None, Some(2)]);
        assert_eq!(demux.len(), (2, 2));
    }

    #[test]
    fn cut_short_messages_name_nobody() {
        let whole = binding("ours:theirs");
        for end in 0..whole.len() - 2 {
            assert_eq!(local_ufrag(&whole[..end]), None, "cut at {end}");
        }
    }
}
