//! What there is to watch of a stream: renditions, by the names that files and playlists carry, and what is
//! known of each. No media enters here.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use media::{Codec, Format, Kind};

use crate::{Error, cmaf};

/// One life of a stream on one run of the server. It is part of every file's name, so that no name is ever
/// used twice, also across a restart. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// More would only make playlists long.
    pub const MAX_LEN: usize = 32;

    /// A name that can stand in a URL as it is: 1 to [`Epoch::MAX_LEN`] of `a-z`, `0-9`; else `None`.
    pub fn new(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=Self::MAX_LEN).contains(&text.len());
        (fits && text.bytes().all(plain)).then(|| Self(text.into()))
    }

    /// As it stands in names.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which rendition of a stream: `v0`, `v1`, `a0`. Pictures with the lowest number lead: they decide where
/// segments begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RenditionId {
    /// Pictures or sound.
    pub kind: Kind,
    /// From 0.
    pub index: u8,
}

impl RenditionId {
    /// The main pictures, `v0`.
    pub const VIDEO: Self = Self { kind: Kind::Video, index: 0 };
    /// The main sound, `a0`.
    pub const AUDIO: Self = Self { kind: Kind::Audio, index: 0 };

    /// What [`fmt::Display`] writes, read back; `None` for everything else.
    pub fn parse(name: &str) -> Option<Self> {
        let kind = match name.as_bytes().first()? {
            b'v' => Kind::Video,
            b'a' => Kind::Audio,
            _ => return None,
        };
        let digits = name.get(1..)?;
        // One name each: no `v00`, no `v+1`.
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let ours = plain && (digits.len() == 1 || !digits.starts_with('0'));
        ours.then(|| digits.parse().ok()).flatten().map(|index| Self { kind, index })
    }
}

impl fmt::Display for RenditionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Video => 'v',
            Kind::Audio => 'a',
        };
        write!(f, "{kind}{}", self.index)
    }
}

/// What a rendition is to viewers who choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Its name in files.
    pub id: RenditionId,
    /// What a menu shows.
    pub label: String,
    /// BCP 47, where somebody has said it.
    pub language: Option<String>,
}

/// What decoders need before the segments that refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Init {
    /// Counts up within a rendition, from 0; part of the file's name.
    pub number: u32,
    /// The file.
    pub bytes: Bytes,
    /// Ticks per second of the segments' times.
    pub timescale: u32,
    /// What it was made of.
    pub format: Format,
    /// RFC 6381, for `CODECS`.
    pub codecs: String,
}

impl Init {
    /// The file for a format.
    ///
    /// # Errors
    /// If CMAF does not carry it, or its configuration is none.
    pub fn new(number: u32, format: &Format) -> Result<Self, Error> {
        let timescale = cmaf::timescale(format);
        let bytes = cmaf::init(format, timescale)?;
        let codecs = cmaf::codecs(format)?;
        Ok(Self { number, bytes, timescale, format: format.clone(), codecs })
    }

    /// The codec.
    pub fn codec(&self) -> Codec {
        self.format.codec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendition_has_one_name() {
        for name in ["v0", "v12", "a0", "a255"] {
            assert_eq!(RenditionId::parse(name).unwrap().to_string(), name);
        }
        for name in ["", "v", "v00", "v+1", "v256", "x0", "a-1", "v0 ", "ä0", "V0"] {
            assert_eq!(RenditionId::parse(name), None, "{name}");
        }
    }

    #[test]
    fn an_epoch_is_plain() {
        assert_eq!(Epoch::new("k3x9").unwrap().as_str(), "k3x9");
        for text in ["", "A", "a/b", "..", "a b", &"a".repeat(33)] {
            assert_eq!(Epoch::new(text), None, "{text}");
        }
    }
}
