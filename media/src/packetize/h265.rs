//! H.265, RFC 7798 without decoding order numbers: single NAL units, aggregation packets (section
//! 4.4.2), fragmentation units (4.4.3).

use bytes::Bytes;

use super::units::{Role, Sets, collect, group};
use super::{Sink, even};
use crate::config::hevc::Record;
use crate::payload::h265::{AGGREGATION, DELIMITER, FILLER, FRAGMENT, PPS, SPS, VPS, kind};
use crate::{AccessUnit, Format};

#[derive(Debug, Default)]
pub(super) struct State {
    sets: Sets,
}

impl State {
    pub(super) fn push(&mut self, format: &Format, unit: &AccessUnit, sink: &mut Sink<'_>) {
        let sets = self.sets.of(&format.config, sets);
        let units = collect(&unit.data, unit.keyframe, sets, role, sink);
        group(&units, 2, sink.mtu, |units| match units {
            [unit] if unit.len() <= sink.mtu => sink.put(&[unit]),
            [unit] => fragment(unit, sink),
            units => aggregate(units, sink),
        });
    }
}

fn sets(config: &Bytes) -> Vec<Bytes> {
    Record::parse(config).map(|r| [r.vps, r.sps, r.pps].concat()).unwrap_or_default()
}

fn role(unit: &[u8]) -> Role {
    // The header has two bytes, and no unit is only that but those that end a sequence.
    if unit.len() < 2 {
        return Role::Malformed;
    }
    match kind(unit[0]) {
        VPS => Role::Set(0),
        SPS => Role::Set(1),
        PPS => Role::Set(2),
        DELIMITER | FILLER => Role::Needless,
        AGGREGATION.. => Role::Malformed,
        _ => Role::Other,
    }
}

fn aggregate(units: &[&[u8]], sink: &mut Sink<'_>) {
    // The forbidden bit of any, the lowest layer and temporal id of all.
    let forbidden = units.iter().fold(0, |bit, unit| bit | unit[0] & 0x80);
    let layer = units.iter().map(|unit| (unit[0] & 1) << 5 | unit[1] >> 3).min().unwrap_or(0);
    let temporal = units.iter().map(|unit| unit[1] & 7).min().unwrap_or(1);
    let mut bytes = vec![forbidden | AGGREGATION << 1 | layer >> 5, layer << 3 | temporal];
    for unit in units {
        // They fit into a payload together.
        bytes.extend((unit.len() as u16).to_be_bytes());
        bytes.extend_from_slice(unit);
    }
    sink.put(&[&bytes]);
}

/// A unit that is larger than a payload.
fn fragment(unit: &[u8], sink: &mut Sink<'_>) {
    let (header, body) = unit.split_at(2);
    let header_of_all = [header[0] & 0x81 | FRAGMENT << 1, header[1]];
    let mut pieces = body.chunks(even(body.len(), sink.mtu - 3)).peekable();
    let mut flag = 0x80;
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flag |= 0x40;
        }
        sink.put(&[&header_of_all, &[flag | kind(header[0])], piece]);
        flag = 0;
    }
}
