//! AV1 by rav1d, which is dav1d in Rust: nothing to install, and hostile input meets checked memory accesses.

use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{Decoder, Error, Picture, PixelLayout, PlanarImageComponent, Settings};

use super::{CodecError, Plane, copy_planes};
use crate::colour::{Colour, Matrix, Range, to_common};
use crate::video_frame::VideoFrame;

/// Largest frame, pixels: a little over 4K.
const MAX_PIXELS: u32 = 4096 * 2304;

pub struct Av1Decoder {
    decoder: Decoder,
}

impl Av1Decoder {
    pub fn new() -> Result<Self, CodecError> {
        let mut settings = Settings::new();
        // Each frame comes out at once, on this thread.
        settings.set_n_threads(1);
        settings.set_max_frame_delay(1);
        settings.set_frame_size_limit(MAX_PIXELS);
        // With spatial layers each one comes out at once, and `decode` takes the highest. Otherwise the decoder would wait for the next unit
        // wherever the stream's highest layer is missing, and tell units by delimiters, which RTP does not carry.
        settings.set_all_layers(true);
        let decoder = Decoder::with_settings(&settings).map_err(|error| CodecError::SetUp {
            codec: "AV1",
            reason: error.to_string(),
        })?;
        Ok(Self { decoder })
    }

    /// Decodes one temporal unit; the last frame that it shows counts.
    pub fn decode(&mut self, unit: &[u8]) -> Result<Option<VideoFrame>, CodecError> {
        if unit.is_empty() {
            return Ok(None);
        }
        let mut newest = None;
        let mut sent = self.decoder.send_data(unit.to_vec(), None, None, None);
        loop {
            let is_full = match sent {
                Ok(()) => false,
                Err(error) if error.is_again() => true,
                Err(error) => return Err(self.failed(&error)),
            };
            let got = self.drain(&mut newest)?;
            if !is_full {
                break;
            }
            if !got {
                // It takes nothing and gives nothing.
                return Err(self.failed(&Error::Again));
            }
            sent = self.decoder.send_pending_data();
        }
        newest.map_or(Ok(None), |picture| copy(&picture))
    }

    /// Takes all pictures that are ready; answers whether there was one.
    fn drain(&mut self, newest: &mut Option<Picture>) -> Result<bool, CodecError> {
        let mut got = false;
        loop {
            match self.decoder.get_picture() {
                Ok(picture) => {
                    *newest = Some(picture);
                    got = true;
                }
                Err(error) if error.is_again() => return Ok(got),
                Err(error) => return Err(self.failed(&error)),
            }
        }
    }

    /// The rest of the unit must not be taken for a part of the next one.
    fn failed(&mut self, error: &Error) -> CodecError {
        self.decoder.flush();
        CodecError::Decode {
            codec: "AV1",
            reason: error.to_string(),
        }
    }
}

fn copy(picture: &Picture) -> Result<Option<VideoFrame>, CodecError> {
    if picture.pixel_layout() != PixelLayout::I420 || picture.bit_depth() != 8 {
        return Err(CodecError::Decode {
            codec: "AV1",
            reason: format!(
                "{:?} with {} bits; only 4:2:0 with 8 bits can be mixed",
                picture.pixel_layout(),
                picture.bit_depth()
            ),
        });
    }
    let components = [
        PlanarImageComponent::Y,
        PlanarImageComponent::U,
        PlanarImageComponent::V,
    ];
    let planes = components.map(|component| (picture.plane(component), picture.stride(component) as usize));
    let [y, u, v] = &planes;
    let plane = |(data, stride): &'_ (_, usize)| -> (usize, usize) {
        let data: &re_rav1d::dav1d::Plane = data;
        (data.len(), *stride)
    };
    // A plane without rows, or with less than its stride, is none.
    if [y, u, v].into_iter().any(|it| plane(it).0 == 0 || plane(it).1 == 0) {
        return Ok(None);
    }
    let size = (picture.width() as usize, picture.height() as usize);
    let colour = Colour {
        matrix: match picture.matrix_coefficients() {
            MatrixCoefficients::BT709 => Matrix::Bt709,
            _ => Matrix::Bt601,
        },
        range: match picture.color_range() {
            YUVRange::Full => Range::Full,
            YUVRange::Limited => Range::Limited,
        },
    };
    let frame = copy_planes(
        size.0,
        size.1,
        [y, u, v].map(|(data, stride)| Plane { data, stride: *stride }),
    );
    Ok(frame.map(|frame| to_common(frame, colour)))
}
