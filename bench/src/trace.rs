//! A packet trace: what a publisher sent, packet by packet, to send it again or to measure a floor
//! with. All numbers little-endian:
//!
//! ```text
//! file    "WEIRTRC1"  codec of the video: 4 bytes of its name, filled up with spaces  record…
//! record  u32 µs since the first record   u8 0 audio, 1 video   u8 marker bit
//!         u32 RTP timestamp since the first of its kind   u16 length   payload…
//! ```
//!
//! Audio is Opus. Records stand in the order of their sequence numbers; the first video packet starts a keyframe.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use media::Codec;

use crate::source::Frame;

const MAGIC: &[u8; 8] = b"WEIRTRC1";
/// Larger files are no traces that fit into memory twice.
const MAX_FILE: u64 = 1 << 30;
/// Between the last record and the first of the next round.
const PAUSE: u64 = 20_000;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// µs since the first record.
    pub at: u64,
    /// Video or audio.
    pub video: bool,
    /// Last packet of a frame.
    pub marker: bool,
    /// Since the first of its kind.
    pub timestamp: u32,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// A whole trace.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Of the video.
    pub codec: Codec,
    /// In order.
    pub records: Vec<Record>,
}

impl Trace {
    /// Reads a file.
    ///
    /// # Errors
    /// If it is no trace, or cut short.
    pub fn read(path: &Path) -> Result<Self> {
        let name = path.display();
        let size = std::fs::metadata(path).with_context(|| format!("{name}"))?.len();
        if size > MAX_FILE {
            bail!("{name}: too large for a trace");
        }
        Self::parse(&std::fs::read(path)?).with_context(|| format!("{name} is no trace"))
    }

    fn parse(bytes: &[u8]) -> Result<Self> {
        let mut rest = bytes.strip_prefix(MAGIC).context("it does not begin with WEIRTRC1")?;
        let mut take = |length: usize| -> Result<&[u8]> {
            let (taken, after) = rest.split_at_checked(length).context("it is cut short")?;
            rest = after;
            Ok(taken)
        };
        let name = String::from_utf8_lossy(take(4)?).trim_end().to_owned();
        let codec = Codec::from_rtpmap_name(&name).with_context(|| format!("codec {name:?}"))?;
        let mut records = Vec::new();
        while let Ok(head) = take(12) {
            let number = |at: usize| {
                u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
            };
            let length = u16::from_le_bytes([head[10], head[11]]);
            records.push(Record {
                at: u64::from(number(0)),
                video: head[4] != 0,
                marker: head[5] != 0,
                timestamp: number(6),
                payload: take(usize::from(length))?.to_vec(),
            });
        }
        if !records.iter().any(|r| r.video) {
            bail!("it holds no video");
        }
        Ok(Self { codec, records })
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("{}", path.display()))?;
        let mut out = BufWriter::new(file);
        out.write_all(MAGIC)?;
        out.write_all(format!("{:4}", self.codec.rtpmap_name()).as_bytes())?;
        for record in &self.records {
            out.write_all(&(record.at as u32).to_le_bytes())?;
            out.write_all(&[u8::from(record.video), u8::from(record.marker)])?;
            out.write_all(&record.timestamp.to_le_bytes())?;
            out.write_all(&(record.payload.len() as u16).to_le_bytes())?;
            out.write_all(&record.payload)?;
        }
        Ok(out.flush()?)
    }

    /// The packets of an endless stream, for so many seconds, one record each.
    pub fn generated(frames: impl Iterator<Item = Frame>, seconds: f64) -> Self {
        let until = (seconds * 1e6) as u64;
        let mut records = Vec::new();
        for frame in frames.take_while(|f| f.at < until) {
            records.extend(frame.packets.into_iter().map(|(payload, marker)| Record {
                at: frame.at,
                video: frame.video,
                marker,
                timestamp: frame.timestamp,
                payload,
            }));
        }
        Self { codec: Codec::H264, records }
    }

    /// Plays it again and again; timestamps go on.
    pub fn frames(self) -> impl Iterator<Item = Frame> {
        let length = self.records.last().map_or(0, |r| r.at) + PAUSE;
        (0u64..).flat_map(move |round| {
            let shift = round * length;
            let video = (shift * 90 / 1000) as u32;
            let audio = (shift * 48 / 1000) as u32;
            self.records
                .iter()
                .map(move |r| Frame {
                    at: r.at + shift,
                    video: r.video,
                    timestamp: r.timestamp.wrapping_add(if r.video { video } else { audio }),
                    packets: vec![(r.payload.clone(), r.marker)],
                })
                .collect::<Vec<_>>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Generator, Shape};

    #[test]
    fn a_trace_is_read_as_it_was_written_and_loops() {
        let trace = Trace::generated(Generator::new(Shape::default(), 3), 1.0);
        let path = std::env::temp_dir().join(format!("weir-bench-trace-{}", std::process::id()));
        trace.write(&path).unwrap();
        let read = Trace::read(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.records, trace.records);
        assert!(Trace::parse(&bytes[..bytes.len() - 1]).is_err(), "cut short");

        let count = trace.records.len();
        let twice: Vec<Frame> = read.frames().take(count + 1).collect();
        assert!(twice[count].at > twice[count - 1].at);
        assert_eq!(twice[count].packets[0].0, trace.records[0].payload);
        assert_eq!(u64::from(twice[count].timestamp), twice[count].at * 90 / 1000);
    }
}
