//! A camera's audio to Opus frames of 20 ms.

use bytes::Bytes;
use rotunda_media::codec::{AacDecoder, CodecError};

use super::{AudioError, Codec, Format, Resampler, is_opus_rate, opus_channels, set_up};

/// A packet with its time stamp on the camera's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct OpusFrame {
    pub pts_us: u64,
    pub data: Bytes,
}

/// See the [module](self).
pub struct ToOpus {
    format: Format,
    decoder: Option<Aac>,
    resampler: Option<Resampler>,
    encoder: opus::Encoder,
    /// At `rate`, interleaved, less than 20 ms between calls.
    waiting: Vec<f32>,
    rate: u32,
    /// Time stamp of the first sample that waits.
    next_us: Option<u64>,
}

/// Decoder of the frames with this AudioSpecificConfig.
struct Aac {
    config: [u8; 2],
    decoder: AacDecoder,
}

const FRAME_US: u64 = 20_000;
/// Time stamps that are further from what was sent than this begin anew.
const LEAP_US: u64 = 200_000;
/// Bits a second and channel.
const BITRATE: i32 = 32_000;

impl ToOpus {
    pub fn new(format: Format) -> Result<Self, AudioError> {
        let rate = if is_opus_rate(format.rate) { format.rate } else { 48_000 };
        let mut encoder =
            opus::Encoder::new(rate, opus_channels(format.channels), opus::Application::Voip).map_err(set_up)?;
        let bits = BITRATE * i32::from(format.channels);
        encoder.set_bitrate(opus::Bitrate::Bits(bits)).map_err(set_up)?;
        encoder.set_inband_fec(true).map_err(set_up)?;
        let resampler = if rate == format.rate {
            None
        } else {
            Some(Resampler::new(format.rate, rate, format.channels)?)
        };
        Ok(Self {
            format,
            decoder: None,
            resampler,
            encoder,
            waiting: Vec::new(),
            rate,
            next_us: None,
        })
    }

    /// The packets that this piece of the camera's audio completes.
    pub fn convert(&mut self, pts_us: u64, data: &[u8], out: &mut Vec<OpusFrame>) -> Result<(), AudioError> {
        if self.format.codec == Codec::Opus {
            out.push(OpusFrame {
                pts_us,
                data: Bytes::copy_from_slice(data),
            });
            return Ok(());
        }
        let waits_us = self.waiting_us();
        // Time goes by samples; the camera's own stamps say when it leaps.
        match self.next_us {
            Some(next) if pts_us.abs_diff(next + waits_us) < LEAP_US => {}
            _ => {
                self.waiting.clear();
                self.next_us = Some(pts_us);
            }
        }
        let mut pcm = Vec::new();
        self.decode(data, &mut pcm)?;
        match &mut self.resampler {
            Some(resampler) => resampler.run(&pcm, &mut self.waiting)?,
            None => self.waiting.extend_from_slice(&pcm),
        }
        let frame = self.rate as usize / 50 * usize::from(self.format.channels);
        while self.waiting.len() >= frame {
            let packet = self.encoder.encode_vec_float(&self.waiting[..frame], 1275);
            let packet = packet.map_err(|error| CodecError::Encode {
                codec: "Opus",
                reason: error.to_string(),
            })?;
            self.waiting.drain(..frame);
            let pts_us = self.next_us.unwrap_or(pts_us);
            self.next_us = Some(pts_us + FRAME_US);
            out.push(OpusFrame {
                pts_us,
                data: packet.into(),
            });
        }
        Ok(())
    }

    fn waiting_us(&self) -> u64 {
        let samples = (self.waiting.len() / usize::from(self.format.channels)) as u64;
        samples * 1_000_000 / u64::from(self.rate)
    }

