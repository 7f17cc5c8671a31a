//! RTP packets back to access units; one file per codec. Packets are put in order within a bounded window,
//! frames that are not whole are dropped, and the formats that containers want are built from what the
//! stream itself says. When a frame is decoded or shown is the owner's to find out.
//!
//! H.264 and H.265: parameter sets are taken out of the frames and stand in the [`Format`], as do formats
//! of MP4 and FLV; delimiters and filler are left out. AV1: sequence headers stay, temporal delimiters go.

use std::time::Instant;

use bytes::Bytes;

use crate::{Codec, Format, RtpPacket};

mod av1;
mod h264;
mod h265;
mod opus;
mod sets;
#[cfg(test)]
mod tests;
mod units;
mod vp8;
mod vp9;
mod window;

use window::{Event, Window};

/// The largest frame, in bytes.
const MAX_FRAME: usize = 8 << 20;

/// One coded picture or packet of sound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The RTP timestamp, in ticks of the codec's clock.
    pub timestamp: u32,
    /// [`RtpPacket::time`] of its first packet.
    pub time: Instant,
    /// A decoder can start here. Always true for sound.
    pub keyframe: bool,
    /// Since the frame before this one something was lost or dropped: unless this is a keyframe, it and what
    /// follows may refer to what is not there.
    pub gap: bool,
    /// In the form of [`AccessUnit::data`](crate::AccessUnit::data).
    pub data: Bytes,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// What a decoder must know of the frames from here on; before the first of them.
    Format(Format),
    /// A whole frame, in the order in which they were sent.
    Frame(Frame),
}

/// Why a packet or a frame was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// A frame of which packets were lost, or whose start was not seen.
    Incomplete,
    /// A frame with a packet that does not keep to the payload format.
    Malformed,
    /// A frame of more than 8 MiB.
    TooLarge,
    /// A frame before the stream has said what a decoder must know: no parameter sets or no keyframe yet.
    NoFormat,
    /// A packet that was there before, or came after it was given up.
    Late,
    /// A packet of a codec that RTP does not carry here.
    Codec,
}

impl Dropped {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Incomplete,
        Self::Malformed,
        Self::TooLarge,
        Self::NoFormat,
        Self::Late,
        Self::Codec,
    ];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::NoFormat => "no_format",
            Self::Late => "late",
            Self::Codec => "codec",
        }
    }
}

/// Puts the frames of one encoding together again.
#[derive(Debug)]
pub struct Depacketizer {
    window: Window,
    frames: Frames,
}

impl Depacketizer {
    /// For packets of `codec`. AAC has none, and nothing comes of them.
    pub fn new(codec: Codec) -> Self {
        let form = match codec {
            Codec::H264 => Form::H264(h264::State::default()),
            Codec::H265 => Form::H265(h265::State::default()),
            Codec::Vp8 => Form::Vp8(vp8::State::default()),
            Codec::Vp9 => Form::Vp9(vp9::State::default()),
            Codec::Av1 => Form::Av1(av1::State::default()),
            Codec::Opus => Form::Opus(opus::State::default()),
            Codec::Aac => Form::None,
        };
        let frames = Frames {
            form,
            current: Current::Between { sure: false },
            data: Vec::new(),
            emitted: false,
            gap: false,
            format: None,
            dropped: [0; Dropped::ALL.len()],
        };
        Self { window: Window::default(), frames }
    }

    /// Takes one packet, and appends what is whole by it to `out`. A hole is waited for until 512 packets
    /// have come behind it, or one that arrived 250 ms later.
    pub fn push(&mut self, packet: &RtpPacket, out: &mut Vec<Output>) {
        if matches!(self.frames.form, Form::None) {
            return self.frames.count(Dropped::Codec);
        }
        if !self.window.push(packet) {
            self.frames.count(Dropped::Late);
        }
        while let Some(event) = self.window.pop(packet.arrival) {
            match event {
                Event::Packet(packet) => self.frames.packet(&packet, out),
                Event::Lost => self.frames.lost(),
            }
        }
    }

    /// How often something was dropped for that reason.
    pub fn dropped(&self, why: Dropped) -> u64 {
        self.frames.dropped[why as usize]
    }
}

/// Packets in order, to frames.
#[derive(Debug)]
struct Frames {
    form: Form,
    current: Current,
    /// The frame so far.
    data: Vec<u8>,
    /// A frame came out before: until then nothing is missed.
    emitted: bool,
    gap: bool,
    format: Option<Format>,
    dropped: [u64; Dropped::ALL.len()],
}

#[derive(Debug)]
enum Form {
    H264(h264::State),
    H265(h265::State),
    Vp8(vp8::State),
    Vp9(vp9::State),
    Av1(av1::State),
    Opus(opus::State),
    None,
}

/// Where the last packet left us.
#[derive(Clone, Copy, Debug)]
enum Current {
    /// A frame ended. Sure: nothing was lost since, so the next packet begins one.
    Between { sure: bool },
    /// In the middle of a frame that is whole so far.
    Inside { timestamp: u32, time: Instant },
    /// In the middle of one that is not: its packets are passed over.
    Skipping { timestamp: u32 },
}

/// What a codec says of a frame whose last packet is there.
struct Whole {
    keyframe: bool,
    /// The format from here on, where that is not the one before; or that there is none yet.
    format: Change,
}

enum Change {
    None,
    To(Format),
    /// The stream has not said it yet.
    Unknown,
}

