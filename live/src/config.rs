//! The settings of live streams.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use rotunda_proto::config::ConfigMistake;
use serde::{Deserialize, Serialize};
use url::Url;

/// Section `[live]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address that RTMP listens on. Default "0.0.0.0".
    pub bind: IpAddr,
    /// Port of RTMP. Default 1935.
    pub rtmp_port: u16,
    /// Port of RTMPS, with the certificate of `server.tls`. 0: none. Default 0.
    pub rtmps_port: u16,
    /// Minimum seconds of an HLS segment; it ends at the next keyframe. Default 2.
    pub hls_segment_seconds: u64,
    /// Segments in the HLS window. Default 6.
    pub hls_window: usize,
    /// File of certificate authorities (PEM) that RTMPS pushes trust besides the public ones. Default none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push_ca_file: Option<PathBuf>,
    /// Seconds for which an RTMP or HTTP-FLV player may take nothing before it is disconnected. Default 10.
    pub stall_seconds: u64,
    /// HTTP-FLV players at one time. More get 503. Default 5000.
    pub flv_players: usize,
    /// Seconds without a request for a stream's playlist after which its HLS segments are no longer made. 0: they are always made. Default
    /// 60.
    pub hls_idle_seconds: u64,
    /// Low-Latency HLS of mixes: parts of a third of a second. Default true.
    pub hls_low_latency: bool,
    /// UDP port of WHEP viewers, on each address of this machine. 0: any. Default 0.
    pub whep_port: u16,
    /// Addresses told to WHEP viewers, where they reach this process by others than its own. Default none: those of the interfaces.
    pub whep_advertise: Vec<IpAddr>,
    /// WHEP viewers at one time. More get 503. Each costs as much as a viewer of a room. Default 200.
    pub whep_players: usize,
    /// Pulls of URLs into rooms at one time (`StartStreamIngest`). Other processes take more. Each costs as much as a member, and where the source
    /// has B-frames, an encoder. Default 20.
    pub pulls: usize,
    /// Signaling by which RTMP publishers, and the users of pulls, enter their rooms: `ws[s]://host:port/ws`. Default none: that of this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingest_signaling_url: Option<Url>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: Ipv4Addr::UNSPECIFIED.into(),
            rtmp_port: 1935,
            rtmps_port: 0,
            hls_segment_seconds: 2,
            hls_window: 6,
            push_ca_file: None,
            stall_seconds: 10,
            flv_players: 5000,
            hls_idle_seconds: 60,
            hls_low_latency: true,
            whep_port: 0,
            whep_advertise: Vec::new(),
            whep_players: 200,
            pulls: 20,
            ingest_signaling_url: None,
        }
    }
}

impl Config {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        if !(1..=30).contains(&self.hls_segment_seconds) {
            mistakes.push(ConfigMistake::new("live.hls_segment_seconds", "write 1 to 30"));
        }
        if !(3..=100).contains(&self.hls_window) {
            mistakes.push(ConfigMistake::new("live.hls_window", "write 3 to 100"));
        }
        if self.stall_seconds == 0 {
            mistakes.push(ConfigMistake::new("live.stall_seconds", "write at least 1"));
        }
        let is_websocket = |url: &Url| matches!(url.scheme(), "ws" | "wss");
        if !self.ingest_signaling_url.as_ref().is_none_or(is_websocket) {
            mistakes.push(ConfigMistake::new(
                "live.ingest_signaling_url",
                "write ws[s]://host:port/ws",
            ));
        }
        mistakes
    }
}
