//! Formats, units and metadata as messages on one stream: players get them, clients that publish give them.

use bytes::{Bytes, BytesMut};
use media::{AccessUnit, Format, Kind};

use crate::amf::{Value, amf0};
use crate::chunk::kind;
use crate::flv;
use crate::link::{Link, stream};

#[derive(Debug)]
pub(crate) struct Outlet {
    writer: flv::Writer,
    stream: u32,
}

impl Outlet {
    pub(crate) fn new(peer: flv::Peer, stream: u32) -> Self {
        Self { writer: flv::Writer::new(peer), stream }
    }

    pub(crate) fn format(
        &mut self,
        track: u8,
        format: &Format,
        link: &mut Link,
    ) -> Result<(), flv::Refusal> {
        let message = self.writer.format(track, format)?;
        self.write(message, link);
        Ok(())
    }

    /// False if it was left out.
    pub(crate) fn unit(&mut self, track: flv::Track, unit: &AccessUnit, link: &mut Link) -> bool {
        self.writer.unit(track, unit).is_some_and(|message| self.write(message, link))
    }

    fn write(&self, message: flv::Message, link: &mut Link) -> bool {
        let (chunk_stream, kind) = match message.kind {
            Kind::Audio => (stream::AUDIO, kind::AUDIO),
            Kind::Video => (stream::VIDEO, kind::VIDEO),
        };
        let flv::Message { timestamp, head, data, .. } = message;
        link.write(chunk_stream, kind, timestamp, self.stream, &head, &data)
    }

    /// A data message of these values.
    pub(crate) fn data(&self, values: &[Value], link: &mut Link) {
        let mut body = BytesMut::new();
        values.iter().for_each(|value| amf0::write(value, &mut body));
        link.write(stream::STATUS, kind::DATA, 0, self.stream, &body, &Bytes::new());
    }
}
