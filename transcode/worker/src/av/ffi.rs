//! The unsafe lines. Each function checks what libav would believe.

use std::ptr;

use ffmpeg_next::codec::{self, Parameters};
use ffmpeg_next::software::resampling;
use ffmpeg_next::{ffi, format, frame, media};

use super::AvError;

/// Bytes of zeros that libav's bit readers may read behind a configuration.
const PADDING: usize = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;

/// Bytes of the longest configuration that is taken.
const MOST_CONFIG: usize = 64 << 10;

/// What a decoder is opened with; `None` without memory or with a configuration beyond any sense.
pub(super) fn parameters(id: codec::Id, kind: media::Type, config: &[u8]) -> Option<Parameters> {
    let mut parameters = Parameters::new();
    // SAFETY: only looks whether the allocation failed.
    if unsafe { parameters.as_ptr() }.is_null() || config.len() > MOST_CONFIG {
        return None;
    }
    parameters.set_medium(kind);
    parameters.set_id(id);
    if !config.is_empty() {
        // SAFETY: `extradata` must come from av_malloc, be padded with zeros, and is then owned and freed by
        // the parameters. The length fits: it was checked above.
        unsafe {
            let buffer = ffi::av_mallocz(config.len() + PADDING).cast::<u8>();
            if buffer.is_null() {
                return None;
            }
            ptr::copy_nonoverlapping(config.as_ptr(), buffer, config.len());
            let raw = parameters.as_mut_ptr();
            (*raw).extradata = buffer;
            (*raw).extradata_size = config.len() as i32;
        }
    }
    Some(parameters)
}

/// The headers that an encoder made when it was opened.
pub(crate) fn headers(context: &codec::Context) -> Vec<u8> {
    // SAFETY: an open context's `extradata` is null or holds `extradata_size` bytes, and lives as long as it.
    unsafe {
        let raw = context.as_ptr();
        let length = usize::try_from((*raw).extradata_size).unwrap_or(0);
        if (*raw).extradata.is_null() || length == 0 {
            return Vec::new();
        }
        std::slice::from_raw_parts((*raw).extradata, length).to_vec()
    }
}

/// What is read of a picture by number: AV1 writes any number there, and an enum of Rust must not hold one that
/// it does not know.
pub(crate) trait VideoFrame {
    /// Matrix, primaries, transfer and range (ITU-T H.273); 2 (range: 0) stands for unspecified.
    fn colors(&self) -> [i32; 4];
    /// True if there are pixels.
    fn filled(&self) -> bool;
}

impl VideoFrame for frame::Video {
    fn colors(&self) -> [i32; 4] {
        // SAFETY: the frame is allocated as long as `self` lives; the fields are C enums, that is ints, and are
        // read as such through raw pointers.
        let [matrix, primaries, transfer, range] = unsafe {
            let raw = self.as_ptr();
            [
                ptr::addr_of!((*raw).colorspace).cast::<i32>().read(),
                ptr::addr_of!((*raw).color_primaries).cast::<i32>().read(),
                ptr::addr_of!((*raw).color_trc).cast::<i32>().read(),
                ptr::addr_of!((*raw).color_range).cast::<i32>().read(),
            ]
        };
        let known = |value: i32, most: i32| if (1..=most).contains(&value) { value } else { 2 };
        let range = if (1..=2).contains(&range) { range } else { 0 };
        [known(matrix, 14), known(primaries, 12), known(transfer, 18), range]
    }

    fn filled(&self) -> bool {
        // SAFETY: only looks whether the first plane is there.
        unsafe { !self.is_empty() }
    }
}

/// Resamples `frame` and appends interleaved samples to `out`: at most `room` of each channel.
pub(super) fn convert(
    context: &mut resampling::Context,
    frame: &frame::Audio,
    room: usize,
    out: &mut Vec<f32>,
) -> Result<(), AvError> {
    let (input, output) = (*context.input(), *context.output());
    let packed = output.format == format::Sample::F32(format::sample::Type::Packed);
    let channels = usize::try_from(output.channel_layout.channels()).unwrap_or(0);
    let fits = frame.format() == input.format
        && i32::from(frame.channels()) == input.channel_layout.channels()
        && frame.rate() == input.rate;
    // SAFETY: only looks whether the first plane is there.
    if !packed || !fits || frame.samples() == 0 || unsafe { frame.is_empty() } {
        return Err(AvError::InvalidData);
    }
    let start = out.len();
    out.resize(start + room * channels, 0.0);
    // SAFETY: the frame has the format and channels that the context was opened for (checked above), so
    // `extended_data` points to as many planes as it reads, each of nb_samples. `out` has room for
    // `room` interleaved samples of the output's channels, and no more are written.
    let made = unsafe {
        let mut to = out.as_mut_ptr().add(start).cast::<u8>();
        let raw = frame.as_ptr();
        ffi::swr_convert(
            context.as_mut_ptr(),
            &mut to,
            i32::try_from(room).unwrap_or(0),
            (*raw).extended_data.cast(),
            (*raw).nb_samples,
        )
    };
    let samples = usize::try_from(made).unwrap_or(0).min(room);
    out.truncate(start + samples * channels);
    if made < 0 { Err(AvError::from(made)) } else { Ok(()) }
}

/// Puts silence in front of what is resampled next.
pub(super) fn silence(context: &mut resampling::Context, samples: i32) -> Result<(), AvError> {
    // SAFETY: the context is open, and the call copies nothing of ours.
    match unsafe { ffi::swr_inject_silence(context.as_mut_ptr(), samples) } {
        error if error < 0 => Err(AvError::from(error)),
        _ => Ok(()),
    }
}

/// Makes `more` samples more (or fewer) of the next `distance` ones.
pub(super) fn stretch(
    context: &mut resampling::Context,
    more: i32,
    distance: i32,
) -> Result<(), AvError> {
    // SAFETY: the context is open, and was opened to resample in any case, so it is not rebuilt by this.
    match unsafe { ffi::swr_set_compensation(context.as_mut_ptr(), more, distance) } {
        error if error < 0 => Err(AvError::from(error)),
        _ => Ok(()),
    }
}
