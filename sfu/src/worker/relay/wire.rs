//! Relay messages as they go over a link to another node: packets in a format of their own, all else in JSON.
//!
//! What comes from there is checked like all input of the network, although the other node has the cluster's secret: it may have
//! another version. A message of an unknown kind is skipped.
//!
//! A packet is: stream (8 bytes), sequence number (8), RTP timestamp (4), capture time (8: microseconds on the sender's clock), flags
//! (1), then by the flags the audio level (1), the orientation (1) and the dependency descriptor after its length (2), then the payload.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rotunda_proto::ids::{NodeId, RoomKey, TrackSource, UserId};
use serde::{Deserialize, Serialize};
use str0m::format::{Codec, CodecSpec, FormatParams, PayloadParams};
use str0m::media::{Frequency, Mid, Pt, Rid};

use super::pulls::Origins;
use super::{Published, RelayMessage};
use crate::ingress::demand::Demand;
use crate::ingress::packet::{Packet, StreamId};
use crate::ingress::stream::Heights;
use crate::ingress::track::Watched;
use crate::link::datagram::Bytes;
use crate::session::custom_messages::Delivery;
use crate::slab::{Index, TrackIndex};
use crate::units::SeqNo;
use crate::wire::dependency::{Dependency, Structure};
use crate::wire::descriptor::{Descriptor, SPATIAL_LAYERS};

