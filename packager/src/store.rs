//! What there is to serve: parts and segments as immutable values, and a [`View`] of each
//! rendition. A segment is the chain of its parts, never a second copy; the bytes of an old one may lie elsewhere
//! (`stored`). Nothing of playlists enters here:
//! HLS and DASH are written from the same views.

mod shelf;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use media::{Kind, MediaTime};

pub use self::shelf::Held;
pub(crate) use self::shelf::{SPARE_PART, Shelf};
pub use self::stored::{Extent, Stored};

use crate::name::File;
use crate::track::{Epoch, Init, Rendition};

/// One fragment: `moof` and `mdat`. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins on the stream's timeline.
    pub start: MediaTime,
    /// To where the next one begins.
    pub duration: MediaTime,
    /// A decoder can start somewhere in it.
    pub independent: bool,
    /// If its first sample is a keyframe of pictures: how many bytes from its beginning hold the header and
    /// that one.
    pub keyframe: Option<u32>,
    /// The file.
    pub bytes: Bytes,
}

/// A segment, complete or still growing. A segment that grows is replaced by a longer one, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Media sequence number, from 1. The same moment has the same number in all renditions.
    pub msn: u64,
    /// Where it begins on the stream's timeline.
    pub start: MediaTime,
    /// Of its parts together.
    pub duration: MediaTime,
    /// When its beginning was captured, since 1970: from the media's clock, and never changed.
    pub unix: Duration,
    /// What comes here does not go on from what came before: another publisher, another format, a jump.
    pub discontinuity: bool,
    /// There is no media, and none will come: to be named, not to be fetched. It has no parts.
    pub gap: bool,
    /// Nothing is added any more.
    pub complete: bool,
    /// What decoders need.
    pub init: Arc<Init>,
    /// In order; the index is the number in the file's name. Empty once it is stored.
    pub parts: Vec<Part>,
    /// Its bytes lie elsewhere.
    pub stored: Option<Stored>,
}

impl Segment {
    /// A decoder can start at its beginning. Sound always can.
    pub fn independent(&self) -> bool {
        let sound = self.init.codec().kind() == Kind::Audio;
        !self.is_empty() && (sound || self.keyframe().is_some())
    }

    /// Its length in bytes so far, wherever they lie.
    pub fn len(&self) -> u64 {
        let here = || self.parts.iter().map(|part| part.bytes.len() as u64).sum();
        self.stored.as_ref().map_or_else(here, Stored::len)
    }

    /// How many parts it has, wherever they lie.
    pub fn part_count(&self) -> usize {
        self.stored.as_ref().map_or(self.parts.len(), Stored::parts)
    }

    /// There is nothing of it.
    pub fn is_empty(&self) -> bool {
        self.part_count() == 0
    }

    /// If it begins with a keyframe of pictures: how many of its bytes hold the header and that one.
    pub fn keyframe(&self) -> Option<u32> {
        let here = || self.parts.first().and_then(|part| part.keyframe);
        self.stored.as_ref().map_or_else(here, Stored::keyframe)
    }

    /// The file as it lies in memory; nothing of one that is stored.
    pub fn chain(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().map(|part| &part.bytes)
    }
}

/// What is promised to players; but for what is said of it, it never changes within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// No segment is longer, in whole seconds, rounded to the nearest.
    pub segment: u32,
    /// No part is longer; whole milliseconds. `None`: parts are not to be shown.
    pub part: Option<Duration>,
    /// Segments begin with a keyframe: proven by all in the window, three at least. The one promise that may
    /// change.
    pub independent: bool,
}

/// What a rendition takes, in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// The most of any segment seen in this epoch.
    pub peak: u64,
    /// Over the window.
    pub average: u64,
}

/// One rendition at one moment. Immutable; clone the [`Arc`] around it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Which life of the stream.
    pub epoch: Epoch,
    /// Which rendition.
    pub rendition: Arc<Rendition>,
    /// The same in all views of an epoch, and for all renditions.
    pub targets: Targets,
    /// What comes next is coded like this; older segments may have another.
    pub init: Arc<Init>,
    /// Of the pictures: per 1000 seconds, measured. `None` for sound, and before two were seen.
    pub frame_rate: Option<u32>,
    /// Measured.
    pub bandwidth: Bandwidth,
    /// How many discontinuities lie before the first segment of the window, those that begin segments which
    /// have left it included. The first segment's own is not counted.
    pub discontinuity_sequence: u64,
    /// Complete segments, oldest first, with consecutive numbers.
    pub segments: Arc<Vec<Arc<Segment>>>,
    /// The one that grows, once it has a part. Its number follows on the last complete one's.
    pub running: Option<Arc<Segment>>,
    /// What has left the window and can still be fetched, oldest first.
    pub spare: Arc<Vec<Arc<Segment>>>,
    /// The number that a first segment has, when there is none yet.
    pub first_msn: u64,
    /// Nothing comes any more.
    pub ended: bool,
}

impl View {
    /// All segments of the window, the one that grows last.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Segment>> {
        self.segments.iter().chain(&self.running)
    }

    /// The number of the oldest segment in the window, or of the first one to come.
    pub fn first(&self) -> u64 {
        self.all().next().map_or(self.first_msn, |segment| segment.msn)
    }

    /// The number of the oldest segment that can be fetched, though it may have left the window.
    pub fn oldest(&self) -> u64 {
        self.spare.first().map_or_else(|| self.first(), |segment| segment.msn)
    }

    /// Segment and part that come next, and are to be waited for: `(msn, part)`.
    pub fn next(&self) -> (u64, usize) {
        if let Some(running) = &self.running {
            return (running.msn, running.parts.len());
        }
        (self.segments.last().map_or(self.first_msn, |last| last.msn + 1), 0)
    }

    /// A segment that can be fetched, complete or growing.
    pub fn segment<'v>(&'v self, msn: u64) -> Option<&'v Arc<Segment>> {
        let of = |list: &'v [Arc<Segment>]| {
            let index = msn.checked_sub(list.first()?.msn)?;
            usize::try_from(index).ok().and_then(|index| list.get(index))
        };
        let running = || self.running.as_ref().filter(|running| running.msn == msn);
        of(&self.segments).or_else(running).or_else(|| of(&self.spare))
    }

    /// What a file's bytes are in the file of a stored segment; `None` if they are in memory, or nowhere.
    pub fn stored(&self, file: File) -> Option<Extent> {
        match file {
            File::Segment(_, msn) => self.segment(msn)?.extent(None),
            File::Part(_, msn, part) => self.segment(msn)?.extent(usize::try_from(part).ok()),
            File::Init(..) | File::Playlist(_) | File::Keyframes(_) => None,
        }
    }

    /// A part that can be fetched, and is in memory.
    pub fn part(&self, msn: u64, part: usize) -> Option<&Part> {
        self.segment(msn)?.parts.get(part)
    }

    /// The initialization with this number, while a segment that can be fetched needs it or one to come.
    pub fn init<'v>(&'v self, number: u32) -> Option<&'v Arc<Init>> {
        // Numbers never go down.
        let of = |segments: &'v [Arc<Segment>]| {
            let at = segments.partition_point(|segment| segment.init.number < number);
            segments.get(at).map(|segment| &segment.init)
        };
        let running = self.running.as_ref().map(|segment| &segment.init);
        let all = [Some(&self.init), running, of(&self.segments), of(&self.spare)];
        all.into_iter().flatten().find(|init| init.number == number)
    }
}
