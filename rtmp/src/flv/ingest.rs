//! The media of one publisher: messages in, tracks, formats and units on one timeline out.

use std::time::{Duration, Instant};

use bytes::Bytes;
use media::{AccessUnit, Codec, Kind};

use super::codec::Named;
use super::tag::{self, Packet, Tag};
use super::track::{Out, State};
use super::{Counters, Dropped, Item, MAX_TRACKS, Notice, Refusal, Track};
use crate::timeline::{Mark, Timeline};

/// Between two notices of jumps: a publisher whose timestamps are nonsense jumps with each unit.
const JUMPS_SAID_EVERY: Duration = Duration::from_secs(10);

/// Reads the audio and video messages of one publisher.
#[derive(Debug, Default)]
pub struct Ingest {
    tracks: Vec<(Track, Line)>,
    timeline: Timeline,
    counters: Counters,
    jump_said: Option<Instant>,
    /// Kept for its memory.
    tags: Vec<Tag>,
}

/// What is known of one track.
#[derive(Debug, Default)]
struct Line {
    state: Option<State>,
    refused: Option<Refusal>,
}

impl Ingest {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the body of an audio or video message (types 8 and 9) that arrived `now`, and appends what
    /// it says. `timestamp` in milliseconds. Units share the bytes of `body`.
    pub fn message(
        &mut self,
        now: Instant,
        kind: Kind,
        timestamp: u32,
        body: Bytes,
        out: &mut Vec<Item>,
    ) {
        let mut tags = std::mem::take(&mut self.tags);
        if let Err(why) = tag::read(kind, &body, &mut tags) {
            self.counters.count(why);
        }
        for tag in tags.drain(..) {
            self.tag(now, kind, timestamp, tag, out);
        }
        self.tags = tags;
    }

    /// What was dropped and mended so far.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        counters.timeline = self.timeline.counters();
        counters
    }

    fn tag(&mut self, now: Instant, kind: Kind, timestamp: u32, tag: Tag, out: &mut Vec<Item>) {
        let track = Track { kind, id: tag.track };
        let codec = match (tag.codec, tag.packet) {
            (Named::Refused(refusal), _) => return self.refuse(track, refusal, out),
            (_, Packet::TransportStream) => {
                return self.refuse(track, Refusal::TransportStream, out);
            }
            (_, Packet::Nothing(why)) => return self.counters.count(why),
            (Named::Known(codec), _) => codec,
        };
        let Some(line) = line(&mut self.tracks, track) else {
            return self.counters.count(Dropped::Tracks);
        };
        if tag.packet == Packet::End {
            // Should it come back, it is told whole, also where nothing of it has changed.
            line.state = None;
            return out.push(Item::End { track });
        }
        let state = line.of(codec);
        let (found, composition) = match tag.packet {
            Packet::Config => (state.config(&tag.payload, &mut self.counters), 0),
            Packet::Frame { composition, key } => {
                (state.frame(&tag.payload, key, &mut self.counters), composition)
            }
            Packet::End | Packet::TransportStream | Packet::Nothing(_) => return,
        };
        let mark = Mark { timestamp, nanos: tag.nanos, composition, span: None };
        self.found(now, track, mark, found, out);
    }

    fn found(&mut self, now: Instant, track: Track, mark: Mark, found: Out, out: &mut Vec<Item>) {
        if let Some(notice) = found.notice {
            out.push(Item::Notice { track, notice });
        }
        if let Some(format) = found.format {
            out.push(Item::Track { track, format });
        }
        let Some(coded) = found.unit else { return };
        let place = self.timeline.place(now, track, Mark { span: coded.span, ..mark });
        let said = |at: Instant| now.saturating_duration_since(at) < JUMPS_SAID_EVERY;
        if let Some(by) = place.jump
            && !self.jump_said.is_some_and(said)
        {
            self.jump_said = Some(now);
            out.push(Item::Notice { track, notice: Notice::Jump { by } });
        }
        let unit = AccessUnit {
            dts: place.dts,
            pts: place.pts,
            keyframe: coded.keyframe,
            data: coded.data,
        };
        out.push(Item::Unit { track, unit });
    }

    fn refuse(&mut self, track: Track, refusal: Refusal, out: &mut Vec<Item>) {
        self.counters.count(Dropped::Codec);
        let Some(line) = line(&mut self.tracks, track) else { return };
        if line.refused.as_ref() != Some(&refusal) {
            line.refused = Some(refusal.clone());
            out.push(Item::Refused { track, refusal });
        }
    }
}

impl Line {
    /// The state for a codec; another codec than before begins anew.
    fn of(&mut self, codec: Codec) -> &mut State {
        if self.state.as_ref().is_none_or(|state| state.codec() != codec) {
            self.state = None;
        }
        self.state.get_or_insert_with(|| State::new(codec))
    }
}

/// The line of `track`, new if there is room for one more of its kind.
fn line(tracks: &mut Vec<(Track, Line)>, track: Track) -> Option<&mut Line> {
    let index = match tracks.iter().position(|(t, _)| *t == track) {
        Some(index) => index,
        None => {
            let of_its_kind = tracks.iter().filter(|(t, _)| t.kind == track.kind).count();
            if of_its_kind >= MAX_TRACKS {
                return None;
            }
            tracks.push((track, Line::default()));
            tracks.len() - 1
        }
    };
    Some(&mut tracks[index].1)
}
