//! VP8, RFC 7741: payloads without their descriptors are the frame.

use bytes::Bytes;

use super::{Change, Dropped, Whole};
use crate::payload::vp8;
use crate::{Codec, Format};

#[derive(Debug, Default)]
pub(super) struct State {
    /// A keyframe said it.
    dimensions: Option<(u16, u16)>,
}

pub(super) fn begins(payload: &[u8]) -> bool {
    vp8::parse(payload).is_some_and(|descriptor| descriptor.frame_start)
}

impl State {
    pub(super) fn add(&mut self, payload: &[u8], data: &mut Vec<u8>) -> Result<(), Dropped> {
        let descriptor = vp8::parse(payload).ok_or(Dropped::Malformed)?;
        if descriptor.frame_start != data.is_empty() {
            return Err(Dropped::Malformed);
        }
        data.extend_from_slice(&payload[descriptor.len..]);
        Ok(())
    }

    pub(super) fn end(&mut self, data: &[u8]) -> Whole {
        // Without its start code no decoder takes a keyframe.
        let said = if vp8::is_keyframe(data) { vp8::dimensions(data) } else { None };
        let keyframe = said.is_some();
        let format = match said {
            Some(_) if said != self.dimensions => {
                self.dimensions = said;
                Change::To(format(said))
            }
            _ if self.dimensions.is_none() => Change::Unknown,
            _ => Change::None,
        };
        Whole { keyframe, format }
    }
}

fn format(dimensions: Option<(u16, u16)>) -> Format {
    Format { codec: Codec::Vp8, config: Bytes::new(), dimensions, sound: None }
}
