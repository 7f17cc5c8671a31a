//! The names of the files of a stream, below the folder of its epoch: written here, and read here from what a
//! viewer asks for. Every file has one name and every name one file, so that a cache holds each once. Neither
//! HLS nor DASH enters here, but for the endings of the playlists.

use std::fmt;

use crate::track::RenditionId;

/// Longer than any name that is ours.
const MAX_LEN: usize = 64;

/// What a file of an epoch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    /// `v0.m3u8`: the media playlist.
    Playlist(RenditionId),
    /// `v0-iframes.m3u8`: the playlist of its keyframes.
    Keyframes(RenditionId),
    /// `v0-1.mp4`: an initialization segment.
    Init(RenditionId, u32),
    /// `v0-12.m4s`: a whole segment, by its media sequence number.
    Segment(RenditionId, u64),
    /// `v0-12.3.m4s`: a part of it, from 0.
    Part(RenditionId, u64, u32),
}

impl File {
    /// Reads a name that [`fmt::Display`] wrote; anything else is none of ours.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() > MAX_LEN || !name.is_ascii() {
            return None;
        }
        let (stem, ending) = name.rsplit_once('.')?;
        if ending == "m3u8" {
            return match stem.strip_suffix("-iframes") {
                Some(rendition) => RenditionId::parse(rendition).map(Self::Keyframes),
                None => RenditionId::parse(stem).map(Self::Playlist),
            };
        }
        let (rendition, of) = stem.split_once('-')?;
        let rendition = RenditionId::parse(rendition)?;
        match (ending, of.split_once('.')) {
            ("mp4", None) => Some(Self::Init(rendition, u32::try_from(number(of)?).ok()?)),
            ("m4s", None) => Some(Self::Segment(rendition, number(of)?)),
            ("m4s", Some((msn, part))) => {
                Some(Self::Part(rendition, number(msn)?, u32::try_from(number(part)?).ok()?))
            }
            _ => None,
        }
    }

    /// Whose it is.
    pub const fn rendition(self) -> RenditionId {
        match self {
            Self::Playlist(of)
            | Self::Keyframes(of)
            | Self::Init(of, _)
            | Self::Segment(of, _)
            | Self::Part(of, _, _) => of,
        }
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Playlist(of) => write!(f, "{of}.m3u8"),
            Self::Keyframes(of) => write!(f, "{of}-iframes.m3u8"),
            Self::Init(of, number) => write!(f, "{of}-{number}.mp4"),
            Self::Segment(of, msn) => write!(f, "{of}-{msn}.m4s"),
            Self::Part(of, msn, part) => write!(f, "{of}-{msn}.{part}.m4s"),
        }
    }
}

/// Digits as we write them: no sign, no zero in front.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let ours = digits && (text.len() == 1 || !text.starts_with('0'));
    ours.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use media::Kind;
    use proptest::prelude::*;

    use super::*;

    const V0: RenditionId = RenditionId::VIDEO;
    const A1: RenditionId = RenditionId { kind: Kind::Audio, index: 1 };

    #[test]
    fn names_are_as_they_are_agreed_on() {
        let names = [
            (File::Playlist(V0), "v0.m3u8"),
            (File::Keyframes(V0), "v0-iframes.m3u8"),
            (File::Init(A1, 3), "a1-3.mp4"),
            (File::Segment(V0, 12), "v0-12.m4s"),
            (File::Part(A1, 12, 3), "a1-12.3.m4s"),
        ];
        for (file, name) in names {
            assert_eq!(file.to_string(), name);
            assert_eq!(File::parse(name), Some(file));
        }
    }

    #[test]
    fn what_is_not_ours_is_none() {
        let strange = [
            "",
            ".",
            "..",
            "v0",
            "v.m3u8",
            "v00.m3u8",
            "v256.m3u8",
            "x0.m3u8",
            "v0.m3u",
            "V0.m3u8",
            "../v0.m3u8",
            "v0-iframes.mp4",
            "v0-.m4s",
            "v0--1.m4s",
            "v0-+1.m4s",
            "v0-01.m4s",
            "v0-1.mp4.m4s",
            "v0-1.2.3.m4s",
            "v0-1.2.mp4",
            "v0-1..m4s",
            "v0-1.m4s/",
            "v0-1.m4s ",
            "v0-1%2e2.m4s",
            "v0-18446744073709551616.m4s",
            "v0-1.4294967296.m4s",
            "a0-iframes-1.m4s",
            "v0-\u{661}.m4s",
        ];
        for name in strange {
            assert_eq!(File::parse(name), None, "{name:?}");
        }
        assert_eq!(File::parse(&format!("v0-{}.m4s", "1".repeat(1000))), None);
    }

    fn any_file() -> impl Strategy<Value = File> {
        let rendition = (any::<bool>(), any::<u8>()).prop_map(|(sound, index)| RenditionId {
            kind: if sound { Kind::Audio } else { Kind::Video },
            index,
        });
        (rendition, 0..5, any::<u64>(), any::<u32>()).prop_map(|(of, what, msn, n)| match what {
            0 => File::Playlist(of),
            1 => File::Keyframes(of),
            2 => File::Init(of, n),
            3 => File::Segment(of, msn),
            _ => File::Part(of, msn, n),
        })
    }

    proptest! {
        #[test]
        fn every_file_has_one_name(file in any_file()) {
            prop_assert_eq!(File::parse(&file.to_string()), Some(file));
        }

        #[test]
        fn every_name_that_is_read_is_written_the_same(name in "[va][0-9]{1,3}(-[0-9.]{1,8})?\\.(m3u8|m4s|mp4)") {
            if let Some(file) = File::parse(&name) {
                prop_assert_eq!(file.to_string(), name);
            }
        }

        #[test]
        fn no_text_breaks_it(name in ".*") {
            let _ = File::parse(&name);
        }
    }
}
