//! An RTP header as one viewer gets it (RFC 3550 section 5.1), with the one-byte extension block of
//! RFC 8285: always the same elements, so that packets of one size stay of one size.

use media::rtp::Extensions;
use signaling::{Extension, Media};

/// Longest `a=mid` that is written, in bytes: what one element holds.
const MAX_MID: usize = 16;

/// What is the same in all packets of one track of one viewer.
#[derive(Debug)]
pub struct Template {
    ssrc: u32,
    /// The element with the mid, its own header first; empty without one.
    mid: [u8; MAX_MID + 1],
    mid_len: usize,
    transport_cc: Option<u8>,
    audio_level: Option<u8>,
    playout_delay: Option<u8>,
}

/// What differs from packet to packet.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    /// Marker bit.
    pub marker: bool,
    /// Payload type.
    pub pt: u8,
    /// Low bits of the sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// Padding follows the payload.
    pub padding: bool,
    /// Transport-wide sequence number, written where negotiated.
    pub transport_cc: u16,
    /// Extensions of the publisher that are passed on where negotiated.
    pub extensions: Extensions,
}

impl Template {
    /// For packets with this SSRC on the m-line `media`. Without `transport_cc` the same packet is
    /// the same bytes again, which a retransmission without RTX has to be.
    pub fn new(media: &Media, ssrc: u32, transport_cc: bool) -> Self {
        let id = |wanted| media.extensions.iter().find(|(_, e)| *e == wanted).map(|(id, _)| *id);
        let mut mid = [0; MAX_MID + 1];
        let mut mid_len = 0;
        let name = media.mid.as_bytes();
        if let Some(id) = id(Extension::Mid)
            && (1..=MAX_MID).contains(&name.len())
        {
            mid[0] = id << 4 | (name.len() - 1) as u8;
            mid[1..=name.len()].copy_from_slice(name);
            mid_len = 1 + name.len();
        }
        Self {
            ssrc,
            mid,
            mid_len,
            transport_cc: id(Extension::TransportCc).filter(|_| transport_cc),
            audio_level: id(Extension::AudioLevel),
            playout_delay: id(Extension::PlayoutDelay),
        }
    }

    /// The SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// True if transport-wide sequence numbers are written.
    pub fn has_transport_cc(&self) -> bool {
        self.transport_cc.is_some()
    }

    /// Length of the header with these extensions.
    pub fn len(&self, extensions: &Extensions) -> usize {
        let level = self.audio_level.filter(|_| extensions.audio_level.is_some());
        let delay = self.playout_delay.filter(|_| extensions.playout_delay.is_some());
        let block = self.mid_len
            + self.transport_cc.map_or(0, |_| 3)
            + level.map_or(0, |_| 2)
            + delay.map_or(0, |_| 4);
        if block == 0 { 12 } else { 16 + block.next_multiple_of(4) }
    }

    /// Writes the header; `out` is exactly [`Template::len`] long.
    pub fn write(&self, fields: &Fields, out: &mut [u8]) {
        let extended = out.len() > 12;
        out[0] = 0x80 | u8::from(fields.padding) << 5 | u8::from(extended) << 4;
        out[1] = u8::from(fields.marker) << 7 | (fields.pt & 0x7f);
        out[2..4].copy_from_slice(&fields.seq.to_be_bytes());
        out[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        if !extended {
            return;
        }
        let words = ((out.len() - 16) / 4) as u16;
        out[12..14].copy_from_slice(&[0xbe, 0xde]);
        out[14..16].copy_from_slice(&words.to_be_bytes());
        let mut at = 16;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.mid[..self.mid_len]);
        if let Some(id) = self.transport_cc {
            let [high, low] = fields.transport_cc.to_be_bytes();
            put(&[id << 4 | 1, high, low]);
        }
        if let (Some(id), Some((level, voice))) = (self.audio_level, fields.extensions.audio_level)
        {
            put(&[id << 4, u8::from(voice) << 7 | (level & 0x7f)]);
        }
        if let (Some(id), Some((min, max))) = (self.playout_delay, fields.extensions.playout_delay)
        {
            // Twelve bits each.
            put(&[
                id << 4 | 2,
                (min >> 4) as u8,
                ((min & 15) << 4) as u8 | (max >> 8) as u8,
                max as u8,
            ]);
        }
        // The rest is padding elements.
        out[at..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use media::Kind;

    use super::*;

    fn template(mid: &str, transport_cc: bool) -> Template {
        let extensions = vec![
            (1, Extension::Mid),
            (4, Extension::TransportCc),
            (5, Extension::AudioLevel),
            (6, Extension::PlayoutDelay),
        ];
        let media = Media {
            mid: mid.into(),
            kind: Kind::Video,
            payloads: Vec::new(),
            extensions,
            rids: Vec::new(),
            remote_ssrcs: Vec::new(),
            local_ssrcs: None,
        };
        Template::new(&media, 0x0102_0304, transport_cc)
    }

    fn fields(extensions: Extensions) -> Fields {
        Fields {
            marker: true,
            pt: 96,
            seq: 0xabcd,
            timestamp: 0x1122_3344,
            padding: false,
            transport_cc: 0x5566,
            extensions,
        }
    }

    fn written(template: &Template, fields: &Fields) -> Vec<u8> {
        // Not zero before: every byte has to be written.
        let mut out = vec![0xff; template.len(&fields.extensions)];
        template.write(fields, &mut out);
        out
    }

    #[test]
    fn byte_for_byte() {
        let all = Extensions { audio_level: Some((17, true)), playout_delay: Some((0x123, 0xabc)) };
        let got = written(&template("v", true), &fields(all));
        let wanted = [
            0x90, 0xe0, 0xab, 0xcd, 0x11, 0x22, 0x33, 0x44, 1, 2, 3, 4, 0xbe, 0xde, 0, 3, //
            0x10, b'v', 0x41, 0x55, 0x66, 0x50, 0x91, 0x62, 0x12, 0x3a, 0xbc, 0,
        ];
        assert_eq!(got, wanted);
    }

    #[test]
    fn without_extensions_there_is_no_block() {
        let bare = Template { mid_len: 0, audio_level: None, ..template("v", false) };
        let got = written(&bare, &fields(Extensions::default()));
        assert_eq!((got.len(), got[0]), (12, 0x80));
    }

    #[test]
    fn the_longest_mid_fits() {
        let t = template("a-long-mid-of-16", true);
        let got = written(&t, &fields(Extensions::default()));
        assert_eq!(got.len() % 4, 0);
        assert_eq!(&got[16..33], b"\x1fa-long-mid-of-16");
        assert_eq!(&got[33..36], &[0x41, 0x55, 0x66]);
    }
}
