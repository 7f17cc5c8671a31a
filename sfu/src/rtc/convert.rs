//! Between our vocabulary and str0m's.

use media::payload::PictureIds;
use media::rtp::Extensions;
use media::{Codec, Kind};
use signaling::Extension;
use str0m::media::{MediaKind, MediaTime, Mid};
use str0m::rtp::{ExtensionValues, Vp8Descriptor, Vp8Patch};

pub(super) fn codec(codec: Codec) -> str0m::format::Codec {
    use str0m::format::Codec as C;
    match codec {
        Codec::H264 => C::H264,
        Codec::H265 => C::H265,
        Codec::Vp8 => C::Vp8,
        Codec::Vp9 => C::Vp9,
        Codec::Av1 => C::Av1,
        Codec::Opus => C::Opus,
        // A codec that `media` learns before this table: forwarded as unknown.
        _ => C::Unknown,
    }
}

pub(super) fn kind(kind: Kind) -> MediaKind {
    match kind {
        Kind::Audio => MediaKind::Audio,
        Kind::Video => MediaKind::Video,
    }
}

pub(super) fn extension(extension: Extension) -> str0m::rtp::Extension {
    use str0m::rtp::Extension as E;
    match extension {
        Extension::Mid => E::RtpMid,
        Extension::Rid => E::RtpStreamId,
        Extension::RepairedRid => E::RepairedRtpStreamId,
        Extension::TransportCc => E::TransportSequenceNumber,
        Extension::AbsSendTime => E::AbsoluteSendTime,
        Extension::AudioLevel => E::AudioLevel,
        Extension::PlayoutDelay => E::PlayoutDelay,
    }
}

/// What a publisher's packet carried that viewers get too.
pub(super) fn extensions(values: &ExtensionValues) -> Extensions {
    let hundredths = |t: MediaTime| (t.as_seconds() * 100.0).round().clamp(0.0, 4095.0) as u16;
    Extensions {
        audio_level: values
            .audio_level
            .map(|l| (l.unsigned_abs().min(127), values.voice_activity.unwrap_or(false))),
        playout_delay: values
            .play_delay_min
            .zip(values.play_delay_max)
            .map(|(min, max)| (hundredths(min), hundredths(max))),
    }
}

pub(super) fn extension_values(mid: Mid, extensions: Extensions) -> ExtensionValues {
    let mut values = ExtensionValues { mid: Some(mid), ..ExtensionValues::default() };
    if let Some((level, voice)) = extensions.audio_level {
        values.audio_level = Some(-(level as i8));
        values.voice_activity = Some(voice);
    }
    if let Some((min, max)) = extensions.playout_delay {
        values.play_delay_min = Some(MediaTime::from_seconds(f64::from(min) / 100.0));
        values.play_delay_max = Some(MediaTime::from_seconds(f64::from(max) / 100.0));
    }
    values
}

/// `None` where the payload has no such fields.
pub(super) fn vp8_patch(payload: &[u8], ids: PictureIds) -> Option<Vp8Patch> {
    let descriptor = Vp8Descriptor::parse(payload).ok()?;
    let mut patch = descriptor.patch();
    if let (Some(id), Some(_)) = (ids.picture_id, descriptor.picture_id()) {
        patch = patch.picture_id(id & if ids.long { 0x7fff } else { 0x7f });
    }
    if let (Some(id), Some(_)) = (ids.tl0_pic_idx, descriptor.tl0_pic_idx()) {
        patch = patch.tl0_pic_idx(id);
    }
    patch.build().ok()
}
