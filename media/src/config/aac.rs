//! AudioSpecificConfig, ISO/IEC 14496-3 section 1.6.2.1: object type, rate, channels, and SBR and PS where
//! they are signalled explicitly (section 1.6.5), in either way. Access units are none of it.

use bytes::Bytes;

use super::{Error, Facts};
use crate::payload::bits::Bits;

const WHAT: &str = "AudioSpecificConfig";
/// Audio object types.
const LC: u8 = 2;
const SBR: u8 = 5;
const LD: u8 = 23;
const PS: u8 = 29;
/// Those whose configuration goes on with GASpecificConfig.
const GENERAL: [u8; 12] = [1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, 23];
/// `samplingFrequencyIndex` 0 to 12.
const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];
/// What a rate of its own may be, Hz: slower sound would make one access unit last a second.
const SANE: std::ops::RangeInclusive<u32> = 1_000..=192_000;

/// The configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Audio object type of the core: 2 is AAC-LC.
    pub object_type: u8,
    /// Hz of the core.
    pub rate: u32,
    /// `channelConfiguration`; 0: a program config element says it.
    pub channel_configuration: u8,
    /// Channels of the core.
    pub channels: u8,
    /// Samples per channel in an access unit of the core, as the flag for it says: 1024 or 960. See
    /// [`Config::samples`].
    pub frame_length: u16,
    /// Hz with spectral band replication, where that is signalled.
    pub sbr: Option<u32>,
    /// Parametric stereo is signalled.
    pub ps: bool,
}

impl Config {
    /// AAC-LC without anything else; `None` if `channels` has no configuration of its own.
    pub fn lc(rate: u32, channels: u8) -> Option<Self> {
        let channel_configuration = match channels {
            1..=6 => channels,
            8 => 7,
            7 => 11,
            _ => return None,
        };
        SANE.contains(&rate).then_some(Self {
            object_type: LC,
            rate,
            channel_configuration,
            channels,
            frame_length: 1024,
            sbr: None,
            ps: false,
        })
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// If it is cut short, or a rate or number of channels is none.
    pub fn parse(config: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader { bits: Bits::new(config), len: config.len() };
        let mut object_type = reader.object_type()?;
        let rate = reader.rate()?;
        let channel_configuration = reader.read(4, "channel configuration")? as u8;
        let (mut sbr, mut ps) = (None, false);
        if object_type == SBR || object_type == PS {
            ps = object_type == PS;
            sbr = Some(reader.rate()?);
            object_type = reader.object_type()?;
            if object_type == 22 {
                reader.read(4, "extension channel configuration")?;
            }
        }
        let mut frame_length = 1024;
        let mut elements = None;
        if GENERAL.contains(&object_type) {
            if reader.read(1, "frame length")? == 1 {
                frame_length = 960;
            }
            elements = reader.general(object_type, channel_configuration)?;
        }
        if sbr.is_none() {
            // Behind the core's own: the way that old decoders do not see.
            (sbr, ps) = reader.trailing_extension();
        }
        let channels = match elements {
            Some(channels) => channels,
            None => channels(channel_configuration)?,
        };
        Ok(Self { object_type, rate, channel_configuration, channels, frame_length, sbr, ps })
    }

    /// The bytes, with SBR and PS signalled before the core, where there are any. `None` if a program config
    /// element would be needed, or for object types that go on otherwise than AAC.
    pub fn build(&self) -> Option<Bytes> {
        if self.channel_configuration == 0 || !GENERAL[..4].contains(&self.object_type) {
            return None;
        }
        let mut out = Writer::default();
        if self.sbr.is_some() {
            out.put(5, if self.ps { PS } else { SBR }.into());
        } else {
            out.put(5, self.object_type.into());
        }
        out.rate(self.rate);
        out.put(4, self.channel_configuration.into());
        if let Some(rate) = self.sbr {
            out.rate(rate);
            out.put(5, self.object_type.into());
        }
        // No core coder, no extension.
        out.put(3, u32::from(self.frame_length == 960) << 2);
        Some(out.bytes.into())
    }

    /// Hz and channels as they come out of a decoder that knows what is signalled.
    pub fn sound(&self) -> (u32, u8) {
        let channels = if self.ps && self.channels == 1 { 2 } else { self.channels };
        (self.sbr.unwrap_or(self.rate), channels)
    }

    /// How many samples per channel an access unit has as it comes out, at the rate of [`Config::sound`].
    pub fn samples(&self) -> u32 {
        let core = match self.object_type {
            LD => u64::from(self.frame_length) / 2,
            _ => u64::from(self.frame_length),
        };
        let samples = core * u64::from(self.sound().0) / u64::from(self.rate.max(1));
        u32::try_from(samples).unwrap_or(u32::MAX)
    }

    /// What it says of its stream.
    pub fn facts(&self) -> Facts {
        Facts { sound: Some(self.sound()), profile: self.object_type, ..Facts::default() }
    }
}

/// Table 1.19 of the standard.
fn channels(configuration: u8) -> Result<u8, Error> {
    match configuration {
        1..=6 => Ok(configuration),
        7 | 12 | 14 => Ok(8),
        11 => Ok(7),
        13 => Ok(24),
        _ => {
            let value = configuration.into();
            Err(Error::Invalid { what: WHAT, field: "channel configuration", value })
        }
    }
}

/// Bits, with errors that say what was missing.
struct Reader<'a> {
    bits: Bits<'a>,
    len: usize,
}

