//! Messages as bytes and back. Every length is checked against its bound before anything is kept.

use std::time::Duration;

use bytes::Bytes;
use media::{Codec, Format};

use super::{
    Failed, Hello, MAX_CONFIG, MAX_ENCODERS, MAX_FRAME, MAX_TEXT, MAX_UNIT, Message, Options, Spec,
    Stats, Target, Unit,
};
use crate::Error;

/// The first field of a [`Hello`] in every version.
const MAGIC: [u8; 4] = *b"WEIR";

const HELLO: u8 = 1;
const OPEN: u8 = 2;
const FORMAT: u8 = 3;
const UNIT: u8 = 4;
const KEYFRAME: u8 = 5;
const DRAIN: u8 = 6;
const STATS: u8 = 7;
const HEARTBEAT: u8 = 8;
const FAILED: u8 = 9;
const BYE: u8 = 10;

/// Codecs and their numbers.
const CODECS: [(Codec, u8); 7] = [
    (Codec::H264, 1),
    (Codec::H265, 2),
    (Codec::Vp8, 3),
    (Codec::Vp9, 4),
    (Codec::Av1, 5),
    (Codec::Opus, 6),
    (Codec::Aac, 7),
];

impl Message {
    /// Appends the frame of this message. On an error `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let written = write(self, out).and_then(|()| {
            let length = out.len() - start - 4;
            let fits = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
            fits.ok_or(Error::TooLong { what: "a message", length, max: MAX_FRAME })
        });
        match written {
            Ok(length) => {
                out[start..start + 4].copy_from_slice(&length.to_be_bytes());
                Ok(())
            }
            Err(error) => {
                out.truncate(start);
                Err(error)
            }
        }
    }
}

fn write(message: &Message, out: &mut Vec<u8>) -> Result<(), Error> {
    match message {
        Message::Hello(hello) => {
            out.push(HELLO);
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&hello.version.to_be_bytes());
            text(&hello.program, out);
            let encoders = hello.encoders.iter().take(MAX_ENCODERS);
            out.push(encoders.len() as u8);
            encoders.for_each(|encoder| text(encoder, out));
        }
        Message::Open(spec) => {
            out.push(OPEN);
            format(&spec.from, out)?;
            out.push(target_code(spec.to));
            options(&spec.options, out);
        }
        Message::Format(of) => {
            out.push(FORMAT);
            format(of, out)?;
        }
        Message::Unit(unit) => {
            out.push(UNIT);
            out.extend_from_slice(&unit.pts.to_be_bytes());
            out.extend_from_slice(&unit.dts.to_be_bytes());
            out.push(u8::from(unit.keyframe) | u8::from(unit.preroll) << 1);
            if unit.data.is_empty() {
                return Err(Error::Invalid { what: "a unit without bytes" });
            }
            bytes("a unit", &unit.data, MAX_UNIT, out)?;
        }
        Message::Keyframe => out.push(KEYFRAME),
        Message::Drain => out.push(DRAIN),
        Message::Stats(stats) => {
            out.push(STATS);
            let numbers = [
                stats.units_in,
                stats.units_out,
                stats.undecodable,
                stats.skipped,
                stats.decode_ns,
                stats.encode_ns,
            ];
            numbers.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
            out.extend_from_slice(&stats.queued.to_be_bytes());
        }
        Message::Heartbeat { taken } => {
            out.push(HEARTBEAT);
            out.extend_from_slice(&taken.to_be_bytes());
        }
        Message::Failed(failed) => {
            out.push(FAILED);
            out.push(u8::from(failed.again));
            text(&failed.reason, out);
        }
        Message::Bye => out.push(BYE),
    }
    Ok(())
}

