//! Fragments: `moof` with one `traf` of one `trun`, and `mdat` (ISO/IEC 14496-12 section 8.8; CMAF chunks,
//! ISO/IEC 23000-19 section 7.3.3.2). What all samples share is said once, in the `tfhd`.

use bytes::Bytes;

use super::TRACK;
use super::boxes::{boxed, full, put32, put64};

/// Flags of a `tfhd`: offsets count from the `moof`; there are defaults for durations and sample flags.
const BASE_IS_MOOF: u32 = 0x02_0000;
const DEFAULT_DURATION: u32 = 0x08;
const DEFAULT_FLAGS: u32 = 0x20;
/// Flags of a `trun`: where the data begins, and what each sample, or only the first, has.
const OFFSET: u32 = 0x001;
const FIRST_FLAGS: u32 = 0x004;
const DURATION: u32 = 0x100;
const SIZE: u32 = 0x200;
const FLAGS: u32 = 0x400;
const COMPOSITION: u32 = 0x800;
/// `sample_depends_on` no other; and the flags of one that does, and is no sync sample.
const KEY: u32 = 0x0200_0000;
const OTHER: u32 = 0x0101_0000;
/// Bytes of what is always there: `moof`, `mfhd`, `traf`, `tfhd`, `tfdt`, `trun`, and the head of `mdat`.
const FIXED: usize = 8 + 16 + 8 + (16 + 4) + 20 + 20 + 8;
/// Most bytes of all samples together: a length of 32 bits is to say it, head and all.
const MOST: u64 = 1 << 31;

/// One access unit in a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Until the next one is decoded, in ticks of the track.
    pub duration: u32,
    /// From decoding to showing, in ticks of the track; below zero where pictures are shown before.
    pub composition: i32,
    /// A decoder can start here.
    pub keyframe: bool,
    /// As [`media::AccessUnit`] has it.
    pub data: Bytes,
}

/// A fragment: `moof` and `mdat`, in one allocation of its exact size. `sequence` counts the fragments of the
/// track from 1; `base_decode_time` is that of the first sample, in ticks of the track. Samples that would
/// bring the whole above 2 GiB are left out.
pub fn fragment(sequence: u32, base_decode_time: u64, samples: &[Sample]) -> Bytes {
    let samples = within(samples, MOST);
    let shape = Shape::of(samples);
    let header = shape.header_len(samples.len());
    let data: usize = samples.iter().map(|sample| sample.data.len()).sum();
    let mut out = Vec::with_capacity(header + data);
    boxed(&mut out, b"moof", |out| {
        full(out, b"mfhd", 0, 0, |out| put32(out, sequence));
        boxed(out, b"traf", |out| {
            shape.put_tfhd(out);
            full(out, b"tfdt", 1, 0, |out| put64(out, base_decode_time));
            shape.put_trun(out, samples, header as u32);
        });
    });
    boxed(&mut out, b"mdat", |out| {
        samples.iter().for_each(|sample| out.extend_from_slice(&sample.data));
    });
    out.into()
}

/// How many bytes of [`fragment`] come before the data of its first sample. Together with that they are what
/// an I-frame playlist points to.
pub fn header_len(samples: &[Sample]) -> usize {
    let samples = within(samples, MOST);
    Shape::of(samples).header_len(samples.len())
}

/// The samples from the first on that have at most `most` bytes together.
fn within(samples: &[Sample], most: u64) -> &[Sample] {
    let mut total = 0u64;
    let fits = |sample: &&Sample| {
        total = total.saturating_add(sample.data.len() as u64 + 16);
        total <= most
    };
    &samples[..samples.iter().take_while(fits).count()]
}

/// What samples share, and so which fields there are.
struct Shape {
    /// Of all; `None` if they differ.
    duration: Option<u32>,
    /// What the sample flags are said by.
    flags: SampleFlags,
    /// There is a composition offset other than 0.
    composition: bool,
}

enum SampleFlags {
    /// All the same.
    Default(u32),
    /// The first is a keyframe, the others are none.
    First,
    /// Anything else.
    Each,
}

impl Shape {
    fn of(samples: &[Sample]) -> Self {
        let first = samples.first();
        let duration = first.map_or(0, |sample| sample.duration);
        let same = samples.iter().all(|sample| sample.duration == duration);
        let keyframes = samples.iter().filter(|sample| sample.keyframe).count();
        let flags = match keyframes {
            0 => SampleFlags::Default(OTHER),
            all if all == samples.len() => SampleFlags::Default(KEY),
            1 if first.is_some_and(|sample| sample.keyframe) => SampleFlags::First,
            _ => SampleFlags::Each,
        };
        let composition = samples.iter().any(|sample| sample.composition != 0);
        Self { duration: same.then_some(duration), flags, composition }
    }

    /// Bytes of all but the data.
    fn header_len(&self, samples: usize) -> usize {
        let (in_tfhd, in_trun, per_sample) = match self.flags {
            SampleFlags::Default(_) => (4, 0, 0),
            SampleFlags::First => (4, 4, 0),
            SampleFlags::Each => (0, 0, 4),
        };
        let (default, each) = if self.duration.is_some() { (4, 0) } else { (0, 4) };
        let composition = if self.composition { 4 } else { 0 };
        FIXED - 4 + in_tfhd + default + in_trun + samples * (4 + per_sample + each + composition)
    }

    fn put_tfhd(&self, out: &mut Vec<u8>) {
        let mut flags = BASE_IS_MOOF;
        if self.duration.is_some() {
            flags |= DEFAULT_DURATION;
        }
        let default = match self.flags {
            SampleFlags::Default(default) => Some(default),
            SampleFlags::First => Some(OTHER),
            SampleFlags::Each => None,
        };
        if default.is_some() {
            flags |= DEFAULT_FLAGS;
        }
        full(out, b"tfhd", 0, flags, |out| {
            put32(out, TRACK);
            self.duration.into_iter().chain(default).for_each(|value| put32(out, value));
        });
    }

    fn put_trun(&self, out: &mut Vec<u8>, samples: &[Sample], offset: u32) {
        let mut flags = OFFSET | SIZE;
        if self.duration.is_none() {
            flags |= DURATION;
        }
        flags |= match self.flags {
            SampleFlags::Default(_) => 0,
            SampleFlags::First => FIRST_FLAGS,
            SampleFlags::Each => FLAGS,
        };
        if self.composition {
            flags |= COMPOSITION;
        }
        full(out, b"trun", 1, flags, |out| {
            put32(out, samples.len() as u32);
            put32(out, offset);
            if flags & FIRST_FLAGS != 0 {
                put32(out, KEY);
            }
            for sample in samples {
                if flags & DURATION != 0 {
                    put32(out, sample.duration);
                }
                put32(out, sample.data.len() as u32);
                if flags & FLAGS != 0 {
                    put32(out, if sample.keyframe { KEY } else { OTHER });
                }
                if flags & COMPOSITION != 0 {
                    put32(out, sample.composition as u32);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        let sample = |len| Sample {
            duration: 1,
            composition: 0,
            keyframe: true,
            data: Bytes::from(vec![0; len]),
        };
        let samples = [sample(84), sample(84), sample(1)];
        assert_eq!(within(&samples, 200).len(), 2);
        assert_eq!(within(&samples, 199).len(), 1);
        assert_eq!(within(&samples, 10_000).len(), 3);
    }
}