impl Reader<'_> {
    fn read(&mut self, bits: u32, field: &'static str) -> Result<u32, Error> {
        self.bits.read(bits).ok_or(Error::CutShort { what: WHAT, field, len: self.len })
    }

    fn object_type(&mut self) -> Result<u8, Error> {
        const FIELD: &str = "audio object type";
        let object_type = match self.read(5, FIELD)? as u8 {
            31 => 32 + self.read(6, FIELD)? as u8,
            object_type => object_type,
        };
        if object_type == 0 {
            return Err(Error::Invalid { what: WHAT, field: FIELD, value: 0 });
        }
        Ok(object_type)
    }

    fn rate(&mut self) -> Result<u32, Error> {
        const FIELD: &str = "sampling frequency";
        let index = self.read(4, FIELD)?;
        let rate = match index {
            15 => self.read(24, FIELD)?,
            index => RATES.get(index as usize).copied().unwrap_or_default(),
        };
        if !SANE.contains(&rate) {
            return Err(Error::Invalid { what: WHAT, field: FIELD, value: rate });
        }
        Ok(rate)
    }

    /// GASpecificConfig behind `frameLengthFlag`: how many channels, if a program config element says so.
    fn general(&mut self, object_type: u8, configuration: u8) -> Result<Option<u8>, Error> {
        const FIELD: &str = "GASpecificConfig";
        let depends_on_core_coder = self.read(1, FIELD)?;
        if depends_on_core_coder == 1 {
            self.read(14, FIELD)?;
        }
        let extension = self.read(1, FIELD)?;
        let elements = if configuration == 0 { Some(self.program()?) } else { None };
        if matches!(object_type, 6 | 20) {
            self.read(3, FIELD)?;
        }
        if extension == 1 {
            let bits = match object_type {
                22 => 16,
                17 | 19 | 20 | 23 => 3,
                _ => 0,
            };
            self.read(bits + 1, FIELD)?;
        }
        Ok(elements)
    }

    /// A program_config_element (section 4.4.1.1): its channels.
    fn program(&mut self) -> Result<u8, Error> {
        const FIELD: &str = "program config element";
        // element_instance_tag, object_type, sampling_frequency_index
        self.read(10, FIELD)?;
        let [front, side, back, lfe, data, coupling] =
            [4, 4, 4, 2, 3, 4].map(|bits| self.bits.read(bits).unwrap_or_default());
        for bits in [4, 4, 3] {
            // Mono, stereo and matrix mixdown.
            if self.read(1, FIELD)? == 1 {
                self.read(bits, FIELD)?;
            }
        }
        let mut channels = lfe;
        for _ in 0..front + side + back {
            let is_pair = self.read(1, FIELD)?;
            self.read(4, FIELD)?;
            channels += 1 + is_pair;
        }
        for _ in 0..lfe + data {
            self.read(4, FIELD)?;
        }
        for _ in 0..coupling {
            self.read(5, FIELD)?;
        }
        // The comment that ends it begins at a whole byte.
        self.read(self.bits.left() as u32 % 8, FIELD)?;
        for _ in 0..self.read(8, FIELD)? {
            self.read(8, FIELD)?;
        }
        match u8::try_from(channels) {
            Ok(channels @ 1..) => Ok(channels),
            _ => Err(Error::Invalid { what: WHAT, field: "number of channels", value: channels }),
        }
    }

    /// SBR and PS in the way that is compatible with older decoders: behind everything else.
    fn trailing_extension(&mut self) -> (Option<u32>, bool) {
        let mut read = || -> Option<(u32, bool)> {
            if self.bits.read(11)? != 0x2b7 || self.bits.read(5)? != SBR.into() {
                return None;
            }
            if !self.bits.flag()? {
                return None;
            }
            let rate = self.rate().ok()?;
            let ps = self.bits.read(11) == Some(0x548) && self.bits.flag() == Some(true);
            Some((rate, ps))
        };
        read().map_or((None, false), |(rate, ps)| (Some(rate), ps))
    }
}

