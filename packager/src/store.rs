//! What is kept of a stream and for how long: segments as chains of parts, shared and never copied.
