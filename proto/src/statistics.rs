//! The quality and statistics of a member's media, as the SFU measures them: a score, and figures with the details.
//!
//! Names and scale of the score are those of the TRTC SDKs (`network-quality`, `onNetworkQuality`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{TrackSource, UserId};

/// Nothing was measured yet, or nothing is sent in that direction.
pub const UNKNOWN: u8 = 0;
/// The best score; the worst of a live connection is 5.
pub const EXCELLENT: u8 = 1;
/// There is no connection.
pub const DISCONNECTED: u8 = 6;

/// A member's connection in both directions. Scores: 0 unknown, 1 excellent, 2 good, 3 poor, 4 bad, 5 very bad,
/// 6 disconnected. Uplink: from the member to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkQuality {
    pub uplink_network_quality: u8,
    pub downlink_network_quality: u8,
    /// Round-trip time in milliseconds, from the reports on the member's media; absent: not measured.
    #[serde(default, rename = "uplinkRTT", skip_serializing_if = "Option::is_none")]
    pub uplink_rtt: Option<u32>,
    /// Percentage of the packets that did not arrive at the first sending.
    pub uplink_loss: u8,
    /// Milliseconds there and back, from the member's receiver reports; absent: not measured.
    #[serde(default, rename = "downlinkRTT", skip_serializing_if = "Option::is_none")]
    pub downlink_rtt: Option<u32>,
    /// Percentage of the packets that did not arrive at the first sending.
    pub downlink_loss: u8,
}

impl NetworkQuality {
    /// The values of a member without a media connection.
    pub fn disconnected() -> Self {
        Self {
            uplink_network_quality: DISCONNECTED,
            downlink_network_quality: DISCONNECTED,
            ..Self::default()
        }
    }
}

/// What a member sends, over the last two seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SentMedia {
    /// Bit/s of payload.
    pub audio: u64,
    /// Bit/s of payload, all layers of camera and screen together.
    pub video: u64,
    /// Of the largest layer that is sent, pixels; 0: no video, or not known yet.
    pub height: u16,
    /// Frames a second of the fastest video that is sent; 0: no video.
    pub framerate: u16,
    /// Percentage of the packets that did not arrive at the first sending.
    pub audio_loss: u8,
    pub video_loss: u8,
}

/// All measurements of a member's session; rates are of the last two seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    #[serde(flatten)]
    pub quality: NetworkQuality,
    /// The estimated bitrate of the member's downlink, bits a second; absent: the client sends no feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downlink_estimate: Option<u64>,
    /// The bitrate of everything that the member watches in the best quality, bits a second.
    pub downlink_wanted: u64,
    /// Videos that are not sent, as the link does not carry them.
    pub paused_slots: u16,
    /// The streams that the member sends, one for each simulcast layer.
    pub uplink: Vec<UplinkStream>,
    /// The streams that the member gets, one for each receive slot in use.
    pub downlink: Vec<DownlinkSlot>,
}

/// An RTP stream from a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UplinkStream {
    pub source: TrackSource,
    /// As in SDP: `VP8`, `opus`.
    pub codec: String,
    /// Simulcast layer; absent: the stream is the only one of its source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Bit/s of payload.
    pub bitrate: u64,
    /// Since the stream began, including packets that arrived by retransmission.
    pub packets: u64,
    /// Since the stream began: packets that never arrived.
    pub lost: u64,
    /// Percentage lost at the first sending.
    pub loss: u8,
    /// Interarrival jitter (RFC 3550 §6.4.1), milliseconds.
    pub jitter: u32,
    /// Keyframe requests from the server since the stream began.
    pub keyframe_requests: u32,
    /// Pixels; absent: audio, or not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
    /// Frames a second; absent: audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framerate: Option<u16>,
}

/// The source in one receive slot of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DownlinkSlot {
    pub user_id: UserId,
    pub source: TrackSource,
    /// The source that is sent; absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// The simulcast layer that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// Of that layer, pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u16>,
    /// Bits a second of payload, without retransmissions.
    pub bitrate: u64,
    /// Since the session began, whatever was shown, without retransmissions.
    pub packets: u32,
    /// Retransmitted packets that the member had missed.
    pub resent: u32,
    /// Percentage lost at the first sending, as the member reports (RFC 3550 §6.4.1).
    pub loss: u8,
    /// Paused, because the link does not carry it.
    pub paused: bool,
}
