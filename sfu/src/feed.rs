//! A publisher as one shard sees it: its encodings with their rings, and who watches here. The
//! publisher's own shard has one, and so has every other shard with viewers of it, fed by the
//! same shared [`Batch`]es.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use media::{EncodingId, Kind, RtpPacket};
use signaling::{Payload, SessionId};

use crate::audience::Audience;
use crate::history::{History, Limits};
use crate::shard::Key;
use crate::stats::Origin;
use crate::viewer::selector::Candidate;

/// The viewers of one shard ask together, at most so often; the publisher's shard coalesces again.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// A packet on its way to the viewers, shared by all of them.
#[derive(Debug)]
pub struct Packet {
    /// Index of its encoding.
    pub encoding: usize,
    /// Audio or video.
    pub kind: Kind,
    /// A decoder can start here.
    pub start: bool,
    /// It was the so-many-th of its encoding to arrive.
    pub position: u64,
    /// RTP padding that makes it as long as its neighbours, so that they go out in one run.
    pub pad: u8,
    /// Parameter sets that a decoder needs before this packet, where only the SDP has them.
    pub prefix: Option<Arc<[u8]>>,
    /// The packet itself.
    pub rtp: RtpPacket,
}

/// What one wake brought from one publisher.
#[derive(Debug)]
pub struct Batch {
    /// Whose.
    pub publisher: SessionId,
    /// All encodings anew, where one of them changed.
    pub encodings: Option<Vec<Info>>,
    /// Packets, those of one encoding next to each other, in the order of their arrival.
    pub packets: Vec<Arc<Packet>>,
}

/// What viewers choose by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its name.
    pub id: EncodingId,
    /// Audio or video.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: Origin,
    /// It is bridged and its bridge has ended: it is not there.
    pub gone: bool,
    /// Payload type, codec and parameters.
    pub payload: Payload,
    /// Counts the changes after which a decoder has to begin anew: of the codec, or of the source.
    pub generation: u32,
    /// Packets arrive now.
    pub active: bool,
    /// Pixels, width and height, once known.
    pub dimensions: Option<(u16, u16)>,
    /// Pixels, then bitrate: what makes one encoding better than another.
    pub rank: (u32, u64),
    /// Measured over the last second.
    pub bitrate_bps: u64,
}

/// One encoding of a feed.
#[derive(Debug)]
pub struct Encoding {
    /// What it is.
    pub info: Info,
    /// What it sent lately.
    pub history: History,
}

/// See the top of the file.
#[derive(Debug, Default)]
pub struct Feed {
    /// An index stays valid for the feed's life, and is the same on every shard.
    pub encodings: Vec<Encoding>,
    /// Who watches on this shard.
    pub viewers: Vec<Key>,
    /// What they are in sum, within the last second.
    pub audience: Audience,
    /// The publisher's own shard.
    pub home: usize,
    /// When its first packet arrived.
    began: Option<Instant>,
    /// When a keyframe of an encoding was last asked for at the publisher's shard.
    asked: HashMap<usize, Instant>,
    limits: Limits,
    settle: Duration,
}

/// A feed as another shard begins with it.
#[derive(Debug)]
pub struct Snapshot {
    /// Whose.
    pub publisher: SessionId,
    /// Each encoding and what its ring holds.
    pub encodings: Vec<(Info, Vec<Arc<Packet>>)>,
}

impl Feed {
    /// An empty one of a publisher on the shard `home`, with whom nobody begins for as long as `settle`.
    pub fn new(home: usize, limits: Limits, settle: Duration) -> Self {
        Self { home, limits, settle, ..Self::default() }
    }

    /// Learns what the encodings are like now; true if viewers must choose anew. To be called before
    /// [`Feed::insert`]: a viewer that begins with what is in the ring gets the batch itself live.
    pub fn learn(&mut self, batch: &Batch) -> bool {
        batch.encodings.as_ref().is_some_and(|infos| self.update(infos))
    }

    /// Takes a batch into the rings. `Some` is what of it was new where not all was: the rest came by
    /// a [`Snapshot`], and would be sealed twice under one number if it were sent live too.
    pub fn insert(&mut self, batch: &Batch) -> Option<Batch> {
        let mut known = Vec::new();
        self.began = self.began.or_else(|| batch.packets.first().map(|p| p.rtp.arrival));
        for (index, packet) in batch.packets.iter().enumerate() {
            let Some(encoding) = self.encodings.get_mut(packet.encoding) else { continue };
            if !encoding.history.insert(Arc::clone(packet)) {
                known.push(index);
            }
        }
        if known.is_empty() {
            return None;
        }
        let packets = batch.packets.iter().enumerate();
        let new = packets.filter(|(index, _)| !known.contains(index));
        let packets = new.map(|(_, packet)| Arc::clone(packet)).collect();
        Some(Batch { publisher: batch.publisher, encodings: None, packets })
    }

    /// True in the first moments, when nobody can begin yet.
    pub fn settles(&self, now: Instant) -> bool {
        self.began.is_none_or(|began| now.saturating_duration_since(began) < self.settle)
    }

    /// A viewer here needs a keyframe: true if the publisher's shard is to be told now.
    pub fn asks(&mut self, now: Instant, encoding: usize) -> bool {
        let last = self.asked.get(&encoding);
        let due = last.is_none_or(|t| now.saturating_duration_since(*t) >= ASK_INTERVAL);
        if due && encoding < self.encodings.len() {
            self.asked.insert(encoding, now);
            return true;
        }
        false
    }

