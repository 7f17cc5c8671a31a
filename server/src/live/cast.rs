//! Which track of a publisher plays which rendition. What a rendition's viewers began with goes on, whoever publishes:
//! in its own codec where that comes, or is made; else in what there is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use media::{Codec, Format, Kind};
use packager::RenditionId;

use crate::units::{self, AUDIO, Track, VIDEO};

/// Pictures that are packaged as they come.
const PICTURES: [Codec; 4] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9];
/// What is made of others.
const MADE: Track = units::bridged(Codec::H264);
/// Sound that everybody can play, of other sound.
const AAC: Track = units::bridged(Codec::Aac);

/// Sound that is still being made is waited for so long.
const FOR_SOUND: Duration = Duration::from_millis(500);
/// And pictures: as long as a first request is.
const FOR_PICTURES: Duration = Duration::from_secs(10);

/// The tracks that are read.
pub(super) const TRACKS: [Track; 4] = [VIDEO, AUDIO, MADE, AAC];

/// The renditions of an epoch, and what plays them.
#[derive(Debug, Default)]
pub(super) struct Cast {
    /// Each in its codec, in the order in which they came up.
    sounds: Vec<(RenditionId, Codec)>,
    routes: Vec<(Track, RenditionId)>,
}

impl Cast {
    /// Chooses by what is known of the publisher's tracks; `soon`: AAC is being made. Returns the renditions that there
    /// were not before.
    pub(super) fn choose(
        &mut self,
        formats: &BTreeMap<Track, Arc<Format>>,
        soon: bool,
    ) -> Vec<RenditionId> {
        let codec = |track: Track| formats.get(&track).map(|format| format.codec);
        let mut new = Vec::new();
        for codec in [codec(AUDIO), codec(AAC)].into_iter().flatten() {
            if !self.sounds.iter().any(|(_, known)| *known == codec) {
                let index = u8::try_from(self.sounds.len()).unwrap_or(u8::MAX);
                let id = RenditionId { kind: Kind::Audio, index };
                self.sounds.push((id, codec));
                new.push(id);
            }
        }
        self.routes.clear();
        let pictures = codec(VIDEO).filter(|codec| PICTURES.contains(codec)).map(|_| VIDEO);
        let pictures = pictures.or(codec(MADE).map(|_| MADE));
        self.routes.extend(pictures.map(|track| (track, RenditionId::VIDEO)));
        for (id, wanted) in &self.sounds {
            let track = match wanted {
                wanted if codec(AUDIO) == Some(*wanted) => Some(AUDIO),
                Codec::Aac if codec(AAC).is_some() => Some(AAC),
                Codec::Aac if soon => None,
                _ => codec(AUDIO).map(|_| AUDIO),
            };
            self.routes.extend(track.map(|track| (track, *id)));
        }
        new
    }

    /// Every rendition that is played, and by what.
    pub(super) fn routes(&self) -> &[(Track, RenditionId)] {
        &self.routes
    }

    /// What plays the pictures.
    pub(super) fn pictures(&self) -> Option<Track> {
        let is = |(_, id): &&(Track, RenditionId)| *id == RenditionId::VIDEO;
        self.routes.iter().find(is).map(|(track, _)| *track)
    }
}

