//! Units out as audio and video messages: classic tags for H.264 and AAC where the other side knows no
//! more, Enhanced RTMP where it announced the codec. The bytes of a unit are shared, not copied.

use std::fmt;
use std::ops::Deref;

use bytes::{Bytes, BytesMut};
use media::{AccessUnit, Codec, Format, Kind, MediaTime};

use super::{Peer, Refusal, Track, codec};

const NANOS_PER_MILLI: i64 = 1_000_000;
/// What a composition time can say, in milliseconds: 24 bits with a sign.
const COMPOSITION: i64 = 0x7f_ffff;
/// vpcC with its version and flags, as FFmpeg has it: 8 bits, 4:2:0, colours not said ("VP Codec ISO Media
/// File Format Binding").
const VPCC: [u8; 12] = [1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0];

/// Packet types that both kinds number alike, and those of video.
const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const MOD_EX: u8 = 7;

/// Writes the messages of what one side of a connection is sent: a player, or a server that we publish to.
#[derive(Debug)]
pub struct Writer {
    peer: Peer,
    /// What is timestamp 0.
    base: Option<MediaTime>,
    /// The newest timestamp written.
    newest: u32,
    tracks: Vec<(Track, Codec)>,
}

/// One message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Audio: message type 8, video: 9.
    pub kind: Kind,
    /// In milliseconds; wraps.
    pub timestamp: u32,
    /// The first bytes of the body.
    pub head: Head,
    /// The rest of it.
    pub data: Bytes,
}

/// The header of a tag.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; 16],
    len: u8,
}

impl Writer {
    /// For a side that reads what `peer` says. The first unit written is at timestamp 0.
    pub fn new(peer: Peer) -> Self {
        Self { peer, base: None, newest: 0, tracks: Vec::new() }
    }

    /// The sequence header of a track: before its first unit, and at each change.
    ///
    /// # Errors
    /// If the other side cannot be told this codec, or this track.
    pub fn format(&mut self, track: u8, format: &Format) -> Result<Message, Refusal> {
        let codec = format.codec;
        let track = Track { kind: codec.kind(), id: track };
        if !self.peer.takes(codec) || codec::fourcc(codec).is_none() {
            return Err(Refusal::Peer { codec });
        }
        if track.id != 0 && !(self.peer.multitrack() && self.peer.enhanced(codec)) {
            return Err(Refusal::Multitrack);
        }
        match self.tracks.iter_mut().find(|(t, _)| *t == track) {
            Some((_, was)) => *was = codec,
            None => self.tracks.push((track, codec)),
        }
        let mut head = Head::default();
        if self.enhanced(track, codec) {
            self.enhanced_head(&mut head, track, codec, SEQUENCE_START, true, None);
        } else if codec == Codec::H264 {
            head.put(&[KEY | CLASSIC_AVC, 0, 0, 0, 0]);
        } else {
            head.put(&[CLASSIC_AAC, 0]);
        }
        let data = match codec {
            Codec::Vp8 | Codec::Vp9 => Bytes::from_static(&VPCC),
            _ => format.config.clone(),
        };
        Ok(Message { kind: track.kind, timestamp: self.newest, head, data })
    }

    /// One unit of a track; `None` where no format was written for it.
    pub fn unit(&mut self, track: Track, unit: &AccessUnit) -> Option<Message> {
        let codec = self.codec(track)?;
        let enhanced = self.enhanced(track, codec);
        let composes = matches!(codec, Codec::H264 | Codec::H265);
        let dts = if composes { unit.dts } else { unit.pts };
        let base = *self.base.get_or_insert(dts);
        let exact = enhanced && self.peer.nanos();
        let times = Times::of(dts.since(base), unit.pts.since(base), exact);
        let composition = i32::try_from(times.composition).unwrap_or(0);
        self.newest = times.timestamp;
        let mut head = Head::default();
        if enhanced {
            let type_ = if composes && composition == 0 { CODED_FRAMES_X } else { CODED_FRAMES };
            self.enhanced_head(&mut head, track, codec, type_, unit.keyframe, times.nanos);
            if composes && type_ == CODED_FRAMES {
                head.put(&composition.to_be_bytes()[1..]);
            }
        } else if codec == Codec::H264 {
            head.put(&[if unit.keyframe { KEY } else { INTER } | CLASSIC_AVC, 1]);
            head.put(&composition.to_be_bytes()[1..]);
        } else {
            head.put(&[CLASSIC_AAC, 1]);
        }
        let timestamp = times.timestamp;
        Some(Message { kind: track.kind, timestamp, head, data: unit.data.clone() })
    }

