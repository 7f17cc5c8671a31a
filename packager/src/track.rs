//! A track of one rendition: the units of a format on the timeline of the stream.
