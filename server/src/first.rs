//! What a connection to the HTTP port begins with: one port for pages, for media by TCP where nothing else comes
//! through, and for TLS. The first byte decides (RFC 8446 section 5.1, RFC 4571 section 2, RFC 9113 section 3.4).

use crate::http::files::wire::PREFACE;

/// See the top of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// A TLS record: a handshake.
    Tls,
    /// Frames: the first holds a check, which is shorter than 1,536 bytes.
    Frames,
    /// HTTP/2, all of its preface.
    Http2,
    /// HTTP/1.1, or what cannot be told from it yet.
    Http1,
}

/// What these first bytes are; `None`: nothing has come yet, or nothing that is spoken here.
pub(crate) fn kind(bytes: &[u8]) -> Option<First> {
    match bytes.first()? {
        0x16 => Some(First::Tls),
        0..=5 => Some(First::Frames),
        _ if bytes.starts_with(PREFACE) => Some(First::Http2),
        b'\r' | b'\n' | b' '..=b'~' => Some(First::Http1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let check = [&[0, 0x58, 0, 1, 0, 0x44, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        for (bytes, what) in [
            (&[][..], None),
            (&[0x16, 3, 1], Some(First::Tls)),
            (&[0x16], Some(First::Tls)),
            (&check, Some(First::Frames)),
            (&[5, 0xff], Some(First::Frames)),
            (&[6, 0], None),
            (PREFACE, Some(First::Http2)),
            (&PREFACE[..10], Some(First::Http1)),
            (b"GET / HTTP/1.1\r\n", Some(First::Http1)),
            (b"PRI /x HTTP/1.1\r\n", Some(First::Http1)),
            (b"\r\nGET /", Some(First::Http1)),
            (&[0x80, 0x60], None),
            (&[0xff, 0xff], None),
        ] {
            assert_eq!(kind(bytes), what, "{bytes:02x?}");
        }
        for first in 0..=255_u8 {
            let frames = kind(&[first]) == Some(First::Frames);
            assert_eq!(frames, usize::from(first) << 8 < 1536, "{first}");
        }
    }
}
