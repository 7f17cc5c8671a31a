//! The handshake (RTMP 1.0 section 5.2), both sides: a version byte and 1536 bytes each way, and the
//! other's 1536 bytes back.
//!
//! Only the plain form is spoken. Who offers digests (FFmpeg, librtmp for SWF verification, Flash) marks
//! that with a version in bytes 4 to 7; they look for digests in our answer only if that has a version
//! too. Ours says zero there, as the specification has it, and all of them go on in the plain form.

use bytes::{BufMut, Bytes, BytesMut};

use crate::Error;

/// Random bytes in each handshake packet.
pub const RANDOM: usize = 1528;
/// C1, S1, C2, S2: time, zero, random bytes.
const PACKET: usize = 1536;
/// The only version there is.
const VERSION: u8 = 3;

/// One side of a handshake, until it is [done](Handshake::is_done).
#[derive(Debug)]
pub struct Handshake {
    server: bool,
    expect: Expect,
    /// The server's S1 waits here until C0 has come, so that nobody else learns that this is RTMP.
    first: Option<Bytes>,
    held: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// C0 or S0.
    Version,
    /// C1 or S1.
    Hello,
    /// C2 or S2: ours back. Nobody checks it, and encoders exist that send something else.
    Echo,
    Nothing,
}

impl Handshake {
    /// The side that is connected to.
    pub fn server(random: &[u8; RANDOM]) -> Self {
        Self::new(true, random)
    }

    /// The side that connects. What it says first is in `out`.
    pub fn client(random: &[u8; RANDOM], out: &mut BytesMut) -> Self {
        let mut new = Self::new(false, random);
        out.extend(new.first.take());
        new
    }

    fn new(server: bool, random: &[u8; RANDOM]) -> Self {
        let mut first = BytesMut::with_capacity(1 + PACKET);
        first.put_u8(VERSION);
        first.put_bytes(0, 8);
        first.put_slice(random);
        Self { server, expect: Expect::Version, first: Some(first.freeze()), held: BytesMut::new() }
    }

    /// The other side has said all of it too; what follows are chunks.
    pub fn is_done(&self) -> bool {
        self.expect == Expect::Nothing
    }

    /// Takes what belongs to the handshake from the front of `input` and appends answers to `out`.
    pub fn receive(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<(), Error> {
        while !self.is_done() {
            if self.expect == Expect::Version {
                let Some((&version, rest)) = input.split_first() else { return Ok(()) };
                if version != VERSION {
                    return Err(Error::Version(version));
                }
                *input = rest;
                self.expect = Expect::Hello;
                continue;
            }
            let (part, rest) = input.split_at(input.len().min(PACKET - self.held.len()));
            *input = rest;
            self.held.extend_from_slice(part);
            if self.held.len() < PACKET {
                return Ok(());
            }
            self.packet(out);
        }
        Ok(())
    }

    /// A whole packet is held.
    fn packet(&mut self, out: &mut BytesMut) {
        if self.expect == Expect::Hello {
            if self.server {
                out.extend(self.first.take());
            }
            out.extend_from_slice(&self.held);
            self.expect = Expect::Echo;
            self.held.clear();
        } else {
            self.expect = Expect::Nothing;
            self.held = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_whatever_the_network_splits() {
        for size in [1, 2, 7, 1535, 1536, 1537, 4000] {
            let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
            let mut client = Handshake::client(&[1; RANDOM], &mut to_server);
            let mut server = Handshake::server(&[2; RANDOM]);
            while !(server.is_done() && client.is_done()) {
                let sent = to_server.split();
                for part in sent.chunks(size) {
                    server.receive(&mut &part[..], &mut to_client).unwrap();
                }
                let sent = to_client.split();
                assert!(!sent.is_empty() || server.is_done(), "stuck at {size}");
                for part in sent.chunks(size) {
                    client.receive(&mut &part[..], &mut to_server).unwrap();
                }
            }
        }
    }

    #[test]
    fn who_offers_digests_is_answered_with_a_version_of_zero_and_its_own_bytes() {
        let mut hello = vec![VERSION];
        hello.extend((0..PACKET).map(|i| (i * 7) as u8));
        let mut server = Handshake::server(&[9; RANDOM]);
        let mut out = BytesMut::new();
        server.receive(&mut &hello[..], &mut out).unwrap();
        assert_eq!(out.len(), 1 + 2 * PACKET);
        assert_eq!(out[0], VERSION);
        assert_eq!(out[5..9], [0; 4], "S1 says that there is no digest in it");
        assert_eq!(out[1 + PACKET..], hello[1..], "S2 is C1");
    }

    #[test]
    fn what_follows_is_left_and_half_of_it_is_no_answer() {
        let mut server = Handshake::server(&[0; RANDOM]);
        let mut out = BytesMut::new();
        let mut half = [VERSION; 1000].as_slice();
        server.receive(&mut half, &mut out).unwrap();
        assert!(half.is_empty() && out.is_empty() && !server.is_done());
        let rest = [0u8; 2 * PACKET + 1 - 1000 + 5];
        let mut rest = rest.as_slice();
        server.receive(&mut rest, &mut out).unwrap();
        assert!(server.is_done());
        assert_eq!(rest.len(), 5);
    }

    #[test]
    fn other_protocols_are_told_what_this_is() {
        for (first, hint) in [(6, "RTMPE"), (22, "TLS"), (b'G', "HTTP"), (0, "version 0")] {
            let mut out = BytesMut::new();
            let error = Handshake::server(&[0; RANDOM])
                .receive(&mut [first].as_slice(), &mut out)
                .unwrap_err();
            assert_eq!(error, Error::Version(first));
            assert!(error.to_string().contains(hint), "{error}");
            assert!(out.is_empty());
        }
    }
}
