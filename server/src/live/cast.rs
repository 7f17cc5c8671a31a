//! Which track of a publisher plays which rendition. What a rendition's viewers began with goes on, whoever publishes:
//! in its own codec where that comes, or is made; else in what there is.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use media::{Codec, Format, Kind};
use packager::RenditionId;

use crate::units::{self, AUDIO, LAYERS, Track, VIDEO, is_layer, layer};

/// Pictures that are packaged as they come.
const PICTURES: [Codec; 4] = [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9];
/// What is made of others.
const MADE: Track = units::bridged(Codec::H264);
/// Sound that everybody can play, of other sound.
const AAC: Track = units::bridged(Codec::Aac);

/// Sound that is still being made is waited for so long, and so is another encoding of the pictures.
const FOR_MORE: Duration = Duration::from_millis(500);
/// And pictures: as long as a first request is.
const FOR_PICTURES: Duration = Duration::from_secs(10);

/// The tracks that are read of a publisher. One by WebRTC may send several encodings: each is read by itself.
pub(super) fn tracks(whip: bool) -> Vec<Track> {
    let pictures = if whip { (0..LAYERS).map(layer).collect() } else { vec![VIDEO] };
    pictures.into_iter().chain([AUDIO, MADE, AAC]).collect()
}

/// The renditions of an epoch, and what plays them.
#[derive(Debug, Default)]
pub(super) struct Cast {
    /// Each in its codec, in the order in which they came up.
    sounds: Vec<(RenditionId, Codec)>,
    /// Of several encodings, which one plays each; by number.
    layers: Vec<Option<Track>>,
    routes: Vec<(Track, RenditionId)>,
}

impl Cast {
    /// Another publisher: its encodings are others.
    pub(super) fn anew(&mut self) {
        self.layers.fill(None);
    }

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
        let plays = |track: &Track| codec(*track).is_some_and(|codec| PICTURES.contains(&codec));
        new.extend(self.place(formats));
        let layers = (0..).zip(&self.layers).filter_map(|(index, track)| Some((index, (*track)?)));
        for (index, track) in layers.filter(|(_, track)| plays(track)) {
            self.routes.push((track, RenditionId { kind: Kind::Video, index }));
        }
        if self.routes.is_empty() {
            let pictures = Some(VIDEO).filter(plays).or(codec(MADE).map(|_| MADE));
            self.routes.extend(pictures.map(|track| (track, RenditionId::VIDEO)));
        }
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

    /// Encodings that play nothing yet take what is free, the best first: who comes later is a rendition of its own, and
    /// none changes over. Returns the new ones.
    fn place(&mut self, formats: &BTreeMap<Track, Arc<Format>>) -> Vec<RenditionId> {
        let fits = |(track, format): &(&Track, &Arc<Format>)| {
            is_layer(**track)
                && PICTURES.contains(&format.codec)
                && !self.layers.contains(&Some(**track))
        };
        let mut fresh: Vec<_> = formats.iter().filter(fits).collect();
        let pixels =
            |format: &Format| format.dimensions.map_or(0, |(w, h)| u32::from(w) * u32::from(h));
        fresh.sort_by_key(|(_, format)| Reverse(pixels(format)));
        let fresh: Vec<Track> = fresh.into_iter().map(|(track, _)| *track).collect();
        let mut new = Vec::new();
        for track in fresh {
            match self.layers.iter_mut().find(|layer| layer.is_none()) {
                Some(free) => *free = Some(track),
                None => {
                    let index = u8::try_from(self.layers.len()).unwrap_or(u8::MAX);
                    new.push(RenditionId { kind: Kind::Video, index });
                    self.layers.push(Some(track));
                }
            }
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
/// sends this, pictures in so many encodings, of which that is made. Sound in another codec joins when it comes; a player that was told of sound alone
/// never looks for pictures.
pub(super) fn patience(
    there: &[RenditionId],
    sends: &[Codec],
    bridged: &[Codec],
    layers: usize,
) -> Duration {
    let made = |codec: Codec| bridged.contains(&codec);
    let (mut pictures, mut sounds) = (0, 0);
    for codec in sends {
        match codec.kind() {
            Kind::Video if PICTURES.contains(codec) => pictures = layers.max(1),
            Kind::Video => pictures = pictures.max(usize::from(made(Codec::H264))),
            Kind::Audio => sounds += 1 + usize::from(*codec != Codec::Aac && made(Codec::Aac)),
        }
    }
    let of = |kind: Kind| there.iter().filter(|id| id.kind == kind).count();
    let more = of(Kind::Audio) < sounds || of(Kind::Video) < pictures;
    match (pictures > 0 && of(Kind::Video) == 0, more) {
        (true, _) => FOR_PICTURES,
        (false, true) => FOR_MORE,
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
    fn each_encoding_is_a_rendition_the_best_first() {
        let [small, large, middle] = [layer(0), layer(1), layer(2)];
        let of = |sizes: &[(Track, u16)]| -> BTreeMap<Track, Arc<Format>> {
            let all: Vec<_> = sizes.iter().map(|(track, _)| (*track, Codec::H264)).collect();
            let mut formats = formats(&all);
            for (track, width) in sizes {
                let format = formats.get_mut(track).and_then(Arc::get_mut).unwrap();
                format.dimensions = Some((*width, 360));
            }
            formats
        };
        let v = |index| RenditionId { kind: Kind::Video, index };
        let mut cast = Cast::default();
        let new = cast.choose(&of(&[(small, 320), (large, 1280)]), false);
        assert_eq!((new.as_slice(), cast.pictures()), (&[v(0), v(1)][..], Some(large)));
        // What comes later takes nobody's place.
        let new = cast.choose(&of(&[(small, 320), (large, 1280), (middle, 640)]), false);
        assert_eq!(
            (new.as_slice(), cast.routes()),
            (&[v(2)][..], &[(large, v(0)), (small, v(1)), (middle, v(2))][..])
        );
        // The next publisher has two, and the one after sends VP8, which is bridged.
        cast.anew();
        assert!(cast.choose(&of(&[(small, 640), (large, 320)]), false).is_empty());
        assert_eq!(cast.routes(), [(small, v(0)), (large, v(1))]);
        cast.anew();
        cast.choose(&formats(&[(MADE, Codec::H264)]), false);
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
            (&[V0], &[H264, Aac], &[], FOR_MORE),
            (&[V0, A0], &[H264, Opus], &[Aac], FOR_MORE),
            (&[V0, A0, A1], &[H264, Opus], &[Aac], NONE),
            // A bridge from VP8 is on its way, whatever there is of sound; or it has failed.
            (&[A0], &[Vp8, Opus], &[H264, Aac], FOR_PICTURES),
            (&[A0, A1], &[Vp8, Opus], &[H264, Aac], FOR_PICTURES),
            (&[A0, A1], &[Vp8, Opus], &[Aac], NONE),
            (&[A0], &[H264, Opus], &[], FOR_PICTURES),
            (&[A0], &[Opus], &[], NONE),
        ] {
            assert_eq!(
                patience(there, sends, bridged, 1),
                waits,
                "{there:?} {sends:?} {bridged:?}"
            );
        }
        assert_eq!(patience(&[V0], &[H264], &[], 3), FOR_MORE);
        assert_eq!(patience(&[V0], &[Vp8], &[H264], 3), NONE, "the best of them is bridged");
    }
}
