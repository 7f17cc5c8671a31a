//! VP9, RFC 9628, in both modes. A picture of several spatial layers becomes one superframe (VP9
//! bitstream specification, annex B), as containers carry it.

use bytes::Bytes;

use super::{Change, Dropped, Whole};
use crate::payload::vp9;
use crate::{Codec, Format};

/// A superframe has no more frames.
const MAX_LAYERS: usize = 8;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Where the layer frames of this picture begin.
    layers: Vec<usize>,
    /// What the scalability structure in this picture says.
    said: Option<(u16, u16)>,
    /// Of the newest keyframe, whose profile may be one that we read no size of; `None` before the first.
    dimensions: Option<Option<(u16, u16)>>,
}

pub(super) fn begins(payload: &[u8]) -> bool {
    vp9::parse(payload).is_some_and(|d| d.frame_start && d.spatial_layer == 0)
}

impl State {
    pub(super) fn add(&mut self, payload: &[u8], data: &mut Vec<u8>) -> Result<(), Dropped> {
        let descriptor = vp9::parse(payload).ok_or(Dropped::Malformed)?;
        if descriptor.frame_start && self.layers.len() < MAX_LAYERS {
            self.layers.push(data.len());
        } else if descriptor.frame_start || self.layers.is_empty() {
            return Err(Dropped::Malformed);
        }
        self.said = descriptor.dimensions.or(self.said);
        data.extend_from_slice(&payload[descriptor.len..]);
        Ok(())
    }

    pub(super) fn end(&mut self, data: &mut Vec<u8>) -> Whole {
        let header = vp9::header(data);
        let keyframe = header.as_ref().is_some_and(|h| h.keyframe);
        let said = self.said.take().or(header.and_then(|h| h.dimensions));
        let format = match self.dimensions {
            None if !keyframe => Change::Unknown,
            known if keyframe && known != Some(said) => {
                self.dimensions = Some(said);
                Change::To(format(said))
            }
            _ => Change::None,
        };
        index(&self.layers, data);
        self.layers.clear();
        Whole { keyframe, format }
    }

    pub(super) fn reset(&mut self) {
        self.layers.clear();
        self.said = None;
    }
}

fn format(dimensions: Option<(u16, u16)>) -> Format {
    Format { codec: Codec::Vp9, config: Bytes::new(), dimensions, sound: None }
}

/// Ends a picture of several frames with the index that says their sizes, in four bytes each.
fn index(layers: &[usize], data: &mut Vec<u8>) {
    let ends = layers.iter().skip(1).copied().chain([data.len()]);
    let sizes: Vec<usize> = layers.iter().zip(ends).map(|(start, end)| end - start).collect();
    if sizes.len() < 2 || sizes.contains(&0) {
        return;
    }
    // 110, bytes of a size less one, frames less one.
    let marker = 0b1100_0000 | 3 << 3 | (sizes.len() - 1) as u8;
    data.push(marker);
    // A picture has at most 8 MiB.
    sizes.iter().for_each(|size| data.extend((*size as u32).to_le_bytes()));
    data.push(marker);
}