/// Bits, most significant first.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    /// How many bits of the last byte are used; 0: all of them.
    used: u32,
}

impl Writer {
    fn put(&mut self, bits: u32, value: u32) {
        for bit in (0..bits).rev() {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((value >> bit & 1) as u8) << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    fn rate(&mut self, rate: u32) {
        match (0..).zip(RATES).find(|(_, known)| *known == rate) {
            Some((index, _)) => self.put(4, index),
            None => {
                self.put(4, 15);
                self.put(24, rate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Config {
        Config::parse(bytes).unwrap()
    }

    #[test]
    fn what_encoders_write() {
        // FFmpeg's own encoder, 44.1 kHz stereo, with its end of explicit "no SBR"; OBS with CoreAudio.
        let lc = Config::lc(44_100, 2).unwrap();
        assert_eq!(parse(&[0x12, 0x10]), lc);
        assert_eq!(parse(&[0x12, 0x10, 0x56, 0xe5, 0x00]), lc);
        assert_eq!(parse(&[0x11, 0x90]), Config::lc(48_000, 2).unwrap());
        assert_eq!((lc.sound(), lc.samples()), ((44_100, 2), 1024));
        // 23, 48 kHz, stereo, short frames.
        assert_eq!(parse(&[0xb9, 0x94, 0x00]).samples(), 480);
        assert_eq!(lc.build().unwrap(), [0x12, 0x10][..]);
    }

    #[test]
    fn sbr_and_ps_in_both_ways() {
        // 5, 24 kHz, stereo, 48 kHz, 2.
        let he = parse(&[0x2b, 0x11, 0x88, 0x00]);
        assert_eq!((he.object_type, he.rate, he.sbr, he.ps), (2, 24_000, Some(48_000), false));
        assert_eq!((he.sound(), he.samples()), ((48_000, 2), 2048));
        // 29, 24 kHz, mono, 48 kHz, 2.
        let he2 = parse(&[0xeb, 0x09, 0x88, 0x00]);
        assert_eq!((he2.channels, he2.ps, he2.sound()), (1, true, (48_000, 2)));
        // 2, 24 kHz, mono; 0x2b7, 5, yes, 48 kHz; 0x548, yes.
        let behind = parse(&[0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80]);
        assert_eq!(behind, he2);
        for config in [he, he2] {
            assert_eq!(parse(&config.build().unwrap()), config);
        }
    }

    #[test]
    fn a_rate_of_its_own_and_a_type_behind_the_escape() {
        // 2, 15, 50000, stereo.
        let config = parse(&[0x17, 0x80, 0x61, 0xa8, 0x10]);
        assert_eq!((config.rate, config.channels), (50_000, 2));
        assert_eq!(parse(&config.build().unwrap()), config);
        // 31, 10 (42 is xHE-AAC), 48 kHz, stereo.
        let config = parse(&[0xf9, 0x46, 0x40]);
        assert_eq!((config.object_type, config.rate, config.channels), (42, 48_000, 2));
        assert_eq!(config.build(), None);
    }

    #[test]
    fn channels_by_a_program_config_element() {
        // By FFmpeg: 5.1 with side channels, and four corners.
        let side: &[u8] = &[
            0x11, 0x80, 0x04, 0xc8, 0x44, 0x00, 0x20, 0x00, 0xc4, 0x0d, 0x4c, 0x61, 0x76, 0x63,
            0x35, 0x39, 0x2e, 0x33, 0x37, 0x2e, 0x31, 0x30, 0x30, 0x56, 0xe5, 0x00,
        ];
        let corners: &[u8] = &[
            0x11, 0x80, 0x04, 0xc4, 0x04, 0x00, 0x21, 0x10, 0x0d, 0x4c, 0x61, 0x76, 0x63, 0x35,
            0x39, 0x2e, 0x33, 0x37, 0x2e, 0x31, 0x30, 0x30, 0x56, 0xe5, 0x00,
        ];
        for (bytes, channels) in [(side, 6), (corners, 4)] {
            let config = parse(bytes);
            assert_eq!((config.channel_configuration, config.sound()), (0, (48_000, channels)));
            assert_eq!(config.build(), None);
            for len in 0..bytes.len() - 4 {
                assert!(Config::parse(&bytes[..len]).is_err(), "{len}");
            }
        }
        // A centre and a pair in front, one pair behind, LFE.
        let mut out = Writer::default();
        for (bits, value) in [(5, 2), (4, 3), (4, 0), (3, 0), (4, 0), (2, 1), (4, 3)] {
            out.put(bits, value);
        }
        // Elements: two in front, none at the side, one behind, one LFE, no data, no coupling; no mixdown.
        for (bits, value) in [(4, 2), (4, 0), (4, 1), (2, 1), (3, 0), (4, 0), (3, 0)] {
            out.put(bits, value);
        }
        for (bits, value) in [(5, 0), (5, 0x10), (5, 0x11), (4, 0)] {
            out.put(bits, value);
        }
        out.used = 0;
        out.put(8, 0);
        let config = parse(&out.bytes);
        assert_eq!((config.channel_configuration, config.channels), (0, 6));
        assert_eq!(config.build(), None);
        assert!(Config::parse(&out.bytes[..out.bytes.len() - 1]).is_err());
    }

    #[test]
    fn what_cannot_be() {
        for bytes in [
            &[][..],
            &[0x12],                         // no channels
            &[0x16, 0x90],                   // rate 13
            &[0x12, 0x40],                   // channel configuration 8
            &[0x17, 0x80, 0x00, 0x00, 0x10], // 0 Hz
            &[0x02, 0x10],                   // object type 0
        ] {
            assert!(Config::parse(bytes).is_err(), "{bytes:x?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rate in SANE, channels in 1..=8u8, sbr in proptest::option::of(SANE), ps: bool) {
            let config = Config { sbr, ps: ps && sbr.is_some(), ..Config::lc(rate, channels).unwrap() };
            prop_assert_eq!(Config::parse(&config.build().unwrap()), Ok(config));
        }
    }
}
