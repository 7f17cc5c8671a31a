//! Where a part and a segment end, on media time: the same instants on all renditions.
