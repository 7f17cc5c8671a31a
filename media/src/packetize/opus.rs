//! Opus, RFC 7587: one packet is one payload, and cannot be cut.

use super::{Sink, Skip};
use crate::AccessUnit;

/// The longest packet of one frame (RFC 6716 section 3.2): it goes out even where the MTU is less.
const MAX: usize = 1276;

pub(super) fn push(unit: &AccessUnit, sink: &mut Sink<'_>) {
    if unit.data.len() > sink.mtu.max(MAX) {
        return sink.skip(Skip::TooLarge);
    }
    sink.put(&[&unit.data]);
}
