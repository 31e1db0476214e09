//! MP4 files over HTTP, also fragmented ones: the index first, wherever it is, and then samples in the order of decoding.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use reqwest::{Response, Url};
use shiguredo_mp4::demux::{
    DemuxError, Fmp4FileDemuxer, Input, Mp4FileDemuxer, Mp4FileKind, Mp4FileKindDetector, RequiredInput, Sample,
};
use thiserror::Error;

use super::http::{self, Http, HttpError};
use super::samples::{Place, SampleError};
use super::source::{Gone, Out};
use super::tag::{Kind, Piece};

/// Longest index or fragment, bytes.
const MOST_BYTES: usize = 64 << 20;
/// Bytes that are read and left out rather than asking for another part of the file.
const AHEAD: u64 = 1 << 20;
/// Bytes that are kept for the other track.
const BEHIND: usize = 4 << 20;
/// Parts of the file that are read at one time: audio and video may be far from each other.
const CURSORS: usize = 2;
/// Samples in which the first ones of both tracks, or the keyframe before a position, are searched.
const MOST_SAMPLES: usize = 100_000;

#[derive(Debug, Error)]
pub enum Mp4Error {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error("the MP4 is malformed: {0}")]
    Malformed(String),
    #[error("an index or fragment of more than {MOST_BYTES} bytes")]
    Long,
    #[error("the MP4 has neither audio nor video")]
    Empty,
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// Sends a file's media from `seek` on.
pub async fn read(http: &Http, url: &Url, seek: Duration, out: &Out) -> Result<(), Mp4Error> {
    let mut file = File {
        http,
        url,
        cursors: Vec::new(),
    };
    let mut detector = Mp4FileKindDetector::new();
    let kind = loop {
        if let Some(kind) = detector.file_kind().map_err(malformed)? {
            break kind;
        }
        let Some(required) = detector.required_input() else {
            return Err(Mp4Error::Empty);
        };
        let (position, data) = file.required(required).await?;
        detector.handle_input(Input { position, data });
    };
    out.send(Piece::Restart { has_edit: true }).await?;
    match kind {
        Mp4FileKind::Mp4 => plain(file, seek, out).await,
        Mp4FileKind::FragmentedMp4 => fragmented(file, seek, out).await,
    }
}

async fn plain(mut file: File<'_>, seek: Duration, out: &Out) -> Result<(), Mp4Error> {
    let mut demuxer = Mp4FileDemuxer::new();
    while let Some(required) = demuxer.required_input() {
        let (position, data) = file.required(required).await?;
        demuxer.handle_input(Input { position, data });
    }
    if demuxer.tracks().map_err(malformed)?.is_empty() {
        return Err(Mp4Error::Empty);
    }
    if !seek.is_zero() {
        begin_at(&mut demuxer, seek, out).await?;
    }
    while let Some(sample) = demuxer.next_sample().map_err(malformed)? {
        file.send(&sample, out).await?;
    }
    Ok(())
}

/// Goes to the keyframe before a position. The configurations are sent, which only the first samples have.
async fn begin_at(demuxer: &mut Mp4FileDemuxer, seek: Duration, out: &Out) -> Result<(), Mp4Error> {
    let tracks = demuxer.tracks().map_err(malformed)?.len();
    let (mut found, mut has_video) = (0, false);
    for _ in 0..MOST_SAMPLES {
        let Some(sample) = demuxer.next_sample().map_err(malformed)? else {
            break;
        };
        if sample.sample_entry.is_some() {
            found += 1;
        }
        if let Some(place) = Place::of(&sample)? {
            has_video |= place.kind == Kind::Video;
            if let Some(config) = place.config {
                out.send(Piece::Tag(config)).await?;
            }
        }
        if found == tracks {
            break;
        }
    }
    demuxer.seek(seek).map_err(malformed)?;
    if has_video && !is_at_keyframe(demuxer.clone())? {
        for _ in 0..MOST_SAMPLES {
            let sample = demuxer.prev_sample().map_err(malformed)?;
            let Some(sample) = sample else { break };
            if Place::of(&sample)?.is_some_and(|place| place.is_keyframe()) {
                break;
            }
        }
    }
    Ok(())
}

/// Whether the next frame of the video is a keyframe.
fn is_at_keyframe(mut demuxer: Mp4FileDemuxer) -> Result<bool, Mp4Error> {
    for _ in 0..MOST_SAMPLES {
        let Some(sample) = demuxer.next_sample().map_err(malformed)? else {
            break;
        };
        if let Some(place) = Place::of(&sample)?
            && place.kind == Kind::Video
        {
            return Ok(place.is_keyframe());
        }
    }
    Ok(false)
}

