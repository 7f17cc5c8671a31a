//! H.264, RFC 6184 packetization mode 1: single NAL units, STAP-A (section 5.7.1), FU-A (5.8).

use bytes::Bytes;

use super::units::{Role, Sets, collect, group};
use super::{Sink, even};
use crate::config::avc::Record;
use crate::payload::h264::{DELIMITER, FILLER, FU_A, PPS, SPS, STAP_A};
use crate::{AccessUnit, Format};

#[derive(Debug, Default)]
pub(super) struct State {
    sets: Sets,
}

impl State {
    pub(super) fn push(&mut self, format: &Format, unit: &AccessUnit, sink: &mut Sink<'_>) {
        let sets = self.sets.of(&format.config, sets);
        let units = collect(&unit.data, unit.keyframe, sets, role, sink);
        group(&units, 1, sink.mtu, |units| match units {
            [unit] if unit.len() <= sink.mtu => sink.put(&[unit]),
            [unit] => fragment(unit, sink),
            units => aggregate(units, sink),
        });
    }
}

fn sets(config: &Bytes) -> Vec<Bytes> {
    Record::parse(config).map(|r| [r.sps, r.pps].concat()).unwrap_or_default()
}

fn role(unit: &[u8]) -> Role {
    match unit[0] & 0x1f {
        SPS => Role::Set(0),
        PPS => Role::Set(1),
        DELIMITER | FILLER => Role::Needless,
        0 | STAP_A.. => Role::Malformed,
        _ => Role::Other,
    }
}

fn aggregate(units: &[&[u8]], sink: &mut Sink<'_>) {
    // The forbidden bit of any, the highest importance of all.
    let forbidden = units.iter().fold(0, |bit, unit| bit | unit[0] & 0x80);
    let importance = units.iter().map(|unit| unit[0] & 0x60).max().unwrap_or(0);
    let mut bytes = vec![forbidden | importance | STAP_A];
    for unit in units {
        // They fit into a payload together.
        bytes.extend((unit.len() as u16).to_be_bytes());
        bytes.extend_from_slice(unit);
    }
    sink.put(&[&bytes]);
}

/// A unit that is larger than a payload.
fn fragment(unit: &[u8], sink: &mut Sink<'_>) {
    let (header, body) = (unit[0], &unit[1..]);
    let mut pieces = body.chunks(even(body.len(), sink.mtu - 2)).peekable();
    let mut flag = 0x80;
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            flag |= 0x40;
        }
        sink.put(&[&[header & 0xe0 | FU_A, flag | header & 0x1f], piece]);
        flag = 0;
    }
}
