//! A program as messages on a byte stream: its header whenever it changes, and its frames, whose data are the messages' payloads.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::program::{AudioHeader, Frame, ProgramHeader, Track, VideoHeader};
use crate::time::MediaTime;

/// The head of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProgramMessage {
    /// Of all frames that follow.
    Header {
        video: Option<VideoMessage>,
        audio: AudioMessage,
    },
    Frame {
        video: bool,
        ticks: u64,
        rate: u32,
        duration: u32,
        key: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoMessage {
    width: u16,
    height: u16,
    framerate: u8,
    bitrate_kbps: u32,
    sps: Vec<u8>,
    pps: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioMessage {
    sample_rate: u32,
    channels: u8,
    bitrate_kbps: u32,
    config: Vec<u8>,
}

/// Makes messages of frames.
#[derive(Debug, Default)]
pub struct ProgramSender {
    told: Option<Arc<ProgramHeader>>,
}

/// Makes frames of messages.
#[derive(Debug, Default)]
pub struct ProgramReceiver {
    header: Option<Arc<ProgramHeader>>,
}

/// Why a message makes no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProgramMessageError {
    #[error("a frame came before the program's header")]
    NoHeader,
    #[error("a video frame came in a program without video")]
    NoVideo,
    #[error("audio of {sample_rate} Hz and {channels} channels")]
    Audio { sample_rate: u32, channels: u8 },
    #[error("a frame at {ticks} ticks of {rate} Hz")]
    Time { ticks: u64, rate: u32 },
}

/// Highest sample rate and number of channels of AAC-LC.
const MOST_SAMPLE_RATE: u32 = 96_000;
const MOST_CHANNELS: u8 = 8;
/// Highest tick rate of a track.
const MOST_RATE: u32 = 1_000_000;
/// Longest program, seconds: more than a hundred years. Sums of times stay far below their limits.
const LONGEST: u64 = 1 << 32;

impl ProgramSender {
    /// The header that has to be sent before a frame, if it is another one than before.
    pub fn header(&mut self, frame: &Frame) -> Option<ProgramMessage> {
        let is_told = self
            .told
            .as_ref()
            .is_some_and(|told| Arc::ptr_eq(told, &frame.header) || **told == *frame.header);
        self.told = Some(frame.header.clone());
        (!is_told).then(|| ProgramMessage::from(&*frame.header))
    }

    /// The message of a frame; its payload is the frame's data.
    pub fn frame(frame: &Frame) -> ProgramMessage {
        ProgramMessage::Frame {
            video: frame.track == Track::Video,
            ticks: frame.pts.ticks(),
            rate: frame.pts.rate(),
            duration: frame.duration,
            key: frame.is_key,
        }
    }
}

impl ProgramReceiver {
    /// Answers the frame, if the message is one.
    ///
    /// Errors: [`ProgramMessageError`].
    pub fn handle(
        &mut self,
        message: ProgramMessage,
        payload: Bytes,
    ) -> Result<Option<Arc<Frame>>, ProgramMessageError> {
        match message {
            ProgramMessage::Header { video, audio } => {
                let (sample_rate, channels) = (audio.sample_rate, audio.channels);
                if !(1..=MOST_SAMPLE_RATE).contains(&sample_rate) || !(1..=MOST_CHANNELS).contains(&channels) {
                    return Err(ProgramMessageError::Audio { sample_rate, channels });
                }
                self.header = Some(Arc::new(ProgramHeader {
                    video: video.map(VideoHeader::from),
                    audio: audio.into(),
                }));
                Ok(None)
            }
            ProgramMessage::Frame {
                video,
                ticks,
                rate,
                duration,
                key,
            } => {
                let header = self.header.clone().ok_or(ProgramMessageError::NoHeader)?;
                if !(1..=MOST_RATE).contains(&rate) || ticks / u64::from(rate) >= LONGEST {
                    return Err(ProgramMessageError::Time { ticks, rate });
                }
                if video && header.video.is_none() {
                    return Err(ProgramMessageError::NoVideo);
                }
                Ok(Some(Arc::new(Frame {
                    track: if video { Track::Video } else { Track::Audio },
                    pts: MediaTime::new(ticks, rate),
                    duration,
                    is_key: key,
                    data: payload,
                    header,
                })))
            }
        }
    }
}

impl From<&ProgramHeader> for ProgramMessage {
    fn from(header: &ProgramHeader) -> Self {
        Self::Header {
            video: header.video.as_ref().map(|video| VideoMessage {
                width: video.width,
                height: video.height,
                framerate: video.framerate,
                bitrate_kbps: video.bitrate_kbps,
                sps: video.sps.to_vec(),
                pps: video.pps.to_vec(),
            }),
            audio: AudioMessage {
                sample_rate: header.audio.sample_rate,
                channels: header.audio.channels,
                bitrate_kbps: header.audio.bitrate_kbps,
                config: header.audio.config.to_vec(),
            },
        }
    }
}

impl From<VideoMessage> for VideoHeader {
    fn from(message: VideoMessage) -> Self {
        Self {
            width: message.width,
            height: message.height,
            framerate: message.framerate,
            bitrate_kbps: message.bitrate_kbps,
            sps: message.sps.into(),
            pps: message.pps.into(),
        }
    }
}

impl From<AudioMessage> for AudioHeader {
    fn from(message: AudioMessage) -> Self {
        Self {
            sample_rate: message.sample_rate,
            channels: message.channels,
            bitrate_kbps: message.bitrate_kbps,
            config: message.config.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(width: u16) -> Arc<ProgramHeader> {
        Arc::new(ProgramHeader {
            video: Some(VideoHeader {
                width,
                height: 360,
                framerate: 15,
                bitrate_kbps: 500,
                sps: Bytes::from_static(&[0x67, 1]),
                pps: Bytes::from_static(&[0x68, 2]),
            }),
            audio: AudioHeader {
                sample_rate: 48_000,
                channels: 2,
                bitrate_kbps: 64,
                config: Bytes::from_static(&[0x11, 0x90]),
            },
        })
    }

    fn frame(track: Track, header: &Arc<ProgramHeader>) -> Frame {
        Frame {
            track,
            pts: MediaTime::new(90_000, 90_000),
            duration: 6000,
            is_key: track == Track::Audio,
            data: Bytes::from_static(b"data"),
            header: header.clone(),
        }
    }

    #[test]
    fn frames_come_out_as_they_went_in_and_a_header_is_sent_once_until_it_changes() {
        let (mut sender, mut receiver) = (ProgramSender::default(), ProgramReceiver::default());
        let (first, second) = (header(640), header(1280));
        let frames = [
            frame(Track::Video, &first),
            frame(Track::Audio, &header(640)),
            frame(Track::Video, &second),
        ];
        let mut headers = 0;
        for sent in &frames {
            if let Some(header) = sender.header(sent) {
                headers += 1;
                assert!(receiver.handle(header, Bytes::new()).unwrap().is_none());
            }
            let received = receiver
                .handle(ProgramSender::frame(sent), sent.data.clone())
                .unwrap()
                .unwrap();
            assert_eq!(
                (
                    received.track,
                    received.pts,
                    received.duration,
                    received.is_key,
                    &received.data
                ),
                (sent.track, sent.pts, sent.duration, sent.is_key, &sent.data)
            );
            assert_eq!(received.header, sent.header);
        }
        assert_eq!(headers, 2);
    }

    #[test]
    fn a_frame_without_a_header_is_an_error() {
        let message = ProgramSender::frame(&frame(Track::Audio, &header(640)));
        let error = ProgramReceiver::default().handle(message, Bytes::new()).unwrap_err();
        assert_eq!(error, ProgramMessageError::NoHeader);
    }

    #[test]
    fn times_and_audio_that_cannot_be_are_errors() {
        let mut receiver = ProgramReceiver::default();
        let silent = ProgramHeader {
            audio: AudioHeader {
                sample_rate: 0,
                ..header(640).audio.clone()
            },
            ..ProgramHeader::clone(&header(640))
        };
        let refused = receiver.handle(ProgramMessage::from(&silent), Bytes::new());
        let audio = ProgramMessageError::Audio {
            sample_rate: 0,
            channels: 2,
        };
        assert_eq!(refused.unwrap_err(), audio);
        receiver
            .handle(ProgramMessage::from(&*header(640)), Bytes::new())
            .unwrap();
        for (ticks, rate) in [(u64::MAX, 90_000), (0, 0), (0, u32::MAX)] {
            let message = ProgramMessage::Frame {
                video: true,
                ticks,
                rate,
                duration: 1,
                key: true,
            };
            let refused = receiver.handle(message, Bytes::new()).unwrap_err();
            assert_eq!(refused, ProgramMessageError::Time { ticks, rate });
        }
    }
}
