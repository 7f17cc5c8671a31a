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
    by_ufrag: HashMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    addresses: Vec<Sender>,
}

impl Demux {
    /// A session with this local user name fragment exists from now on.
    pub fn insert(&mut self, ufrag: &str, key: Key) {
        self.by_ufrag.insert(ufrag.to_owned(), Entry { key, addresses: Vec::new() });
    }

    /// The session is gone, with all its routes.
    pub fn remove(&mut self, ufrag: &str) {
        let Some(entry) = self.by_ufrag.remove(ufrag) else { return };
        for address in entry.addresses {
            if self.by_address.get(&address) == Some(&entry.key) {
                self.by_address.remove(&address);
            }
        }
    }

    /// Whose datagram this is.
    pub fn find(&self, source: Sender, bytes: &[u8]) -> Option<Key> {
        match bytes.first()? {
            0..=3 => self.by_ufrag.get(local_ufrag(bytes)?).map(|e| e.key),
            _ => self.at(source),
        }
    }

    /// Who has proven last to be there.
    pub fn at(&self, address: Sender) -> Option<Key> {
        self.by_address.get(&address).copied()
    }

    /// The session has proven that it is at `source`.
    pub fn route(&mut self, ufrag: &str, source: Sender) {
        let Some(entry) = self.by_ufrag.get_mut(ufrag) else { return };
        if self.by_address.get(&source) == Some(&entry.key) {
            if let Some(place) = entry.addresses.iter().position(|a| *a == source) {
                entry.addresses[place..].rotate_left(1);
            }
            return;
        }
        if entry.addresses.len() >= MAX_ADDRESSES {
            let oldest = entry.addresses.remove(0);
            if self.by_address.get(&oldest) == Some(&entry.key) {
                self.by_address.remove(&oldest);
            }
        }
        entry.addresses.retain(|a| *a != source);
        entry.addresses.push(source);
        self.by_address.insert(source, entry.key);
    }

    /// Nobody is there any more; who was.
    pub fn lose(&mut self, sender: Sender) -> Option<Key> {
        self.by_address.remove(&sender)
    }

    /// How many sessions and routes there are, for tests of leaks.
    pub fn len(&self) -> (usize, usize) {
        (self.by_ufrag.len(), self.by_address.len())
    }
}

/// Our half of the USERNAME attribute of a STUN message (RFC 8489 section 14.3), read without a
/// full parse: unknown senders cost little.
pub fn local_ufrag(bytes: &[u8]) -> Option<&str> {
    const USERNAME: u16 = 0x0006;
    const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    if bytes.get(4..8)? != MAGIC {
        return None;
    }
    let (_, _, name) = stun::attributes(bytes).find(|(_, kind, _)| *kind == USERNAME)?;
    std::str::from_utf8(name).ok()?.split(':').next()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::path::Over;

    fn udp(address: impl Into<SocketAddr>) -> Sender {
        (address.into(), Over::Udp)
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
        demux.insert("ours", 3);
        assert_eq!(demux.find(a, &binding("ours:theirs")), Some(3));
        assert_eq!(demux.find(a, &binding("other:theirs")), None);
        assert_eq!(demux.find(a, &[0x80; 20]), None, "no route before proof");
        demux.route("ours", a);
        assert_eq!(demux.find(a, &[0x80; 20]), Some(3));
        assert_eq!(demux.find(b, &[0x80; 20]), None);
        demux.remove("ours");
        assert_eq!(demux.len(), (0, 0));
    }

    #[test]
    fn routes_are_bounded_and_a_taken_over_address_survives_its_first_owner() {
        let mut demux = Demux::default();
        demux.insert("one", 1);
        demux.insert("two", 2);
        for port in 0..100 {
            demux.route("one", udp(([192, 0, 2, 1], 1000 + port)));
        }
        assert_eq!(demux.len(), (2, MAX_ADDRESSES));
        let shared = udp(([192, 0, 2, 1], 1099));
        demux.route("two", shared);
        demux.remove("one");
        assert_eq!(demux.find(shared, &[0x80]), Some(2));
        demux.remove("two");
        assert_eq!(demux.len(), (0, 0));
    }

    #[test]
    fn what_comes_by_tcp_is_another_senders_than_what_comes_by_udp_from_there() {
        let mut demux = Demux::default();
        let at = SocketAddr::from(([192, 0, 2, 1], 5));
        let senders = [(at, Over::Udp), (at, Over::Tcp(0)), (at, Over::Tcp(1))];
        for (key, name) in ["one", "two", "three"].into_iter().enumerate() {
            demux.insert(name, key);
            demux.route(name, senders[key]);
        }
        assert_eq!(senders.map(|sender| demux.at(sender)), [0, 1, 2].map(Some));
        demux.remove("two");
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