/// Cut to what fits, between two characters.
fn text(text: &str, out: &mut Vec<u8>) {
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn bytes(what: &'static str, of: &[u8], max: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    let length = u32::try_from(of.len()).ok().filter(|_| of.len() <= max);
    let length = length.ok_or(Error::TooLong { what, length: of.len(), max })?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(of);
    Ok(())
}

fn format(format: &Format, out: &mut Vec<u8>) -> Result<(), Error> {
    let known = CODECS.iter().find(|(codec, _)| *codec == format.codec);
    let (_, code) = known.ok_or(Error::Invalid { what: "a codec that workers do not know" })?;
    out.push(*code);
    let (width, height) = format.dimensions.unwrap_or_default();
    out.push(u8::from(format.dimensions.is_some()) | u8::from(format.sound.is_some()) << 1);
    out.extend_from_slice(&width.to_be_bytes());
    out.extend_from_slice(&height.to_be_bytes());
    let (rate, channels) = format.sound.unwrap_or_default();
    out.extend_from_slice(&rate.to_be_bytes());
    out.push(channels);
    bytes("a decoder configuration", &format.config, MAX_CONFIG, out)
}

fn options(options: &Options, out: &mut Vec<u8>) {
    let interval = u32::try_from(options.keyframe_interval.as_millis()).unwrap_or(u32::MAX);
    // 0 stands for none: neither is of use.
    out.extend_from_slice(&options.bitrate.unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&options.frame_rate.unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&interval.to_be_bytes());
    out.extend_from_slice(&options.threads.to_be_bytes());
}

const fn target_code(target: Target) -> u8 {
    match target {
        Target::Opus => 1,
        Target::Aac => 2,
        Target::H264 => 3,
        Target::Vp8 => 4,
    }
}

/// Reads one frame without its length.
pub(super) fn read(frame: &[u8]) -> Result<Message, Error> {
    let mut fields = Fields { rest: frame, what: "a message" };
    let message = match fields.u8()? {
        HELLO => return fields.named("a hello").hello(),
        OPEN => Message::Open(fields.named("the task").spec()?),
        FORMAT => Message::Format(fields.named("a format").format()?),
        UNIT => Message::Unit(fields.named("a unit").unit()?),
        KEYFRAME => Message::Keyframe,
        DRAIN => Message::Drain,
        STATS => Message::Stats(fields.named("statistics").stats()?),
        HEARTBEAT => Message::Heartbeat { taken: fields.named("a heartbeat").u64()? },
        FAILED => Message::Failed(fields.named("a failure").failed()?),
        BYE => Message::Bye,
        code => return Err(Error::Unknown { code }),
    };
    if !fields.rest.is_empty() {
        return Err(Error::Invalid { what: "bytes behind the end of a message" });
    }
    Ok(message)
}

/// What is left of a frame, and what it is for errors.
struct Fields<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Fields<'a> {
    fn named(&mut self, what: &'static str) -> &mut Self {
        self.what = what;
        self
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let cut = self.rest.split_at_checked(length);
        let (taken, rest) = cut.ok_or(Error::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let cut = self.rest.split_first_chunk::<N>();
        let (taken, rest) = cut.ok_or(Error::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, Error> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    fn bytes(&mut self, max: usize) -> Result<Bytes, Error> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > max {
            return Err(Error::TooLong { what: self.what, length, max });
        }
        self.take(length).map(Bytes::copy_from_slice)
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = usize::from(self.u16()?);
        if length > MAX_TEXT {
            return Err(Error::TooLong { what: self.what, length, max: MAX_TEXT });
        }
        let text = std::str::from_utf8(self.take(length)?);
        Ok(text.map_err(|_| Error::Invalid { what: "a text that is not UTF-8" })?.to_owned())
    }

    /// Flags that nobody knows are an error: nothing is sent that is not understood.
    fn flags(&mut self, known: u8) -> Result<u8, Error> {
        let flags = self.u8()?;
        if flags & !known != 0 {
            return Err(Error::Invalid { what: "flags that nobody knows" });
        }
        Ok(flags)
    }

    /// Of another version only the number is read.
    fn hello(&mut self) -> Result<Message, Error> {
        if self.array()? != MAGIC {
            return Err(Error::Invalid { what: "a hello of something else" });
        }
        let version = self.u16()?;
        if version != super::VERSION {
            return Ok(Message::Hello(Hello {
                version,
                program: String::new(),
                encoders: Vec::new(),
            }));
        }
        let program = self.text()?;
        let count = usize::from(self.u8()?);
        if count > MAX_ENCODERS {
            return Err(Error::TooLong {
                what: "a list of encoders",
                length: count,
                max: MAX_ENCODERS,
            });
        }
        let encoders = (0..count).map(|_| self.text()).collect::<Result<_, _>>()?;
        if !self.rest.is_empty() {
            return Err(Error::Invalid { what: "bytes behind the end of a message" });
        }
        Ok(Message::Hello(Hello { version, program, encoders }))
    }

    fn spec(&mut self) -> Result<Spec, Error> {
        let from = self.format()?;
        let code = self.u8()?;
        let to = Target::ALL.into_iter().find(|target| target_code(*target) == code);
        let to = to.ok_or(Error::Invalid { what: "a target that nobody knows" })?;
        let (bitrate, frame_rate, interval) = (self.u32()?, self.u16()?, self.u32()?);
        let options = Options {
            bitrate: Some(bitrate).filter(|rate| *rate > 0),
            frame_rate: Some(frame_rate).filter(|rate| *rate > 0),
            keyframe_interval: Duration::from_millis(interval.into()),
            threads: self.u16()?,
        };
        Ok(Spec { from, to, options })
    }

    fn format(&mut self) -> Result<Format, Error> {
        let code = self.u8()?;
        let known = CODECS.iter().find(|(_, number)| *number == code);
        let (codec, _) = known.ok_or(Error::Invalid { what: "a codec that nobody knows" })?;
        let flags = self.flags(0b11)?;
        let dimensions = (self.u16()?, self.u16()?);
        let sound = (self.u32()?, self.u8()?);
        Ok(Format {
            codec: *codec,
            config: self.bytes(MAX_CONFIG)?,
            dimensions: (flags & 1 != 0).then_some(dimensions),
            sound: (flags & 2 != 0).then_some(sound),
        })
    }

    fn unit(&mut self) -> Result<Unit, Error> {
        let (pts, dts, flags) = (self.i64()?, self.i64()?, self.flags(0b11)?);
        let data = self.bytes(MAX_UNIT)?;
        if data.is_empty() {
            return Err(Error::Invalid { what: "a unit without bytes" });
        }
        Ok(Unit { pts, dts, keyframe: flags & 1 != 0, preroll: flags & 2 != 0, data })
    }

    fn stats(&mut self) -> Result<Stats, Error> {
        Ok(Stats {
            units_in: self.u64()?,
            units_out: self.u64()?,
            undecodable: self.u64()?,
            skipped: self.u64()?,
            decode_ns: self.u64()?,
            encode_ns: self.u64()?,
            queued: self.u32()?,
        })
    }

    fn failed(&mut self) -> Result<Failed, Error> {
        Ok(Failed { again: self.flags(1)? != 0, reason: self.text()? })
    }
}
