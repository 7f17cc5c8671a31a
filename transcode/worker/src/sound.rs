//! Sound to sound: decoded, brought to 48 kHz and one channel or two, laid on the timeline of the source, and
//! encoded in packets of the encoder's length. What is held back is less than one packet.

use media::{AccessUnit, Format, MediaTime};
use transcode::Target;

use crate::Error;
use crate::av::decoder::{self, Decoder};
use crate::av::sound::{Coded, Encoder, Form, Resampler};
use crate::av::{AvError, frame};
use crate::pipeline::{BARREN, Output, Push, Settings, Stats, since};
use crate::timeline::{Placed, RATE, Timeline};

pub(crate) struct Sound {
    to: Target,
    settings: Settings,
    from: Format,
    decoder: Decoder,
    frame: frame::Audio,
    resampler: Option<Resampler>,
    encoder: Option<Encoder>,
    format: Option<Format>,
    timeline: Timeline,
    /// Interleaved, not encoded yet, and the number of the first of them.
    waiting: Vec<f32>,
    first: u64,
    /// Samples of each channel that come next and are thrown away.
    overlap: u64,
    last_pts: Option<i64>,
    barren: u32,
    trouble: Option<AvError>,
    coded: Vec<Coded>,
    pub(crate) stats: Stats,
}

