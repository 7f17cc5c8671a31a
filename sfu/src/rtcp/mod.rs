//! RTCP in the clear: what viewers say of what we send (RFC 3550 section 6, RFC 4585, RFC 5104,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01, draft-alvestrand-rmcat-remb-03), and what we
//! and the load tool say. [`packets`] reads in place, [`Writer`] writes into the caller's buffer:
//! nothing is allocated. SRTCP, addresses and clocks do not enter here.

mod feedback;
mod report;
mod transport_cc;
mod write;

#[cfg(test)]
mod tests;

pub use feedback::{Seqs, Ssrcs};
pub use report::{ReportBlock, ReportBlocks, SenderInfo, ntp, ntp_middle, rtt};
pub use transport_cc::{Arrivals, TransportCc};
pub use write::{Full, Writer};

/// Packet types (RFC 3550 section 12.1, RFC 4585 section 6.1) and the formats of feedback.
mod kind {
    pub(super) const SENDER_REPORT: u8 = 200;
    pub(super) const RECEIVER_REPORT: u8 = 201;
    pub(super) const DESCRIPTION: u8 = 202;
    pub(super) const BYE: u8 = 203;
    pub(super) const TRANSPORT_FEEDBACK: u8 = 205;
    pub(super) const PAYLOAD_FEEDBACK: u8 = 206;
    pub(super) const NACK: u8 = 1;
    pub(super) const TRANSPORT_CC: u8 = 15;
    pub(super) const PLI: u8 = 1;
    pub(super) const FIR: u8 = 4;
    pub(super) const APPLICATION: u8 = 15;
}

/// Packets that the transport-cc feedback of one datagram may speak of. Eight bytes can claim 65,535,
/// so a datagram could make us count to millions; a real one covers 250 ms, here at 32,000 packets/s.
pub const MAX_STATUSES: u32 = 8192;

/// One RTCP packet, read in place.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    /// SR: what `ssrc` has sent, and what it has received.
    SenderReport {
        /// Who reports.
        ssrc: u32,
        /// What it has sent.
        info: SenderInfo,
        /// What it has received, one block for each source.
        blocks: ReportBlocks<'a>,
    },
    /// RR: what `ssrc` has received.
    ReceiverReport {
        /// Who reports.
        ssrc: u32,
        /// One block for each source.
        blocks: ReportBlocks<'a>,
    },
    /// Generic NACK (RFC 4585 section 6.2.1): packets that did not come.
    Nack {
        /// Whose packets.
        media_ssrc: u32,
        /// Their sequence numbers: at most 17 for four bytes on the wire, repetitions included.
        seqs: Seqs<'a>,
    },
    /// Picture loss indication (RFC 4585 section 6.3.1): a keyframe is wanted.
    Pli {
        /// Of this source.
        media_ssrc: u32,
    },
    /// One entry of a full intra request (RFC 5104 section 4.3.1): a keyframe is wanted.
    Fir {
        /// Of this source.
        media_ssrc: u32,
        /// Says whether the command is new or a repetition.
        seq: u8,
    },
    /// Transport-wide congestion control feedback.
    TransportCc(TransportCc<'a>),
    /// Receiver estimated maximum bitrate.
    Remb {
        /// Bits per second, all sources together.
        bitrate_bps: u64,
        /// The sources that it is about.
        ssrcs: Ssrcs<'a>,
    },
    /// Somebody leaves.
    Bye,
    /// Well-formed, and nothing that we use: descriptions, extended reports, other feedback.
    Other,
    /// Not RTCP: nothing is read from here on. Always the last one, to be counted.
    Malformed,
}

/// The packets of one decrypted compound, which may be of reduced size (RFC 5506). Stops behind the first
/// [`Packet::Malformed`]; what came before it stands.
pub fn packets(compound: &[u8]) -> Packets<'_> {
    Packets { rest: compound, intra_requests: &[], statuses: MAX_STATUSES }
}

/// Iterator over the packets of a compound.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
    /// Entries of a full intra request that wait for their turn.
    intra_requests: &'a [u8],
    /// How many statuses of transport-cc are still believed.
    statuses: u32,
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        loop {
            if let Some((request, rest)) = feedback::intra_request(self.intra_requests) {
                self.intra_requests = rest;
                return Some(request);
            }
            if self.rest.is_empty() {
                return None;
            }
            match self.parse() {
                Some(Parsed::Packet(packet)) => return Some(packet),
                Some(Parsed::IntraRequests(entries)) => self.intra_requests = entries,
                None => {
                    self.rest = &[];
                    return Some(Packet::Malformed);
                }
            }
        }
    }
}

/// What one packet on the wire is for us: itself, or a row of entries.
enum Parsed<'a> {
    Packet(Packet<'a>),
    IntraRequests(&'a [u8]),
}

impl<'a> Packets<'a> {
    /// Takes the next packet off.
    fn parse(&mut self) -> Option<Parsed<'a>> {
        let (count, kind, body, rest) = split(self.rest)?;
        self.rest = rest;
        let packet = match kind {
            kind::SENDER_REPORT => report::sender(count, body)?,
            kind::RECEIVER_REPORT => report::receiver(count, body)?,
            kind::BYE => Packet::Bye,
            kind::TRANSPORT_FEEDBACK | kind::PAYLOAD_FEEDBACK => {
                let (_sender, body) = u32(body)?;
                let (media_ssrc, body) = u32(body)?;
                match (kind, count) {
                    (kind::TRANSPORT_FEEDBACK, kind::NACK) => {
                        Packet::Nack { media_ssrc, seqs: Seqs::new(body) }
                    }
                    (kind::TRANSPORT_FEEDBACK, kind::TRANSPORT_CC) => {
                        let feedback = TransportCc::parse(media_ssrc, body)?;
                        let statuses = u32::from(feedback.status_count);
                        self.statuses = self.statuses.checked_sub(statuses)?;
                        Packet::TransportCc(feedback)
                    }
                    (kind::PAYLOAD_FEEDBACK, kind::PLI) => Packet::Pli { media_ssrc },
                    (kind::PAYLOAD_FEEDBACK, kind::FIR) => {
                        return Some(Parsed::IntraRequests(body));
                    }
                    (kind::PAYLOAD_FEEDBACK, kind::APPLICATION) => feedback::application(body)?,
                    _ => Packet::Other,
                }
            }
            _ => Packet::Other,
        };
        Some(Parsed::Packet(packet))
    }
}

/// The common header: its five bits of count or format, the type, the body without padding, and what
/// follows.
fn split(bytes: &[u8]) -> Option<(u8, u8, &[u8], &[u8])> {
    let (&[first, kind, high, low], rest) = bytes.split_first_chunk()?;
    if first >> 6 != 2 {
        return None;
    }
    let (body, rest) = rest.split_at_checked(4 * usize::from(u16::from_be_bytes([high, low])))?;
    let padding = match first & 0x20 {
        0 => 0,
        _ => usize::from(*body.last()?).max(1),
    };
    let body = body.get(..body.len().checked_sub(padding)?)?;
    Some((first & 0x1f, kind, body, rest))
}

/// A number in network order, and what follows it.
fn u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*number), rest))
}

fn u16(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*number), rest))
}
