//! As much AMF0 as an RTMP client needs.

use serde_json::{Map, Number, Value};

/// Values of a command, one behind the other. Objects are JSON objects, what has no form there is null.
pub(super) fn write(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| one(&mut bytes, value));
    bytes
}

fn one(to: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Number(number) => {
            to.push(0);
            to.extend(number.as_f64().expect("a number that a double holds").to_be_bytes());
        }
        Value::Bool(flag) => to.extend([1, u8::from(*flag)]),
        Value::String(text) => {
            to.push(2);
            short(to, text);
        }
        Value::Object(fields) => {
            to.push(3);
            for (name, value) in fields {
                short(to, name);
                one(to, value);
            }
            to.extend([0, 0, 9]);
        }
        Value::Array(values) => {
            to.push(10);
            to.extend((values.len() as u32).to_be_bytes());
            values.iter().for_each(|value| one(to, value));
        }
        Value::Null => to.push(5),
    }
}

fn short(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as u16).to_be_bytes());
    to.extend(text.as_bytes());
}

/// All values of a command.
pub(super) fn read(bytes: &[u8]) -> Vec<Value> {
    let mut reader = Reader { bytes, at: 0 };
    let mut values = Vec::new();
    while reader.at < bytes.len() {
        values.push(reader.value());
    }
    values
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let found = self.bytes.get(self.at..self.at + N);
        let found = found.unwrap_or_else(|| panic!("AMF ends early: {:02x?}", self.bytes));
        self.at += N;
        found.try_into().expect("N bytes")
    }

    fn text(&mut self, length: usize) -> String {
        let found = self.bytes.get(self.at..self.at + length);
        self.at += length;
        String::from_utf8_lossy(found.expect("AMF text ends early")).into_owned()
    }

    fn value(&mut self) -> Value {
        match self.take::<1>()[0] {
            0 => Number::from_f64(f64::from_be_bytes(self.take())).map_or(Value::Null, Value::from),
            1 => Value::Bool(self.take::<1>()[0] != 0),
            2 => {
                let length = u16::from_be_bytes(self.take());
                Value::String(self.text(length.into()))
            }
            3 => self.fields(),
            5 | 6 => Value::Null,
            8 => {
                self.take::<4>();
                self.fields()
            }
            10 => {
                let count = u32::from_be_bytes(self.take());
                Value::Array((0..count).map(|_| self.value()).collect())
            }
            other => panic!("AMF0 type {other} in {:02x?}", self.bytes),
        }
    }

    fn fields(&mut self) -> Value {
        let mut fields = Map::new();
        loop {
            let length = u16::from_be_bytes(self.take());
            let name = self.text(length.into());
            if name.is_empty() && self.bytes.get(self.at) == Some(&9) {
                self.at += 1;
                return Value::Object(fields);
            }
            let value = self.value();
            fields.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let values =
            [json!("connect"), json!(1.0), json!({ "a": "b", "c": [1.5, true] }), json!(null)];
        assert_eq!(read(&write(&values)), values);
    }
}
