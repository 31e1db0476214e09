//! The messages between a host and its engine.

use std::sync::Arc;

use bytes::Bytes;
use rotunda_media::codec::VideoCodec;
use rotunda_media::program_messages::ProgramMessage;
use rotunda_media::video_frame::Rotation;
use rotunda_proto::ids::{RoomUser, Source};
use rotunda_proto::mix::{Health, MixSpec, PictureId};
use rotunda_proto::mix_layout::ShownLayout;
use rotunda_receiver::{CodedVideo, Payload, Sample};
use serde::{Deserialize, Serialize};

use crate::layout::Scene;
use crate::timeline::{Micros, Stamp};
use crate::video_input::Shape;

/// From the host to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToEngine {
    /// Comes once and first, when the engine has said that it is ready. `now`: the mix clock at this moment, with which the program begins.
    Begin {
        spec: Box<MixSpec>,
        scene: Scene,
        delay: Delay,
        now: Micros,
    },
    Scene(Scene),
    /// A picture that layouts name; the payload is its file.
    Picture(PictureId),
    /// Answered with [`FromEngine::SpecDone`].
    Spec {
        spec: Box<MixSpec>,
        scene: Scene,
    },
    /// The payload is the coded frame.
    Sample(SampleHead),
}

/// How much later than captured everything is played out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delay {
    Fixed(Micros),
    /// As the network permits, and at most this.
    Adaptive(Micros),
}

impl Delay {
    pub fn most(self) -> Micros {
        match self {
            Self::Fixed(delay) | Self::Adaptive(delay) => delay,
        }
    }
}

/// From the engine to its host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromEngine {
    Ready,
    /// Of the beginning and of each new spec, in their order.
    SpecDone {
        refused: Option<String>,
    },
    Program(ProgramMessage),
    NeedsKey(Source),
    Shape(Source, Shape),
    /// The member who speaks loudest now.
    Loudest(RoomUser),
    /// Frames show this layout from now on.
    Layout(ShownLayout),
    Health(Health),
    /// The encoders have failed again and again, and the engine ends.
    Failed {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleHead {
    source: Source,
    stamp: Stamp,
    /// None: audio.
    video: Option<VideoHead>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct VideoHead {
    codec: VideoCodec,
    is_key: bool,
    contiguous: bool,
    rotation: Option<Rotation>,
}

impl SampleHead {
    pub fn of(sample: &Sample) -> Self {
        let video = match &sample.payload {
            Payload::Audio(_) => None,
            Payload::Video(coded) => Some(VideoHead {
                codec: coded.codec,
                is_key: coded.is_key,
                contiguous: coded.contiguous,
                rotation: coded.rotation,
            }),
        };
        Self {
            source: sample.source.clone(),
            stamp: sample.stamp,
            video,
        }
    }

    pub fn payload(sample: &Sample) -> &[u8] {
        match &sample.payload {
            Payload::Audio(packet) => packet,
            Payload::Video(coded) => &coded.data,
        }
    }

    pub fn into_sample(self, payload: &Bytes) -> Sample {
        let data: Arc<[u8]> = Arc::from(&payload[..]);
        let payload = match self.video {
            None => Payload::Audio(data),
            Some(video) => Payload::Video(CodedVideo {
                codec: video.codec,
                data,
                is_key: video.is_key,
                contiguous: video.contiguous,
                rotation: video.rotation,
            }),
        };
        Sample {
            source: self.source,
            stamp: self.stamp,
            payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;
    use rotunda_proto::framing;
    use rotunda_proto::ids::{RoomKey, TrackSource};

    #[test]
    fn a_sample_comes_out_of_its_message_as_it_went_in() {
        let sample = Sample {
            source: Source {
                room: RoomKey {
                    app: 1.try_into().unwrap(),
                    room: "text:1".parse().unwrap(),
                },
                user: "ann".parse().unwrap(),
                track: TrackSource::Camera,
            },
            stamp: Stamp {
                generation: 3,
                rtp: 90_000,
                arrival: 1_000_000,
                report: None,
            },
            payload: Payload::Video(CodedVideo {
                codec: VideoCodec::Vp8,
                data: Arc::from(&b"frame"[..]),
                is_key: true,
                contiguous: false,
                rotation: Some(Rotation::Half),
            }),
        };
        let mut stream = BytesMut::new();
        let head = ToEngine::Sample(SampleHead::of(&sample));
        framing::write(&mut stream, &head, SampleHead::payload(&sample)).unwrap();
        let Some((ToEngine::Sample(head), payload)) = framing::read(&mut stream).unwrap() else {
            panic!("it is a sample");
        };
        assert_eq!(SampleHead::of(&head.clone().into_sample(&payload)), head);
        assert_eq!(&payload[..], b"frame");
    }
}
