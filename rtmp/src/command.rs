//! Commands (RTMP 1.0 section 7.2): calls, their answers, and the statuses that servers send. Which call
//! means what in which state is the business of `session` and `client`.

use bytes::BytesMut;

use crate::Error;
use crate::amf::{Value, amf0};
use crate::chunk::{Message, kind};

/// A call or an answer: a name, a number that relates the two, and values. The first is the command
/// object, mostly null.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) transaction: f64,
    pub(crate) values: Vec<Value>,
}

impl Call {
    /// From a command message of either kind.
    pub(crate) fn read(message: &Message) -> Result<Self, Error> {
        let mut values = amf0::read_all(plain(message))?.into_iter();
        let wrong = |what| Error::Command { command: "a command", what };
        let Some(Value::String(name)) = values.next() else { return Err(wrong("it has no name")) };
        // Some encoders send calls that nobody answers without a number.
        let transaction = values.next().and_then(|value| value.number()).unwrap_or_default();
        Ok(Self { name, transaction, values: values.collect() })
    }

    /// The command object.
    pub(crate) fn object(&self) -> &Value {
        self.values.first().unwrap_or(&Value::Null)
    }

    /// The first argument behind it, as text.
    pub(crate) fn text(&self) -> Option<&str> {
        self.values.get(1).and_then(Value::text)
    }
}

/// The AMF 0 of a data or command message: those of AMF 3 begin with a byte that says so (Enhanced RTMP v2,
/// "Important AMF3-encoded Historical Specification Clarification").
pub(crate) fn plain(message: &Message) -> &[u8] {
    match (message.kind, &message.body[..]) {
        (kind::COMMAND3 | kind::DATA3, [0, rest @ ..]) => rest,
        (_, all) => all,
    }
}

/// A command's body.
pub(crate) fn write(name: &str, transaction: f64, values: &[Value]) -> BytesMut {
    let mut out = BytesMut::with_capacity(256);
    amf0::write(&name.into(), &mut out);
    amf0::write(&transaction.into(), &mut out);
    values.iter().for_each(|value| amf0::write(value, &mut out));
    out
}

/// How a status is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Status,
    Error,
}

/// The information object of `onStatus`, and of the answers to `connect`.
pub(crate) fn information(level: Level, code: &str, description: &str) -> Value {
    let level = match level {
        Level::Status => "status",
        Level::Error => "error",
    };
    Value::object([
        ("level", level.into()),
        ("code", code.into()),
        ("description", description.into()),
    ])
}

/// The codes that programs look for.
pub(crate) mod code {
    pub(crate) const CONNECTED: &str = "NetConnection.Connect.Success";
    pub(crate) const CONNECT_REJECTED: &str = "NetConnection.Connect.Rejected";
    pub(crate) const PUBLISH_START: &str = "NetStream.Publish.Start";
    pub(crate) const PUBLISH_BAD_NAME: &str = "NetStream.Publish.BadName";
    pub(crate) const PUBLISH_DENIED: &str = "NetStream.Publish.Denied";
    pub(crate) const UNPUBLISHED: &str = "NetStream.Unpublish.Success";
    pub(crate) const PLAY_RESET: &str = "NetStream.Play.Reset";
    pub(crate) const PLAY_START: &str = "NetStream.Play.Start";
    pub(crate) const PLAY_STOP: &str = "NetStream.Play.Stop";
    pub(crate) const PLAY_FAILED: &str = "NetStream.Play.Failed";
    pub(crate) const PLAY_NOT_FOUND: &str = "NetStream.Play.StreamNotFound";
    pub(crate) const PLAY_UNPUBLISHED: &str = "NetStream.Play.UnpublishNotify";
    pub(crate) const SEEKED: &str = "NetStream.Seek.Notify";
    pub(crate) const PAUSED: &str = "NetStream.Pause.Notify";
    pub(crate) const UNPAUSED: &str = "NetStream.Unpause.Notify";
    pub(crate) const CALL_FAILED: &str = "NetConnection.Call.Failed";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: BytesMut) -> Message {
        Message { kind, timestamp: 0, stream: 0, body: body.freeze() }
    }

    #[test]
    fn calls_of_both_encodings() {
        let body = write("publish", 5.0, &[Value::Null, "cam".into(), "live".into()]);
        let call = Call::read(&message(kind::COMMAND, body.clone())).unwrap();
        assert_eq!((&*call.name, call.transaction, call.text()), ("publish", 5.0, Some("cam")));
        let mut third = BytesMut::from(&[0][..]);
        third.extend_from_slice(&body);
        assert_eq!(Call::read(&message(kind::COMMAND3, third)).unwrap(), call);
    }

    #[test]
    fn nonsense_is_an_error_and_little_is_enough() {
        assert!(Call::read(&message(kind::COMMAND, BytesMut::new())).is_err());
        assert!(Call::read(&message(kind::COMMAND, BytesMut::from(&[5][..]))).is_err());
        let call =
            Call::read(&message(kind::COMMAND, BytesMut::from(&b"\x02\0\x01x"[..]))).unwrap();
        assert_eq!((call.object(), call.text()), (&Value::Null, None));
    }
}
