//! What two sides of a connection tell each other in `connect` about Enhanced RTMP.

use media::Codec;

use super::codec;

/// Video codecs that we read, for `fourCcList` and `videoFourCcInfoMap`.
pub const VIDEO_FOURCC: [&str; 5] = ["avc1", "hvc1", "av01", "vp09", "vp08"];
/// Audio codecs that we read, for `fourCcList` and `audioFourCcInfoMap`.
pub const AUDIO_FOURCC: [&str; 2] = ["Opus", "mp4a"];
/// What we can, for `capsEx`.
pub const CAPS_EX: u32 = MULTITRACK | MOD_EX | NANOS;

const MULTITRACK: u32 = 2;
const MOD_EX: u32 = 4;
const NANOS: u32 = 8;

/// What the other side says it can read. By default nothing but what RTMP always had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// By the place in [`codec::ALL`].
    fourccs: u8,
    caps: u32,
}

impl Peer {
    /// Somebody who reads all that we write.
    pub fn everything() -> Self {
        Self { fourccs: u8::MAX, caps: CAPS_EX }
    }

    /// Adds one entry of `fourCcList`, or one key of the info maps: a FourCC, or `*` for all.
    /// Those that we do not know are left out.
    pub fn add_fourcc(&mut self, name: &str) {
        for (place, known) in codec::ALL.into_iter().enumerate() {
            let is = codec::fourcc(known).is_some_and(|fourcc| name.as_bytes() == fourcc);
            if is || name == "*" {
                self.fourccs |= 1 << place;
            }
        }
    }

    /// The flags of `capsEx`.
    pub fn caps_ex(&mut self, flags: u32) {
        self.caps = flags;
    }

    /// Whether it reads this codec by its FourCC.
    pub fn enhanced(&self, codec: Codec) -> bool {
        codec::ALL
            .into_iter()
            .position(|c| c == codec)
            .is_some_and(|place| self.fourccs >> place & 1 == 1)
    }

    /// Whether it takes this codec at all.
    pub fn takes(&self, codec: Codec) -> bool {
        self.enhanced(codec) || matches!(codec, Codec::H264 | Codec::Aac)
    }

    /// Whether it reads more than one track of a kind.
    pub fn multitrack(&self) -> bool {
        self.caps & MULTITRACK != 0
    }

    /// Whether it reads timestamps to the nanosecond.
    pub fn nanos(&self) -> bool {
        self.caps & (MOD_EX | NANOS) == MOD_EX | NANOS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_announced_is_read_and_the_rest_is_not() {
        let mut peer = Peer::default();
        assert!(peer.takes(Codec::H264) && peer.takes(Codec::Aac) && !peer.takes(Codec::H265));
        assert!(!peer.enhanced(Codec::H264) && !peer.multitrack() && !peer.nanos());
        peer.add_fourcc("hvc1");
        peer.add_fourcc("nonsense");
        assert!(peer.takes(Codec::H265) && !peer.takes(Codec::Av1));
        peer.add_fourcc("*");
        assert!(peer.takes(Codec::Av1) && peer.enhanced(Codec::Opus));
        peer.caps_ex(MOD_EX);
        assert!(!peer.nanos(), "nanoseconds are a flag of their own");
        peer.caps_ex(CAPS_EX);
        assert!(peer.nanos() && peer.multitrack());
    }

    #[test]
    fn we_announce_each_codec_that_has_a_fourcc() {
        let announced: Vec<_> = VIDEO_FOURCC.into_iter().chain(AUDIO_FOURCC).collect();
        for codec in codec::ALL {
            let fourcc = codec::fourcc(codec).expect("all of them have one");
            let name = std::str::from_utf8(&fourcc).expect("ASCII");
            assert!(announced.contains(&name), "{name}");
        }
        assert_eq!(announced.len(), codec::ALL.len());
    }
}
