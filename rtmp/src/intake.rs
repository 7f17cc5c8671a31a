//! Media and metadata messages as what they say, for whoever receives them: the server from publishers, a
//! client that plays.

use std::time::Instant;

use media::Kind;

use crate::amf::amf0;
use crate::chunk::{Message, kind};
use crate::metadata::Metadata;
use crate::{aggregate, command, flv};

/// What a message said.
pub(crate) enum Taken {
    Item(flv::Item),
    /// It is not what was said before.
    Metadata(Metadata),
    /// Data that is no metadata, or cannot be read.
    OtherData,
}

#[derive(Debug, Default)]
pub(crate) struct Intake {
    ingest: flv::Ingest,
    /// Reused.
    items: Vec<flv::Item>,
    /// The newest: GStreamer says the same each second.
    metadata: Option<Metadata>,
}

impl Intake {
    /// Whether a message is for [`Intake::take`].
    pub(crate) fn takes(message: &Message) -> bool {
        let kinds = [kind::AUDIO, kind::VIDEO, kind::AGGREGATE, kind::DATA, kind::DATA3];
        kinds.contains(&message.kind)
    }

    pub(crate) fn counters(&self) -> flv::Counters {
        self.ingest.counters()
    }

    /// Gives all that the message says to `put`, in order.
    pub(crate) fn take(&mut self, now: Instant, message: Message, put: &mut impl FnMut(Taken)) {
        if message.kind == kind::AGGREGATE {
            for part in aggregate::split(&message) {
                self.one(now, part, put);
            }
        } else {
            self.one(now, message, put);
        }
    }

    fn one(&mut self, now: Instant, message: Message, put: &mut impl FnMut(Taken)) {
        let kind = match message.kind {
            kind::AUDIO => Kind::Audio,
            kind::VIDEO => Kind::Video,
            _ => return self.data(&message, put),
        };
        self.ingest.message(now, kind, message.timestamp, message.body, &mut self.items);
        self.items.drain(..).map(Taken::Item).for_each(put);
    }

    /// Metadata is not needed to go on: what cannot be read is left out.
    fn data(&mut self, message: &Message, put: &mut impl FnMut(Taken)) {
        let values = match message.kind {
            kind::DATA | kind::DATA3 => amf0::read_all(command::plain(message)).ok(),
            _ => None,
        };
        match values.and_then(|values| Metadata::read(&values)) {
            None => put(Taken::OtherData),
            Some(metadata) if self.metadata.as_ref() == Some(&metadata) => {}
            Some(metadata) => {
                self.metadata = Some(metadata.clone());
                put(Taken::Metadata(metadata));
            }
        }
    }
}
