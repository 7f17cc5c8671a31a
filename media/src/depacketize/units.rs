//! A NAL unit that comes in fragments, on its way into a frame behind its length (see `nal`).

use super::Dropped;

/// Where the unit lies that is not whole yet.
#[derive(Debug, Default)]
pub(super) struct Open(Option<usize>);

impl Open {
    /// Only within a unit, and never between, may something be open.
    pub(super) fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Takes one fragment: `header` is that of the unit, `start` and `end` say which one it is. `Some` is
    /// where the unit's length lies, once it is whole.
    pub(super) fn add(
        &mut self,
        (start, end): (bool, bool),
        header: &[u8],
        piece: &[u8],
        data: &mut Vec<u8>,
    ) -> Result<Option<usize>, Dropped> {
        // No packet was lost: a fragment that does not fit was sent like that.
        let at = match self.0 {
            None if start => {
                let at = data.len();
                data.extend_from_slice(&[0; 4]);
                data.extend_from_slice(header);
                at
            }
            Some(at) if !start => at,
            _ => return Err(Dropped::Malformed),
        };
        data.extend_from_slice(piece);
        if !end {
            self.0 = Some(at);
            return Ok(None);
        }
        self.0 = None;
        // Frames are far smaller than 4 GiB.
        let length = (data.len() - at - 4) as u32;
        data[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Ok(Some(at))
    }

    pub(super) fn reset(&mut self) {
        self.0 = None;
    }
}
