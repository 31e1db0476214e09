//! PCM as speech engines send it: signed 16 bit little-endian, mono or stereo, raw or behind a WAV header. Sans-IO.

use thiserror::Error;

/// A header must be complete within so many bytes.
const LONGEST_HEADER: usize = 4096;

/// Why the bytes are no PCM.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PcmError {
    #[error("the WAV header is longer than {LONGEST_HEADER} bytes, or broken")]
    Header,
    #[error(
        "the WAV file is in format {format} with {channels} channels of {bits} bits; PCM of 16 bits, mono or stereo, is understood"
    )]
    Format { format: u16, channels: u16, bits: u16 },
    #[error("a sample rate of {0} Hz; 4000 to 192000 is understood")]
    Rate(u32),
}

enum State {
    /// Not enough bytes to see whether there is a header.
    Start(Vec<u8>),
    Samples,
}

/// See the [module](self).
pub struct PcmStream {
    state: State,
    rate: u32,
    channels: usize,
    /// Bytes of a sample that is not complete.
    rest: Vec<u8>,
}

impl PcmStream {
    /// `rate`: of raw PCM.
    pub fn new(rate: u32) -> Self {
        Self {
            state: State::Start(Vec::new()),
            rate,
            channels: 1,
            rest: Vec::new(),
        }
    }

    /// Samples a second, known when there are samples.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Appends the samples, mono, -1.0 to 1.0. A WAV file's own length is not believed: streams write none.
    pub fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<f32>) -> Result<(), PcmError> {
        match &mut self.state {
            State::Samples => self.samples(bytes, out),
            State::Start(start) => {
                start.extend_from_slice(bytes);
                let is_wav = start.starts_with(b"RIFF");
                if start.len() < 4 && b"RIFF".starts_with(start) {
                    return Ok(());
                }
                let begin = match is_wav {
                    false => 0,
                    true => match header(start)? {
                        Some(header) => {
                            self.rate = header.rate;
                            self.channels = header.channels;
                            header.length
                        }
                        None if start.len() > LONGEST_HEADER => return Err(PcmError::Header),
                        None => return Ok(()),
                    },
                };
                let start = std::mem::take(start);
                self.state = State::Samples;
                self.samples(&start[begin..], out);
            }
        }
        Ok(())
    }

    fn samples(&mut self, bytes: &[u8], out: &mut Vec<f32>) {
        self.rest.extend_from_slice(bytes);
        let frame = 2 * self.channels;
        let whole = self.rest.len() / frame * frame;
        out.extend(self.rest[..whole].chunks_exact(frame).map(|samples| {
            let sum: f32 = samples
                .chunks_exact(2)
                .map(|sample| f32::from(i16::from_le_bytes([sample[0], sample[1]])) / 32_768.0)
                .sum();
            sum / self.channels as f32
        }));
        self.rest.drain(..whole);
    }
}

struct Header {
    rate: u32,
    channels: usize,
    /// Bytes before the first sample.
    length: usize,
}

/// None: it is not complete.
fn header(bytes: &[u8]) -> Result<Option<Header>, PcmError> {
    if bytes.len() < 12 {
        return Ok(None);
    }
    if &bytes[8..12] != b"WAVE" {
        return Err(PcmError::Header);
    }
    let mut position: usize = 12;
    let mut format = None;
    loop {
        let Some(chunk) = bytes.get(position..position + 8) else {
            return Ok(None);
        };
        let length = u32::from_le_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]) as usize;
        let body = position + 8;
        if &chunk[..4] == b"data" {
            let (rate, channels) = format.ok_or(PcmError::Header)?;
            return Ok(Some(Header {
                rate,
                channels,
                length: body,
            }));
        }
        // Chunks begin at even places.
        let next = length
            .checked_add(length % 2)
            .and_then(|length| body.checked_add(length))
            .filter(|next| *next <= LONGEST_HEADER)
            .ok_or(PcmError::Header)?;
        if &chunk[..4] == b"fmt " {
            let Some(fields) = bytes.get(body..body + 16) else {
                return Ok(None);
            };
            format = Some(read_format(fields)?);
        }
        position = next;
    }
}

/// Rate and channels. `fields`: 16 bytes.
fn read_format(fields: &[u8]) -> Result<(u32, usize), PcmError> {
    let number = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
    let rate = u32::from_le_bytes([fields[4], fields[5], fields[6], fields[7]]);
    let (format, channels, bits) = (number(0), number(2), number(14));
    if format != 1 || bits != 16 || !(1..=2).contains(&channels) {
        return Err(PcmError::Format { format, channels, bits });
    }
    if !crate::audio::RATES.contains(&rate) {
        return Err(PcmError::Rate(rate));
    }
    Ok((rate, channels.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(channels: u16, bits: u16) -> Vec<u8> {
        let mut file = b"RIFF\xff\xff\xff\x7fWAVELIST\x04\0\0\0abcdfmt \x10\0\0\0\x01\0".to_vec();
        file.extend(channels.to_le_bytes());
        file.extend(22_050_u32.to_le_bytes());
        file.extend(44_100_u32.to_le_bytes());
        file.extend(2_u16.to_le_bytes());
        file.extend(bits.to_le_bytes());
        file.extend(b"data\xff\xff\xff\x7f");
        file
    }

    fn read(parts: &[&[u8]]) -> Result<(u32, Vec<f32>), PcmError> {
        let mut stream = PcmStream::new(24_000);
        let mut out = Vec::new();
        for part in parts {
            stream.handle_bytes(part, &mut out)?;
        }
        Ok((stream.rate(), out))
    }

    #[test]
    fn raw_samples_may_be_cut_anywhere() {
        assert_eq!(read(&[&[0], &[64, 0], &[192, 9]]), Ok((24_000, vec![0.5, -0.5])));
    }

    #[test]
    fn a_wav_header_may_be_cut_anywhere_and_says_the_rate() {
        let file = [wav(2, 16), vec![0, 64, 0, 32]].concat();
        for cut in 0..file.len() {
            let (start, end) = file.split_at(cut);
            assert_eq!(read(&[start, end]), Ok((22_050, vec![0.375])), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_16_bit_pcm_is_refused() {
        assert!(matches!(read(&[&wav(1, 8)]), Err(PcmError::Format { bits: 8, .. })));
        assert!(matches!(
            read(&[&wav(6, 16)]),
            Err(PcmError::Format { channels: 6, .. })
        ));
        assert_eq!(read(&[b"RIFF....AVI "]), Err(PcmError::Header));
        assert_eq!(read(&[b"RIFF....WAVEjunk\xff\xff\xff\xff"]), Err(PcmError::Header));
    }
}