impl Sound {
    pub(crate) fn open(from: &Format, to: Target, settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            to,
            settings: *settings,
            from: from.clone(),
            decoder: Decoder::open(from, 1)?,
            frame: frame::Audio::empty(),
            resampler: None,
            encoder: None,
            format: None,
            timeline: Timeline::default(),
            waiting: Vec::new(),
            first: 0,
            overlap: 0,
            last_pts: None,
            barren: 0,
            trouble: None,
            coded: Vec::new(),
            stats: Stats::default(),
        })
    }

    pub(crate) fn format(&mut self, from: &Format, out: &mut Vec<Output>) -> Result<(), Error> {
        if *from == self.from {
            return Ok(());
        }
        self.decoder.end();
        self.decoded(false, self.last_pts.unwrap_or(0), out)?;
        self.decoder = Decoder::open(from, 1)?;
        self.from = from.clone();
        Ok(())
    }

    pub(crate) fn push(
        &mut self,
        unit: &AccessUnit,
        how: Push,
        out: &mut Vec<Output>,
    ) -> Result<(), Error> {
        let pts = unit.pts.nanos();
        self.stats.units_in += 1;
        self.barren += 1;
        let start = (self.settings.clock)();
        let sent = self.decoder.send(&decoder::Unit {
            data: &unit.data,
            pts,
            dts: unit.dts.nanos(),
            keyframe: true,
        });
        self.stats.decode_ns += since(self.settings.clock, start);
        if let Err(error) = sent {
            self.refused(error);
        }
        self.decoded(how.preroll, pts, out)?;
        if self.barren < BARREN {
            return Ok(());
        }
        let why = self.trouble.map_or_else(|| "no sound came".to_owned(), |why| why.to_string());
        Err(Error::Barren { codec: self.from.codec, units: self.barren, why })
    }

    fn refused(&mut self, error: AvError) {
        self.stats.undecodable += 1;
        self.trouble = Some(error);
    }

    /// All samples that the decoder gives now.
    fn decoded(&mut self, preroll: bool, pts: i64, out: &mut Vec<Output>) -> Result<(), Error> {
        loop {
            let start = (self.settings.clock)();
            let received = self.decoder.receive(&mut self.frame);
            self.stats.decode_ns += since(self.settings.clock, start);
            match received {
                Ok(true) => {
                    self.barren = 0;
                    if !preroll {
                        let pts = self.frame.pts().unwrap_or(pts);
                        self.take(pts, out)?;
                    }
                }
                Ok(false) => return Ok(()),
                Err(error) => {
                    self.refused(error);
                    return Ok(());
                }
            }
        }
    }

    /// Lays the samples that were decoded on the timeline and encodes what makes whole packets.
    fn take(&mut self, pts: i64, out: &mut Vec<Output>) -> Result<(), Error> {
        let Some(form) = Form::of(&self.frame) else {
            self.refused(AvError::InvalidData);
            return Ok(());
        };
        self.last_pts = Some(pts);
        self.ready(form.channels(), out)?;
        let start = (self.settings.clock)();
        let resampled = self.resample(form, pts, out)?;
        self.stats.decode_ns += since(self.settings.clock, start);
        if let Err(error) = resampled {
            // Half a frame taken would shift what follows; the timeline mends what is missing.
            self.refused(error);
            self.resampler = None;
        }
        self.encode(out)
    }

    /// The inner error is libav's, about this frame.
    fn resample(
        &mut self,
        form: Form,
        pts: i64,
        out: &mut Vec<Output>,
    ) -> Result<Result<(), AvError>, Error> {
        let channels = self.channels();
        let same = |of: &Resampler| of.form == form && usize::from(of.channels) == channels;
        let mut resampler = match self.resampler.take().filter(same) {
            Some(resampler) => resampler,
            None => match Resampler::open(form, if channels == 1 { 1 } else { 2 }) {
                Ok(resampler) => resampler,
                Err(error) => return Ok(Err(error)),
            },
        };
        let samples =
            (self.frame.samples() * RATE as usize) as u64 / u64::from(self.frame.rate().max(1));
        let next = self.next() + resampler.held();
        let done = match self.timeline.place(pts, samples, next) {
            Placed::Next { stretch } => resampler.stretch(stretch),
            Placed::Gap { samples } => {
                self.stats.filled += samples;
                resampler.silence(samples)
            }
            Placed::Overlap { samples } => {
                self.overlap = samples;
                Ok(())
            }
            Placed::Jump { to } => {
                self.finish_packet(out)?;
                self.first = to.saturating_sub(resampler.held());
                Ok(())
            }
        };
        let done = done.and_then(|()| self.append(&mut resampler));
        self.resampler = Some(resampler);
        Ok(done)
    }

    fn append(&mut self, resampler: &mut Resampler) -> Result<(), AvError> {
        let (channels, before) = (self.channels(), self.waiting.len());
        resampler.convert(&self.frame, &mut self.waiting)?;
        let made = (self.waiting.len() - before) / channels;
        let cut = usize::try_from(self.overlap).unwrap_or(usize::MAX).min(made);
        self.waiting.drain(before..before + cut * channels);
        self.overlap -= cut as u64;
        self.stats.trimmed += cut as u64;
        Ok(())
    }

    fn channels(&self) -> usize {
        self.encoder.as_ref().map_or(2, |encoder| usize::from(encoder.channels))
    }

    /// Number of the sample that is appended next.
    fn next(&self) -> u64 {
        self.first + (self.waiting.len() / self.channels()) as u64
    }

    /// An encoder with enough channels. One that has two keeps them: a stream whose sound becomes mono for a
    /// moment does not change its format.
    fn ready(&mut self, channels: u8, out: &mut Vec<Output>) -> Result<(), Error> {
        if self.encoder.as_ref().is_some_and(|encoder| encoder.channels >= channels) {
            return Ok(());
        }
        if self.encoder.is_some() {
            self.finish_packet(out)?;
            self.end_encoder(out)?;
        }
        let encoder = Encoder::open(self.to, channels, self.settings.bitrate)?;
        let format = Format {
            codec: self.to.codec(),
            config: encoder.config.clone(),
            dimensions: None,
            sound: Some((RATE, channels)),
        };
        out.push(Output::Format(format.clone()));
        self.format = Some(format);
        self.encoder = Some(encoder);
        Ok(())
    }

    fn encode(&mut self, out: &mut Vec<Output>) -> Result<(), Error> {
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let packet = encoder.frame * usize::from(encoder.channels);
        let start = (self.settings.clock)();
        let whole = self.waiting.len() / packet * packet;
        for samples in self.waiting[..whole].chunks_exact(packet) {
            let index = i64::try_from(self.first).unwrap_or(i64::MAX);
            encoder.encode(samples, index, &mut self.coded)?;
            self.first += encoder.frame as u64;
        }
        self.waiting.drain(..whole);
        self.stats.encode_ns += since(self.settings.clock, start);
        self.emit(out);
        Ok(())
    }

    /// Fills the packet that was begun with silence.
    fn finish_packet(&mut self, out: &mut Vec<Output>) -> Result<(), Error> {
        let Some(encoder) = &self.encoder else { return Ok(()) };
        let packet = encoder.frame * usize::from(encoder.channels);
        let rest = self.waiting.len() % packet;
        if rest > 0 {
            self.waiting.resize(self.waiting.len() + packet - rest, 0.0);
        }
        self.encode(out)
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
            let time = MediaTime::from_nanos(self.timeline.pts(coded.index));
            self.stats.units_out += 1;
            let data = coded.data;
            out.push(Output::Unit(AccessUnit { dts: time, pts: time, keyframe: true, data }));
        }
    }

    pub(crate) fn flush(&mut self, out: &mut Vec<Output>) -> Result<(), Error> {
        self.decoder.end();
        self.decoded(false, self.last_pts.unwrap_or(0), out)?;
        self.finish_packet(out)?;
        self.end_encoder(out)
    }
}