/// How long a stream of which these renditions are there waits, from its first one on, for the others of a publisher who
/// sends this, of which that is made. Sound in another codec joins when it comes; a player that was told of sound alone
/// never looks for pictures.
pub(super) fn patience(there: &[RenditionId], sends: &[Codec], bridged: &[Codec]) -> Duration {
    let made = |codec: Codec| bridged.contains(&codec);
    let (mut pictures, mut sounds) = (false, 0);
    for codec in sends {
        match codec.kind() {
            Kind::Video => pictures |= PICTURES.contains(codec) || made(Codec::H264),
            Kind::Audio => sounds += 1 + usize::from(*codec != Codec::Aac && made(Codec::Aac)),
        }
    }
    let of = |kind: Kind| there.iter().filter(|id| id.kind == kind).count();
    match (pictures && of(Kind::Video) == 0, of(Kind::Audio) < sounds) {
        (true, _) => FOR_PICTURES,
        (false, true) => FOR_SOUND,
        (false, false) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V0: RenditionId = RenditionId::VIDEO;
    const A0: RenditionId = RenditionId::AUDIO;
    const A1: RenditionId = RenditionId { kind: Kind::Audio, index: 1 };

    fn formats(tracks: &[(Track, Codec)]) -> BTreeMap<Track, Arc<Format>> {
        let format =
            |codec| Format { codec, config: Default::default(), dimensions: None, sound: None };
        tracks.iter().map(|(track, codec)| (*track, Arc::new(format(*codec)))).collect()
    }

    #[test]
    fn pictures_go_as_they_are_and_what_nobody_plays_by_a_bridge() {
        let mut cast = Cast::default();
        cast.choose(&formats(&[(VIDEO, Codec::H264), (MADE, Codec::H264)]), false);
        assert_eq!(cast.pictures(), Some(VIDEO), "B-frames are no matter");
        cast.choose(&formats(&[(VIDEO, Codec::Vp8)]), false);
        assert_eq!(cast.pictures(), None);
        cast.choose(&formats(&[(VIDEO, Codec::Vp8), (MADE, Codec::H264)]), false);
        assert_eq!(cast.pictures(), Some(MADE));
        assert_eq!(cast.routes(), [(MADE, V0)]);
    }

    #[test]
    fn opus_is_there_as_aac_too_as_soon_as_that_is_made() {
        let mut cast = Cast::default();
        let new = cast.choose(&formats(&[(AUDIO, Codec::Opus)]), true);
        assert_eq!((new.as_slice(), cast.routes()), (&[A0][..], &[(AUDIO, A0)][..]));
        let new = cast.choose(&formats(&[(AUDIO, Codec::Opus), (AAC, Codec::Aac)]), true);
        assert_eq!((new.as_slice(), cast.routes()), (&[A1][..], &[(AUDIO, A0), (AAC, A1)][..]));
    }

    #[test]
    fn sound_goes_on_whoever_publishes() {
        let mut cast = Cast::default();
        cast.choose(&formats(&[(AUDIO, Codec::Aac)]), false);
        // The next one sends Opus, and AAC is made of it, a little later.
        let new = cast.choose(&formats(&[(AUDIO, Codec::Opus)]), true);
        assert_eq!((new.as_slice(), cast.routes()), (&[A1][..], &[(AUDIO, A1)][..]));
        cast.choose(&formats(&[(AUDIO, Codec::Opus), (AAC, Codec::Aac)]), true);
        assert_eq!(cast.routes(), [(AAC, A0), (AUDIO, A1)]);
        // And one whose Opus nobody makes AAC of, and one with AAC again.
        cast.choose(&formats(&[(AUDIO, Codec::Opus)]), false);
        assert_eq!(cast.routes(), [(AUDIO, A0), (AUDIO, A1)]);
        let new = cast.choose(&formats(&[(AUDIO, Codec::Aac)]), false);
        assert!(new.is_empty());
        assert_eq!(cast.routes(), [(AUDIO, A0), (AUDIO, A1)]);
    }

    #[test]
    fn pictures_are_waited_for_longer_than_sound() {
        use Codec::{Aac, H264, Opus, Vp8};
        const NONE: Duration = Duration::ZERO;
        for (there, sends, bridged, waits) in [
            (&[V0][..], &[][..], &[][..], NONE),
            (&[V0, A0], &[H264, Aac], &[], NONE),
            (&[V0], &[H264, Aac], &[], FOR_SOUND),
            (&[V0, A0], &[H264, Opus], &[Aac], FOR_SOUND),
            (&[V0, A0, A1], &[H264, Opus], &[Aac], NONE),
            // A bridge from VP8 is on its way, whatever there is of sound; or it has failed.
            (&[A0], &[Vp8, Opus], &[H264, Aac], FOR_PICTURES),
            (&[A0, A1], &[Vp8, Opus], &[H264, Aac], FOR_PICTURES),
            (&[A0, A1], &[Vp8, Opus], &[Aac], NONE),
            (&[A0], &[H264, Opus], &[], FOR_PICTURES),
            (&[A0], &[Opus], &[], NONE),
        ] {
            assert_eq!(patience(there, sends, bridged), waits, "{there:?} {sends:?} {bridged:?}");
        }
    }
}
