//! libav, and the only place that names it: decoders, encoders and a resampler as the pipelines need them.
//! Nothing here keeps a frame back on its own: no frame threads, no lookahead.

pub(crate) mod decoder;
// The wrapper crate has no safe way to these few things; each says why it is sound.
#[expect(unsafe_code, reason = "decoder configurations, headers and samples pass as pointers")]
mod ffi;
pub(crate) mod pictures;
pub(crate) mod sound;

use ffmpeg_next::util::error::EAGAIN;
use ffmpeg_next::{codec, decoder as decoders, encoder, log};
use media::Codec;
use transcode::Target;

pub(crate) use ffi::VideoFrame;
#[cfg(test)]
pub(crate) use ffi::headers;
pub(crate) use ffmpeg_next::frame;

/// libav's own error.
pub(crate) type AvError = ffmpeg_next::Error;

/// Nanoseconds of one tick of everything that goes into a decoder.
const NANOS: ffmpeg_next::Rational = ffmpeg_next::Rational(1, 1_000_000_000);

/// Call once, before anything else.
pub fn init() {
    // It only fills in the texts of errors.
    let _ = ffmpeg_next::init();
    // libav reports every broken packet; the counters say the same, and the last line on stderr is what the
    // server shows when we end.
    log::set_level(log::Level::Fatal);
}

/// The libraries, for `--version`.
pub fn version() -> String {
    let version = ffmpeg_next::codec::version();
    let (major, minor, micro) = (version >> 16, (version >> 8) & 0xff, version & 0xff);
    format!("libavcodec {major}.{minor}.{micro}, {}", ffmpeg_next::codec::license())
}

/// Encoders for a target in libav, the best one first.
pub(crate) const fn encoders(to: Target) -> &'static [&'static str] {
    match to {
        Target::Opus => &["libopus"],
        Target::Aac => &["aac"],
        Target::H264 => &["libx264", "libopenh264"],
        Target::Vp8 => &["libvpx"],
    }
}

/// Those of [`encoders`] that are there.
pub fn found(to: Target) -> impl Iterator<Item = &'static str> {
    encoders(to).iter().copied().filter(|name| encoder::find_by_name(name).is_some())
}

/// Decoders by name before the one that libav takes: its own AV1 decoder needs hardware.
fn decoder(of: Codec) -> Option<ffmpeg_next::Codec> {
    let (id, names): (_, &[&str]) = match of {
        Codec::H264 => (codec::Id::H264, &["h264"]),
        Codec::H265 => (codec::Id::HEVC, &["hevc"]),
        Codec::Vp8 => (codec::Id::VP8, &["vp8"]),
        Codec::Vp9 => (codec::Id::VP9, &["vp9"]),
        Codec::Av1 => (codec::Id::AV1, &["libdav1d", "libaom-av1"]),
        Codec::Opus => (codec::Id::OPUS, &["opus"]),
        Codec::Aac => (codec::Id::AAC, &["aac"]),
        _ => return None,
    };
    names.iter().find_map(|name| decoders::find_by_name(name)).or_else(|| decoders::find(id))
}

/// `Ok(false)`: nothing more comes before more goes in.
fn came(result: Result<(), AvError>) -> Result<bool, AvError> {
    match result {
        Ok(()) => Ok(true),
        Err(AvError::Other { errno: EAGAIN } | AvError::Eof) => Ok(false),
        Err(error) => Err(error),
    }
}