/// A fragmented file has no index: what comes before `seek` is left out.
async fn fragmented(mut file: File<'_>, seek: Duration, out: &Out) -> Result<(), Mp4Error> {
    let mut demuxer = Fmp4FileDemuxer::new();
    loop {
        match demuxer.next_sample() {
            Ok(None) => return Ok(()),
            Ok(Some(sample)) => {
                let at = Duration::from_secs(sample.timestamp) / sample.track.timescale.get();
                if at >= seek {
                    file.send(&sample, out).await?;
                } else if let Some(config) = Place::of(&sample)?.and_then(|place| place.config) {
                    out.send(Piece::Tag(config)).await?;
                }
            }
            Err(DemuxError::InputRequired(required)) => {
                let (position, data) = file.required(required).await?;
                demuxer.handle_input(Input { position, data });
            }
            Err(error) => return Err(malformed(error)),
        }
    }
}

fn malformed(error: DemuxError) -> Mp4Error {
    let words: String = error.to_string().chars().take(200).collect();
    Mp4Error::Malformed(words)
}

/// The file at its server.
struct File<'a> {
    http: &'a Http,
    url: &'a Url,
    /// The most recently used one is last.
    cursors: Vec<Cursor>,
}

/// A part of the file that comes in.
struct Cursor {
    answer: Response,
    is_over: bool,
    /// Position of the first kept byte.
    begin: u64,
    kept: BytesMut,
}

impl File<'_> {
    async fn required(&mut self, required: RequiredInput) -> Result<(u64, &[u8]), Mp4Error> {
        let size = required.size.unwrap_or(MOST_BYTES);
        if size > MOST_BYTES {
            return Err(Mp4Error::Long);
        }
        Ok((required.position, self.read(required.position, size).await?))
    }

    async fn send(&mut self, sample: &Sample<'_>, out: &Out) -> Result<(), Mp4Error> {
        let Some(mut place) = Place::of(sample)? else {
            return Ok(());
        };
        if let Some(config) = place.config.take() {
            out.send(Piece::Tag(config)).await?;
        }
        let data = self.read(place.position, place.size).await?;
        if data.len() < place.size {
            return Err(HttpError::Short.into());
        }
        Ok(out.send(Piece::Tag(place.tag(data))).await?)
    }

    /// Fewer bytes only at the end of the file.
    async fn read(&mut self, position: u64, size: usize) -> Result<&[u8], Mp4Error> {
        let known = self.cursors.iter().position(|cursor| cursor.reaches(position));
        let cursor = match known {
            Some(at) => self.cursors.remove(at),
            None => {
                if self.cursors.len() >= CURSORS {
                    self.cursors.remove(0);
                }
                match self.http.get(self.url, position).await {
                    Ok(answer) => Cursor {
                        answer,
                        is_over: false,
                        begin: position,
                        kept: BytesMut::new(),
                    },
                    Err(HttpError::Short) => return Ok(&[]),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        self.cursors.push(cursor);
        match self.cursors.last_mut() {
            Some(cursor) => cursor.read(position, size).await,
            None => Ok(&[]),
        }
    }
}

impl Cursor {
    fn end(&self) -> u64 {
        self.begin + self.kept.len() as u64
    }

    fn reaches(&self, position: u64) -> bool {
        (self.begin..=self.end() + AHEAD).contains(&position)
    }

    /// `position` is reached.
    async fn read(&mut self, position: u64, size: usize) -> Result<&[u8], Mp4Error> {
        let end = position.saturating_add(size as u64);
        while self.end() < end && !self.is_over {
            match http::chunk(&mut self.answer).await? {
                Some(chunk) => self.kept.extend_from_slice(&chunk),
                None => self.is_over = true,
            }
            let before = position.min(self.end()) - self.begin;
            if let Some(extra) = usize::try_from(before)
                .ok()
                .and_then(|before| before.checked_sub(BEHIND))
            {
                self.kept.advance(extra);
                self.begin += extra as u64;
            }
        }
        let from = usize::try_from(position - self.begin).unwrap_or(usize::MAX);
        let rest = self.kept.get(from..).unwrap_or_default();
        Ok(&rest[..size.min(rest.len())])
    }
}
