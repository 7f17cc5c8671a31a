//! AMF 3 (Adobe, amf-file-format-spec, 2013), read only: we always say that we speak AMF 0, and who
//! writes AMF 3 all the same is understood. References to objects are [`Value::Undefined`]: nothing that
//! RTMP means is said by them, and to follow them would let a small message become a large one.

use super::{Input, Value};
use crate::Error;

/// Section 3.1.
mod marker {
    pub(super) const UNDEFINED: u8 = 0;
    pub(super) const NULL: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const TRUE: u8 = 3;
    pub(super) const INTEGER: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const STRING: u8 = 6;
    pub(super) const XML_DOC: u8 = 7;
    pub(super) const DATE: u8 = 8;
    pub(super) const ARRAY: u8 = 9;
    pub(super) const OBJECT: u8 = 10;
    pub(super) const XML: u8 = 11;
    pub(super) const BYTES: u8 = 12;
    pub(super) const VECTOR_INT: u8 = 13;
    pub(super) const VECTOR_UINT: u8 = 14;
    pub(super) const VECTOR_DOUBLE: u8 = 15;
    pub(super) const VECTOR_OBJECT: u8 = 16;
    pub(super) const DICTIONARY: u8 = 17;
}

/// What later parts of one value may refer to.
#[derive(Debug, Default)]
struct Tables {
    strings: Vec<String>,
    traits: Vec<Traits>,
}

#[derive(Clone, Debug)]
struct Traits {
    dynamic: bool,
    names: Vec<String>,
}

/// The next value, behind its marker in AMF 0.
pub fn read(input: &mut Input<'_>) -> Result<Value, Error> {
    value(input, &mut Tables::default())
}

fn value(input: &mut Input<'_>, tables: &mut Tables) -> Result<Value, Error> {
    input.count()?;
    Ok(match input.byte()? {
        marker::UNDEFINED => Value::Undefined,
        marker::NULL => Value::Null,
        marker::FALSE => Value::Boolean(false),
        marker::TRUE => Value::Boolean(true),
        // 29 bits, signed.
        marker::INTEGER => Value::Number(f64::from((u29(input)? << 3) as i32 >> 3)),
        marker::DOUBLE => Value::Number(input.double()?),
        marker::STRING => Value::String(string(input, tables)?),
        marker::DATE => match length(input)? {
            Some(_) => Value::Date(input.double()?),
            None => Value::Undefined,
        },
        marker::XML_DOC | marker::XML | marker::BYTES => match length(input)? {
            Some(len) => Value::String(input.string(len)?),
            None => Value::Undefined,
        },
        marker::ARRAY => match length(input)? {
            Some(count) => input.nested(|input| array(input, tables, count))?,
            None => Value::Undefined,
        },
        marker::OBJECT => input.nested(|input| object(input, tables))?,
        marker @ marker::VECTOR_INT..=marker::VECTOR_OBJECT => match length(input)? {
            Some(count) => input.nested(|input| vector(input, tables, marker, count))?,
            None => Value::Undefined,
        },
        marker::DICTIONARY => match length(input)? {
            Some(count) => input.nested(|input| dictionary(input, tables, count))?,
            None => Value::Undefined,
        },
        _ => return Err(input.wrong("an unknown type of AMF 3")),
    })
}

