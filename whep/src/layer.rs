//! The layer extension, `urn:ietf:params:whep:ext:core:layer`: a viewer chooses an encoding.

use media::EncodingId;
use serde::Deserialize;
use signaling::Problem;

/// The extension's name.
pub const LAYER: &str = "urn:ietf:params:whep:ext:core:layer";

pub(crate) const JSON: &str = "application/json";

/// Longest body taken, in bytes.
const MAX: usize = 4096;

/// What a viewer wants. All `None`: the server chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// The m-line meant; without it, the video.
    pub media_id: Option<String>,
    /// The encoding, by its rid.
    pub encoding: Option<EncodingId>,
    /// SVC spatial layer.
    pub spatial: Option<u32>,
    /// SVC temporal layer.
    pub temporal: Option<u32>,
    /// Highest spatial layer for the automatic choice.
    pub max_spatial: Option<u32>,
    /// Highest temporal layer for the automatic choice.
    pub max_temporal: Option<u32>,
    /// Widest picture for the automatic choice, in pixels.
    pub max_width: Option<u32>,
    /// Highest picture for the automatic choice, in pixels.
    pub max_height: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    media_id: Option<String>,
    encoding_id: Option<String>,
    /// What drafts since 2024-10 call it.
    rid: Option<String>,
    spatial_layer_id: Option<u32>,
    temporal_layer_id: Option<u32>,
    max_spatial_layer_id: Option<u32>,
    max_temporal_layer_id: Option<u32>,
    max_width: Option<u32>,
    max_height: Option<u32>,
}

/// What a [`Layer`] comes to, as far as we can follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The server chooses.
    Automatic,
    /// This encoding.
    Encoding(EncodingId),
    /// The server chooses among those that are no larger.
    Within {
        /// Largest width, in pixels.
        width: u16,
        /// Largest height, in pixels.
        height: u16,
    },
}

impl Layer {
    /// Reads the extension's JSON object; fields that we do not know are ignored.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let refuse =
            |detail: String| Problem::new(400, "bad-layer", "The layer cannot be used", detail);
        if body.len() > MAX {
            return Err(refuse(format!("the body is {} bytes long, at most {MAX}", body.len())));
        }
        // By way of a map: serde would also take an array for a struct.
        let body = serde_json::from_slice::<serde_json::Map<_, _>>(body)
            .and_then(|map| Body::deserialize(serde_json::Value::Object(map)))
            .map_err(|e| refuse(e.to_string()))?;
        let encoding = match body.encoding_id.or(body.rid) {
            Some(id) => Some(EncodingId::new(&id).ok_or_else(|| {
                refuse("encodingId or rid is a rid: 1 to 16 letters, digits, '-' or '_'".to_owned())
            })?),
            None => None,
        };
        Ok(Self {
            media_id: body.media_id,
            encoding,
            spatial: body.spatial_layer_id,
            temporal: body.temporal_layer_id,
            max_spatial: body.max_spatial_layer_id,
            max_temporal: body.max_temporal_layer_id,
            max_width: body.max_width,
            max_height: body.max_height,
        })
    }

    /// What is to be done. An encoding that is named goes before any maximum, which is for the automatic choice.
    ///
    /// # Errors
    /// 422 for what would be chosen inside an encoding.
    pub fn choice(&self) -> Result<Choice, Problem> {
        let inside = [self.spatial, self.temporal, self.max_spatial, self.max_temporal];
        if inside.iter().any(Option::is_some) {
            let detail = "choose by encodingId, maxWidth or maxHeight; layers inside an encoding cannot be chosen yet";
            let title = "This layer cannot be chosen";
            return Err(Problem::new(422, "layer-unsupported", title, detail));
        }
        let most = |pixels: Option<u32>| {
            pixels.map_or(u16::MAX, |pixels| u16::try_from(pixels).unwrap_or(u16::MAX))
        };
        Ok(match (self.encoding, self.max_width, self.max_height) {
            (Some(id), _, _) => Choice::Encoding(id),
            (None, None, None) => Choice::Automatic,
            (None, width, height) => Choice::Within { width: most(width), height: most(height) },
        })
    }
}
