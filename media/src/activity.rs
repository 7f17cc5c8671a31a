//! Whether a publisher is there: what media threads say of it and what the life of a stream hangs on.

/// What has lately been heard of a publisher. The times are those of whoever listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Media packets arrive.
    Media,
    /// No media, but something authentic: a check, a report.
    Quiet,
    /// Nothing authentic at all.
    Silent,
}