const MARKER: u8 = 1;
const LEVEL: u8 = 2;
const ORIENTATION: u8 = 4;
const DEPENDENCY: u8 = 8;
/// Higher sequence numbers cannot be: a stream would have lasted for years.
const MOST_SEQ: u64 = 1 << 48;
/// Tracks of one member, and layers of one track.
const MOST_TRACKS: usize = 16;
const MOST_LAYERS: usize = 64;
/// Nodes of one room.
const MOST_NODES: usize = 1024;
/// Longest payload: packets come out of datagrams.
const MOST_PAYLOAD: usize = 2048;

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Message {
    Join {
        room: RoomKey,
        is_answer: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pulls: Option<Origins>,
    },
    Pull {
        room: RoomKey,
        origins: Origins,
    },
    Introduced {
        room: RoomKey,
        origins: Origins,
    },
    Member {
        room: RoomKey,
        user: UserId,
        serial: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<NodeId>,
        tracks: Vec<MemberTrack>,
    },
    Gone {
        room: RoomKey,
        user: UserId,
        serial: u64,
    },
    Stream {
        track: u32,
        stream: u64,
        mid: String,
        rid: Option<String>,
        codec: StreamCodec,
        height: Option<u16>,
        heights_inside: Option<[u16; SPATIAL_LAYERS]>,
    },
    Forgotten {
        stream: u64,
    },
    Demand {
        stream: u64,
        spatial: u8,
        demand: WireDemand,
    },
    Barred {
        stream: u64,
        is_barred: bool,
    },
    LayersBarred {
        stream: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<u8>,
    },
    Keyframe {
        stream: u64,
    },
    Watched {
        track: u32,
        layers: Vec<(u64, u8)>,
    },
    Take {
        track: u32,
        is_taken: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        missed_ms: Option<u32>,
    },
    Custom {
        room: RoomKey,
        is_ordered: bool,
        bytes: Vec<u8>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct MemberTrack {
    source: TrackSource,
    track: u32,
    permitted: bool,
}

/// As in SDP.
#[derive(Debug, Serialize, Deserialize)]
struct StreamCodec {
    payload_type: u8,
    name: String,
    clock_rate: u32,
    channels: Option<u8>,
    parameters: String,
}

/// [`Demand`] with the time since then, milliseconds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireDemand {
    Watched,
    Unwatched(u32),
    Off,
    Waking(u32),
}

/// None: it goes as a [packet](write_packet).
pub fn write_message(now: Instant, message: &RelayMessage) -> Option<Vec<u8>> {
    let message = match message {
        RelayMessage::Packet { .. } => return None,
        RelayMessage::Join { room, is_answer, pulls } => Message::Join {
            room: room.clone(),
            is_answer: *is_answer,
            pulls: pulls.clone(),
        },
        RelayMessage::Pull { room, origins } => Message::Pull {
            room: room.clone(),
            origins: origins.clone(),
        },
        RelayMessage::Introduced { room, origins } => Message::Introduced {
            room: room.clone(),
            origins: origins.clone(),
        },
        RelayMessage::Member {
            room,
            user,
            serial,
            origin,
            tracks,
        } => Message::Member {
            room: room.clone(),
            user: user.clone(),
            serial: *serial,
            origin: origin.clone(),
            tracks: tracks
                .iter()
                .map(|published| MemberTrack {
                    source: published.source,
                    track: number(published.track),
                    permitted: published.permitted,
                })
                .collect(),
        },
        RelayMessage::Gone { room, user, serial } => Message::Gone {
            room: room.clone(),
            user: user.clone(),
            serial: *serial,
        },
        RelayMessage::Stream {
            track,
            stream,
            mid,
            rid,
            params,
            heights,
        } => {
            let spec = params.spec();
            Message::Stream {
                track: number(*track),
                stream: stream.0,
                mid: mid.to_string(),
                rid: rid.map(|rid| rid.to_string()),
                codec: StreamCodec {
                    payload_type: *params.pt(),
                    name: spec.codec.to_string(),
                    clock_rate: spec.clock_rate.get(),
                    channels: spec.channels,
                    parameters: spec.format.to_string(),
                },
                height: heights.whole(),
                heights_inside: heights.inside(),
            }
        }
        RelayMessage::Forgotten(stream) => Message::Forgotten { stream: stream.0 },
        RelayMessage::Demand { layer, demand } => Message::Demand {
            stream: layer.stream.0,
            spatial: layer.spatial,
            demand: WireDemand::of(now, *demand),
        },
        RelayMessage::Barred { stream, is_barred } => Message::Barred {
            stream: stream.0,
            is_barred: *is_barred,
        },
        RelayMessage::LayersBarred { stream, from } => Message::LayersBarred {
            stream: stream.0,
            from: *from,
        },
        RelayMessage::Keyframe(stream) => Message::Keyframe { stream: stream.0 },
        RelayMessage::Watched { track, layers } => Message::Watched {
            track: number(*track),
            layers: layers.iter().map(|layer| (layer.stream.0, layer.spatial)).collect(),
        },
        RelayMessage::Take {
            track,
            is_taken,
            missed,
        } => Message::Take {
            track: number(*track),
            is_taken: *is_taken,
            missed_ms: missed.map(|missed| u32::try_from(missed.as_millis()).unwrap_or(u32::MAX)),
        },
        RelayMessage::Custom { room, delivery, bytes } => Message::Custom {
            room: room.clone(),
            is_ordered: *delivery == Delivery::Ordered,
            bytes: bytes.to_vec(),
        },
    };
    serde_json::to_vec(&message).ok()
}

/// None: malformed, or of a kind that this version does not know.
pub fn read_message(now: Instant, bytes: &[u8]) -> Option<RelayMessage> {
    Some(match serde_json::from_slice(bytes).ok()? {
        Message::Join { room, is_answer, pulls } => RelayMessage::Join {
            room,
            is_answer,
            pulls: match pulls {
                Some(origins) => Some(checked(origins)?),
                None => None,
            },
        },
        Message::Pull { room, origins } => RelayMessage::Pull {
            room,
            origins: checked(origins)?,
        },
        Message::Introduced { room, origins } => RelayMessage::Introduced {
            room,
            origins: checked(origins)?,
        },
        Message::Member {
            room,
            user,
            serial,
            origin,
            tracks,
        } => {
            if tracks.len() > MOST_TRACKS {
                return None;
            }
            let tracks = tracks.into_iter().map(|published| Published {
                source: published.source,
                track: index(published.track),
                permitted: published.permitted,
            });
            RelayMessage::Member {
                room,
                user,
                serial,
                origin,
                tracks: tracks.collect(),
            }
        }
        Message::Gone { room, user, serial } => RelayMessage::Gone { room, user, serial },
        Message::Stream {
            track,
            stream,
            mid,
            rid,
            codec,
            height,
            heights_inside,
        } => RelayMessage::Stream {
            track: index(track),
            stream: StreamId(stream),
            mid: Mid::from(mid.as_str()),
            rid: rid.map(|rid| Rid::from(rid.as_str())),
            params: Box::new(codec.read()?),
            heights: Heights::new(height, heights_inside),
        },
        Message::Forgotten { stream } => RelayMessage::Forgotten(StreamId(stream)),
        Message::Demand {
            stream,
            spatial,
            demand,
        } => RelayMessage::Demand {
            layer: Watched {
                stream: StreamId(stream),
                spatial: (usize::from(spatial) < SPATIAL_LAYERS).then_some(spatial)?,
            },
            demand: demand.read(now),
        },
        Message::Barred { stream, is_barred } => RelayMessage::Barred {
            stream: StreamId(stream),
            is_barred,
        },
        Message::LayersBarred { stream, from } => RelayMessage::LayersBarred {
            stream: StreamId(stream),
            // The lowest is never barred.
            from: from.map(|from| from.max(1)),
        },
        Message::Keyframe { stream } => RelayMessage::Keyframe(StreamId(stream)),
        Message::Watched { track, layers } => {
            if layers.len() > MOST_LAYERS {
                return None;
            }
            let layers = layers.into_iter().map(|(stream, spatial)| Watched {
                stream: StreamId(stream),
                spatial,
            });
            RelayMessage::Watched {
                track: index(track),
                layers: layers.collect(),
            }
        }
        Message::Take {
            track,
            is_taken,
            missed_ms,
        } => RelayMessage::Take {
            track: index(track),
            is_taken,
            missed: missed_ms.map(|milliseconds| Duration::from_millis(milliseconds.into())),
        },
        Message::Custom {
            room,
            is_ordered,
            bytes,
        } => RelayMessage::Custom {
            room,
            delivery: if is_ordered {
                Delivery::Ordered
            } else {
                Delivery::Unordered
            },
            bytes: bytes.into(),
        },
    })
}

/// None: more nodes than a room can be on.
fn checked(origins: Origins) -> Option<Origins> {
    (origins.len() <= MOST_NODES).then_some(origins)
}

fn number(track: TrackIndex) -> u32 {
    u32::try_from(track.position()).unwrap_or(u32::MAX)
}

fn index(track: u32) -> TrackIndex {
    TrackIndex::at(track as usize)
}

impl StreamCodec {
    fn read(&self) -> Option<PayloadParams> {
        let codec = Codec::from(self.name.as_str());
        let is_known = matches!(
            codec,
            Codec::Opus | Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265 | Codec::Av1
        );
        let spec = CodecSpec {
            codec: is_known.then_some(codec)?,
            clock_rate: Frequency::new(self.clock_rate)?,
            channels: self.channels,
            format: FormatParams::parse_line(&self.parameters),
        };
        let payload_type = Pt::new_with_value(self.payload_type & 0x7f);
        Some(PayloadParams::new(payload_type, None, spec))
    }
}

impl WireDemand {
    fn of(now: Instant, demand: Demand) -> Self {
        let elapsed =
            |since: Instant| u32::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u32::MAX);
        match demand {
            Demand::Watched => Self::Watched,
            Demand::Unwatched { since } => Self::Unwatched(elapsed(since)),
            Demand::Off => Self::Off,
            Demand::Waking { since } => Self::Waking(elapsed(since)),
        }
    }

    fn read(&self, now: Instant) -> Demand {
        let since = |elapsed: u32| {
            let elapsed = Duration::from_millis(elapsed.into());
            now.checked_sub(elapsed).unwrap_or(now)
        };
        match self {
            Self::Watched => Demand::Watched,
            Self::Unwatched(elapsed) => Demand::Unwatched { since: since(*elapsed) },
            Self::Off => Demand::Off,
            Self::Waking(elapsed) => Demand::Waking { since: since(*elapsed) },
        }
    }
}