    /// Everything that another shard needs to go on from here.
    pub fn snapshot(&self, publisher: SessionId) -> Snapshot {
        let of = |e: &Encoding| (e.info.clone(), e.history.iter().cloned().collect());
        Snapshot { publisher, encodings: self.encodings.iter().map(of).collect() }
    }

    /// Begins with what another shard has.
    pub fn restore(&mut self, snapshot: Snapshot) {
        for (index, (info, packets)) in snapshot.encodings.into_iter().enumerate() {
            let mut history = History::new(self.limits);
            for packet in packets {
                self.began = self.began.into_iter().chain([packet.rtp.arrival]).min();
                history.insert(packet);
            }
            // Batches may have come first: what they brought is newer.
            for packet in self.encodings.get(index).into_iter().flat_map(|e| e.history.iter()) {
                history.insert(Arc::clone(packet));
            }
            let encoding = Encoding { info, history };
            match self.encodings.get_mut(index) {
                Some(known) => *known = encoding,
                None => self.encodings.push(encoding),
            }
        }
    }

    /// All that is there of one kind. `takes`: whether a viewer can take it.
    pub fn candidates(
        &self,
        kind: Kind,
        takes: impl Fn(&Payload) -> bool,
    ) -> impl Iterator<Item = Candidate> {
        let there = move |(_, e): &(usize, &Encoding)| e.info.kind == kind && !e.info.gone;
        self.encodings.iter().enumerate().filter(there).map(move |(index, e)| Candidate {
            index,
            id: e.info.id,
            origin: e.info.origin,
            codec: e.info.payload.codec,
            takeable: takes(&e.info.payload),
            active: e.info.active,
            dimensions: e.info.dimensions,
            rank: e.info.rank,
        })
    }

    fn update(&mut self, infos: &[Info]) -> bool {
        let mut changed = false;
        for (index, info) in infos.iter().enumerate() {
            match self.encodings.get_mut(index) {
                Some(known) => {
                    changed |= known.info.differs(info);
                    if known.info.generation != info.generation {
                        // Nobody may begin with what was before.
                        known.history = History::new(self.limits);
                    }
                    known.info = info.clone();
                }
                None => {
                    let history = History::new(self.limits);
                    self.encodings.push(Encoding { info: info.clone(), history });
                    changed = true;
                }
            }
        }
        changed
    }
}

impl Info {
    /// True if viewers must choose anew; a bitrate alone moves nobody.
    fn differs(&self, other: &Self) -> bool {
        (self.active, self.gone, self.dimensions, &self.payload, self.generation)
            != (other.active, other.gone, other.dimensions, &other.payload, other.generation)
    }
}

/// Gives neighbours that are nearly as long as each other the same length: the kernel cuts a run
/// into equal pieces, and browsers make the last packets of a frame one byte longer than the first.
pub(crate) fn level(packets: &mut [Packet]) {
    /// More padding than this costs more than another run.
    const MOST: usize = 16;
    let mut rest = packets;
    while let Some(first) = rest.first().map(|p| p.rtp.payload.len()) {
        let (mut low, mut high, mut count) = (first, first, 1);
        for packet in rest.iter().skip(1) {
            let len = packet.rtp.payload.len();
            if high.max(len) - low.min(len) > MOST {
                break;
            }
            (low, high, count) = (low.min(len), high.max(len), count + 1);
        }
        let (run, others) = rest.split_at_mut(count);
        // The last of a run may be shorter; alone it needs nothing.
        if let Some((_, but_last)) = run.split_last_mut() {
            let longest = run_length(but_last, high);
            for packet in but_last {
                packet.pad = (longest - packet.rtp.payload.len()) as u8;
            }
        }
        rest = others;
    }
}

/// The length that all but the last are brought to.
fn run_length(but_last: &[Packet], high: usize) -> usize {
    if but_last.is_empty() { 0 } else { high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::{epoch, packet};

    fn levelled(lengths: &[usize]) -> Vec<usize> {
        let mut packets: Vec<Packet> = lengths
            .iter()
            .map(|len| {
                let mut rtp = packet(0, 0, epoch());
                rtp.payload = vec![0; *len].into();
                Packet {
                    encoding: 0,
                    kind: Kind::Video,
                    start: false,
                    position: 0,
                    pad: 0,
                    prefix: None,
                    rtp,
                }
            })
            .collect();
        level(&mut packets);
        packets.iter().map(|p| p.rtp.payload.len() + usize::from(p.pad)).collect()
    }

    #[test]
    fn the_longer_tail_of_a_browsers_frame_is_met_by_padding() {
        assert_eq!(levelled(&[1170, 1170, 1171, 1171]), [1171; 4]);
        assert_eq!(levelled(&[1171, 1171, 1170]), [1171, 1171, 1170], "a shorter last one may be");
    }

    #[test]
    fn what_differs_much_is_left_alone() {
        assert_eq!(levelled(&[1200, 1200, 300]), [1200, 1200, 300]);
        assert_eq!(levelled(&[1200, 300, 310, 305]), [1200, 310, 310, 305]);
        assert_eq!(levelled(&[90]), [90]);
        assert_eq!(levelled(&[]), [0; 0]);
    }
}
