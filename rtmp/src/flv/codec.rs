//! Codecs by the numbers and FourCCs of FLV tags, also those that are only known to be refused.

use std::borrow::Cow;

use media::{Codec, Kind};

use super::Refusal;

/// A codec as a tag names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    Known(Codec),
    Refused(Refusal),
}

/// Enhanced RTMP's name of a codec.
pub(super) const fn fourcc(codec: Codec) -> Option<[u8; 4]> {
    Some(*match codec {
        Codec::H264 => b"avc1",
        Codec::H265 => b"hvc1",
        Codec::Av1 => b"av01",
        Codec::Vp9 => b"vp09",
        Codec::Vp8 => b"vp08",
        Codec::Opus => b"Opus",
        Codec::Aac => b"mp4a",
        _ => return None,
    })
}

/// Those that have a FourCC, pictures first.
pub(super) const ALL: [Codec; 7] =
    [Codec::H264, Codec::H265, Codec::Av1, Codec::Vp9, Codec::Vp8, Codec::Opus, Codec::Aac];

/// The codec of a FourCC, within its kind.
pub(super) fn by_fourcc(kind: Kind, name: [u8; 4]) -> Named {
    let known = ALL.into_iter().find(|c| c.kind() == kind && fourcc(*c) == Some(name));
    if let Some(codec) = known {
        return Named::Known(codec);
    }
    let refused = match (kind, &name) {
        (Kind::Audio, b"ac-3") => "AC-3 (Dolby Digital)",
        (Kind::Audio, b"ec-3") => "E-AC-3 (Dolby Digital Plus)",
        (Kind::Audio, b".mp3") => "MP3",
        (Kind::Audio, b"fLaC") => "FLAC",
        (Kind::Video, b"vvc1" | b"vvi1") => "H.266 (VVC)",
        _ => return refuse(kind, format!("unknown (\"{}\")", name.escape_ascii())),
    };
    refuse(kind, refused)
}

/// The codec of a classic video tag. 12 is in no specification, and widely used.
pub(super) fn by_video_id(id: u8) -> Named {
    let refused = match id {
        7 => return Named::Known(Codec::H264),
        12 => return Named::Known(Codec::H265),
        1 => "JPEG",
        2 => "Sorenson H.263",
        3 => "Screen",
        4 => "On2 VP6",
        5 => "On2 VP6 with alpha",
        6 => "Screen 2",
        8 => "H.263",
        9 => "MPEG-4 Part 2",
        _ => return refuse(Kind::Video, format!("unknown (number {id})")),
    };
    refuse(Kind::Video, refused)
}

/// The codec of a classic audio tag.
pub(super) fn by_audio_id(id: u8) -> Named {
    let refused = match id {
        10 => return Named::Known(Codec::Aac),
        0 | 3 => "uncompressed PCM",
        1 => "ADPCM",
        2 | 14 => "MP3",
        4..=6 => "Nellymoser",
        7 => "G.711 A-law",
        8 => "G.711 mu-law",
        11 => "Speex",
        _ => return refuse(Kind::Audio, format!("unknown (number {id})")),
    };
    refuse(Kind::Audio, refused)
}

fn refuse(kind: Kind, name: impl Into<Cow<'static, str>>) -> Named {
    Named::Refused(Refusal::Codec { kind, name: name.into() })
}
