//! Initialization segments: `ftyp` and a `moov` without samples (ISO/IEC 14496-12; CMAF headers, ISO/IEC
//! 23000-19 section 7.3.1). No edit list: what comes later says all about time.

use bytes::Bytes;
use media::{Format, Kind};

use super::TRACK;
use super::boxes::{boxed, full, put16, put32, zeros};
use super::entry::{self, Entry};
use crate::Error;

/// No rotation, no scale: the unity matrix.
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// `und`, in three times five bits.
const UNDETERMINED: u16 = 0x55c4;

/// The initialization segment. `timescale` is that of the fragments: see [`super::timescale`].
///
/// # Errors
/// If the format cannot be carried, or its configuration is none.
pub fn init(format: &Format, timescale: u32) -> Result<Bytes, Error> {
    let entry = entry::of(format)?;
    let mut out = Vec::with_capacity(1024);
    boxed(&mut out, b"ftyp", |out| {
        // `cmf2`: CMAF with signed composition offsets and without edit lists.
        out.extend_from_slice(b"iso6");
        put32(out, 0);
        out.extend_from_slice(b"iso6cmfccmf2");
    });
    boxed(&mut out, b"moov", |out| {
        put_mvhd(out);
        boxed(out, b"trak", |out| {
            put_tkhd(out, format.codec.kind(), entry.shown());
            boxed(out, b"mdia", |out| put_media(out, format.codec.kind(), timescale, &entry));
        });
        boxed(out, b"mvex", |out| {
            // Sample description 1; the other defaults are those of each fragment.
            full(out, b"trex", 0, 0, |out| {
                [TRACK, 1, 0, 0, 0].into_iter().for_each(|value| put32(out, value));
            });
        });
    });
    Ok(out.into())
}

fn put_mvhd(out: &mut Vec<u8>) {
    full(out, b"mvhd", 0, 0, |out| {
        // Created, modified, ticks per second, how many.
        [0, 0, 1000, 0].into_iter().for_each(|value| put32(out, value));
        // Normal speed, full volume, reserved.
        put32(out, 0x1_0000);
        put16(out, 0x0100);
        zeros(out, 10);
        UNITY.into_iter().for_each(|value| put32(out, value));
        zeros(out, 24);
        put32(out, TRACK + 1);
    });
}

fn put_tkhd(out: &mut Vec<u8>, kind: Kind, shown: (u32, u32)) {
    // Enabled, in the movie.
    full(out, b"tkhd", 0, 3, |out| {
        // Created, modified, id, reserved, duration; reserved; layer and alternate group.
        [0, 0, TRACK, 0, 0, 0, 0, 0].into_iter().for_each(|value| put32(out, value));
        put16(out, if kind == Kind::Audio { 0x0100 } else { 0 });
        put16(out, 0);
        UNITY.into_iter().for_each(|value| put32(out, value));
        put32(out, shown.0);
        put32(out, shown.1);
    });
}

fn put_media(out: &mut Vec<u8>, kind: Kind, timescale: u32, entry: &Entry<'_>) {
    full(out, b"mdhd", 0, 0, |out| {
        [0, 0, timescale, 0].into_iter().for_each(|value| put32(out, value));
        put16(out, UNDETERMINED);
        put16(out, 0);
    });
    full(out, b"hdlr", 0, 0, |out| {
        put32(out, 0);
        out.extend_from_slice(if kind == Kind::Video { b"vide" } else { b"soun" });
        zeros(out, 12);
        // An empty name.
        zeros(out, 1);
    });
    boxed(out, b"minf", |out| {
        match kind {
            Kind::Video => full(out, b"vmhd", 0, 1, |out| zeros(out, 8)),
            Kind::Audio => full(out, b"smhd", 0, 0, |out| zeros(out, 4)),
        }
        boxed(out, b"dinf", |out| {
            full(out, b"dref", 0, 0, |out| {
                put32(out, 1);
                // In this same file.
                full(out, b"url ", 0, 1, |_| {});
            });
        });
        boxed(out, b"stbl", |out| {
            full(out, b"stsd", 0, 0, |out| {
                put32(out, 1);
                entry.put(out);
            });
            // All samples are in fragments: `stsz` has one number more than the others.
            for (kind, len) in [(b"stts", 4), (b"stsc", 4), (b"stsz", 8), (b"stco", 4)] {
                full(out, kind, 0, 0, |out| zeros(out, len));
            }
        });
    });
}