/// Section 1.3.1: one to four bytes.
fn u29(input: &mut Input<'_>) -> Result<u32, Error> {
    let mut value = 0;
    for _ in 0..3 {
        let byte = input.byte()?;
        value = value << 7 | u32::from(byte & 0x7F);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Ok(value << 8 | u32::from(input.byte()?))
}

/// A length or a count, or a reference.
fn length(input: &mut Input<'_>) -> Result<Option<usize>, Error> {
    let value = u29(input)?;
    Ok((value & 1 == 1).then_some(value as usize >> 1))
}

fn string(input: &mut Input<'_>, tables: &mut Tables) -> Result<String, Error> {
    let value = u29(input)?;
    if value & 1 == 1 {
        let string = input.string(value as usize >> 1)?;
        if !string.is_empty() {
            tables.strings.push(string.clone());
        }
        return Ok(string);
    }
    match tables.strings.get(value as usize >> 1) {
        Some(string) => {
            input.charge(string.len())?;
            Ok(string.clone())
        }
        None => Err(input.wrong("a reference to a string that has not come")),
    }
}

/// Names and values up to the empty name.
fn named(
    input: &mut Input<'_>,
    tables: &mut Tables,
    fields: &mut Vec<(String, Value)>,
) -> Result<(), Error> {
    loop {
        let name = string(input, tables)?;
        if name.is_empty() {
            return Ok(());
        }
        fields.push((name, value(input, tables)?));
    }
}

fn array(input: &mut Input<'_>, tables: &mut Tables, count: usize) -> Result<Value, Error> {
    let mut fields = Vec::new();
    named(input, tables, &mut fields)?;
    if fields.is_empty() {
        return (0..count)
            .map(|_| value(input, tables))
            .collect::<Result<_, _>>()
            .map(Value::Array);
    }
    for index in 0..count {
        fields.push((index.to_string(), value(input, tables)?));
    }
    Ok(Value::EcmaArray(fields))
}

fn object(input: &mut Input<'_>, tables: &mut Tables) -> Result<Value, Error> {
    let first = u29(input)?;
    if first & 1 == 0 {
        return Ok(Value::Undefined);
    }
    let traits = traits(input, tables, first)?;
    let mut fields = Vec::new();
    for name in traits.names {
        input.charge(name.len())?;
        fields.push((name, value(input, tables)?));
    }
    if traits.dynamic {
        named(input, tables, &mut fields)?;
    }
    Ok(Value::Object(fields))
}

/// Section 3.12: whether there are more fields than these, and the names of these.
fn traits(input: &mut Input<'_>, tables: &mut Tables, first: u32) -> Result<Traits, Error> {
    if first & 2 == 0 {
        return match tables.traits.get(first as usize >> 2) {
            Some(traits) => {
                // A clone of many names for one byte: each counts as a value.
                let traits = traits.clone();
                traits.names.iter().try_for_each(|_| input.count())?;
                Ok(traits)
            }
            None => Err(input.wrong("a reference to traits that have not come")),
        };
    }
    if first & 4 != 0 {
        return Err(input.wrong("an object in a form of its own"));
    }
    string(input, tables)?;
    let mut names = Vec::new();
    for _ in 0..first >> 4 {
        input.count()?;
        names.push(string(input, tables)?);
    }
    let traits = Traits { dynamic: first & 8 != 0, names };
    tables.traits.push(traits.clone());
    Ok(traits)
}

fn vector(
    input: &mut Input<'_>,
    tables: &mut Tables,
    marker: u8,
    count: usize,
) -> Result<Value, Error> {
    // Whether its length is fixed.
    input.byte()?;
    if marker == marker::VECTOR_OBJECT {
        string(input, tables)?;
    }
    let mut values = Vec::new();
    for _ in 0..count {
        values.push(match marker {
            marker::VECTOR_OBJECT => value(input, tables)?,
            _ => {
                input.count()?;
                Value::Number(match marker {
                    marker::VECTOR_INT => f64::from(i32::from_be_bytes(input.array()?)),
                    marker::VECTOR_UINT => f64::from(u32::from_be_bytes(input.array()?)),
                    marker::VECTOR_DOUBLE => input.double()?,
                    _ => return Err(input.wrong("an unknown type of vector")),
                })
            }
        });
    }
    Ok(Value::Array(values))
}

/// Keys that are no text lose their values; nothing in RTMP has them.
fn dictionary(input: &mut Input<'_>, tables: &mut Tables, count: usize) -> Result<Value, Error> {
    input.byte()?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let (key, value) = (value(input, tables)?, value(input, tables)?);
        if let Value::String(key) = key {
            fields.push((key, value));
        }
    }
    Ok(Value::Object(fields))
}
