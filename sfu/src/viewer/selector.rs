//! Which encoding a viewer gets: a pure choice with its reason, and the gate that lets a switch
//! happen only at a keyframe.

use media::{Codec, EncodingId};
use signaling::Payload;

use crate::stats::{Drop, Origin};

/// What the choice is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Index at the publisher.
    pub index: usize,
    /// Its name.
    pub id: EncodingId,
    /// Where it comes from.
    pub origin: Origin,
    /// What it is in.
    pub codec: Codec,
    /// The viewer has a payload type for that.
    pub takeable: bool,
    /// Packets arrive now.
    pub active: bool,
    /// Pixels, width and height, once known.
    pub dimensions: Option<(u16, u16)>,
    /// Pixels, then bitrate.
    pub rank: (u32, u64),
}

/// What a viewer asks for by WHEP's layer extension.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The highest.
    #[default]
    Best,
    /// This encoding.
    Encoding(EncodingId),
    /// The highest that is no larger, in pixels.
    Within {
        /// Largest width.
        width: u16,
        /// Largest height.
        height: u16,
    },
}

impl Wanted {
    /// The encoding, where one was named.
    pub fn encoding(self) -> Option<EncodingId> {
        match self {
            Self::Encoding(id) => Some(id),
            Self::Best | Self::Within { .. } => None,
        }
    }
}

/// Why an encoding was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The viewer asked for it.
    Wanted,
    /// The viewer's is silent; this is the best one not above it, or the lowest there is.
    InsteadOfWanted,
    /// The highest.
    Highest,
    /// The highest within what the viewer asked for.
    Within,
    /// The smallest: no encoding is known to be within what the viewer asked for.
    Smallest,
    /// Nothing moves: stay.
    AllSilent,
}

/// Those of `all` that a viewer may get: what the publisher sends, else what is bridged, of one codec, in
/// the order in which we like them; else, where it can take none, what the publisher sends. A bridged
/// encoding in the publisher's own codec stands in for what the publisher sends: it has another form.
pub fn eligible(mut all: Vec<Candidate>) -> Vec<Candidate> {
    let bridged: Vec<Candidate> =
        all.iter().filter(|c| c.origin == Origin::Bridge).copied().collect();
    if bridged.is_empty() {
        let any = all.iter().any(|c| c.takeable);
        all.retain(|c| c.takeable || !any);
        return all;
    }
    let replaced = |c: &Candidate| bridged.iter().any(|b| b.codec == c.codec);
    let own = |c: &Candidate| c.origin == Origin::Source;
    if all.iter().any(|c| own(c) && c.takeable && !replaced(c)) {
        all.retain(|c| own(c) && c.takeable && !replaced(c));
        return all;
    }
    let order = |codec| Codec::WEBRTC.iter().position(|known| *known == codec);
    let takeable = bridged.iter().filter(|c| c.takeable);
    match takeable.min_by_key(|c| (!c.active, order(c.codec))).map(|c| c.codec) {
        Some(codec) => all.retain(|c| !own(c) && c.takeable && c.codec == codec),
        None => all.retain(own),
    }
    all
}

/// The encoding to show. `None` without candidates.
pub fn choose(
    candidates: &[Candidate],
    wanted: Wanted,
    current: Option<usize>,
) -> Option<(usize, Reason)> {
    let active = || candidates.iter().filter(|c| c.active);
    if let Wanted::Within { width, height } = wanted {
        let fits = |c: &&Candidate| c.dimensions.is_some_and(|(w, h)| w <= width && h <= height);
        let best = active().filter(fits).max_by_key(|c| c.rank).map(|c| (c.index, Reason::Within));
        let smallest = || active().min_by_key(|c| c.rank).map(|c| (c.index, Reason::Smallest));
        if let Some(choice) = best.or_else(smallest) {
            return Some(choice);
        }
    }
    let wanted = wanted.encoding().and_then(|id| candidates.iter().find(|c| c.id == id));
    if let Some(wanted) = wanted.filter(|c| c.active) {
        return Some((wanted.index, Reason::Wanted));
    }
    if let Some(wanted) = wanted {
        let below = active().filter(|c| c.rank <= wanted.rank).max_by_key(|c| c.rank);
        let instead = below.or_else(|| active().min_by_key(|c| c.rank));
        if let Some(instead) = instead {
            return Some((instead.index, Reason::InsteadOfWanted));
        }
    }
    if let Some(best) = active().max_by_key(|c| c.rank) {
        return Some((best.index, Reason::Highest));
    }
    let stay = candidates.iter().find(|c| Some(c.index) == current);
    let any = stay.or_else(|| candidates.iter().max_by_key(|c| c.rank));
    any.map(|c| (c.index, Reason::AllSilent))
}

