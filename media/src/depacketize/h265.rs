//! H.265, RFC 7798: single NAL units, aggregation packets, fragmentation units. Decoding order numbers
//! are not read: they come only after `sprop-max-don-diff`, which no WebRTC sender uses.

use super::sets::Sets;
use super::units::Open;
use super::{Change, Dropped, Whole};
use crate::config::hevc::{self, Record};
use crate::payload::h265::{
    AGGREGATION, DELIMITER, FILLER, FRAGMENT, IRAP, PPS, SPS, Units, VPS, kind, set_number,
    starts_picture,
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
    let Some((header, body)) = payload.split_at_checked(2) else {
        return false;
    };
    match kind(header[0]) {
        AGGREGATION => {
            Units(body).next().is_some_and(|unit| starts_picture(kind(unit[0]), &unit[2..]))
        }
        FRAGMENT => body.split_first().is_some_and(|(fragment, body)| {
            fragment & 0x80 != 0 && starts_picture(fragment & 0x3f, body)
        }),
        kind => starts_picture(kind, body),
    }
}

impl State {
    pub(super) fn add(&mut self, payload: &[u8], data: &mut Vec<u8>) -> Result<(), Dropped> {
        let (header, body) = payload.split_at_checked(2).ok_or(Dropped::Malformed)?;
        match kind(header[0]) {
            FRAGMENT => {
                let (fragment, piece) = body.split_first().ok_or(Dropped::Malformed)?;
                let which = (fragment & 0x80 != 0, fragment & 0x40 != 0);
                let header = [header[0] & 0x81 | (fragment & 0x3f) << 1, header[1]];
                match self.open.add(which, &header, piece, data)? {
                    Some(at) => self.whole(at, data),
                    None => Ok(()),
                }
            }
            _ if self.open.is_open() => Err(Dropped::Malformed),
            AGGREGATION => {
                let mut units = Units(body);
                for unit in units.by_ref() {
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
        match kind(unit[0]) {
            VPS => self.learn(0, set_number(unit), unit.to_vec()),
            SPS => self.learn(1, hevc::sps(unit).map(|sps| sps.id.into()), unit.to_vec()),
            PPS => self.learn(2, set_number(unit), unit.to_vec()),
            DELIMITER | FILLER => {}
            AGGREGATION.. => return Err(Dropped::Malformed),
            kind => {
                self.keyframe |= IRAP.contains(&kind);
                return Ok(());
            }
        }
        data.truncate(at);
        Ok(())
    }

    fn learn(&mut self, kind: u8, number: Option<u32>, unit: Vec<u8>) {
        if let Some(number) = number {
            self.sets.learn(kind, number, &unit);
        }
    }

    pub(super) fn end(&mut self) -> Result<Whole, Dropped> {
        if self.open.is_open() {
            return Err(Dropped::Malformed);
        }
        let keyframe = std::mem::take(&mut self.keyframe);
        let changed = self.sets.end(3);
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
        let [vps, sps, pps] = [0, 1, 2].map(|kind| self.sets.of(kind));
        let record = Record::from_sets(vps, sps, pps).ok()?;
        config::format(Codec::H265, record.build()).ok()
    }

    pub(super) fn reset(&mut self) {
        self.open.reset();
        self.keyframe = false;
    }
}
