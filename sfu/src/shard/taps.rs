//! Taps: whoever takes a publisher's packets out of the server's RTP world, to decode them or to carry
//! them on by another protocol. A tap gets what the publisher itself sends, batch by batch, and begins
//! with what the rings hold. It belongs to the thread of the publisher's shard, so it needs no route.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use media::Kind;
use signaling::SessionId;

use super::Shard;
use crate::feed::{Batch, Encoding, Feed, Packet};
use crate::publisher::Publisher;
use crate::stats::{Drop, Origin};

/// A tap, by the number that its owner has given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TapId(pub u64);

impl Shard {
    /// From now on everything that this publisher sends goes to [`Shard::poll_tap`] too, from the newest
    /// keyframe in the rings on. False if the publisher does not live here.
    pub fn tap(&mut self, now: Instant, publisher: SessionId, tap: TapId) -> bool {
        let Some(key) = self.by_id.get(&publisher).copied() else { return false };
        let Some(known) = self.sessions[key].publisher_mut() else { return false };
        known.taps.push(tap);
        let Some(feed) = self.feeds.get(&publisher) else { return true };
        let backlog = backlog(publisher, feed);
        let there = |index: usize| backlog.packets.iter().any(|p| p.encoding == index);
        let needs = |e: &Encoding| e.info.kind == Kind::Video && e.info.origin == Origin::Source;
        let blind: Vec<usize> = (0..feed.encodings.len())
            .filter(|index| needs(&feed.encodings[*index]) && !there(*index))
            .collect();
        self.tapped.push_back((tap, Some(Arc::new(backlog))));
        for encoding in blind {
            self.want_local_keyframe(now, key, encoding);
        }
        true
    }

    /// Nobody reads this tap any more.
    pub fn untap(&mut self, publisher: SessionId, tap: TapId) {
        let key = self.by_id.get(&publisher).copied();
        if let Some(publisher) = key.and_then(|key| self.sessions[key].publisher_mut()) {
            publisher.taps.retain(|known| *known != tap);
        }
        self.tapped.retain(|(known, _)| *known != tap);
    }

    /// The next batch for a tap; `None` in it: its publisher is gone, and nothing more will come.
    pub fn poll_tap(&mut self) -> Option<(TapId, Option<Arc<Batch>>)> {
        self.tapped.pop_front()
    }

    /// A batch whose tap was full.
    pub fn tap_full(&mut self, batch: &Batch) {
        self.totals.drops.add(Drop::LaneFull, batch.packets.len() as u64);
    }
}

impl Publisher {
    /// Hands a batch to whoever taps, without what is bridged: that is made of what they get.
    pub(super) fn tap(
        &self,
        batch: &Arc<Batch>,
        tapped: &mut VecDeque<(TapId, Option<Arc<Batch>>)>,
    ) {
        if self.taps.is_empty() {
            return;
        }
        let own = |p: &Arc<Packet>| self.encodings[p.encoding].origin == Origin::Source;
        let batch = if batch.packets.iter().all(own) {
            Arc::clone(batch)
        } else {
            let packets: Vec<_> = batch.packets.iter().filter(|p| own(p)).cloned().collect();
            if packets.is_empty() && batch.encodings.is_none() {
                return;
            }
            let (publisher, encodings) = (batch.publisher, batch.encodings.clone());
            Arc::new(Batch { publisher, encodings, packets })
        };
        tapped.extend(self.taps.iter().map(|tap| (*tap, Some(Arc::clone(&batch)))));
    }
}

/// What the rings hold of a publisher's own encodings: pictures from the newest keyframe on, and the sound
/// since the first of them.
fn backlog(publisher: SessionId, feed: &Feed) -> Batch {
    let own = || feed.encodings.iter().filter(|e| e.info.origin == Origin::Source);
    let since = own().filter_map(|e| e.history.start().filter(|_| e.info.kind == Kind::Video));
    let since = since.map(|packet| packet.rtp.arrival).min();
    let mut packets = Vec::new();
    for encoding in own() {
        let history = &encoding.history;
        match (encoding.info.kind, history.start(), since) {
            (Kind::Video, Some(start), _) => packets.extend(history.from(start.rtp.seq).cloned()),
            (Kind::Audio, _, Some(since)) => {
                packets.extend(history.iter().filter(|p| p.rtp.arrival >= since).cloned());
            }
            _ => {}
        }
    }
    let encodings = Some(feed.encodings.iter().map(|e| e.info.clone()).collect());
    Batch { publisher, encodings, packets }
}
