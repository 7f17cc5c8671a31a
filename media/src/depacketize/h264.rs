//! H.264, RFC 6184 packetization modes 0 and 1: single NAL units, STAP-A, FU-A.

use super::sets::Sets;
use super::units::Open;
use super::{Change, Dropped, Whole};
use crate::config::avc::Record;
use crate::payload::h264::{
    DELIMITER, FILLER, FU_A, IDR, PPS, SPS, STAP_A, Units, set_number, starts_picture,
};
use crate::{Codec, config, nal};

#[derive(Debug, Default)]
pub(super) struct State {
    sets: Sets,
    open: Open,
    keyframe: bool,
    /// A format came out.
    known: bool,
}

pub(super) fn begins(payload: &[u8]) -> bool {
    match payload {
        [header, body @ ..] if header & 0x1f == STAP_A => {
            let first = Units(body).next().and_then(<[u8]>::split_first);
            first.is_some_and(|(header, body)| starts_picture(header & 0x1f, body))
        }
        [header, fragment, body @ ..] if header & 0x1f == FU_A => {
            fragment & 0x80 != 0 && starts_picture(fragment & 0x1f, body)
        }
        [header, body @ ..] => starts_picture(header & 0x1f, body),
        [] => false,
    }
}

impl State {
    pub(super) fn add(&mut self, payload: &[u8], data: &mut Vec<u8>) -> Result<(), Dropped> {
        let (header, body) = payload.split_first().ok_or(Dropped::Malformed)?;
        match header & 0x1f {
            FU_A => {
                let (fragment, piece) = body.split_first().ok_or(Dropped::Malformed)?;
                let which = (fragment & 0x80 != 0, fragment & 0x40 != 0);
                let header = [header & 0xe0 | fragment & 0x1f];
                match self.open.add(which, &header, piece, data)? {
                    Some(at) => self.whole(at, data),
                    None => Ok(()),
                }
            }
            _ if self.open.is_open() => Err(Dropped::Malformed),
            STAP_A => {
                let mut units = Units(body);
                for unit in units.by_ref().filter(|unit| !unit.is_empty()) {
                    self.unit(unit, data)?;
                }
                if units.0.is_empty() { Ok(()) } else { Err(Dropped::Malformed) }
            }
            _ => self.unit(payload, data),
        }
    }

    fn unit(&mut self, unit: &[u8], data: &mut Vec<u8>) -> Result<(), Dropped> {
        let at = data.len();
        nal::append(data, unit);
        self.whole(at, data)
    }

    /// Looks at the unit whose length lies at `at`, and takes it out again where it is not for the frame.
    fn whole(&mut self, at: usize, data: &mut Vec<u8>) -> Result<(), Dropped> {
        let unit = &data[at + 4..];
        match unit[0] & 0x1f {
            kind @ (SPS | PPS) => {
                if let Some(number) = set_number(unit) {
                    self.sets.learn(u8::from(kind == PPS), number, unit);
                }
            }
            DELIMITER | FILLER => {}
            0 | STAP_A.. => return Err(Dropped::Malformed),
            kind => {
                self.keyframe |= kind == IDR;
                return Ok(());
            }
        }
        data.truncate(at);
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<Whole, Dropped> {
        if self.open.is_open() {
            return Err(Dropped::Malformed);
        }
        let keyframe = std::mem::take(&mut self.keyframe);
        let changed = self.sets.end(2);
        let format = if changed { self.format() } else { None };
        self.known = if changed { format.is_some() } else { self.known };
        let format = match format {
            Some(format) => Change::To(format),
            None if self.known => Change::None,
            None => Change::Unknown,
        };
        Ok(Whole { keyframe, format })
    }

    fn format(&self) -> Option<crate::Format> {
        let record = Record::from_sets(self.sets.of(0), self.sets.of(1)).ok()?;
        config::format(Codec::H264, record.build()).ok()
    }

    pub(super) fn reset(&mut self) {
        self.open.reset();
        self.keyframe = false;
    }
}
