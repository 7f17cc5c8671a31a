//! AMF 0 (Adobe, amf0-file-format-specification, 2007), read and written. What AMF 3 brings in by its
//! marker is read by [`super::amf3`] and never written.

use bytes::{BufMut, BytesMut};

use super::{Input, Value, amf3};
use crate::Error;

/// Section 2.1.
mod marker {
    pub(super) const NUMBER: u8 = 0;
    pub(super) const BOOLEAN: u8 = 1;
    pub(super) const STRING: u8 = 2;
    pub(super) const OBJECT: u8 = 3;
    pub(super) const NULL: u8 = 5;
    pub(super) const UNDEFINED: u8 = 6;
    pub(super) const REFERENCE: u8 = 7;
    pub(super) const ECMA_ARRAY: u8 = 8;
    pub(super) const OBJECT_END: u8 = 9;
    pub(super) const STRICT_ARRAY: u8 = 10;
    pub(super) const DATE: u8 = 11;
    pub(super) const LONG_STRING: u8 = 12;
    pub(super) const UNSUPPORTED: u8 = 13;
    pub(super) const XML: u8 = 15;
    pub(super) const TYPED_OBJECT: u8 = 16;
    pub(super) const AMF3: u8 = 17;
}

/// The next value.
pub fn read(input: &mut Input<'_>) -> Result<Value, Error> {
    input.count()?;
    Ok(match input.byte()? {
        marker::NUMBER => Value::Number(input.double()?),
        marker::BOOLEAN => Value::Boolean(input.byte()? != 0),
        marker::STRING => Value::String(short(input)?),
        marker::LONG_STRING | marker::XML => Value::String(long(input)?),
        marker::OBJECT => Value::Object(input.nested(fields)?),
        marker::TYPED_OBJECT => {
            short(input)?;
            Value::Object(input.nested(fields)?)
        }
        marker::ECMA_ARRAY => {
            // How many there are is often a lie, and its end says it anyway.
            input.array::<4>()?;
            Value::EcmaArray(input.nested(fields)?)
        }
        marker::STRICT_ARRAY => {
            let count = u32::from_be_bytes(input.array()?);
            Value::Array(input.nested(|input| (0..count).map(|_| read(input)).collect())?)
        }
        marker::DATE => {
            let millis = input.double()?;
            input.array::<2>()?;
            Value::Date(millis)
        }
        marker::NULL => Value::Null,
        marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
        marker::REFERENCE => {
            input.array::<2>()?;
            Value::Undefined
        }
        marker::AMF3 => amf3::read(input)?,
        _ => return Err(input.wrong("an unknown type")),
    })
}

/// All values to the end.
pub fn read_all(bytes: &[u8]) -> Result<Vec<Value>, Error> {
    let mut input = Input::new(bytes)?;
    let mut values = Vec::new();
    while !input.is_empty() {
        values.push(read(&mut input)?);
    }
    Ok(values)
}

fn short(input: &mut Input<'_>) -> Result<String, Error> {
    let len = u16::from_be_bytes(input.array()?);
    input.string(usize::from(len))
}

fn long(input: &mut Input<'_>) -> Result<String, Error> {
    let len = u32::from_be_bytes(input.array()?);
    input.string(len as usize)
}

/// Names and values up to the empty name and its end marker. A message that just ends there is taken
/// too: encoders exist that forget it.
fn fields(input: &mut Input<'_>) -> Result<Vec<(String, Value)>, Error> {
    let mut fields = Vec::new();
    while !input.is_empty() {
        let name = short(input)?;
        if name.is_empty() && input.rest.first() == Some(&marker::OBJECT_END) {
            input.byte()?;
            break;
        }
        fields.push((name, read(input)?));
    }
    Ok(fields)
}

/// Appends a value. Texts of more than 65,535 bytes are long strings; names are cut there.
pub fn write(value: &Value, out: &mut BytesMut) {
    match value {
        Value::Number(number) => {
            out.put_u8(marker::NUMBER);
            out.put_f64(*number);
        }
        Value::Boolean(value) => out.put_slice(&[marker::BOOLEAN, u8::from(*value)]),
        Value::String(text) if text.len() > usize::from(u16::MAX) => {
            out.put_u8(marker::LONG_STRING);
            out.put_u32(text.len() as u32);
            out.put_slice(text.as_bytes());
        }
        Value::String(text) => {
            out.put_u8(marker::STRING);
            write_short(text, out);
        }
        Value::Object(fields) => {
            out.put_u8(marker::OBJECT);
            write_fields(fields, out);
        }
        Value::EcmaArray(fields) => {
            out.put_u8(marker::ECMA_ARRAY);
            out.put_u32(fields.len() as u32);
            write_fields(fields, out);
        }
        Value::Array(values) => {
            out.put_u8(marker::STRICT_ARRAY);
            out.put_u32(values.len() as u32);
            values.iter().for_each(|value| write(value, out));
        }
        Value::Date(millis) => {
            out.put_u8(marker::DATE);
            out.put_f64(*millis);
            out.put_u16(0);
        }
        Value::Null => out.put_u8(marker::NULL),
        Value::Undefined => out.put_u8(marker::UNDEFINED),
    }
}

fn write_short(text: &str, out: &mut BytesMut) {
    let bytes = &text.as_bytes()[..text.floor_char_boundary(usize::from(u16::MAX))];
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

fn write_fields(fields: &[(String, Value)], out: &mut BytesMut) {
    for (name, value) in fields {
        write_short(name, out);
        write(value, out);
    }
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}
