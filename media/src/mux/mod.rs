//! Containers: fragmented and fast-start MP4, FLV, and the text of HLS playlists.

pub mod flv;
pub mod fmp4;
pub mod hls;
pub mod mp4;

use thiserror::Error;

/// Why a container was not written.
#[derive(Debug, Error)]
pub enum MuxError {
    #[error("describe the codecs")]
    Describe(#[source] shiguredo_mp4::Error),
    #[error("write the boxes")]
    Boxes(#[source] shiguredo_mp4::mux::MuxError),
    #[error("read the fragments: {0}")]
    Fragments(String),
    #[error("{0}")]
    Io(&'static str, #[source] std::io::Error),
    #[error("the file has no samples")]
    Empty,
}
