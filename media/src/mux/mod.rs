//! Containers: CMAF segments, fast-start MP4, FLV, ADTS, and the text of HLS playlists.

pub mod adts;
pub mod cmaf;
pub mod flv;
pub mod flv_file;
pub mod flv_read;
pub mod hls;
pub mod movie;
pub mod mp3_file;
pub mod mp4;
pub mod segmenter;
pub mod stored;

use thiserror::Error;

/// Why a container was not written.
#[derive(Debug, Error)]
pub enum MuxError {
    #[error("describe the codecs")]
    Describe(#[source] shiguredo_mp4::Error),
    #[error("write or read a box")]
    Box(#[source] shiguredo_mp4::Error),
    #[error("a chunk is larger than 2 GiB")]
    TooLarge,
    #[error("{0}")]
    Io(&'static str, #[source] std::io::Error),
    #[error("there are no samples")]
    Empty,
    #[error("the finished file does not hold what was written: {0}")]
    Verify(String),
    #[error("decode or encode")]
    Encode(#[source] crate::codec::CodecError),
    #[error("encode a picture")]
    Picture(#[source] crate::picture::PictureError),
    #[error("the segments' codec is none that this format takes")]
    Codec,
}
