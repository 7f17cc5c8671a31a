//! The RTCP that a browser sends as a viewer (RR, NACK, PLI, transport-wide feedback) and reads as
//! a publisher (RFC 3550, RFC 4585, draft-holmer-rmcat-transport-wide-cc-extensions-01).

/// A compound packet being written; room for one datagram.
pub struct Writer {
    bytes: [u8; SIZE],
    used: usize,
}

const SIZE: usize = 1400;
/// So that sealing still has room.
const FULL: usize = SIZE - 32;

impl Default for Writer {
    fn default() -> Self {
        Self { bytes: [0; SIZE], used: 0 }
    }
}

impl Writer {
    /// The buffer, and how much of it is written.
    pub fn finish(&mut self) -> (&mut [u8], usize) {
        (&mut self.bytes, self.used)
    }

    /// True if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.used..end) {
            place.copy_from_slice(bytes);
            self.used = end;
        }
    }

    /// Header with count or format, type and our SSRC; gives the place to [`Writer::close`].
    fn open(&mut self, count: u8, kind: u8, sender: u32) -> usize {
        let start = self.used;
        self.put(&[0x80 | count, kind, 0, 0]);
        self.put(&sender.to_be_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        while !(self.used - start).is_multiple_of(4) {
            self.put(&[0]);
        }
        let words = ((self.used - start) / 4 - 1) as u16;
        self.bytes[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }

    /// RFC 3550 section 6.4.2.
    pub fn receiver_report(&mut self, sender: u32, blocks: &[[u8; 24]]) {
        let blocks = &blocks[..blocks.len().min(31)];
        let start = self.open(blocks.len() as u8, 201, sender);
        blocks.iter().for_each(|block| self.put(block));
        self.close(start);
    }

    /// RFC 3550 section 6.4.1, without blocks. `ntp` is seconds and fraction.
    pub fn sender_report(
        &mut self,
        sender: u32,
        ntp: u64,
        timestamp: u32,
        packets: u32,
        bytes: u32,
    ) {
        let start = self.open(0, 200, sender);
        self.put(&ntp.to_be_bytes());
        [timestamp, packets, bytes].iter().for_each(|n| self.put(&n.to_be_bytes()));
        self.close(start);
    }

    /// RFC 4585 section 6.3.1.
    pub fn pli(&mut self, sender: u32, media: u32) {
        let start = self.open(1, 206, sender);
        self.put(&media.to_be_bytes());
        self.close(start);
    }

    /// RFC 4585 section 6.2.1; `lost` in rising order.
    pub fn nack(&mut self, sender: u32, media: u32, lost: impl Iterator<Item = u16>) {
        let start = self.open(1, 205, sender);
        self.put(&media.to_be_bytes());
        let mut entry: Option<(u16, u16)> = None;
        for seq in lost {
            if self.used > FULL - 8 {
                break;
            }
            match &mut entry {
                Some((first, mask)) if (1..=16).contains(&seq.wrapping_sub(*first)) => {
                    *mask |= 1 << (seq.wrapping_sub(*first) - 1);
                }
                _ => {
                    if let Some((first, mask)) = entry.replace((seq, 0)) {
                        self.put(&first.to_be_bytes());
                        self.put(&mask.to_be_bytes());
                    }
                }
            }
        }
        if let Some((first, mask)) = entry {
            self.put(&first.to_be_bytes());
            self.put(&mask.to_be_bytes());
        }
        self.close(start);
    }

    /// Transport-wide feedback about everything from `base` to the last of `arrivals`, which are
    /// `(number, microseconds)` in rising order of numbers, no two the same. Returns the number
    /// after the last.
    pub fn transport_cc(
        &mut self,
        sender: u32,
        media: u32,
        count: u8,
        base: u16,
        arrivals: &[(u16, u64)],
    ) -> u16 {
        let Some((last, _)) = arrivals.last() else { return base };
        let total = last.wrapping_sub(base).wrapping_add(1).min(600);
        let reference = arrivals[0].1 / 64_000;
        let start = self.open(15, 205, sender);
        self.put(&media.to_be_bytes());
        self.put(&base.to_be_bytes());
        self.put(&total.to_be_bytes());
        self.put(&((reference as u32) << 8 | u32::from(count)).to_be_bytes());

        let mut deltas = [0u8; 1200];
        let mut used = 0;
        let mut previous = reference * 256;
        let mut next = arrivals.iter().peekable();
        let mut at = 0;
        while at < total {
            let mut chunk = 0xc000u16;
            for slot in 0..7 {
                let number = base.wrapping_add(at + slot);
                let Some((_, time)) = next.next_if(|(n, _)| *n == number && at + slot < total)
                else {
                    continue;
                };
                let ticks = time / 250;
                let delta = (ticks as i64 - previous as i64).clamp(-32_768, 32_767);
                previous = ticks;
                let symbol = if let Ok(small) = u8::try_from(delta) {
                    deltas[used] = small;
                    used += 1;
                    1
                } else {
                    deltas[used..used + 2].copy_from_slice(&(delta as i16).to_be_bytes());
                    used += 2;
                    2
                };
                chunk |= symbol << (12 - 2 * slot);
            }
            self.put(&chunk.to_be_bytes());
            at += 7;
        }
        self.put(&deltas[..used]);
        self.close(start);
        base.wrapping_add(total)
    }
}

/// What a compound packet asks of a publisher, or tells a viewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A picture that can be decoded alone is wanted (PLI or FIR).
    Keyframe(u32),
    /// This packet was lost.
    Nack(u32, u16),
    /// Whose report, and the middle 32 bits of its NTP time.
    SenderReport(u32, u32),
}