/// What is shown now and what is to be shown next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    current: Option<usize>,
    target: Option<usize>,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Of the encoding that is shown.
    Forward,
    /// The first one of another encoding: continue from here.
    Switch,
    /// Not for this viewer now.
    Drop(Drop),
}

impl Selector {
    /// The encoding that is shown.
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// The encoding whose keyframe is waited for.
    pub fn awaits(&self) -> Option<usize> {
        self.target.filter(|t| Some(*t) != self.current)
    }

    /// Aim at another encoding.
    pub fn aim(&mut self, target: Option<usize>) {
        self.target = target;
    }

    /// This encoding is shown from now on, by what is in its ring.
    pub fn show(&mut self, index: usize) {
        self.current = Some(index);
    }

    /// The same encoding, but only from its next keyframe on (its codec changed).
    pub fn restart(&mut self) {
        self.current = None;
    }

    /// Judges a packet of encoding `index`.
    pub fn judge(&mut self, index: usize, keyframe_start: bool) -> Verdict {
        if self.current == Some(index) {
            return Verdict::Forward;
        }
        if self.target != Some(index) {
            return Verdict::Drop(Drop::NotSelected);
        }
        if !keyframe_start {
            return Verdict::Drop(Drop::AwaitingKeyframe);
        }
        self.current = Some(index);
        Verdict::Switch
    }
}

