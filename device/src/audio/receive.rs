//! Talk-back: Opus packets to the codec, rate and channels that the camera speaks itself.

use rotunda_media::codec::{AacEncoder, CodecError};

use super::send::adts_header;
use super::{AudioError, Codec, Format, Resampler, is_opus_rate, opus_channels, set_up};

/// See the [module](self).
pub struct FromOpus {
    format: Format,
    decoder: opus::Decoder,
    rate: u32,
    resampler: Option<Resampler>,
    aac: Option<AacEncoder>,
    /// At the camera's rate, interleaved, less than a frame between calls.
    waiting: Vec<f32>,
    /// Samples a channel that have gone out.
    sent: u64,
}

/// Longest Opus packet: 120 ms at 48 kHz.
const LONGEST: usize = 5760;

impl FromOpus {
    pub fn new(format: Format) -> Result<Self, AudioError> {
        let rate = if is_opus_rate(format.rate) { format.rate } else { 48_000 };
        let decoder = opus::Decoder::new(rate, opus_channels(format.channels)).map_err(set_up)?;
        let resampler = if rate == format.rate {
            None
        } else {
            Some(Resampler::new(rate, format.rate, format.channels)?)
        };
        let aac = match format.codec {
            Codec::Aac => Some(AacEncoder::new(
                format.rate,
                format.channels,
                32 * u32::from(format.channels),
            )?),
            _ => None,
        };
        Ok(Self {
            format,
            decoder,
            rate,
            resampler,
            aac,
            waiting: Vec::new(),
            sent: 0,
        })
    }

    /// The frames that this packet completes, with their time in milliseconds since the first.
    pub fn convert(&mut self, packet: &[u8], out: &mut Vec<(u64, Vec<u8>)>) -> Result<(), AudioError> {
        if self.format.codec == Codec::Opus {
            out.push((self.milliseconds(), packet.to_vec()));
            self.sent += self.decoder.get_nb_samples(packet).unwrap_or(self.format.frame) as u64;
            return Ok(());
        }
        let channels = usize::from(self.format.channels);
        let mut pcm = vec![0.0; LONGEST * channels];
        let decoded = self.decoder.decode_float(packet, &mut pcm, false);
        let decoded = decoded.map_err(|error| CodecError::Decode {
            codec: "Opus",
            reason: error.to_string(),
        })?;
        pcm.truncate(decoded * channels);
        match &mut self.resampler {
            Some(resampler) => resampler.run(&pcm, &mut self.waiting)?,
            None => self.waiting.extend_from_slice(&pcm),
        }
        let frame = self.format.frame * channels;
        while self.waiting.len() >= frame {
            let samples: Vec<f32> = self.waiting.drain(..frame).collect();
            let at = self.milliseconds();
            self.sent += self.format.frame as u64;
            let data = match (&mut self.aac, self.format.codec.law()) {
                (Some(aac), _) => match aac.encode(&samples)? {
                    Some(raw) => {
                        let header = adts_header(self.format.rate, self.format.channels, raw.len());
                        [header.as_slice(), &raw].concat()
                    }
                    None => continue,
                },
                (None, Some(law)) => samples.iter().map(|sample| law.encode(to_i16(*sample))).collect(),
                (None, None) => samples
                    .iter()
                    .flat_map(|sample| to_i16(*sample).to_le_bytes())
                    .collect(),
            };
            out.push((at, data));
        }
        Ok(())
    }

    fn milliseconds(&self) -> u64 {
        let rate = if self.format.codec == Codec::Opus {
            self.rate
        } else {
            self.format.rate
        };
        self.sent * 1000 / u64::from(rate)
    }
}

fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * 32_767.0) as i16
}