/// Reads what we understand; the rest is skipped.
pub fn read(mut compound: &[u8], mut each: impl FnMut(Message)) {
    while let Some([first, kind, l0, l1]) = compound.first_chunk().copied() {
        let length = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        let Some((packet, rest)) = compound.split_at_checked(length) else { return };
        compound = rest;
        let word = |at: usize| packet.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b));
        match (kind, first & 0x1f) {
            (200, _) => {
                if let (Some(ssrc), Some(high), Some(low)) = (word(4), word(8), word(12)) {
                    each(Message::SenderReport(ssrc, high << 16 | low >> 16));
                }
            }
            (206, 1) => {
                word(8).into_iter().for_each(|ssrc| each(Message::Keyframe(ssrc)));
            }
            (206, 4) => {
                word(12).into_iter().for_each(|ssrc| each(Message::Keyframe(ssrc)));
            }
            (205, 1) => {
                let Some(ssrc) = word(8) else { continue };
                for entry in packet.get(12..).unwrap_or_default().chunks_exact(4) {
                    let seq = u16::from_be_bytes([entry[0], entry[1]]);
                    let mask = u16::from_be_bytes([entry[2], entry[3]]);
                    each(Message::Nack(ssrc, seq));
                    (0..16u16).filter(|bit| mask & (1 << bit) != 0).for_each(|bit| {
                        each(Message::Nack(ssrc, seq.wrapping_add(bit + 1)));
                    });
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read_back() {
        let mut writer = Writer::default();
        writer.receiver_report(1, &[[7; 24]]);
        writer.nack(1, 9, [65_534, 65_535, 0, 40, 57].into_iter());
        writer.pli(1, 9);
        writer.sender_report(5, 0x1122_3344_5566_7788, 1, 2, 3);
        let (bytes, used) = writer.finish();
        let mut got = Vec::new();
        read(&bytes[..used], |m| got.push(m));
        let lost = [65_534, 65_535, 0, 40, 57].map(|seq| Message::Nack(9, seq));
        assert_eq!(got[..5], lost);
        assert_eq!(got[5..], [Message::Keyframe(9), Message::SenderReport(5, 0x3344_5566)]);
    }

    #[test]
    fn feedback_says_which_packets_came_and_when() {
        let mut writer = Writer::default();
        // 4 is missing; 6 comes 100 ms after 5; 9 a little before it, which is a negative step.
        let arrivals = [(3, 64_000_000), (5, 64_000_500), (6, 64_100_500), (9, 64_100_250)];
        assert_eq!(writer.transport_cc(1, 2, 7, 3, &arrivals), 10);
        let (bytes, used) = writer.finish();
        assert_eq!(bytes[..4], [0x8f, 205, 0, 6]);
        assert_eq!(bytes[12..20], [0, 3, 0, 7, 0, 3, 0xe8, 7], "base, count, reference, number");
        // received small, lost, small, large, lost, lost, large
        assert_eq!(bytes[20..22], (0xc000u16 | 0b01_00_01_10_00_00_10).to_be_bytes());
        assert_eq!(bytes[22..28], [0, 2, 1, 144, 255, 255]);
        assert_eq!(used, 28);
    }
}