impl Frames {
    fn count(&mut self, why: Dropped) {
        self.dropped[why as usize] += 1;
    }

    /// Packets are missing here.
    fn lost(&mut self) {
        self.gap = true;
        self.current = match self.current {
            Current::Between { .. } => Current::Between { sure: false },
            Current::Inside { timestamp, .. } => self.drop_frame(timestamp, Dropped::Incomplete),
            skipping @ Current::Skipping { .. } => skipping,
        };
    }

    /// Gives the current frame up, and says how things go on.
    fn drop_frame(&mut self, timestamp: u32, why: Dropped) -> Current {
        self.count(why);
        self.gap = true;
        self.data.clear();
        self.form.reset();
        Current::Skipping { timestamp }
    }

    fn packet(&mut self, packet: &RtpPacket, out: &mut Vec<Output>) {
        if packet.payload.is_empty() {
            // The padding of a bandwidth probe.
            return;
        }
        self.end_by_timestamp(packet.timestamp, out);
        if let Current::Between { sure } = self.current {
            let RtpPacket { timestamp, time, .. } = *packet;
            self.current = if sure || self.form.begins(&packet.payload) {
                Current::Inside { timestamp, time }
            } else {
                self.drop_frame(timestamp, Dropped::Incomplete)
            };
        }
        if let Current::Inside { timestamp, .. } = self.current {
            let added = if self.data.len() + packet.payload.len() > MAX_FRAME {
                Err(Dropped::TooLarge)
            } else {
                self.form.add(&packet.payload, &mut self.data)
            };
            if let Err(why) = added {
                self.current = self.drop_frame(timestamp, why);
            }
        }
        if packet.marker || matches!(self.form, Form::Opus(_)) {
            self.end(out);
        }
    }

    /// Not every sender sets the marker: a frame has ended where another timestamp begins.
    fn end_by_timestamp(&mut self, next: u32, out: &mut Vec<Output>) {
        match self.current {
            Current::Inside { timestamp, .. } if timestamp != next => self.end(out),
            // What was lost may have reached into the next frame.
            Current::Skipping { timestamp } if timestamp != next => {
                self.current = Current::Between { sure: false };
            }
            _ => {}
        }
    }

    /// The last packet of a frame is there.
    fn end(&mut self, out: &mut Vec<Output>) {
        let Current::Inside { timestamp, time } = self.current else {
            self.current = Current::Between { sure: true };
            return;
        };
        match self.form.end(&mut self.data) {
            Ok(whole) => self.emit(timestamp, time, whole, out),
            Err(why) => {
                let _ = self.drop_frame(timestamp, why);
            }
        }
        self.data.clear();
        self.current = Current::Between { sure: true };
    }

    fn emit(&mut self, timestamp: u32, time: Instant, whole: Whole, out: &mut Vec<Output>) {
        match whole.format {
            Change::None => {}
            Change::To(format) if self.format.as_ref() == Some(&format) => {}
            Change::To(format) => {
                self.format = Some(format.clone());
                out.push(Output::Format(format));
            }
            Change::Unknown => {
                if !self.data.is_empty() {
                    self.count(Dropped::NoFormat);
                }
                return;
            }
        }
        if self.data.is_empty() {
            // Parameter sets or a delimiter alone.
            return;
        }
        let gap = self.gap && self.emitted;
        (self.gap, self.emitted) = (false, true);
        let data = Bytes::copy_from_slice(&self.data);
        out.push(Output::Frame(Frame { timestamp, time, keyframe: whole.keyframe, gap, data }));
    }
}

impl Form {
    /// This payload is surely the first of a frame.
    fn begins(&self, payload: &[u8]) -> bool {
        match self {
            Self::H264(_) => h264::begins(payload),
            Self::H265(_) => h265::begins(payload),
            Self::Vp8(_) => vp8::begins(payload),
            Self::Vp9(_) => vp9::begins(payload),
            Self::Av1(_) => av1::begins(payload),
            Self::Opus(_) | Self::None => true,
        }
    }

    /// Adds a payload to the frame.
    fn add(&mut self, payload: &[u8], data: &mut Vec<u8>) -> Result<(), Dropped> {
        match self {
            Self::H264(state) => state.add(payload, data),
            Self::H265(state) => state.add(payload, data),
            Self::Vp8(state) => state.add(payload, data),
            Self::Vp9(state) => state.add(payload, data),
            Self::Av1(state) => state.add(payload, data),
            Self::Opus(_) | Self::None => {
                data.extend_from_slice(payload);
                Ok(())
            }
        }
    }

    /// All payloads of the frame are in.
    fn end(&mut self, data: &mut Vec<u8>) -> Result<Whole, Dropped> {
        match self {
            Self::H264(state) => state.end(),
            Self::H265(state) => state.end(),
            Self::Vp8(state) => Ok(state.end(data)),
            Self::Vp9(state) => Ok(state.end(data)),
            Self::Av1(state) => state.end(),
            Self::Opus(state) => Ok(state.end()),
            Self::None => Err(Dropped::Codec),
        }
    }

    /// Forgets the frame that was begun, not what the stream has said of itself.
    fn reset(&mut self) {
        match self {
            Self::H264(state) => state.reset(),
            Self::H265(state) => state.reset(),
            Self::Vp9(state) => state.reset(),
            Self::Av1(state) => state.reset(),
            Self::Vp8(_) | Self::Opus(_) | Self::None => {}
        }
    }
}
