//! The media of publishers: tracks, their streams and packets.

pub mod capture_clock;
pub mod demand;
pub mod layer;
pub mod link_flows;
mod meters;
pub mod packet;
pub mod stream;
pub mod stream_layers;
pub mod track;
pub mod uplink;
