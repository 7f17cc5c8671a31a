//! What the header of an RTP packet says (RFC 3550, RFC 8285): it is in the clear, so a load tool
//! can count without opening the packet.

/// A header, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Payload type.
    pub pt: u8,
    /// Last packet of a frame.
    pub marker: bool,
    /// Sequence number.
    pub seq: u16,
    /// In ticks of the codec's clock.
    pub timestamp: u32,
    /// The stream.
    pub ssrc: u32,
    /// Bytes before the payload.
    pub length: usize,
    /// The end of the payload is padding.
    pub padding: bool,
    /// Number of transport-wide congestion control.
    pub transport_cc: Option<u16>,
}

/// True for RTP and RTCP, RFC 7983.
pub fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(128..=191))
}

/// True for RTCP among what is media, RFC 5761.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram.get(1), Some(192..=223))
}

impl Header {
    /// Reads a header; `transport_cc` is the id of that extension.
    pub fn parse(packet: &[u8], transport_cc: Option<u8>) -> Option<Self> {
        let head: &[u8; 12] = packet.first_chunk()?;
        let mut header = Self {
            pt: head[1] & 0x7f,
            marker: head[1] & 0x80 != 0,
            seq: u16::from_be_bytes([head[2], head[3]]),
            timestamp: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            ssrc: u32::from_be_bytes([head[8], head[9], head[10], head[11]]),
            length: 12 + 4 * usize::from(head[0] & 0x0f),
            padding: head[0] & 0x20 != 0,
            transport_cc: None,
        };
        if head[0] & 0x10 != 0 {
            let [p0, p1, l0, l1] = *packet.get(header.length..)?.first_chunk::<4>()?;
            let start = header.length + 4;
            header.length = start + 4 * usize::from(u16::from_be_bytes([l0, l1]));
            let block = packet.get(start..header.length)?;
            if let Some(id) = transport_cc {
                header.transport_cc = number(u16::from_be_bytes([p0, p1]), block, id);
            }
        }
        (packet.len() >= header.length).then_some(header)
    }
}

/// The two-byte number under `id`, in either form of RFC 8285.
fn number(profile: u16, block: &[u8], id: u8) -> Option<u16> {
    let mut at = 0;
    while let Some(byte) = block.get(at).copied() {
        if byte == 0 {
            at += 1;
            continue;
        }
        let (found, length, head) = match profile {
            0xbede => (byte >> 4, usize::from(byte & 0x0f) + 1, 1),
            _ => (byte, usize::from(*block.get(at + 1)?), 2),
        };
        let value = block.get(at + head..at + head + length)?;
        if found == id {
            return value.first_chunk().map(|v| u16::from_be_bytes(*v));
        }
        at += head + length;
    }
    None
}

/// Writes a header with at most the transport-wide number; returns its length.
pub fn write(packet: &mut [u8], header: &Header, transport_cc: Option<u8>) -> usize {
    let extended = transport_cc.zip(header.transport_cc);
    packet[0] = 0x80 | if extended.is_some() { 0x10 } else { 0 };
    packet[1] = header.pt | (u8::from(header.marker) << 7);
    packet[2..4].copy_from_slice(&header.seq.to_be_bytes());
    packet[4..8].copy_from_slice(&header.timestamp.to_be_bytes());
    packet[8..12].copy_from_slice(&header.ssrc.to_be_bytes());
    let Some((id, number)) = extended else { return 12 };
    packet[12..16].copy_from_slice(&[0xbe, 0xde, 0, 1]);
    packet[16] = (id << 4) | 1;
    packet[17..19].copy_from_slice(&number.to_be_bytes());
    packet[19] = 0;
    20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let header = Header {
            pt: 102,
            marker: true,
            seq: 65_535,
            timestamp: 7,
            ssrc: 0xdead_beef,
            length: 20,
            padding: false,
            transport_cc: Some(513),
        };
        let mut packet = [0; 40];
        assert_eq!(write(&mut packet, &header, Some(3)), 20);
        assert_eq!(Header::parse(&packet, Some(3)), Some(header));
        assert!(is_media(&packet) && !is_rtcp(&packet));
        let other = Header { transport_cc: None, ..header };
        assert_eq!(Header::parse(&packet, Some(4)), Some(other));
        assert_eq!(Header::parse(&packet[..19], Some(3)), None, "cut short");
    }

    #[test]
    fn two_byte_extensions_are_read_too() {
        let mut packet = vec![0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0x10, 0, 0, 2];
        packet.extend_from_slice(&[1, 1, 7, 0, 3, 2, 1, 4]);
        assert_eq!(Header::parse(&packet, Some(3)).unwrap().transport_cc, Some(260));
    }
}
