//! Does the server answer where it says that it is? Checks (RFC 8445) that it sends itself through an address, and what
//! they get: as from any client, an answer if they are authentic and nothing if not. They open no route and move no
//! session, and are answered only while somebody asks.

use std::net::SocketAddr;

use is::stun::{StunMessage, TransId};
use signaling::IceCredentials;

use crate::demux::local_ufrag;
use crate::transport::ice::{authentic, sha1};

/// Enough for a check and for its answer.
const MAX_MESSAGE: usize = 256;
const PEER: &str = "self";

/// Who asks. What it is called is random, and new each time.
#[derive(Clone, Debug)]
pub struct Probe(IceCredentials);

impl Probe {
    /// Asks under this name.
    pub fn new(ice: IceCredentials) -> Self {
        Self(ice)
    }

    /// A check with this transaction number; `None`: its name is too long for one.
    pub fn question(&self, transaction: [u8; 12]) -> Option<Vec<u8>> {
        let user = format!("{}:{PEER}", self.0.ufrag);
        let number = number(transaction)?;
        self.written(StunMessage::binding_request(&user, number, true, 1, 1, false))
    }

    /// Where the question of this number came from, says its answer; `None`: it is none.
    pub fn seen(&self, transaction: [u8; 12], answer: &[u8]) -> Option<SocketAddr> {
        let answer = StunMessage::parse(answer).ok()?;
        let right = answer.is_successful_binding_response()
            && Some(answer.trans_id()) == number(transaction)
            && answer.verify(self.0.pwd.as_bytes(), sha1);
        answer.mapped_address().filter(|_| right)
    }

    /// What these bytes get that came from there; `None`: they are no question of ours.
    pub(crate) fn answer(&self, question: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        if local_ufrag(question)? != self.0.ufrag {
            return None;
        }
        authentic(question, &self.0)?;
        let number = StunMessage::parse(question).ok()?.trans_id();
        self.written(StunMessage::binding_reply(number, from))
    }

    fn written(&self, message: StunMessage<'_>) -> Option<Vec<u8>> {
        let mut buffer = [0; MAX_MESSAGE];
        let length = message.to_bytes(Some(self.0.pwd.as_bytes()), &mut buffer, sha1).ok()?;
        buffer.get(..length).map(<[u8]>::to_vec)
    }
}

/// `is` makes such numbers only by chance, or by reading: this is an indication without attributes.
fn number(transaction: [u8; 12]) -> Option<TransId> {
    let mut message = [0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    message[8..].copy_from_slice(&transaction);
    StunMessage::parse(&message).ok().map(|message| message.trans_id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Directory;
    use crate::egress::{SendRun, Sink};
    use crate::path::Path;
    use crate::shard::{Config, Shard};
    use crate::stats::Drop;
    use crate::test::epoch;

    const ONE: [u8; 12] = *b"transaction1";

    fn named(name: &str) -> Probe {
        let pwd = format!("{name}-password-of-22-chars");
        Probe::new(IceCredentials { ufrag: name.into(), pwd })
    }

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn a_question_is_answered_with_where_it_came_from() {
        let probe = named("ours");
        let question = probe.question(ONE).expect("it fits");
        let six = "[2001:db8::7]:9".parse().expect("an address");
        for from in [at(7), six] {
            let answer = probe.answer(&question, from).expect("it is ours");
            assert_eq!(probe.seen(ONE, &answer), Some(from));
            assert_eq!(probe.seen(*b"transaction2", &answer), None, "to another question");
            assert_eq!(named("other").seen(ONE, &answer), None, "another's");
            for place in 0..answer.len() {
                let mut forged = answer.clone();
                forged[place] ^= 1;
                // The fingerprint behind the integrity is no secret.
                let told = probe.seen(ONE, &forged);
                assert!(told.is_none() || place >= answer.len() - 8, "byte {place}: {told:?}");
                let cut = probe.seen(ONE, &answer[..place]);
                assert_eq!(cut, None, "cut at {place}");
            }
        }
        assert_eq!(probe.seen(ONE, &question), None, "an echo is no answer");
    }

    #[derive(Default)]
    struct Kept(Vec<(Path, Vec<u8>)>);

    impl Sink for Kept {
        fn send(&mut self, bytes: &[u8], runs: &[SendRun]) {
            self.0.extend(runs.iter().map(|run| (run.path, bytes[run.range.clone()].to_vec())));
        }
    }

    #[test]
    fn shards_answer_while_somebody_asks_and_nobody_else() {
        let (directory, probe) = (Directory::default(), named("ours"));
        let mut shard = Shard::new(Config::default(), 3, directory.clone(), epoch());
        let path = Path::udp(at(8080), at(7));
        let mut ask = |who: &Probe| {
            let mut bytes = who.question(ONE).expect("it fits");
            shard.receive(epoch(), path, &mut bytes);
            let mut kept = Kept::default();
            shard.flush(epoch(), &mut kept);
            assert_eq!(shard.len(), (0, 0, 0), "it opens no route");
            (kept.0, shard.totals().drops.get(Drop::UnknownSource))
        };
        assert_eq!(ask(&probe), (vec![], 1), "nobody asks yet");
        directory.probe(Some(probe.clone()));
        let (answers, dropped) = ask(&probe);
        let [(back, answer)] = &answers[..] else { unreachable!("{answers:?}") };
        assert_eq!((*back, probe.seen(ONE, answer), dropped), (path, Some(at(7)), 1));
        let forged = Probe::new(IceCredentials { ufrag: "ours".into(), pwd: "guessed".into() });
        assert_eq!(ask(&forged), (vec![], 2));
        assert_eq!(ask(&named("other")), (vec![], 3));
        directory.probe(None);
        assert_eq!(ask(&probe), (vec![], 4));
    }
}