/// The viewer's payload type for what the publisher sends: for H.264 the one of the same profile
/// where there is one, since a decoder may be chosen by it.
pub fn payload_type<'a>(offered: &'a [Payload], sent: &Payload) -> Option<&'a Payload> {
    let profile = |p: &Payload| {
        p.parameter("profile-level-id").and_then(|id| id.get(..4)).map(str::to_ascii_lowercase)
    };
    let same_codec = || offered.iter().filter(|p| p.codec == sent.codec);
    let exact = same_codec().find(|p| profile(p) == profile(sent));
    exact.or_else(|| same_codec().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(active: [bool; 3]) -> Vec<Candidate> {
        let make = |(index, (id, pixels)): (usize, (&str, u32))| Candidate {
            index,
            id: EncodingId::new(id).expect("a valid id"),
            origin: Origin::Source,
            codec: Codec::H265,
            takeable: true,
            active: active[index],
            dimensions: Some((pixels as u16, pixels as u16 / 2)),
            rank: (pixels, 0),
        };
        [("q", 100), ("h", 400), ("f", 1600)].into_iter().enumerate().map(make).collect()
    }

    fn id(name: &str) -> Wanted {
        Wanted::Encoding(EncodingId::new(name).expect("a valid id"))
    }

    #[test]
    fn the_highest_by_default() {
        assert_eq!(choose(&layers([true; 3]), Wanted::Best, None), Some((2, Reason::Highest)));
        assert_eq!(choose(&[], Wanted::Best, None), None);
    }

    #[test]
    fn the_wanted_one_or_the_nearest_below_it() {
        assert_eq!(choose(&layers([true; 3]), id("h"), Some(2)), Some((1, Reason::Wanted)));
        let silent = layers([true, false, true]);
        assert_eq!(choose(&silent, id("h"), Some(1)), Some((0, Reason::InsteadOfWanted)));
        let only_high = layers([false, false, true]);
        assert_eq!(choose(&only_high, id("q"), None), Some((2, Reason::InsteadOfWanted)));
        assert_eq!(choose(&layers([true; 3]), id("gone"), None), Some((2, Reason::Highest)));
    }

    #[test]
    fn the_highest_that_is_small_enough_else_the_smallest() {
        let within = |active, width, height, current| {
            choose(&layers(active), Wanted::Within { width, height }, current)
        };
        assert_eq!(within([true; 3], 400, 200, None), Some((1, Reason::Within)));
        assert_eq!(within([true; 3], 1599, u16::MAX, Some(2)), Some((1, Reason::Within)));
        assert_eq!(within([true; 3], u16::MAX, 800, None), Some((2, Reason::Within)));
        assert_eq!(within([true, false, true], 400, 200, Some(1)), Some((0, Reason::Within)));
        assert_eq!(within([true; 3], 99, 99, None), Some((0, Reason::Smallest)));
        assert_eq!(within([false, false, true], 400, 200, None), Some((2, Reason::Smallest)));
        assert_eq!(within([false; 3], 400, 200, Some(1)), Some((1, Reason::AllSilent)));
        let mut unknown = layers([true; 3]);
        unknown.iter_mut().for_each(|c| c.dimensions = None);
        let wanted = Wanted::Within { width: 9_999, height: 9_999 };
        assert_eq!(choose(&unknown, wanted, None), Some((0, Reason::Smallest)));
    }

    fn bridged(index: usize, codec: Codec, takeable: bool) -> Candidate {
        let (id, origin) = (EncodingId::new(codec.name()).expect("a valid id"), Origin::Bridge);
        let (dimensions, rank) = (None, (9_999, 0));
        Candidate { index, id, origin, codec, takeable, active: true, dimensions, rank }
    }

    fn indices(all: Vec<Candidate>) -> Vec<usize> {
        eligible(all).iter().map(|c| c.index).collect()
    }

    #[test]
    fn what_is_bridged_is_for_those_who_need_it() {
        let native =
            |takeable| layers([true; 3]).into_iter().map(move |c| Candidate { takeable, ..c });
        let with = |takeable, bridges: &[Candidate]| {
            native(takeable).chain(bridges.iter().copied()).collect::<Vec<_>>()
        };
        let (h264, vp8) = (bridged(3, Codec::H264, true), bridged(4, Codec::Vp8, true));
        assert_eq!(indices(with(true, &[h264, vp8])), [0, 1, 2], "the publisher's own");
        assert_eq!(indices(with(false, &[vp8, h264])), [3], "one codec, the best");
        let silent = Candidate { active: false, ..h264 };
        assert_eq!(indices(with(false, &[silent, vp8])), [4]);
        let strange = Candidate { takeable: false, ..h264 };
        assert_eq!(indices(with(false, &[strange, vp8])), [4]);
        assert_eq!(indices(with(false, &[strange])), [0, 1, 2], "it lacks what is published");
        assert_eq!(indices(with(false, &[])), [0, 1, 2]);
        assert_eq!(indices(vec![strange]), [0; 0], "sound that no browser can take");
    }

    #[test]
    fn a_bridge_in_the_publishers_own_codec_stands_in_for_it() {
        let all = |takeable, more: &[Candidate]| {
            let own = layers([true; 3]).into_iter().map(move |c| Candidate { takeable, ..c });
            own.chain(more.iter().copied()).collect::<Vec<_>>()
        };
        let same = bridged(3, Codec::H265, true);
        assert_eq!(indices(all(true, &[same])), [3]);
        let (same, vp8) = (bridged(3, Codec::H265, false), bridged(4, Codec::Vp8, true));
        assert_eq!(indices(all(false, &[same, vp8])), [4]);
    }

    #[test]
    fn codecs_of_one_publisher_may_differ() {
        let mut all = layers([true; 3]);
        all[1].takeable = false;
        assert_eq!(indices(all), [0, 2]);
    }

    #[test]
    fn stays_when_all_are_silent() {
        assert_eq!(
            choose(&layers([false; 3]), Wanted::Best, Some(1)),
            Some((1, Reason::AllSilent))
        );
        assert_eq!(choose(&layers([false; 3]), id("q"), None), Some((2, Reason::AllSilent)));
    }

    #[test]
    fn switches_only_at_a_keyframe() {
        let mut selector = Selector::default();
        selector.aim(Some(1));
        assert_eq!(selector.judge(1, false), Verdict::Drop(Drop::AwaitingKeyframe));
        assert_eq!(selector.judge(1, true), Verdict::Switch);
        assert_eq!(selector.judge(1, false), Verdict::Forward);
        selector.aim(Some(0));
        assert_eq!(selector.awaits(), Some(0));
        assert_eq!(selector.judge(1, false), Verdict::Forward, "the old one goes on meanwhile");
        assert_eq!(selector.judge(0, true), Verdict::Switch);
        assert_eq!(selector.judge(1, true), Verdict::Drop(Drop::NotSelected));
        assert_eq!(selector.awaits(), None);
    }
}
