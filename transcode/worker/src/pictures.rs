//! Pictures to pictures: decoded, and encoded again without B-frames at the size they have. What comes out of
//! the decoder goes into the encoder in the same call; only the reordering of the source holds it back.

use std::collections::BTreeSet;

use media::{AccessUnit, Format, MediaTime};
use transcode::Target;

use crate::Error;
use crate::av::decoder::{self, Decoder};
use crate::av::pictures::{self, Coded, Converter, Encoder, Shape};
use crate::av::{AvError, frame};
use crate::pipeline::{BARREN, Output, Push, Settings, Stats, since};
use crate::rate::{self, Meter};

/// Nanoseconds between two units that make a discontinuity: what follows begins with a keyframe where the source does.
const DISCONTINUITY: i64 = 500_000_000;

/// Nanoseconds of media after which a picture is encoded however late it is: a slide show is better than nothing.
const SLIDES: i64 = 500_000_000;

/// Prerolled units whose pictures may still be in the decoder. Far more than any codec reorders.
const MOST_PREROLLED: usize = 128;

pub(crate) struct Pictures {
    to: Target,
    settings: Settings,
    from: Format,
    decoder: Decoder,
    frame: frame::Video,
    converter: Converter,
    encoder: Option<Encoder>,
    /// The last one that was said.
    format: Option<Format>,
    meter: Meter,
    preroll: BTreeSet<i64>,
    /// A keyframe was asked for.
    keyframe: bool,
    /// Something was missing: the source's next keyframe becomes one.
    resync: bool,
    last_dts: Option<i64>,
    last_pts: Option<i64>,
    last_keyframe: i64,
    /// Units since something was decoded, and what libav said last.
    barren: u32,
    trouble: Option<AvError>,
    coded: Vec<Coded>,
    pub(crate) stats: Stats,
}

