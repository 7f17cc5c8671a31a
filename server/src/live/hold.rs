//! What a publisher sends waits here until it is known what there is: whether there are pictures, and of several encodings
//! each with a keyframe at the same moment, so that all begin together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use media::Kind;

use crate::units::{Item, Track, is_layer};

/// A publisher of whom only sound is known may still send pictures.
const ALONE: Duration = Duration::from_millis(500);
/// So long keyframes that come together are waited for: they were asked for when packaging began.
const TOGETHER: Duration = Duration::from_millis(800);
/// Keyframes of one moment are captured no further apart.
const NEAR: Duration = Duration::from_millis(100);
/// Items that wait; the oldest go.
const MOST: usize = 2048;

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// When the first one came.
    since: Option<Instant>,
    items: Vec<Item>,
    /// Of each encoding: its newest keyframe.
    keyframes: BTreeMap<Track, Instant>,
}

impl Hold {
    pub(super) fn push(&mut self, now: Instant, item: Item) {
        self.since.get_or_insert(now);
        if let Item::Unit(track, unit, captured) = &item
            && unit.keyframe
            && is_layer(*track)
        {
            self.keyframes.insert(*track, *captured);
        }
        // What a track is, is said once.
        let oldest = || self.items.iter().position(|item| matches!(item, Item::Unit(..)));
        if self.items.len() >= MOST
            && let Some(oldest) = oldest()
        {
            self.items.remove(oldest);
        }
        self.items.push(item);
    }

    /// Whether enough is known. `pictures`: there will be some. `layers`: of so many encodings.
    pub(super) fn is_over(&self, now: Instant, pictures: bool, layers: usize) -> bool {
        let waited =
            |time| self.since.is_some_and(|since| now.saturating_duration_since(since) >= time);
        if !pictures && !self.has_pictures() {
            return waited(ALONE);
        }
        layers < 2 || self.start(layers).is_some() || waited(TOGETHER)
    }

    /// When it is to be looked at again though nothing comes. `pictures`: there will be some.
    pub(super) fn wakes(&self, pictures: bool) -> Option<Instant> {
        let wait = if pictures || self.has_pictures() { TOGETHER } else { ALONE };
        self.since.map(|since| since + wait)
    }

    pub(super) fn has_pictures(&self) -> bool {
        self.items.iter().any(|item| kind(item) == Kind::Video)
    }

    /// What has waited, from the moment on at which all encodings begin, and what they are first of all: which is the best
    /// is known then.
    pub(super) fn release(self, layers: usize) -> Vec<Item> {
        let start = self.start(layers);
        // Where each track's last one stands: what came before that cannot be read with it.
        let mut formats = BTreeMap::new();
        for (at, item) in self.items.iter().enumerate() {
            if let Item::Format(track, _) = item {
                formats.insert(*track, at);
            }
        }
        let goes_on = |(at, item): &(usize, Item)| match item {
            Item::Format(track, _) => formats.get(track) == Some(at),
            Item::Unit(track, _, captured) => {
                let late = !is_layer(*track) || start.is_none_or(|start| *captured >= start);
                late && formats.get(track).is_none_or(|format| format < at)
            }
        };
        let items = self.items.into_iter().enumerate().filter(goes_on).map(|(_, item)| item);
        let (mut items, units): (Vec<Item>, Vec<Item>) =
            items.partition(|item| matches!(item, Item::Format(..)));
        items.extend(units);
        items
    }

    /// Where the newest keyframes of so many encodings lie, if that is one moment.
    fn start(&self, layers: usize) -> Option<Instant> {
        let first = self.keyframes.values().min()?;
        let last = self.keyframes.values().max()?;
        let near = last.saturating_duration_since(*first) < NEAR;
        (layers > 1 && self.keyframes.len() >= layers && near).then_some(*first)
    }
}

fn kind(item: &Item) -> Kind {
    match item {
        Item::Format((kind, _), _) | Item::Unit((kind, _), ..) => *kind,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use media::{AccessUnit, Codec, Format, MediaTime};

    use super::*;
    use crate::units::{AUDIO, VIDEO, layer};

    const MS: Duration = Duration::from_millis(1);

    fn unit(track: Track, captured: Instant, keyframe: bool) -> Item {
        let time = MediaTime::ZERO;
        Item::Unit(
            track,
            AccessUnit { dts: time, pts: time, keyframe, data: [0; 4].to_vec().into() },
            captured,
        )
    }

    fn format(track: Track) -> Item {
        let format = Format {
            codec: Codec::H264,
            config: Default::default(),
            dimensions: None,
            sound: None,
        };
        Item::Format(track, Arc::new(format))
    }

    #[test]
    fn who_has_one_encoding_or_none_waits_for_no_other() {
        let now = crate::clock::now();
        let mut hold = Hold::default();
        hold.push(now, unit(AUDIO, now, true));
        assert!(!hold.is_over(now, false, 0) && hold.is_over(now, true, 1));
        assert_eq!(hold.wakes(false), Some(now + ALONE));
        assert!(hold.is_over(now + ALONE, false, 0));
        hold.push(now, unit(VIDEO, now, true));
        assert!(hold.is_over(now, false, 0));
        assert_eq!(hold.release(0).len(), 2);
    }

    #[test]
    fn what_came_before_a_tracks_last_format_is_left_out() {
        let now = crate::clock::now();
        let mut hold = Hold::default();
        for item in [format(VIDEO), unit(VIDEO, now, true), format(AUDIO), format(VIDEO)] {
            hold.push(now, item);
        }
        hold.push(now, unit(AUDIO, now, true));
        hold.push(now, unit(VIDEO, now + MS, true));
        let left =
            [format(AUDIO), format(VIDEO), unit(AUDIO, now, true), unit(VIDEO, now + MS, true)];
        assert_eq!(hold.release(1), left);
    }

    #[test]
    fn several_begin_with_keyframes_of_one_moment() {
        let start = crate::clock::now();
        let at = |ms: u32| start + MS * ms;
        let [one, two] = [layer(0), layer(1)];
        let mut hold = Hold::default();
        for item in [
            format(one),
            unit(one, at(0), true),
            unit(AUDIO, at(10), true),
            format(two),
            unit(two, at(400), true),
        ] {
            hold.push(start, item);
        }
        assert!(!hold.is_over(at(799), true, 2), "not of one moment");
        assert!(hold.is_over(at(800), true, 2), "that is waited for no longer");
        hold.push(start, unit(one, at(900), true));
        hold.push(start, unit(two, at(960), true));
        assert!(hold.is_over(at(1), true, 2));
        assert!(!hold.is_over(at(1), true, 3), "there is a third");
        let items = hold.release(2);
        let left = [
            format(one),
            format(two),
            unit(AUDIO, at(10), true),
            unit(one, at(900), true),
            unit(two, at(960), true),
        ];
        assert_eq!(items, left);
    }
}
