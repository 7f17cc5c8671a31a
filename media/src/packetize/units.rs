//! What the payload formats of H.264 and H.265 share: which NAL units of an access unit go out, in which
//! order, and which of them together.

use bytes::Bytes;

use super::{Sink, Skip};
use crate::nal;

/// What a NAL unit is to a packetizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A parameter set; those of a lower number go before those of a higher one.
    Set(u8),
    /// Goes out as it is.
    Other,
    /// Delimiters and filler: no receiver needs them.
    Needless,
    /// Nothing that a payload can hold.
    Malformed,
}

/// The parameter sets of a format's configuration, read once.
#[derive(Debug, Default)]
pub(super) struct Sets {
    config: Bytes,
    sets: Vec<Bytes>,
}

impl Sets {
    /// Those of `config`, which `read` takes apart where it is another one than last time.
    pub(super) fn of(&mut self, config: &Bytes, read: impl Fn(&Bytes) -> Vec<Bytes>) -> &[Bytes] {
        if self.config != *config {
            self.sets = read(config);
            self.config = config.clone();
        }
        &self.sets
    }
}

/// The units of `data` that go out. In a keyframe parameter sets go first, and those of a kind that it
/// does not have itself are taken from `sets`.
pub(super) fn collect<'a>(
    data: &'a [u8],
    keyframe: bool,
    sets: &'a [Bytes],
    role: fn(&[u8]) -> Role,
    sink: &mut Sink<'_>,
) -> Vec<&'a [u8]> {
    let mut own = Vec::new();
    let mut others = Vec::new();
    let mut units = nal::units(data);
    for unit in units.by_ref() {
        match role(unit) {
            Role::Set(order) if keyframe => own.push((order, unit)),
            Role::Set(_) | Role::Other => others.push(unit),
            Role::Needless => {}
            Role::Malformed => sink.skip(Skip::Malformed),
        }
    }
    sink.skip_many(Skip::Empty, units.empty());
    if !units.rest().is_empty() {
        sink.skip(Skip::CutShort);
    }
    if !keyframe || others.is_empty() {
        return own.into_iter().map(|(_, set)| set).chain(others).collect();
    }
    let in_band = own.clone();
    for set in sets {
        if let Role::Set(order) = role(set)
            && !in_band.iter().any(|(own, _)| *own == order)
        {
            own.push((order, set));
        }
    }
    own.sort_by_key(|(order, _)| *order);
    own.into_iter().map(|(_, set)| set).chain(others).collect()
}

/// Calls `each` for every group of consecutive units that share a payload of `mtu` bytes, of which the
/// payload takes `header` and each unit two more. One that is too large is a group of its own.
pub(super) fn group<'a>(
    units: &[&'a [u8]],
    header: usize,
    mtu: usize,
    mut each: impl FnMut(&[&'a [u8]]),
) {
    let mut rest = units;
    while let Some(first) = rest.first() {
        let mut size = header + 2 + first.len();
        let more = rest[1..].iter().take_while(|unit| {
            size += 2 + unit.len();
            size <= mtu
        });
        let (group, after) = rest.split_at(1 + more.count());
        each(group);
        rest = after;
    }
}
