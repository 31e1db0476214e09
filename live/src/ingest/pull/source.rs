//! A source, by its URL: what kind it is, and the task that reads it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reqwest::Url;
use rotunda_proto::outbound::ResolveError;
use rotunda_proto::push_address::PushAddress;
use thiserror::Error;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::flv::{FlvError, FlvSplitter};
use super::hls::{self, HlsError};
use super::http::{self, Http, HttpError};
use super::mp4::{self, Mp4Error};
use super::reorder::{Reorder, ReorderError};
use super::rtmp::{self, RtmpPlayError};
use super::tag::Piece;
use crate::rtmp_client::{ClientError, Outbound};

/// Pieces and bytes that are read ahead.
const AHEAD: usize = 512;
const AHEAD_BYTES: u32 = 16 << 20;
/// Pieces that wait after they were reordered.
const REORDERED: usize = 64;

/// The way to the bytes of a source: HTTP or RTMP, and the networks that are permitted.
#[derive(Clone)]
pub struct Reach {
    pub http: Http,
    pub rtmp: Outbound,
}

/// How a source that was read to its end is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A file: it may be repeated.
    File,
    /// A live stream: it may come back.
    Live,
}

/// Nobody reads the source any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the source is no longer wanted")]
pub struct Gone;

/// Why a source cannot be read.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("the URL cannot be read; write rtmp[s]://, or http[s]:// of FLV, HLS or MP4")]
    Url,
    #[error("HTTP")]
    Http(#[from] HttpError),
    #[error("HTTP-FLV")]
    Flv(#[from] FlvError),
    #[error("HLS")]
    Hls(#[from] HlsError),
    #[error("MP4")]
    Mp4(#[from] Mp4Error),
    #[error("RTMP")]
    Rtmp(#[from] RtmpPlayError),
    #[error("the source's video cannot be shown in a room")]
    Reorder(#[from] ReorderError),
    #[error("the source has no media")]
    Empty,
    #[error("the reader of the source failed")]
    Failed,
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl SourceError {
    /// Whether another attempt cannot succeed.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Url | Self::Flv(_) | Self::Reorder(_) | Self::Empty | Self::Failed => true,
            Self::Http(error) | Self::Hls(HlsError::Http(error)) | Self::Mp4(Mp4Error::Http(error)) => error.is_final(),
            // A live playlist may be broken for a moment.
            Self::Hls(HlsError::Playlist | HlsError::Mp4(_)) | Self::Gone(_) => false,
            Self::Hls(_) | Self::Mp4(_) => true,
            Self::Rtmp(RtmpPlayError::Client(error)) => {
                matches!(
                    error,
                    ClientError::Address(ResolveError::Refused(_)) | ClientError::ServerName(_)
                )
            }
            Self::Rtmp(RtmpPlayError::Gone(_)) => false,
        }
    }
}

/// A source that is being read; dropping it ends the reading.
pub struct Reading {
    pieces: mpsc::Receiver<Result<Piece, ReorderError>>,
    task: JoinHandle<Result<End, SourceError>>,
}

impl Reading {
    /// Errors: there is no thread to reorder video on.
    pub fn begin(reach: Reach, url: String, seek: Duration) -> io::Result<Self> {
        let (sender, incoming) = mpsc::channel(AHEAD);
        let (reordered, pieces) = mpsc::channel(REORDERED);
        let run = move || reorder(incoming, &reordered);
        thread::Builder::new().name("ingest-reorder".to_owned()).spawn(run)?;
        let out = Out {
            pieces: sender,
            bytes: Arc::new(Semaphore::new(AHEAD_BYTES as usize)),
        };
        let task = tokio::spawn(async move { read(&reach, &url, seek, &out).await });
        Ok(Self { pieces, task })
    }

    /// The next piece; at the end, how the source is over. Cancel-safe.
    pub async fn next(&mut self) -> Result<Piece, Result<End, SourceError>> {
        match self.pieces.recv().await {
            Some(Ok(piece)) => Ok(piece),
            Some(Err(error)) => Err(Err(error.into())),
            // A library that panics is a source that cannot be read.
            None => Err((&mut self.task).await.unwrap_or(Err(SourceError::Failed))),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// On a thread of its own, until the source is over or nobody reads it.
fn reorder(
    mut incoming: mpsc::Receiver<(Piece, OwnedSemaphorePermit)>,
    reordered: &mpsc::Sender<Result<Piece, ReorderError>>,
) {
    let mut reorder = Reorder::default();
    let mut out = Vec::new();
    loop {
        let next = incoming.blocking_recv();
        let is_over = next.is_none();
        let done = match next {
            Some((piece, _)) => reorder.handle(piece, &mut out),
            None => reorder.end(&mut out),
        };
        let mut sent = out.drain(..).map(Ok).chain(done.err().map(Err));
        if sent.any(|piece| piece.is_err() | reordered.blocking_send(piece).is_err()) || is_over {
            return;
        }
    }
}

/// Where a source's pieces go. It waits when too many are there.
pub struct Out {
    pieces: mpsc::Sender<(Piece, OwnedSemaphorePermit)>,
    bytes: Arc<Semaphore>,
}

impl Out {
    pub async fn send(&self, piece: Piece) -> Result<(), Gone> {
        let length = match &piece {
            Piece::Tag(tag) => u32::try_from(tag.body.len()).unwrap_or(u32::MAX).clamp(1, AHEAD_BYTES),
            Piece::Restart { .. } => 1,
        };
        let permit = self.bytes.clone().acquire_many_owned(length).await;
        let permit = permit.map_err(|_| Gone)?;
        let sent = self.pieces.send((piece, permit)).await;
        sent.map_err(|SendError(_)| Gone)
    }

    pub fn still_wanted(&self) -> Result<(), Gone> {
        if self.pieces.is_closed() { Err(Gone) } else { Ok(()) }
    }
}

/// The kind of source that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceUrl {
    Rtmp(PushAddress),
    Flv(Url),
    Hls(Url),
    Mp4(Url),
    /// It is told by the type that its server answers with.
    Unknown(Url),
}

impl SourceUrl {
    /// None: it is no URL of a source.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse() {
            return Some(Self::Rtmp(address));
        }
        let url: Url = text.parse().ok()?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return None;
        }
        let path = url.path().to_ascii_lowercase();
        Some(match path.rsplit_once('.') {
            Some((_, "flv")) => Self::Flv(url),
            Some((_, "m3u8" | "m3u")) => Self::Hls(url),
            Some((_, "mp4" | "m4v" | "mov" | "m4a")) => Self::Mp4(url),
            _ => Self::Unknown(url),
        })
    }

    /// By the type of its server's answer.
    fn known(url: Url, content_type: &str) -> Option<Self> {
        let kind = content_type.to_ascii_lowercase();
        if kind.contains("flv") {
            Some(Self::Flv(url))
        } else if kind.contains("mpegurl") {
            Some(Self::Hls(url))
        } else if ["mp4", "quicktime", "x-m4v"].iter().any(|word| kind.contains(word)) {
            Some(Self::Mp4(url))
        } else {
            None
        }
    }
}

async fn read(reach: &Reach, url: &str, seek: Duration, out: &Out) -> Result<End, SourceError> {
    let mut source = SourceUrl::parse(url).ok_or(SourceError::Url)?;
    if let SourceUrl::Unknown(url) = source {
        let answer = reach.http.get(&url, 0).await?;
        let kind = answer.headers().get(reqwest::header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        // Relative addresses of a playlist are those of where it was found.
        let at = answer.url().clone();
        source = SourceUrl::known(at, kind).ok_or(SourceError::Url)?;
    }
    match source {
        SourceUrl::Rtmp(address) => {
            rtmp::play(&address, &reach.rtmp, out).await?;
            Ok(End::Live)
        }
        SourceUrl::Flv(url) => flv(&reach.http, &url, out).await,
        SourceUrl::Hls(url) => Ok(hls::read(&reach.http, &url, seek, out).await?),
        SourceUrl::Mp4(url) => {
            mp4::read(&reach.http, &url, seek, out).await?;
            Ok(End::File)
        }
        SourceUrl::Unknown(_) => Err(SourceError::Url),
    }
}

/// An answer with a length is a file; one without is a live stream.
async fn flv(http: &Http, url: &Url, out: &Out) -> Result<End, SourceError> {
    let mut answer = http.get(url, 0).await?;
    let end = match answer.content_length() {
        Some(_) => End::File,
        None => End::Live,
    };
    let mut splitter = FlvSplitter::default();
    while let Some(chunk) = http::chunk(&mut answer).await? {
        splitter.push(&chunk);
        while let Some(tag) = splitter.next_tag()? {
            out.send(Piece::Tag(tag)).await?;
        }
    }
    splitter.end()?;
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_what_it_names() {
        let kind = |text: &str| match SourceUrl::parse(text) {
            Some(SourceUrl::Rtmp(_)) => "rtmp",
            Some(SourceUrl::Flv(_)) => "flv",
            Some(SourceUrl::Hls(_)) => "hls",
            Some(SourceUrl::Mp4(_)) => "mp4",
            Some(SourceUrl::Unknown(_)) => "unknown",
            None => "none",
        };
        assert_eq!(kind("rtmp://example.com/live/film?key=a.mp4"), "rtmp");
        assert_eq!(kind("rtmps://example.com/live/film"), "rtmp");
        assert_eq!(kind("https://example.com/live/film.FLV?a=b"), "flv");
        assert_eq!(kind("http://example.com/film.m3u8"), "hls");
        assert_eq!(kind("http://example.com/film.mp4"), "mp4");
        assert_eq!(kind("http://example.com/film"), "unknown");
        for none in [
            "",
            "film.mp4",
            "file:///etc/passwd",
            "ftp://example.com/film.mp4",
            "rtmp://example.com",
            "http://",
        ] {
            assert_eq!(kind(none), "none", "{none}");
        }
        let url: Url = "http://example.com/film".parse().unwrap();
        let known = |kind: &str| SourceUrl::known(url.clone(), kind);
        assert_eq!(
            known("application/vnd.apple.mpegurl"),
            Some(SourceUrl::Hls(url.clone()))
        );
        assert_eq!(known("video/x-flv"), Some(SourceUrl::Flv(url.clone())));
        assert_eq!(known("video/mp4"), Some(SourceUrl::Mp4(url.clone())));
        assert_eq!(known("text/html"), None);
    }
}
