//! What the two sides can beyond RTMP 1.0 (Enhanced RTMP v2, "Enhancing NetConnection connect Command"):
//! read from a `connect` or its reply, and said in ours. What follows from it is `flv`'s.

use crate::amf::Value;
use crate::flv;

/// `FourCcInfoMask.CanForward`.
const CAN_FORWARD: f64 = 4.0;
/// Codecs that one peer may name.
const MAX_NAMED: usize = 64;

/// From the command object of `connect`, or from an object of its reply. `None`: it says nothing of
/// Enhanced RTMP.
pub(crate) fn read(object: &Value) -> Option<flv::Peer> {
    let mut peer = flv::Peer::default();
    let mut said = false;
    if let Some(Value::Array(list)) = object.get("fourCcList") {
        said = true;
        list.iter().filter_map(Value::text).take(MAX_NAMED).for_each(|name| peer.add_fourcc(name));
    }
    for map in ["videoFourCcInfoMap", "audioFourCcInfoMap"] {
        let Some(map) = object.get(map) else { continue };
        said = true;
        for (name, flags) in map.fields().iter().take(MAX_NAMED) {
            if flags.number().is_some_and(|flags| flags > 0.0) {
                peer.add_fourcc(name);
            }
        }
    }
    if let Some(caps) = object.get("capsEx").and_then(Value::number) {
        said = true;
        peer.caps_ex(caps as u32);
    }
    said.then_some(peer)
}

/// Ours, as fields of an object.
pub(crate) fn ours() -> Vec<(String, Value)> {
    let (video, audio) = (flv::VIDEO_FOURCC, flv::AUDIO_FOURCC);
    let all = video.iter().chain(&audio).map(|name| Value::from(*name)).collect();
    let map = |names: &[&str]| {
        Value::Object(names.iter().map(|&name| (name.to_owned(), CAN_FORWARD.into())).collect())
    };
    vec![
        ("fourCcList".to_owned(), Value::Array(all)),
        ("videoFourCcInfoMap".to_owned(), map(&video)),
        ("audioFourCcInfoMap".to_owned(), map(&audio)),
        ("capsEx".to_owned(), f64::from(flv::CAPS_EX).into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_nothing_is_told_from_who_says_little() {
        assert!(read(&Value::object([("app", "live".into())])).is_none());
        assert!(read(&Value::Null).is_none());
        let list = Value::Array(vec!["hvc1".into(), "ac-3".into(), 4.0.into()]);
        assert!(read(&Value::object([("fourCcList", list)])).is_some());
        let odd = Value::object([("capsEx", f64::NAN.into()), ("fourCcList", Value::Null)]);
        assert!(read(&odd).is_some());
        let map = Value::EcmaArray(vec![("*".to_owned(), 1.0.into())]);
        assert!(read(&Value::object([("videoFourCcInfoMap", map)])).is_some());
        assert!(read(&Value::Object(ours())).is_some());
    }
}