/// `captured`: on this side's clock.
pub fn write_packet(stream: StreamId, packet: &Packet, captured: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + packet.payload.len());
    out.extend_from_slice(&stream.0.to_be_bytes());
    out.extend_from_slice(&packet.seq.get().to_be_bytes());
    out.extend_from_slice(&packet.time.to_be_bytes());
    out.extend_from_slice(&captured.to_be_bytes());
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.push(
        flag(packet.marker, MARKER)
            | flag(packet.audio_level.is_some(), LEVEL)
            | flag(packet.orientation.is_some(), ORIENTATION)
            | flag(packet.dependency.is_some(), DEPENDENCY),
    );
    out.extend(packet.audio_level);
    out.extend(packet.orientation);
    if let Some(dependency) = &packet.dependency {
        let at = out.len();
        out.extend_from_slice(&[0; 2]);
        dependency.write(dependency.frame, None, &mut out);
        let length = (out.len() - at - 2) as u16;
        out[at..at + 2].copy_from_slice(&length.to_be_bytes());
    }
    out.extend_from_slice(&packet.payload);
    out
}

/// The stream of a packet; None: malformed.
pub fn stream_of(bytes: &[u8]) -> Option<StreamId> {
    Bytes(bytes).u64().map(StreamId)
}

/// A packet that has just come. `codec` and `structure`: of its stream. `captured`: finds the moment of a time of the other side. None:
/// malformed.
pub fn read_packet(
    now: Instant,
    bytes: &[u8],
    codec: Codec,
    structure: Option<&Arc<Structure>>,
    captured: impl FnOnce(i64) -> Instant,
) -> Option<Packet> {
    let mut bytes = Bytes(bytes);
    let _stream = bytes.u64()?;
    let seq = Some(bytes.u64()?).filter(|seq| *seq < MOST_SEQ)?;
    let time = bytes.u32()?;
    let captured_at = bytes.u64()? as i64;
    let flags = bytes.u8()?;
    let has = |flag: u8| flags & flag != 0;
    let audio_level = if has(LEVEL) { Some(bytes.u8()?) } else { None };
    let orientation = if has(ORIENTATION) { Some(bytes.u8()? & 3) } else { None };
    let dependency = if has(DEPENDENCY) {
        // Of a structure that is lost it is not understood, as from a publisher.
        Dependency::read(bytes.sized()?, structure).map(Box::new)
    } else {
        None
    };
    let payload = Some(bytes.0).filter(|payload| payload.len() <= MOST_PAYLOAD)?;
    Some(Packet {
        seq: SeqNo::new(seq),
        time,
        marker: has(MARKER),
        descriptor: Descriptor::read(codec, payload).with(dependency.as_deref()),
        payload: payload.into(),
        dependency,
        arrived: now,
        captured: captured(captured_at),
        audio_level,
        orientation,
    })
}

#[cfg(test)]
mod tests;