    /// The end of a track; `None` where there is no such message (classic AAC) or no such track.
    pub fn end(&mut self, track: Track) -> Option<Message> {
        let codec = self.codec(track)?;
        let mut head = Head::default();
        if self.enhanced(track, codec) {
            self.enhanced_head(&mut head, track, codec, SEQUENCE_END, true, None);
        } else if codec == Codec::H264 {
            head.put(&[KEY | CLASSIC_AVC, 2, 0, 0, 0]);
        } else {
            return None;
        }
        Some(Message { kind: track.kind, timestamp: self.newest, head, data: Bytes::new() })
    }

    fn codec(&self, track: Track) -> Option<Codec> {
        self.tracks.iter().find(|(t, _)| *t == track).map(|(_, codec)| *codec)
    }

    fn enhanced(&self, track: Track, codec: Codec) -> bool {
        track.id != 0 || self.peer.enhanced(codec)
    }

    /// ExAudioTagHeader or ExVideoTagHeader, as the reverse of what `tag` reads.
    fn enhanced_head(
        &self,
        head: &mut Head,
        track: Track,
        codec: Codec,
        type_: u8,
        key: bool,
        nanos: Option<u32>,
    ) {
        let (first, multitrack) = match track.kind {
            Kind::Audio => (0x90, 5),
            Kind::Video => (0x80 | if key { KEY } else { INTER }, 6),
        };
        let many = track.id != 0;
        let outer = if many { multitrack } else { type_ };
        match nanos {
            Some(nanos) => {
                head.put(&[first | MOD_EX, 2]);
                head.put(&nanos.to_be_bytes()[1..]);
                head.put(&[outer]);
            }
            None => head.put(&[first | outer]),
        }
        if many {
            // One track.
            head.put(&[type_]);
        }
        head.put(&codec::fourcc(codec).unwrap_or_default());
        if many {
            head.put(&[track.id]);
        }
    }
}

/// Frame types, and the codec numbers of classic tags. AAC's says 44 kHz stereo whatever it is.
const KEY: u8 = 0x10;
const INTER: u8 = 0x20;
const CLASSIC_AVC: u8 = 7;
const CLASSIC_AAC: u8 = 0xaf;

/// The times of a unit as a message says them.
struct Times {
    timestamp: u32,
    /// Milliseconds from there to showing it.
    composition: i64,
    nanos: Option<u32>,
}

impl Times {
    /// To the nearest millisecond; or `exact`: in whole ones, with what `pts` is beyond that.
    fn of(dts: MediaTime, pts: MediaTime, exact: bool) -> Self {
        let (dts, pts) = (dts.nanos().max(0), pts.nanos().max(0));
        let millis = |nanos: i64| {
            let half = if exact { 0 } else { NANOS_PER_MILLI / 2 };
            nanos.saturating_add(half) / NANOS_PER_MILLI
        };
        let nanos = u32::try_from(pts % NANOS_PER_MILLI).unwrap_or(0);
        Self {
            // Wraps at 2^32.
            timestamp: millis(dts) as u32,
            composition: (millis(pts) - millis(dts)).clamp(-COMPOSITION, COMPOSITION),
            nanos: (exact && nanos > 0).then_some(nanos),
        }
    }
}

impl Message {
    /// The length of the body.
    pub fn len(&self) -> usize {
        self.head.len() + self.data.len()
    }

    /// Never: a head is always written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The body in two parts.
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.head, &self.data]
    }

    /// The body in one, copied.
    pub fn body(&self) -> Bytes {
        let mut body = BytesMut::with_capacity(self.len());
        self.parts().into_iter().for_each(|part| body.extend_from_slice(part));
        body.freeze()
    }
}

impl Head {
    /// All heads together have at most 15 bytes.
    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
                *place = *byte;
                self.len += 1;
            }
        }
    }
}

impl Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x?}", &**self)
    }
}
