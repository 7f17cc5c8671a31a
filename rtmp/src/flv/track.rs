//! One track of a publisher: from the payloads of its tags to its format and coded units. Times are not
//! known here.

use bytes::Bytes;
use media::config::{self, aac, av1, avc, hevc, opus::Head};
use media::{Codec, Format};

use super::{Counters, Dropped, Notice, nal, obu, opus, vpx};

/// Configurations are a few hundred bytes.
const MAX_CONFIG: usize = 64 * 1024;

/// What a track remembers.
#[derive(Debug)]
pub(super) struct State {
    codec: Codec,
    /// Its sequence header, as it came last.
    announced: Bytes,
    /// Bytes of the length before each NAL unit.
    length_size: u8,
    sets: nal::Sets,
    /// AV1: the body of the sequence header.
    sequence: Bytes,
    /// Samples of each AAC unit, and per second.
    span: Option<(u32, u32)>,
    format: Option<Format>,
    noticed: bool,
}

/// What a payload brought.
#[derive(Debug, Default)]
pub(super) struct Out {
    /// The format, where it is new.
    pub format: Option<Format>,
    /// A unit of the format that is now.
    pub unit: Option<Coded>,
    pub notice: Option<Notice>,
}

/// A unit without its times.
#[derive(Debug)]
pub(super) struct Coded {
    pub keyframe: bool,
    pub data: Bytes,
    /// Sound of a known length: samples, and how many make a second.
    pub span: Option<(u32, u32)>,
}

