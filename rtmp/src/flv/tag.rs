//! The syntax of a tag: which tracks, which codec, what kind of packet, and which bytes. Adobe FLV 10.1
//! section E.4.2 and E.4.3; Enhanced RTMP v2, "Enhanced Audio" and "Enhanced Video".

use bytes::Bytes;
use media::{Codec, Kind};

use super::codec::{self, Named};
use super::reader::Reader;
use super::{Dropped, MAX_TRACKS};

/// One track's part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    pub track: u8,
    pub codec: Named,
    pub packet: Packet,
    /// To be added to the message's timestamp, in nanoseconds, where it is said.
    pub nanos: Option<u32>,
    pub payload: Bytes,
}

/// What a part of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// A sequence header.
    Config,
    /// A configuration in a form that is not read.
    TransportStream,
    /// Coded media; `composition` in milliseconds.
    Frame { composition: i32, key: bool },
    /// The sequence ends.
    End,
    /// Nothing that is used.
    Nothing(Dropped),
}

/// Enhanced RTMP's packet types, as both kinds number them together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    SequenceStart,
    CodedFrames,
    SequenceEnd,
    /// Without a composition time.
    CodedFramesX,
    Metadata,
    TransportStream,
    Channels,
    Multitrack,
    ModEx,
    Unknown,
}

/// Frame types of video tags.
const KEY: u8 = 1;
const GENERATED_KEY: u8 = 4;
const COMMAND: u8 = 5;
/// The one modifier that is defined.
const MOD_EX_NANOS: u8 = 0;
/// What it says is within a millisecond.
const MAX_NANOS: u32 = 999_999;
/// Multitrack types; 1 is many tracks of one codec.
const ONE_TRACK: u8 = 0;
const MANY_CODECS: u8 = 2;

/// Reads the body of one audio or video message. What was whole before an error is in `out`.
pub(super) fn read(kind: Kind, body: &Bytes, out: &mut Vec<Tag>) -> Result<(), Dropped> {
    let mut reader = Reader::new(body);
    let Some(first) = reader.u8() else {
        return Err(match kind {
            Kind::Audio => Dropped::Silence,
            Kind::Video => Dropped::Empty,
        });
    };
    let (enhanced, key) = match kind {
        Kind::Audio => (first >> 4 == 9, true),
        Kind::Video => (first & 0x80 != 0, matches!(first >> 4 & 7, KEY | GENERATED_KEY)),
    };
    if enhanced {
        let command = kind == Kind::Video && first >> 4 & 7 == COMMAND;
        return Enhanced { kind, key, command, nanos: None }.read(first & 15, reader, out);
    }
    let tag = match kind {
        Kind::Audio => classic_audio(first, reader),
        Kind::Video if first >> 4 == COMMAND => return Err(Dropped::Command),
        Kind::Video => classic_video(first, key, reader),
    };
    out.push(tag.ok_or(Dropped::Truncated)?);
    Ok(())
}

fn classic_audio(first: u8, mut reader: Reader) -> Option<Tag> {
    let codec = codec::by_audio_id(first >> 4);
    let packet = match (&codec, reader.u8()) {
        (Named::Refused(_), _) => Packet::Nothing(Dropped::Codec),
        (_, type_) => match type_? {
            0 => Packet::Config,
            1 => Packet::Frame { composition: 0, key: true },
            _ => Packet::Nothing(Dropped::PacketType),
        },
    };
    Some(Tag { track: 0, codec, packet, nanos: None, payload: reader.rest() })
}

fn classic_video(first: u8, key: bool, mut reader: Reader) -> Option<Tag> {
    let codec = codec::by_video_id(first & 15);
    let packet = if let Named::Refused(_) = codec {
        Packet::Nothing(Dropped::Codec)
    } else {
        match reader.u8()? {
            0 => {
                reader.i24()?;
                Packet::Config
            }
            1 => Packet::Frame { composition: reader.i24()?, key },
            // Its composition time is often left out.
            2 => Packet::End,
            _ => Packet::Nothing(Dropped::PacketType),
        }
    };
    Some(Tag { track: 0, codec, packet, nanos: None, payload: reader.rest() })
}

/// An Ex(Audio|Video)TagHeader and its body.
struct Enhanced {
    kind: Kind,
    key: bool,
    command: bool,
    nanos: Option<u32>,
}

