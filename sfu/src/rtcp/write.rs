//! Writing RTCP into the caller's buffer: what a sender says (reports, its CNAME, BYE), and what a
//! receiver such as the load tool says (reports, NACK, PLI, FIR, transport-cc, REMB).

use super::kind;
use super::report::{ReportBlock, SenderInfo};
use super::transport_cc::{DELTA_US, LARGE_DELTA, NOT_RECEIVED, REFERENCE_US, SMALL_DELTA};

/// Counts of five bits.
const MAX_COUNT: usize = 31;
/// Longest run of one symbol.
const MAX_RUN: usize = 0x1fff;

/// The buffer has no room for this packet; nothing of it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for this RTCP packet")]
pub struct Full;

/// Writes the packets of one compound, one behind the other.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// Writes to the start of `buffer`.
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// How many bytes the compound has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True before the first packet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The compound.
    pub fn written(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Sender report (RFC 3550 section 6.4.1), with the first 31 blocks.
    ///
    /// # Errors
    /// [`Full`]
    pub fn sender_report(
        &mut self,
        ssrc: u32,
        info: &SenderInfo,
        blocks: &[ReportBlock],
    ) -> Result<(), Full> {
        self.packet(blocks.len().min(MAX_COUNT), kind::SENDER_REPORT, |w| {
            w.put(&ssrc.to_be_bytes())?;
            w.put(&info.ntp.to_be_bytes())?;
            for word in [info.rtp_timestamp, info.packets, info.octets] {
                w.put(&word.to_be_bytes())?;
            }
            w.blocks(blocks)
        })
    }

    /// Receiver report (RFC 3550 section 6.4.2), with the first 31 blocks.
    ///
    /// # Errors
    /// [`Full`]
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Result<(), Full> {
        self.packet(blocks.len().min(MAX_COUNT), kind::RECEIVER_REPORT, |w| {
            w.put(&ssrc.to_be_bytes())?;
            w.blocks(blocks)
        })
    }

    /// Source description with a CNAME (RFC 3550 section 6.5.1), of which at most 255 bytes count.
    ///
    /// # Errors
    /// [`Full`]
    pub fn cname(&mut self, ssrc: u32, cname: &str) -> Result<(), Full> {
        let name = &cname.as_bytes()[..cname.len().min(255)];
        self.packet(1, kind::DESCRIPTION, |w| {
            w.put(&ssrc.to_be_bytes())?;
            w.put(&[1, name.len() as u8])?;
            w.put(name)?;
            // One zero ends the items, more fill up the word.
            let end = 4 - (2 + name.len()) % 4;
            w.put(&[0; 4][..end])
        })
    }

    /// BYE (RFC 3550 section 6.6) of the first 31 sources.
    ///
    /// # Errors
    /// [`Full`]
    pub fn bye(&mut self, ssrcs: &[u32]) -> Result<(), Full> {
        let ssrcs = &ssrcs[..ssrcs.len().min(MAX_COUNT)];
        self.packet(ssrcs.len(), kind::BYE, |w| {
            ssrcs.iter().try_for_each(|ssrc| w.put(&ssrc.to_be_bytes()))
        })
    }

    /// Generic NACK (RFC 4585 section 6.2.1). Ascending numbers share entries; without any, nothing is
    /// written.
    ///
    /// # Errors
    /// [`Full`]
    pub fn nack(
        &mut self,
        sender_ssrc: u32,
        media_ssrc: u32,
        seqs: impl IntoIterator<Item = u16>,
    ) -> Result<(), Full> {
        let mut seqs = seqs.into_iter();
        let Some(mut base) = seqs.next() else { return Ok(()) };
        self.feedback(kind::NACK, kind::TRANSPORT_FEEDBACK, sender_ssrc, media_ssrc, |w| {
            let mut behind = 0_u16;
            for seq in seqs {
                match seq.wrapping_sub(base) {
                    0 => {}
                    distance @ 1..=16 => behind |= 1 << (distance - 1),
                    _ => {
                        w.put(&base.to_be_bytes())?;
                        w.put(&behind.to_be_bytes())?;
                        (base, behind) = (seq, 0);
                    }
                }
            }
            w.put(&base.to_be_bytes())?;
            w.put(&behind.to_be_bytes())
        })
    }

    /// Picture loss indication (RFC 4585 section 6.3.1).
    ///
    /// # Errors
    /// [`Full`]
    pub fn pli(&mut self, sender_ssrc: u32, media_ssrc: u32) -> Result<(), Full> {
        self.feedback(kind::PLI, kind::PAYLOAD_FEEDBACK, sender_ssrc, media_ssrc, |_| Ok(()))
    }

    /// Full intra request (RFC 5104 section 4.3.1) of one source. `seq` counts the commands.
    ///
    /// # Errors
    /// [`Full`]
    pub fn fir(&mut self, sender_ssrc: u32, media_ssrc: u32, seq: u8) -> Result<(), Full> {
        self.feedback(kind::FIR, kind::PAYLOAD_FEEDBACK, sender_ssrc, 0, |w| {
            w.put(&media_ssrc.to_be_bytes())?;
            w.put(&[seq, 0, 0, 0])
        })
    }

    /// REMB: `bitrate_bps` in all for these sources, at most 255; rounded down to 18 bits.
    ///
    /// # Errors
    /// [`Full`]
    pub fn remb(&mut self, sender_ssrc: u32, bitrate_bps: u64, ssrcs: &[u32]) -> Result<(), Full> {
        let ssrcs = &ssrcs[..ssrcs.len().min(255)];
        let exponent = (64 - bitrate_bps.leading_zeros()).saturating_sub(18);
        let mantissa = (bitrate_bps >> exponent) as u32;
        let word = (ssrcs.len() as u32) << 24 | exponent << 18 | mantissa;
        self.feedback(kind::APPLICATION, kind::PAYLOAD_FEEDBACK, sender_ssrc, 0, |w| {
            w.put(b"REMB")?;
            w.put(&word.to_be_bytes())?;
            ssrcs.iter().try_for_each(|ssrc| w.put(&ssrc.to_be_bytes()))
        })
    }

    /// Transport-wide congestion control feedback. `arrivals`: sequence numbers in ascending order and
    /// when each came, in microseconds of one clock of the receiver; `None` and gaps are losses.
    /// Returns how many of them went in: the others are too many, too far apart or not in order, and
    /// want another packet.
    ///
    /// # Errors
    /// [`Full`]
    pub fn transport_cc(
        &mut self,
        sender_ssrc: u32,
        media_ssrc: u32,
        feedback_count: u8,
        arrivals: &[(u16, Option<i64>)],
    ) -> Result<usize, Full> {
        let Some(&(base, _)) = arrivals.first() else { return Ok(0) };
        let first = arrivals.iter().find_map(|(_, at)| *at).unwrap_or_default();
        let reference = first.div_euclid(REFERENCE_US);
        let statuses = Statuses::new(arrivals, reference * REFERENCE_US / DELTA_US);
        // How far one packet reaches.
        let mut all = statuses.clone();
        let count = all.by_ref().take(MAX_RUN).count();
        let statuses = statuses.take(count);
        let reference = (reference as u32) << 8 | u32::from(feedback_count);
        self.feedback(
            kind::TRANSPORT_CC,
            kind::TRANSPORT_FEEDBACK,
            sender_ssrc,
            media_ssrc,
            |w| {
                w.put(&base.to_be_bytes())?;
                w.put(&(count as u16).to_be_bytes())?;
                w.put(&reference.to_be_bytes())?;
                w.chunks(statuses.clone().map(|(symbol, _)| symbol), count)?;
                for (symbol, delta) in statuses {
                    match symbol {
                        SMALL_DELTA => w.put(&[delta as u8])?,
                        LARGE_DELTA => w.put(&delta.to_be_bytes())?,
                        _ => {}
                    }
                }
                Ok(())
            },
        )?;
        Ok(all.taken)
    }

    /// The shortest row of chunks: a run where one is longer than what a vector holds.
    fn chunks(
        &mut self,
        mut symbols: impl Iterator<Item = u8> + Clone,
        mut left: usize,
    ) -> Result<(), Full> {
        while left > 0 {
            let mut ahead = symbols.clone();
            let first = ahead.next().unwrap_or_default();
            let run = 1 + ahead.take_while(|symbol| *symbol == first).count().min(MAX_RUN - 1);
            let narrow = symbols.clone().take(14).all(|symbol| symbol < LARGE_DELTA);
            let (len, width) = if narrow { (14, 1) } else { (7, 2) };
            let (word, taken) = if run >= len.min(left) {
                (u16::from(first) << 13 | run as u16, run)
            } else {
                let kind = if narrow { 0x8000 } else { 0xc000 };
                let shift = |at: usize| 14 - width * (at + 1);
                let vector = symbols.clone().take(len).enumerate();
                let bits = vector.fold(0, |bits, (at, s)| bits | u16::from(s) << shift(at));
                (kind | bits, len.min(left))
            };
            self.put(&word.to_be_bytes())?;
            symbols.by_ref().take(taken).for_each(drop);
            left -= taken;
        }
        Ok(())
    }

    fn blocks(&mut self, blocks: &[ReportBlock]) -> Result<(), Full> {
        blocks.iter().take(MAX_COUNT).try_for_each(|block| self.put(&block.bytes()))
    }

    fn feedback(
        &mut self,
        format: u8,
        kind: u8,
        sender_ssrc: u32,
        media_ssrc: u32,
        body: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<(), Full> {
        self.packet(usize::from(format), kind, |w| {
            w.put(&sender_ssrc.to_be_bytes())?;
            w.put(&media_ssrc.to_be_bytes())?;
            body(w)
        })
    }

    /// One packet: header, body, and padding to whole words. All of it, or nothing.
    fn packet(
        &mut self,
        count: usize,
        kind: u8,
        body: impl FnOnce(&mut Self) -> Result<(), Full>,
    ) -> Result<(), Full> {
        let start = self.len;
        let result = self.put(&[0x80 | count as u8, kind, 0, 0]).and_then(|()| body(self));
        let written = result.and_then(|()| match (self.len - start) % 4 {
            0 => Ok(0),
            over => self.put(&[0, 0, 0, 4 - over as u8][over..]).map(|()| 0x20),
        });
        let words = (self.len - start) / 4;
        match (written, u16::try_from(words.saturating_sub(1))) {
            (Ok(padded), Ok(length)) => {
                self.buffer[start] |= padded;
                self.buffer[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
                Ok(())
            }
            _ => {
                self.len = start;
                Err(Full)
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len + bytes.len();
        self.buffer.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

/// Symbols and deltas of a list of arrivals, gaps filled, up to what no longer fits one packet.
#[derive(Clone)]
struct Statuses<'a> {
    arrivals: &'a [(u16, Option<i64>)],
    /// Entries that are through.
    taken: usize,
    /// The next number.
    seq: u16,
    /// The last arrival in units of 250 µs.
    time: i64,
}

impl<'a> Statuses<'a> {
    fn new(arrivals: &'a [(u16, Option<i64>)], time: i64) -> Self {
        Self { arrivals, taken: 0, seq: arrivals.first().map_or(0, |(seq, _)| *seq), time }
    }
}

impl Iterator for Statuses<'_> {
    type Item = (u8, i16);

    fn next(&mut self) -> Option<(u8, i16)> {
        let &(seq, arrival) = self.arrivals.get(self.taken)?;
        let gap = seq.wrapping_sub(self.seq);
        if usize::from(gap) > MAX_RUN {
            return None;
        }
        let mut status = (NOT_RECEIVED, 0);
        if let (0, Some(arrival)) = (gap, arrival) {
            let time = arrival.div_euclid(DELTA_US);
            let delta = i16::try_from(time - self.time).ok()?;
            let small = (0..=255).contains(&delta);
            status = (if small { SMALL_DELTA } else { LARGE_DELTA }, delta);
            self.time = time;
        }
        self.taken += usize::from(gap == 0);
        self.seq = self.seq.wrapping_add(1);
        Some(status)
    }
}
