//! Datagrams on a TCP connection, each behind its length in two bytes (RFC 4571 section 2), as ICE-TCP has
//! them (RFC 6544 section 3). Bytes come as the network cuts them; every one of them is hostile.

/// Longest frame that is taken: larger than any datagram WebRTC sends.
pub const MAX: usize = 2048;
/// Bytes of the length.
const HEAD: usize = 2;

/// A frame longer than [`MAX`]: what comes behind it cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong(pub usize);

/// What comes by one connection, cut into frames. Keeps at most one that is not whole yet.
#[derive(Debug, Default)]
pub struct Frames {
    kept: Vec<u8>,
}

impl Frames {
    /// The next bytes: `each` gets every frame that they make whole, and may change it in place. Empty frames
    /// say nothing.
    ///
    /// # Errors
    /// [`TooLong`]; frames before it were given.
    pub fn take(
        &mut self,
        mut bytes: &mut [u8],
        mut each: impl FnMut(&mut [u8]),
    ) -> Result<(), TooLong> {
        while !self.kept.is_empty() && !bytes.is_empty() {
            let want = length(&self.kept)?.map_or(HEAD, |length| HEAD + length);
            let missing = want.saturating_sub(self.kept.len()).min(bytes.len());
            let (more, rest) = bytes.split_at_mut(missing);
            self.kept.extend_from_slice(more);
            bytes = rest;
            if let Some(length) = length(&self.kept)?
                && self.kept.len() == HEAD + length
            {
                if length > 0 {
                    each(&mut self.kept[HEAD..]);
                }
                self.kept.clear();
            }
        }
        while let Some(length) = length(bytes)?
            && bytes.len() >= HEAD + length
        {
            let (frame, rest) = bytes.split_at_mut(HEAD + length);
            if length > 0 {
                each(&mut frame[HEAD..]);
            }
            bytes = rest;
        }
        self.kept.extend_from_slice(bytes);
        Ok(())
    }
}

/// The frame that these bytes begin with, once it is whole.
///
/// # Errors
/// [`TooLong`].
pub fn first(bytes: &[u8]) -> Result<Option<&[u8]>, TooLong> {
    Ok(length(bytes)?.and_then(|length| bytes.get(HEAD..HEAD + length)))
}

/// What stands before a frame of so many bytes; `None` where no length says so many.
pub fn head(length: usize) -> Option<[u8; HEAD]> {
    u16::try_from(length).ok().map(u16::to_be_bytes)
}

fn length(bytes: &[u8]) -> Result<Option<usize>, TooLong> {
    let Some(head) = bytes.first_chunk::<HEAD>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*head));
    if length > MAX { Err(TooLong(length)) } else { Ok(Some(length)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(frames: &[Vec<u8>]) -> Vec<u8> {
        let bytes = |f: &Vec<u8>| [&head(f.len()).expect("short")[..], f].concat();
        frames.iter().flat_map(bytes).collect()
    }

    /// What comes out where the bytes come in pieces of these sizes, over and over.
    fn cut(bytes: &[u8], sizes: &[usize]) -> (Vec<Vec<u8>>, Result<(), TooLong>) {
        let (mut frames, mut out) = (Frames::default(), Vec::new());
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        while !rest.is_empty() {
            let size = sizes.next().copied().unwrap_or(rest.len());
            let (piece, after) = rest.split_at(size.clamp(1, rest.len()));
            let taken = frames.take(&mut piece.to_vec(), |frame| out.push(frame.to_vec()));
            assert!(frames.kept.len() < HEAD + MAX, "{} bytes are kept", frames.kept.len());
            if taken.is_err() {
                return (out, taken);
            }
            rest = after;
        }
        (out, Ok(()))
    }

    #[test]
    fn empty_frames_say_nothing_and_too_long_ones_end_it_at_their_head() {
        let bytes = [&[0, 0, 0, 1, 7, 0, 0][..], &[0x08, 0x01]].concat();
        for size in 1..=bytes.len() {
            assert_eq!(cut(&bytes, &[size]), (vec![vec![7]], Err(TooLong(2049))), "by {size}");
        }
        assert_eq!(cut(&[0xff, 0xff], &[2]), (vec![], Err(TooLong(65_535))));
        assert_eq!(cut(&framed(&[vec![1; MAX]]), &[1000]), (vec![vec![1; MAX]], Ok(())));
        assert_eq!(head(65_536), None);
    }

    #[test]
    fn the_first_is_seen_once_it_is_whole() {
        let bytes = framed(&[vec![1, 2, 3], vec![4]]);
        for end in 0..5 {
            assert_eq!(first(&bytes[..end]), Ok(None));
        }
        assert_eq!(first(&bytes), Ok(Some(&[1, 2, 3][..])));
        assert_eq!(first(&[0xff, 0xff]), Err(TooLong(65_535)));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_wherever_the_network_cuts(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..20),
            sizes in prop::collection::vec(1_usize..700, 1..10),
        ) {
            prop_assert_eq!(cut(&framed(&frames), &sizes), (frames, Ok(())));
        }

        #[test]
        fn no_bytes_break_it_and_cuts_change_nothing(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..600),
            size in 1_usize..50,
        ) {
            prop_assert_eq!(cut(&bytes, &[size]), cut(&bytes, &[]));
        }
    }
}
