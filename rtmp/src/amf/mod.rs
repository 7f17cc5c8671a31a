//! Action Message Format: the values of commands and metadata (Adobe AMF 0, AMF 3). Read with bounds on
//! depth, number and length; what commands mean does not enter here.

pub mod amf0;
pub mod amf3;

#[cfg(test)]
mod tests;

use crate::Error;

/// Objects within objects.
const MAX_DEPTH: u32 = 16;
/// Values of one message. OBS's metadata has some twenty.
const MAX_VALUES: u32 = 4096;
/// Bytes of a message, and of all its strings: AMF 3 can repeat one in two bytes.
pub const MAX_LEN: usize = 128 * 1024;

/// A value. Numbers are all `f64`, as AMF 0 has them; strings that are no UTF-8 have U+FFFD in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Any number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// Text; XML and byte arrays too.
    String(String),
    /// An object, a typed one too: names and values in their order.
    Object(Vec<(String, Value)>),
    /// Written differently, meant the same as an object.
    EcmaArray(Vec<(String, Value)>),
    /// Values without names.
    Array(Vec<Value>),
    /// Milliseconds since the Unix epoch.
    Date(f64),
    /// Nothing.
    Null,
    /// Nothing was ever there; also what refers to an object elsewhere in the message, and what the format
    /// itself calls unsupported.
    #[default]
    Undefined,
}

impl Value {
    /// The value of that name in an object.
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(fields) | Self::EcmaArray(fields) => {
                fields.iter().find(|(key, _)| key == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The fields of an object.
    pub fn fields(&self) -> &[(String, Value)] {
        match self {
            Self::Object(fields) | Self::EcmaArray(fields) => fields,
            _ => &[],
        }
    }

    /// An object of these fields.
    pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Self {
        Self::Object(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

/// Reads bytes from the front, and counts what they make us keep.
#[derive(Debug)]
pub struct Input<'a> {
    all: usize,
    rest: &'a [u8],
    depth: u32,
    values: u32,
    text: usize,
}

impl<'a> Input<'a> {
    /// A whole message.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        let new = Self { all: bytes.len(), rest: bytes, depth: 0, values: 0, text: 0 };
        if bytes.len() > MAX_LEN { Err(new.wrong("a message too long to be one")) } else { Ok(new) }
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn wrong(&self, what: &'static str) -> Error {
        Error::Amf { what, offset: self.all - self.rest.len() }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.wrong("an end in the middle of a value")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn double(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_be_bytes)
    }

    fn string(&mut self, len: usize) -> Result<String, Error> {
        let bytes = self.take(len)?;
        self.charge(len)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// So many bytes of text are kept.
    fn charge(&mut self, len: usize) -> Result<(), Error> {
        self.text += len;
        if self.text > MAX_LEN {
            Err(self.wrong("more text than a message may hold"))
        } else {
            Ok(())
        }
    }

    /// One more value.
    fn count(&mut self) -> Result<(), Error> {
        self.values += 1;
        if self.values > MAX_VALUES { Err(self.wrong("too many values")) } else { Ok(()) }
    }

    /// What `read` reads is inside of something.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.wrong("objects too deep in one another"));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }
}