impl State {
    pub(super) fn new(codec: Codec) -> Self {
        Self {
            codec,
            announced: Bytes::new(),
            length_size: 4,
            sets: nal::Sets::default(),
            sequence: Bytes::new(),
            span: None,
            format: None,
            noticed: false,
        }
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// A sequence header.
    pub(super) fn config(&mut self, payload: &Bytes, counters: &mut Counters) -> Out {
        // The same again, for those who join late; pictures may have told newer parameter sets since.
        if !payload.is_empty() && *payload == self.announced {
            return Out::default();
        }
        if payload.len() > MAX_CONFIG {
            return self.complain(Dropped::BadConfig, Notice::BadConfig, counters);
        }
        self.announced = Bytes::copy_from_slice(payload);
        let config = self.announced.clone();
        let format = match self.codec {
            Codec::H264 => self.avc(&config),
            Codec::H265 => self.hevc(&config),
            Codec::Av1 => self.av1(config),
            Codec::Aac => aac::Config::parse(&config).and_then(|aac| {
                self.span = span(&aac);
                config::format(Codec::Aac, config)
            }),
            Codec::Opus if config.is_empty() => config::format(Codec::Opus, stereo()),
            Codec::Opus => config::format(Codec::Opus, config),
            // vpcC says nothing that decoders need; the first keyframe says the size.
            _ => return Out::default(),
        };
        match format {
            Ok(format) => self.become_(format),
            Err(_) => self.complain(Dropped::BadConfig, Notice::BadConfig, counters),
        }
    }

    fn avc(&mut self, config: &Bytes) -> Result<Format, config::Error> {
        let record = avc::Record::parse(config)?;
        self.length_size = record.length_size;
        let config = if record.length_size == 4 { config.clone() } else { record.build() };
        let format = config::format(Codec::H264, config)?;
        self.sets = nal::Sets { vps: Vec::new(), sps: record.sps, pps: record.pps };
        Ok(format)
    }

    fn hevc(&mut self, config: &Bytes) -> Result<Format, config::Error> {
        let record = hevc::Record::parse(config)?;
        self.length_size = record.length_size;
        let config = if record.length_size == 4 { config.clone() } else { record.build() };
        let format = config::format(Codec::H265, config)?;
        self.sets = nal::Sets { vps: record.vps, sps: record.sps, pps: record.pps };
        Ok(format)
    }

    fn av1(&mut self, config: Bytes) -> Result<Format, config::Error> {
        let record = av1::Record::parse(&config)?;
        let format = config::format(Codec::Av1, config)?;
        if let Some(body) = obu::sequence(&record.obus) {
            self.sequence = Bytes::copy_from_slice(body);
        }
        Ok(format)
    }

    /// A coded frame. `key`: its tag says that decoders can start with it.
    pub(super) fn frame(&mut self, payload: &Bytes, key: bool, counters: &mut Counters) -> Out {
        let (mut out, keyframe, data) = match self.codec {
            Codec::H264 | Codec::H265 => {
                let unit = nal::read(self.codec, payload, self.length_size, counters);
                (self.parameter_sets(&unit.sets), key || unit.random_access, unit.data)
            }
            Codec::Av1 => {
                let unit = obu::read(payload, counters);
                (self.sequence_header(unit.sequence), key, unit.data)
            }
            Codec::Vp8 => {
                let (key, size) = vpx::vp8(payload);
                (self.size(key, size), key, payload.clone())
            }
            Codec::Vp9 => {
                let (key, size) = vpx::vp9(payload);
                (self.size(key, size), key, payload.clone())
            }
            Codec::Opus if self.format.is_none() && !payload.is_empty() => {
                let format = config::format(Codec::Opus, stereo());
                (format.map(|f| self.become_(f)).unwrap_or_default(), true, payload.clone())
            }
            _ => (Out::default(), true, payload.clone()),
        };
        if data.is_empty() {
            counters.count(Dropped::Empty);
            return out;
        }
        if self.format.is_none() {
            return self.complain(Dropped::NoConfig, Notice::NoConfig, counters);
        }
        out.unit = Some(Coded { keyframe, span: self.span(&data), data });
        out
    }

    fn span(&self, data: &[u8]) -> Option<(u32, u32)> {
        match self.codec {
            Codec::Aac => self.span,
            Codec::Opus => opus::samples(data).map(|samples| (samples, 48_000)),
            _ => None,
        }
    }

    /// Parameter sets among the pictures: those that differ make a new format, and where nothing was
    /// announced they make the first.
    fn parameter_sets(&mut self, newer: &nal::Sets) -> Out {
        if !self.sets.update(self.codec, newer) && self.format.is_some() {
            return Out::default();
        }
        let nal::Sets { vps, sps, pps } = self.sets.clone();
        let config = if self.codec == Codec::H264 {
            avc::Record::from_sets(sps, pps).map(|record| record.build())
        } else {
            hevc::Record::from_sets(vps, sps, pps).map(|record| record.build())
        };
        // They may come in several units.
        let format = config.and_then(|config| config::format(self.codec, config));
        format.map(|format| self.become_(format)).unwrap_or_default()
    }

    /// The same for the sequence header of AV1: its body, and the OBU.
    fn sequence_header(&mut self, found: Option<(Bytes, Bytes)>) -> Out {
        let Some((body, obu)) = found.filter(|(body, _)| *body != self.sequence) else {
            return Out::default();
        };
        if body.len() > MAX_CONFIG {
            return Out::default();
        }
        let Ok(record) = av1::Record::from_sequence_header(&obu) else { return Out::default() };
        let Ok(format) = config::format(Codec::Av1, record.build()) else { return Out::default() };
        self.sequence = Bytes::copy_from_slice(&body);
        self.become_(format)
    }

    /// And for the size that keyframes of VP8 and VP9 say.
    fn size(&mut self, key: bool, dimensions: Option<(u16, u16)>) -> Out {
        let before = self.format.as_ref().and_then(|format| format.dimensions);
        if !key {
            return Out::default();
        }
        let dimensions = dimensions.or(before);
        self.become_(Format { codec: self.codec, config: Bytes::new(), dimensions, sound: None })
    }

    fn become_(&mut self, format: Format) -> Out {
        if self.format.as_ref() == Some(&format) {
            return Out::default();
        }
        self.format = Some(format.clone());
        Out { format: Some(format), ..Out::default() }
    }

    fn complain(&mut self, why: Dropped, notice: Notice, counters: &mut Counters) -> Out {
        counters.count(why);
        let first = !std::mem::replace(&mut self.noticed, true);
        Out { notice: first.then_some(notice), ..Out::default() }
    }
}

/// Samples of the core in each unit, and per second: with SBR both are doubled in what comes out.
fn span(aac: &aac::Config) -> Option<(u32, u32)> {
    let samples = u32::from(aac.frame_length);
    match aac.object_type {
        // Low delay.
        23 => Some((samples / 2, aac.rate)),
        1..=4 | 6 | 7 | 17 | 19..=22 => Some((samples, aac.rate)),
        _ => None,
    }
}

/// What is true of every Opus stream of one or two channels.
fn stereo() -> Bytes {
    Head::stereo().build()
}