impl Enhanced {
    fn read(mut self, number: u8, mut reader: Reader, out: &mut Vec<Tag>) -> Result<(), Dropped> {
        let mut number = number;
        while self.packet_type(number) == Type::ModEx {
            number = self.mod_ex(&mut reader).ok_or(Dropped::Truncated)?;
        }
        let mut type_ = self.packet_type(number);
        if self.command && type_ != Type::Metadata {
            return Err(Dropped::Command);
        }
        if type_ != Type::Multitrack {
            let codec = self.codec(&mut reader).ok_or(Dropped::Truncated)?;
            out.push(self.tag(0, codec, type_, reader).ok_or(Dropped::Truncated)?);
            return Ok(());
        }
        let types = reader.u8().ok_or(Dropped::Truncated)?;
        let many = types >> 4;
        type_ = self.packet_type(types & 15);
        if many > MANY_CODECS || matches!(type_, Type::Multitrack | Type::ModEx) {
            return Err(Dropped::PacketType);
        }
        self.tracks(many, type_, reader, out)
    }

    /// The parts of a multitrack message.
    fn tracks(
        &self,
        many: u8,
        type_: Type,
        mut reader: Reader,
        out: &mut Vec<Tag>,
    ) -> Result<(), Dropped> {
        let shared = if many == MANY_CODECS {
            None
        } else {
            Some(self.codec(&mut reader).ok_or(Dropped::Truncated)?)
        };
        for _ in 0..MAX_TRACKS {
            let (track, codec, part) =
                self.part(many, shared.clone(), &mut reader).ok_or(Dropped::Truncated)?;
            let tag = self.tag(track, codec, type_, Reader::new(&part));
            out.push(tag.ok_or(Dropped::Truncated)?);
            if many == ONE_TRACK || reader.is_empty() {
                return Ok(());
            }
        }
        Err(Dropped::Tracks)
    }

    /// One track's number, codec and bytes.
    fn part(
        &self,
        many: u8,
        shared: Option<Named>,
        reader: &mut Reader,
    ) -> Option<(u8, Named, Bytes)> {
        let codec = match shared {
            Some(codec) => codec,
            None => self.codec(reader)?,
        };
        let track = reader.u8()?;
        let len = match many {
            ONE_TRACK => reader.len(),
            _ => usize::try_from(reader.u24()?).ok()?,
        };
        Some((track, codec, reader.take(len)?))
    }

    /// Reads one modifier; the number of the packet type behind it.
    fn mod_ex(&mut self, reader: &mut Reader) -> Option<u8> {
        let mut len = usize::from(reader.u8()?) + 1;
        if len == 256 {
            len = usize::from(reader.u16()?) + 1;
        }
        let data = reader.take(len)?;
        let types = reader.u8()?;
        if types >> 4 == MOD_EX_NANOS {
            self.nanos = Reader::new(&data).u24().map(|nanos| nanos.min(MAX_NANOS));
        }
        Some(types & 15)
    }

    fn codec(&self, reader: &mut Reader) -> Option<Named> {
        Some(codec::by_fourcc(self.kind, reader.array()?))
    }

    fn tag(&self, track: u8, codec: Named, type_: Type, mut reader: Reader) -> Option<Tag> {
        let has_composition = matches!(codec, Named::Known(Codec::H264 | Codec::H265));
        let key = self.key;
        let packet = match type_ {
            Type::CodedFrames if has_composition => {
                Packet::Frame { composition: reader.i24()?, key }
            }
            Type::CodedFrames | Type::CodedFramesX => Packet::Frame { composition: 0, key },
            Type::SequenceStart => Packet::Config,
            Type::TransportStream => Packet::TransportStream,
            Type::SequenceEnd => Packet::End,
            Type::Metadata => Packet::Nothing(Dropped::Metadata),
            Type::Channels => Packet::Nothing(Dropped::Channels),
            Type::Multitrack | Type::ModEx | Type::Unknown => Packet::Nothing(Dropped::PacketType),
        };
        Some(Tag { track, codec, packet, nanos: self.nanos, payload: reader.rest() })
    }

    fn packet_type(&self, number: u8) -> Type {
        match (self.kind, number) {
            (_, 0) => Type::SequenceStart,
            (_, 1) => Type::CodedFrames,
            (_, 2) => Type::SequenceEnd,
            (Kind::Video, 3) => Type::CodedFramesX,
            (Kind::Video, 4) => Type::Metadata,
            (Kind::Video, 5) => Type::TransportStream,
            (Kind::Video, 6) => Type::Multitrack,
            (Kind::Audio, 4) => Type::Channels,
            (Kind::Audio, 5) => Type::Multitrack,
            (_, 7) => Type::ModEx,
            _ => Type::Unknown,
        }
    }
}