impl Pictures {
    pub(crate) fn open(from: &Format, to: Target, settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            to,
            settings: *settings,
            from: from.clone(),
            decoder: Decoder::open(from, settings.threads)?,
            frame: frame::Video::empty(),
            converter: Converter::default(),
            encoder: None,
            format: None,
            meter: Meter::default(),
            preroll: BTreeSet::new(),
            keyframe: false,
            resync: false,
            last_dts: None,
            last_pts: None,
            last_keyframe: 0,
            barren: 0,
            trouble: None,
            coded: Vec::new(),
            stats: Stats::default(),
        })
    }

    pub(crate) fn keyframe(&mut self) {
        self.keyframe = true;
    }

    pub(crate) fn format(&mut self, from: &Format, out: &mut Vec<Output>) -> Result<(), Error> {
        if *from == self.from {
            return Ok(());
        }
        self.decoder.end();
        self.decoded(false, out)?;
        self.decoder = Decoder::open(from, self.settings.threads)?;
        self.from = from.clone();
        self.resync = true;
        Ok(())
    }

    pub(crate) fn push(
        &mut self,
        unit: &AccessUnit,
        how: Push,
        out: &mut Vec<Output>,
    ) -> Result<(), Error> {
        let (pts, dts) = (unit.pts.nanos(), unit.dts.nanos());
        self.stats.units_in += 1;
        self.meter.push(dts, unit.data.len());
        let last = self.last_dts.replace(dts);
        self.resync |= last.is_some_and(|last| dts.saturating_sub(last) > DISCONTINUITY);
        if how.preroll {
            self.preroll.insert(pts);
            if self.preroll.len() > MOST_PREROLLED {
                self.preroll.pop_first();
            }
        }
        self.barren += 1;
        let start = (self.settings.clock)();
        let sent = self.decoder.send(&decoder::Unit {
            data: &unit.data,
            pts,
            dts,
            keyframe: unit.keyframe,
        });
        self.stats.decode_ns += since(self.settings.clock, start);
        if let Err(error) = sent {
            self.refused(error);
        }
        self.decoded(how.late, out)?;
        if self.barren < BARREN {
            return Ok(());
        }
        let why = self.trouble.map_or_else(|| "no picture came".to_owned(), |why| why.to_string());
        Err(Error::Barren { codec: self.from.codec, units: self.barren, why })
    }

    fn refused(&mut self, error: AvError) {
        self.stats.undecodable += 1;
        self.resync = true;
        self.trouble = Some(error);
    }

    /// All pictures that the decoder gives now.
    fn decoded(&mut self, late: bool, out: &mut Vec<Output>) -> Result<(), Error> {
        loop {
            let start = (self.settings.clock)();
            let received = self.decoder.receive(&mut self.frame);
            self.stats.decode_ns += since(self.settings.clock, start);
            match received {
                Ok(true) => {
                    self.barren = 0;
                    self.show(late, out)?;
                }
                Ok(false) => return Ok(()),
                // Some decoders say only here what was wrong with a unit.
                Err(error) => {
                    self.refused(error);
                    return Ok(());
                }
            }
        }
    }

    /// Encodes the picture that was decoded, unless there is a reason not to.
    fn show(&mut self, late: bool, out: &mut Vec<Output>) -> Result<(), Error> {
        let Some(pts) = self.frame.pts().or_else(|| self.frame.timestamp()) else {
            self.stats.skipped += 1;
            return Ok(());
        };
        if self.preroll.remove(&pts) {
            return Ok(());
        }
        let since_last = self.last_pts.map(|last| pts.saturating_sub(last));
        let slide = since_last.is_none_or(|since| since > SLIDES);
        if since_last.is_some_and(|since| since <= 0) || (late && !slide) {
            self.stats.skipped += 1;
            return Ok(());
        }
        let Some(shape) = Shape::of(&self.frame) else {
            self.refused(AvError::InvalidData);
            return Ok(());
        };
        let keyframe = self.wants_keyframe(pts, shape);
        self.encode(pts, shape, keyframe, out)
    }

    fn wants_keyframe(&self, pts: i64, shape: Shape) -> bool {
        let interval =
            i64::try_from(self.settings.keyframe_interval.as_nanos()).unwrap_or(i64::MAX);
        self.encoder.as_ref().is_none_or(|encoder| encoder.shape != shape)
            || self.keyframe
            || pts.saturating_sub(self.last_keyframe) >= interval
            || (self.resync && self.frame.is_key())
    }

    fn encode(
        &mut self,
        pts: i64,
        shape: Shape,
        keyframe: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), Error> {
        if keyframe {
            self.ready(shape, out)?;
        }
        let start = (self.settings.clock)();
        let frame = match self.converter.fit(&mut self.frame, shape) {
            Ok(frame) => frame,
            Err(error) => {
                self.refused(error);
                return Ok(());
            }
        };
        self.stats.decode_ns += since(self.settings.clock, start);
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let start = (self.settings.clock)();
        let taken = encoder.encode(frame, pts, keyframe, &mut self.coded)?;
        self.stats.encode_ns += since(self.settings.clock, start);
        if !taken {
            self.stats.skipped += 1;
            return Ok(());
        }
        self.last_pts = Some(pts);
        if keyframe {
            self.last_keyframe = pts;
            self.keyframe = false;
            self.resync = false;
        }
        self.emit(out);
        Ok(())
    }

    /// An encoder of this shape, and of a bitrate that suits what the source has by now. Only before a keyframe,
    /// for a new encoder begins with one.
    fn ready(&mut self, shape: Shape, out: &mut Vec<Output>) -> Result<(), Error> {
        let said = self.settings.frame_rate.map(u32::from);
        let frame_rate = said.or_else(|| self.meter.frame_rate()).unwrap_or(30).clamp(1, 240);
        let (from, to) = (self.from.codec, self.to.codec());
        let wanted = rate::cap(self.meter.bitrate(), from, to, shape.pixels(), frame_rate);
        let bitrate = wanted.min(self.settings.bitrate.unwrap_or(u32::MAX)).max(50_000);
        let fits =
            |encoder: &Encoder| encoder.shape == shape && !rate::worth_it(encoder.bitrate, bitrate);
        if self.encoder.as_ref().is_some_and(fits) {
            return Ok(());
        }
        self.end_encoder(out)?;
        let threads = self.settings.threads;
        let settings = pictures::Settings { bitrate, frame_rate, threads };
        let encoder = Encoder::open(self.to, shape, &settings)?;
        let format = Format {
            codec: self.to.codec(),
            config: encoder.config.clone(),
            dimensions: side(shape.width).zip(side(shape.height)),
            sound: None,
        };
        self.encoder = Some(encoder);
        if self.format.as_ref() != Some(&format) {
            out.push(Output::Format(format.clone()));
            self.format = Some(format);
        }
        Ok(())
    }

    fn end_encoder(&mut self, out: &mut Vec<Output>) -> Result<(), Error> {
        if let Some(mut encoder) = self.encoder.take() {
            encoder.end(&mut self.coded)?;
            self.emit(out);
        }
        Ok(())
    }

    fn emit(&mut self, out: &mut Vec<Output>) {
        for coded in self.coded.drain(..) {
            let time = MediaTime::from_nanos(coded.pts);
            let (keyframe, data) = (coded.keyframe, coded.data);
            self.stats.units_out += 1;
            out.push(Output::Unit(AccessUnit { dts: time, pts: time, keyframe, data }));
        }
    }

    pub(crate) fn flush(&mut self, out: &mut Vec<Output>) -> Result<(), Error> {
        self.decoder.end();
        self.decoded(false, out)?;
        self.end_encoder(out)
    }
}

fn side(pixels: u32) -> Option<u16> {
    u16::try_from(pixels).ok()
}
