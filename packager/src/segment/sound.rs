//! How long a packet of sound lasts, and what a packet of silence looks like: a gap in sound is filled, for a
//! player whose sound stops stops altogether. RFC 6716 section 3.1 (Opus), ISO/IEC 14496-3 (AAC).

use bytes::Bytes;
use media::config::{aac, opus};
use media::{Codec, Format};

/// Of Opus, whatever was encoded.
const OPUS_RATE: u32 = 48_000;
/// More than that no packet of Opus lasts: 120 ms.
const OPUS_MOST: u32 = 5_760;
/// Where nothing says it: 20 ms.
const FIFTY: u32 = 50;
/// AAC-LC, without spectral band replication.
const LC: u8 = 2;

/// What is known of a rendition's packets.
#[derive(Clone, Debug)]
pub(super) struct Sound {
    codec: Codec,
    scale: u32,
    /// Of a packet, where all last alike.
    span: i64,
    silence: Option<(Bytes, i64)>,
}

impl Sound {
    /// `scale`: ticks per second that spans are told in.
    pub(super) fn new(format: &Format, scale: u32) -> Self {
        let usual = i64::from((scale / FIFTY).max(1));
        let mut sound = Self { codec: format.codec, scale, span: usual, silence: None };
        match format.codec {
            Codec::Opus => {
                let head = opus::Head::parse(&format.config).ok();
                let plain = head.filter(|head| head.mapping == opus::Mapping::Plain);
                sound.silence = plain.map(|head| (opus_silence(head.channels), usual));
            }
            Codec::Aac => {
                if let Ok(config) = aac::Config::parse(&format.config) {
                    sound.span = ticks(config.samples(), config.sound().0, scale);
                    sound.silence = aac_silence(&config).map(|silence| (silence, sound.span));
                }
            }
            _ => {}
        }
        sound
    }

    /// How many ticks a packet lasts, at least one.
    pub(super) fn span(&self, packet: &[u8]) -> i64 {
        match self.codec {
            Codec::Opus => ticks(opus_samples(packet), OPUS_RATE, self.scale),
            _ => self.span,
        }
    }

    /// A packet of silence and how many ticks it lasts, where one is known.
    pub(super) fn silence(&self) -> Option<(Bytes, i64)> {
        self.silence.clone()
    }
}

fn ticks(samples: u32, rate: u32, scale: u32) -> i64 {
    let ticks = u64::from(samples) * u64::from(scale) / u64::from(rate.max(1));
    i64::try_from(ticks).unwrap_or(i64::MAX).max(1)
}

/// How many samples of 1/48000 s a packet holds; 20 ms where it does not say.
fn opus_samples(packet: &[u8]) -> u32 {
    let usual = OPUS_RATE / FIFTY;
    let Some(toc) = packet.first() else { return usual };
    let config = toc >> 3;
    let frame = match config {
        0..12 => [480, 960, 1920, 2880][usize::from(config % 4)],
        12..16 => [480, 960][usize::from(config % 2)],
        _ => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => packet.get(1).map_or(1, |count| u32::from(count & 0x3f)),
    };
    match frame * frames {
        0 => usual,
        samples => samples.min(OPUS_MOST),
    }
}

/// One CELT frame of 20 ms in full band that says "silence" in its first bit.
fn opus_silence(channels: u8) -> Bytes {
    match channels {
        1 => Bytes::from_static(&[0xf8, 0xff, 0xfe]),
        _ => Bytes::from_static(&[0xfc, 0xff, 0xfe]),
    }
}

/// Single or paired channels without a single scale factor band, and the end: ISO/IEC 14496-3 section 4.4.2.
fn aac_silence(config: &aac::Config) -> Option<Bytes> {
    if config.object_type != LC || config.sbr.is_some() {
        return None;
    }
    match config.channel_configuration {
        1 => Some(Bytes::from_static(&[0, 0, 0, 7])),
        2 => Some(Bytes::from_static(&[0x20, 0, 0, 0, 0, 0, 0x0e])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_packets_say_how_long_they_last() {
        // Config, code, count: RFC 6716, table 2 and section 3.2.
        assert_eq!(opus_samples(&[31 << 3]), 960);
        assert_eq!(opus_samples(&[16 << 3 | 1]), 240);
        assert_eq!(opus_samples(&[3 << 3 | 3, 2]), 5_760);
        assert_eq!(opus_samples(&[13 << 3 | 2]), 1_920);
        assert_eq!(opus_samples(&[3 << 3 | 3, 63]), OPUS_MOST, "no more than there can be");
        assert_eq!(opus_samples(&[]), 960);
        assert_eq!(opus_samples(&[3]), 480, "the count is missing");
    }

    #[test]
    fn aac_lasts_as_its_configuration_says() {
        let config = aac::Config::lc(44_100, 2).unwrap();
        let bytes = config.build().unwrap();
        let format = media::config::format(Codec::Aac, bytes).unwrap();
        let sound = Sound::new(&format, 44_100);
        assert_eq!(sound.span(&[1, 2, 3]), 1024);
        assert_eq!(sound.silence().unwrap().1, 1024);
    }
}
