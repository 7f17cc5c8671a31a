//! Which track of a publisher plays which rendition. What a rendition's viewers began with goes on, whoever publishes:
//! in its own codec where that comes, or is made; else in what there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use media::{Codec, Format, Kind};
use packager::RenditionId;

use crate::units::{self, AUDIO, Track, VIDEO};

/// Pictures that are packaged as they come.
const PICTURES: [Codec; 4] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9];
/// What is made of others.
const MADE: Track = units::bridged(Codec::H264);
/// Sound that everybody can play, of other sound.
const AAC: Track = units::bridged(Codec::Aac);

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

/// How many renditions there will be of a publisher who sends this.
pub(super) fn expected(sends: &[Codec], bridged: &[Codec]) -> usize {
    let made = |codec: Codec| bridged.contains(&codec);
    let of = |codec: &Codec| match codec.kind() {
        Kind::Video => usize::from(PICTURES.contains(codec) || made(Codec::H264)),
        Kind::Audio => 1 + usize::from(*codec != Codec::Aac && made(Codec::Aac)),
    };
    sends.iter().map(of).sum()
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
    fn how_many_renditions_a_publisher_has() {
        use Codec::{Aac, H264, Opus, Vp8};
        for (sends, bridged, count) in [
            (&[][..], &[][..], 0),
            (&[H264, Aac], &[], 2),
            (&[H264, Opus], &[Aac], 3),
            (&[H264, Opus], &[], 2),
            (&[Vp8], &[], 0),
            (&[Vp8, Opus], &[H264, Aac], 3),
            (&[Opus], &[Aac], 2),
        ] {
            assert_eq!(expected(sends, bridged), count, "{sends:?} {bridged:?}");
        }
    }
}