    fn decode(&mut self, data: &[u8], pcm: &mut Vec<f32>) -> Result<(), AudioError> {
        match self.format.codec {
            Codec::Pcm => pcm.extend(
                data.chunks_exact(2)
                    .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0),
            ),
            Codec::Aac => self.decode_aac(data, pcm)?,
            other => {
                if let Some(law) = other.law() {
                    pcm.extend(data.iter().map(|byte| f32::from(law.decode(*byte)) / 32_768.0));
                }
            }
        }
        Ok(())
    }

    /// Frames with ADTS headers, any number of them, or one raw frame.
    fn decode_aac(&mut self, data: &[u8], pcm: &mut Vec<f32>) -> Result<(), AudioError> {
        let mut rest = data;
        let mut frames = 0;
        while let Some((config, frame, next)) = adts(rest) {
            self.decode_frame(config, frame, pcm)?;
            frames += 1;
            rest = next;
        }
        if frames == 0 {
            let config = audio_specific_config(self.format.rate, self.format.channels);
            self.decode_frame(config, data, pcm)?;
        }
        Ok(())
    }

    fn decode_frame(&mut self, config: [u8; 2], frame: &[u8], pcm: &mut Vec<f32>) -> Result<(), AudioError> {
        let known = self.decoder.take().filter(|known| known.config == config);
        let mut aac = match known {
            Some(known) => known,
            None => Aac {
                config,
                decoder: AacDecoder::new(&config)?,
            },
        };
        let start = pcm.len();
        let decoded = aac.decoder.decode(frame, pcm);
        let has = aac.decoder.channels();
        self.decoder = Some(aac);
        decoded?;
        fit_channels(pcm, start, has, usize::from(self.format.channels));
        Ok(())
    }
}

/// Makes what was appended from `start` on have the wanted number of channels.
fn fit_channels(pcm: &mut Vec<f32>, start: usize, has: usize, wanted: usize) {
    if has == wanted || has == 0 {
        return;
    }
    let appended = pcm.split_off(start);
    for samples in appended.chunks_exact(has) {
        let mean = samples.iter().sum::<f32>() / has as f32;
        pcm.extend(std::iter::repeat_n(mean, wanted));
    }
}

/// ISO/IEC 14496-3, table 1.18.
const AAC_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350,
];

/// AAC-LC (ISO/IEC 14496-3 §1.6.2.1).
pub fn audio_specific_config(rate: u32, channels: u8) -> [u8; 2] {
    let index = AAC_RATES.iter().position(|known| *known == rate).unwrap_or(8) as u8;
    [(2 << 3) | (index >> 1), (index << 7) | (channels << 3)]
}

/// The first frame with an ADTS header (ISO/IEC 14496-3 §1.A.2.2): its AudioSpecificConfig, itself, and what follows.
fn adts(data: &[u8]) -> Option<([u8; 2], &[u8], &[u8])> {
    let header = data.first_chunk::<7>()?;
    if header[0] != 0xff || header[1] & 0xf6 != 0xf0 {
        return None;
    }
    let without_crc = header[1] & 1 == 1;
    let length = usize::from(header[3] & 3) << 11 | usize::from(header[4]) << 3 | usize::from(header[5]) >> 5;
    let (frame, next) = data.split_at_checked(length)?;
    let object = (header[2] >> 6) + 1;
    let index = (header[2] >> 2) & 0x0f;
    let channels = (header[2] & 1) << 2 | header[3] >> 6;
    let config = [(object << 3) | (index >> 1), (index << 7) | (channels << 3)];
    Some((config, frame.get(if without_crc { 7 } else { 9 }..)?, next))
}

/// The 7 bytes before a raw frame of AAC-LC.
pub fn adts_header(rate: u32, channels: u8, frame: usize) -> [u8; 7] {
    let index = AAC_RATES.iter().position(|known| *known == rate).unwrap_or(8) as u8;
    let length = frame + 7;
    [
        0xff,
        0xf1,
        (1 << 6) | (index << 2) | (channels >> 2),
        ((channels & 3) << 6) | ((length >> 11) & 3) as u8,
        ((length >> 3) & 0xff) as u8,
        (((length & 7) << 5) | 0x1f) as u8,
        0xfc,
    ]
}

#[cfg(test)]
impl ToOpus {
    /// The audio that the camera's speaker would play.
    pub fn decode_for_test(&mut self, frame: &[u8], pcm: &mut Vec<f32>) {
        self.decode(frame, pcm).expect("it was encoded by us");
    }
}
