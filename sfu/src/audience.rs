//! Who watches one publisher, in sums. Each shard adds up its own viewers once a second, in the pass
//! that touches all of them anyway (`shard/life.rs`), and the sums of the shards merge: what it costs
//! to ask does not depend on how many watch. Nothing of a single viewer is kept here.

use media::EncodingId;

use crate::stats::ViewerSnapshot;

/// The viewers of one publisher as they were within the last second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audience {
    /// Whose transport is up.
    pub viewers: u32,
    /// Media sent to them, without retransmissions.
    pub bitrate_bps: u64,
    /// Of the fractions in their last receiver reports, 0 to 1.
    pub loss: Mean,
    /// Seconds, by RTCP.
    pub rtt: Mean,
    /// How many get which video encoding. Who waits for a picture is in none.
    pub layers: Vec<(EncodingId, u32)>,
}

/// A mean of those who have something to say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    count: u32,
}

impl Audience {
    /// Forgets everybody, for the next pass; the room for the layers stays.
    pub fn clear(&mut self) {
        let mut layers = std::mem::take(&mut self.layers);
        layers.clear();
        *self = Self { layers, ..Self::default() };
    }

    /// One more viewer; one that is still connecting does not count.
    pub fn count(&mut self, viewer: &ViewerSnapshot) {
        if !viewer.connected {
            return;
        }
        self.viewers += 1;
        self.bitrate_bps += viewer.bitrate_bps;
        viewer.loss.into_iter().for_each(|loss| self.loss.add(f64::from(loss)));
        viewer.rtt.into_iter().for_each(|rtt| self.rtt.add(rtt.as_secs_f64()));
        viewer.layer.into_iter().for_each(|id| self.layer(id, 1));
    }

    /// Takes another shard's into the sum.
    pub fn merge(&mut self, other: &Self) {
        self.viewers += other.viewers;
        self.bitrate_bps += other.bitrate_bps;
        self.loss.merge(other.loss);
        self.rtt.merge(other.rtt);
        other.layers.iter().for_each(|(id, more)| self.layer(*id, *more));
    }

    /// A publisher has 16 encodings at most, so this is a short list.
    fn layer(&mut self, id: EncodingId, more: u32) {
        match self.layers.iter_mut().find(|(known, _)| *known == id) {
            Some((_, count)) => *count += more,
            None => self.layers.push((id, more)),
        }
    }
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.merge(Self { sum: value, count: 1 });
    }

    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    /// `None` if nobody has said anything.
    pub fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / f64::from(self.count))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::recorder::Asks;

    fn viewer(layer: &str, loss: Option<f32>) -> ViewerSnapshot {
        ViewerSnapshot {
            connected: true,
            playing: true,
            layer: EncodingId::new(layer),
            wanted: None,
            bitrate_bps: 1_000,
            packets: 1,
            bytes: 1,
            loss,
            rtt: loss.map(|_| Duration::from_millis(40)),
            missing: None,
            attached: true,
            awaiting: None,
            asks: Asks::default(),
        }
    }

    #[test]
    fn a_crowd_on_two_shards_is_the_crowd_on_one() {
        let crowd: Vec<ViewerSnapshot> =
            [("h", Some(0.5)), ("f", None), ("", Some(0.0)), ("h", None)]
                .map(|(layer, loss)| viewer(layer, loss))
                .into();
        let sum = |viewers: &[ViewerSnapshot]| {
            let mut audience = Audience::default();
            viewers.iter().for_each(|v| audience.count(v));
            audience
        };
        let one = sum(&crowd);
        assert_eq!((one.viewers, one.bitrate_bps), (4, 4_000));
        assert_eq!((one.loss.value(), one.rtt.value()), (Some(0.25), Some(0.04)));
        let [h, f] = ["h", "f"].map(|id| EncodingId::new(id).unwrap());
        assert_eq!(one.layers, [(h, 2), (f, 1)], "who sees no picture is in no layer");
        for cut in 0..=crowd.len() {
            let mut both = sum(&crowd[..cut]);
            both.merge(&sum(&crowd[cut..]));
            assert_eq!(both, one);
        }
    }

    #[test]
    fn nobody_has_no_loss_and_who_connects_is_nobody_yet() {
        let mut audience = Audience::default();
        audience.count(&ViewerSnapshot { connected: false, ..viewer("h", Some(1.0)) });
        assert_eq!(audience, Audience::default());
        assert_eq!(audience.loss.value(), None);
        audience.count(&viewer("h", Some(1.0)));
        audience.clear();
        assert_eq!(audience, Audience::default());
    }
}
