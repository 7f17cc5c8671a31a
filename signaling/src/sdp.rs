//! SDP (RFC 8866) as WebRTC uses it (RFC 8829, RFC 9725).
