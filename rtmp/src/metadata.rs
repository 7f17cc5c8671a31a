//! `onMetaData`: what an encoder says of its own settings (Adobe FLV 10.1 annex E.5). Good for warnings,
//! never for decoding: many encoders say something else than they send.

use media::Codec;

use crate::amf::Value;

/// Bytes that are kept of the encoder's name.
const MAX_NAME: usize = 128;

/// The keys that we know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    /// Pixels.
    pub width: Option<f64>,
    /// Pixels.
    pub height: Option<f64>,
    /// Pictures per second.
    pub framerate: Option<f64>,
    /// The video's bit rate in kbit/s.
    pub videodatarate: Option<f64>,
    /// The sound's bit rate in kbit/s.
    pub audiodatarate: Option<f64>,
    /// The program, such as `obs-output module (libobs version 29.0.2)` or `Lavf59.27.100`.
    pub encoder: Option<String>,
}

impl Metadata {
    /// From the values of a data message: `@setDataFrame` before `onMetaData`, or the latter alone.
    /// `None` for any other data.
    pub(crate) fn read(values: &[Value]) -> Option<Self> {
        let values = match values {
            [Value::String(set), rest @ ..] if set == "@setDataFrame" => rest,
            all => all,
        };
        let [Value::String(name), object, ..] = values else { return None };
        if name != "onMetaData" {
            return None;
        }
        let number = |key| {
            let number = object.get(key).and_then(Value::number)?;
            (number.is_finite() && number > 0.0).then_some(number)
        };
        Some(Self {
            width: number("width"),
            height: number("height"),
            framerate: number("framerate"),
            videodatarate: number("videodatarate"),
            audiodatarate: number("audiodatarate"),
            encoder: object.get("encoder").and_then(Value::text).map(|name| {
                let end = name.floor_char_boundary(MAX_NAME);
                name[..end].chars().filter(|c| !c.is_control()).collect()
            }),
        })
    }

    /// The object of `onMetaData`. The codecs tell old players which tracks to wait for.
    pub(crate) fn write(&self, codecs: &[Codec]) -> Value {
        let numbers = [
            ("width", self.width),
            ("height", self.height),
            ("framerate", self.framerate),
            ("videodatarate", self.videodatarate),
            ("audiodatarate", self.audiodatarate),
        ];
        let mut fields: Vec<(String, Value)> = numbers
            .into_iter()
            .filter_map(|(key, number)| Some((key.to_owned(), number?.into())))
            .collect();
        for codec in codecs {
            let key = match codec.kind() {
                media::Kind::Video => "videocodecid",
                media::Kind::Audio => "audiocodecid",
            };
            fields.push((key.to_owned(), codec_id(*codec).into()));
        }
        if let Some(encoder) = &self.encoder {
            fields.push(("encoder".to_owned(), encoder.as_str().into()));
        }
        Value::EcmaArray(fields)
    }
}

/// The numbers of FLV; for newer codecs their FourCC as a number (Enhanced RTMP v2, "Enhancing onMetaData").
fn codec_id(codec: Codec) -> f64 {
    f64::from(u32::from_be_bytes(match codec {
        Codec::H264 => return 7.0,
        Codec::Aac => return 10.0,
        Codec::H265 => *b"hvc1",
        Codec::Av1 => *b"av01",
        Codec::Vp9 => *b"vp09",
        Codec::Vp8 => *b"vp08",
        Codec::Opus => *b"Opus",
        _ => return 0.0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_the_command_before_it() {
        let object = Value::EcmaArray(vec![
            ("width".to_owned(), 1280.0.into()),
            ("framerate".to_owned(), 30.0.into()),
            ("videodatarate".to_owned(), 0.0.into()),
            ("audiodatarate".to_owned(), f64::NAN.into()),
            ("encoder".to_owned(), "Lavf\u{7}59".into()),
        ]);
        let bare = [Value::from("onMetaData"), object];
        let read = Metadata::read(&bare).unwrap();
        assert_eq!((read.width, read.height, read.framerate), (Some(1280.0), None, Some(30.0)));
        assert_eq!((read.videodatarate, read.audiodatarate), (None, None), "0 means unknown");
        assert_eq!(read.encoder.as_deref(), Some("Lavf59"));
        let set = [Value::from("@setDataFrame"), bare[0].clone(), bare[1].clone()];
        assert_eq!(Metadata::read(&set), Some(read));
        assert_eq!(Metadata::read(&set[..1]), None);
        assert_eq!(Metadata::read(&["onTextData".into(), Value::Null]), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let metadata = Metadata {
            width: Some(640.0),
            encoder: Some("weir".to_owned()),
            ..Metadata::default()
        };
        let object = metadata.write(&[Codec::H264, Codec::Opus]);
        assert_eq!(object.get("videocodecid"), Some(&Value::Number(7.0)));
        let opus = f64::from(u32::from_be_bytes(*b"Opus"));
        assert_eq!(object.get("audiocodecid"), Some(&Value::Number(opus)));
        assert_eq!(Metadata::read(&["onMetaData".into(), object]), Some(metadata));
    }
}
