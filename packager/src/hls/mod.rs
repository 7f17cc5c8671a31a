//! Playlists of HLS as text, and which of them a request is answered with (draft-pantos-hls-rfc8216bis).
