//! AMF: what is written is read; AMF 3 as Flash writes it; bombs.

use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

use super::*;

fn one(bytes: &[u8]) -> Result<Value, Error> {
    let mut values = amf0::read_all(bytes)?;
    assert_eq!(values.len(), 1);
    Ok(values.remove(0))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<f64>().prop_filter("equal to itself", |n| !n.is_nan()).prop_map(Value::Number),
        any::<bool>().prop_map(Value::Boolean),
        ".{0,20}".prop_map(Value::String),
        (-1e12..1e12f64).prop_map(Value::Date),
        Just(Value::Null),
        Just(Value::Undefined),
        Just(Value::String("x".repeat(70_000))),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let fields = || prop::collection::vec(("[a-zA-Z]{1,8}", inner.clone()), 0..6);
        prop_oneof![
            fields().prop_map(Value::Object),
            fields().prop_map(Value::EcmaArray),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(values in prop::collection::vec(value(), 0..4)) {
        let mut bytes = BytesMut::new();
        values.iter().for_each(|value| amf0::write(value, &mut bytes));
        prop_assume!(bytes.len() <= MAX_LEN);
        prop_assert_eq!(amf0::read_all(&bytes).unwrap(), values);
    }

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(prop_oneof![0u8..18, any::<u8>()], 0..600)) {
        let _ = amf0::read_all(&bytes);
        let _ = amf0::read_all(&[&[17], &bytes[..]].concat());
    }
}

#[test]
fn what_flash_writes_in_amf3() {
    // An anonymous, dynamic object: {app: "live", n: -3, again: "app"}.
    let bytes =
        b"\x11\x0a\x0b\x01\x07app\x06\x09live\x03n\x04\xff\xff\xff\xfd\x0bagain\x06\x00\x01";
    let expected =
        Value::object([("app", "live".into()), ("n", (-3.0).into()), ("again", "app".into())]);
    assert_eq!(one(bytes).unwrap(), expected);
    // A typed one with a sealed member, twice: the second by reference to its traits.
    let bytes = b"\x11\x09\x05\x01\x0a\x13\x03C\x03x\x04\x05\x0a\x01\x04\x06";
    let x = |n: f64| Value::object([("x", n.into())]);
    assert_eq!(one(bytes).unwrap(), Value::Array(vec![x(5.0), x(6.0)]));
    let vector = b"\x11\x0d\x05\x00\x00\x00\x00\x01\xff\xff\xff\xff";
    assert_eq!(one(vector).unwrap(), Value::Array(vec![1.0.into(), (-1.0).into()]));
    assert_eq!(one(b"\x11\x0a\x02").unwrap(), Value::Undefined, "a reference to an object");
    assert_eq!(one(b"\x11\x11\x03\x00\x06\x03k\x03").unwrap(), Value::object([("k", true.into())]));
}

#[test]
fn an_object_without_its_end_and_arrays_that_lie() {
    assert_eq!(one(b"\x03\0\x01a\x05").unwrap(), Value::object([("a", Value::Null)]));
    let lying = b"\x08\xff\xff\xff\xff\0\x01a\x01\x01\0\0\x09";
    assert_eq!(one(lying).unwrap(), Value::EcmaArray(vec![("a".into(), true.into())]));
    assert_eq!(one(b"\x02\0\x02\xff\xfe").unwrap(), Value::from("\u{FFFD}\u{FFFD}"));
}

#[test]
fn errors_say_where() {
    let error = amf0::read_all(b"\x05\x02\0\x09abc").unwrap_err();
    assert_eq!(error.to_string(), "AMF: an end in the middle of a value at byte 4");
    assert!(amf0::read_all(b"\x1f").is_err() && amf0::read_all(b"\x11\x1f").is_err());
    assert!(amf0::read_all(b"\x11\x06\x08").is_err(), "a string that has not come");
}

#[test]
fn bombs_are_refused_at_their_bound() {
    let refused = |bytes: &[u8], what: &str| {
        let error = amf0::read_all(bytes).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
    };
    refused(&b"\x03\0\x01a".repeat(2000), "too deep");
    refused(&b"\x0a\0\0\0\x01".repeat(2000), "too deep");
    refused(&[b"\x11".to_vec(), b"\x09\x03\x01".repeat(2000)].concat(), "too deep");
    refused(&[5; MAX_VALUES as usize + 1], "too many values");
    refused(b"\x0a\xff\xff\xff\xff\x05\x05", "an end");
    refused(b"\x0c\xff\xff\xff\xff", "an end");
    refused(&vec![5; MAX_LEN + 1], "too long");

    // A string of 60,000 bytes, and then again and again in two bytes each.
    let mut text = BytesMut::from(&b"\x11\x09\x8f\x7f\x01\x06"[..]);
    let len = 60_000u32 << 1 | 1;
    text.put_slice(&[0x80 | (len >> 14) as u8, 0x80 | (len >> 7) as u8, len as u8 & 0x7F]);
    text.put_bytes(b'x', 60_000);
    (0..1000).for_each(|_| text.put_slice(&[6, 0]));
    refused(&text, "more text");

    // Traits of a thousand names, and then again and again in two bytes each.
    let traits = 1000u32 << 4 | 3;
    let mut names = BytesMut::from(&b"\x11\x09\x8f\x7f\x01\x0a"[..]);
    names.put_slice(&[0x80 | (traits >> 7) as u8, traits as u8 & 0x7F, 1]);
    (0..1000).for_each(|_| names.put_slice(b"\x03n"));
    (0..1000).for_each(|_| names.put_u8(1));
    (0..1000).for_each(|_| {
        names.put_slice(&[0x0a, 1]);
        names.put_bytes(1, 1000);
    });
    names.truncate(MAX_LEN);
    refused(&names, "too many values");
}
