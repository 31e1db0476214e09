//! HLS: follows a playlist and takes its segments apart, which are MPEG transport streams or fragmented MP4. Source: RFC 8216.

use std::time::Duration;

use bytes::Bytes;
use m3u8_rs::{AlternativeMediaType, ByteRange, KeyMethod, MasterPlaylist, MediaPlaylist, MediaSegment, Playlist};
use reqwest::Url;
use rotunda_proto::clock::Clock;
use shiguredo_mp4::demux::Fmp4SegmentDemuxer;
use thiserror::Error;

use super::http::{Http, HttpError};
use super::samples::{Place, SampleError};
use super::source::{End, Gone, Out};
use super::tag::Piece;
use super::ts::{TsDemuxer, TsError};

const MOST_PLAYLIST: usize = 1 << 20;
const MOST_SEGMENT: usize = 64 << 20;
/// A live playlist is begun so many segments before its end (RFC 8216 §6.3.3).
const FROM_END: usize = 3;
/// Servers count seconds or milliseconds since 1970 at most.
const MOST_NUMBER: u64 = 1 << 60;
/// The largest video that is chosen.
const MOST_LINES: u64 = 1080;
/// Time between two readings of a live playlist.
const REREAD: std::ops::RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(10);

#[derive(Debug, Error)]
pub enum HlsError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the playlist cannot be read")]
    Playlist,
    #[error("the playlist has an address that is not one")]
    Address,
    #[error("the playlist has no stream with video of at most {MOST_LINES} lines")]
    NoVariant,
    #[error("the playlist has its audio in a playlist of its own; serve audio and video in the same segments")]
    SeparateAudio,
    #[error("the segments are encrypted")]
    Encrypted,
    #[error("a segment is neither an MPEG transport stream nor fragmented MP4")]
    Container,
    #[error(transparent)]
    Ts(#[from] TsError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error("a segment's MP4 is malformed: {0}")]
    Mp4(String),
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// Sends the media of a playlist, of one with an end from `seek` on.
pub async fn read(http: &Http, url: &Url, seek: Duration, out: &Out) -> Result<End, HlsError> {
    let mut url = url.clone();
    let mut playlist = match load(http, &url).await? {
        Playlist::MediaPlaylist(playlist) => playlist,
        Playlist::MasterPlaylist(master) => {
            url = join(&url, &variant(&master)?)?;
            match load(http, &url).await? {
                Playlist::MediaPlaylist(playlist) => playlist,
                Playlist::MasterPlaylist(_) => return Err(HlsError::Playlist),
            }
        }
    };
    let mut position = Position::first(&playlist, seek);
    let mut demuxer = Demuxer::default();
    loop {
        for (segment, range) in position.take(&playlist) {
            if segment.key.as_ref().is_some_and(|key| key.method != KeyMethod::None) {
                return Err(HlsError::Encrypted);
            }
            if segment.discontinuity {
                demuxer = Demuxer::default();
                out.send(Piece::Restart { has_edit: false }).await?;
            }
            demuxer.handle(http, &url, segment, range, out).await?;
        }
        if playlist.end_list {
            return Ok(End::File);
        }
        let half = Duration::from_secs(playlist.target_duration) / 2;
        Clock
            .sleep_until(Clock.now() + half.clamp(*REREAD.start(), *REREAD.end()))
            .await;
        out.still_wanted()?;
        playlist = match load(http, &url).await? {
            Playlist::MediaPlaylist(playlist) => playlist,
            Playlist::MasterPlaylist(_) => return Err(HlsError::Playlist),
        };
    }
}

async fn load(http: &Http, url: &Url) -> Result<Playlist, HlsError> {
    let text = http.fetch(url, None, MOST_PLAYLIST).await?;
    parse(&text)
}

pub fn parse(text: &[u8]) -> Result<Playlist, HlsError> {
    match m3u8_rs::parse_playlist_res(text) {
        Ok(Playlist::MediaPlaylist(playlist)) if playlist.media_sequence > MOST_NUMBER => Err(HlsError::Playlist),
        Ok(playlist) => Ok(playlist),
        Err(_) => Err(HlsError::Playlist),
    }
}

fn join(base: &Url, address: &str) -> Result<Url, HlsError> {
    let url = base.join(address).map_err(|_| HlsError::Address)?;
    match matches!(url.scheme(), "http" | "https") {
        true => Ok(url),
        false => Err(HlsError::Address),
    }
}

/// The best stream that a room can show.
pub fn variant(master: &MasterPlaylist) -> Result<String, HlsError> {
    let fits = |lines: Option<u64>| lines.is_none_or(|lines| lines <= MOST_LINES);
    let is_h264 = |codecs: &str| {
        codecs.contains("avc")
            || !["hvc1", "hev1", "av01", "vp09"]
                .iter()
                .any(|codec| codecs.contains(codec))
    };
    let best = master
        .variants
        .iter()
        .filter(|variant| !variant.is_i_frame)
        .filter(|variant| fits(variant.resolution.as_ref().map(|size| size.width.min(size.height))))
        .filter(|variant| variant.codecs.as_deref().is_none_or(is_h264))
        .max_by_key(|variant| variant.bandwidth)
        .ok_or(HlsError::NoVariant)?;
    let is_separate = master.alternatives.iter().any(|media| {
        media.media_type == AlternativeMediaType::Audio
            && media.uri.is_some()
            && Some(&media.group_id) == best.audio.as_ref()
    });
    match is_separate {
        true => Err(HlsError::SeparateAudio),
        false => Ok(best.uri.clone()),
    }
}

/// How far a playlist has been read.
#[derive(Debug)]
pub struct Position {
    /// Number of the next segment.
    next: u64,
}

impl Position {
    /// `seek`: from the beginning of a playlist that has an end.
    pub fn first(playlist: &MediaPlaylist, seek: Duration) -> Self {
        let skipped = match playlist.end_list {
            true => {
                let mut at = 0.0;
                let is_before = |segment: &&MediaSegment| {
                    at += f64::from(segment.duration);
                    at <= seek.as_secs_f64()
                };
                playlist.segments.iter().take_while(is_before).count()
            }
            false => playlist.segments.len().saturating_sub(FROM_END),
        };
        Self {
            next: playlist.media_sequence.saturating_add(skipped as u64),
        }
    }

    /// The segments that are new, with their parts of the files. After a restart of the server the numbers are smaller: then it goes on with the
    /// newest ones.
    pub fn take<'a>(&mut self, playlist: &'a MediaPlaylist) -> Vec<(&'a MediaSegment, Option<(u64, u64)>)> {
        let (first, count) = (playlist.media_sequence, playlist.segments.len() as u64);
        let end = first.saturating_add(count);
        if self.next > end {
            *self = Self::first(playlist, Duration::ZERO);
        }
        let mut before = 0;
        let ranges = playlist.segments.iter().map(|segment| {
            let range = segment.byte_range.as_ref().map(|range| part(range, before));
            before = range.map_or(0, |(from, length)| from.saturating_add(length));
            (segment, range)
        });
        let new = (first..).zip(ranges).filter(|(number, _)| *number >= self.next);
        let new = new.map(|(_, segment)| segment).collect();
        self.next = end;
        new
    }
}

/// Without an offset it follows the part before.
fn part(range: &ByteRange, before: u64) -> (u64, u64) {
    (range.offset.unwrap_or(before), range.length)
}

/// The reader of a run of segments.
#[derive(Default)]
struct Demuxer {
    ts: Option<TsDemuxer>,
    fmp4: Option<(Bytes, Fmp4SegmentDemuxer)>,
}

impl Demuxer {
    async fn handle(
        &mut self,
        http: &Http,
        playlist: &Url,
        segment: &MediaSegment,
        range: Option<(u64, u64)>,
        out: &Out,
    ) -> Result<(), HlsError> {
        if let Some(map) = &segment.map {
            let range = map.byte_range.as_ref().map(|range| part(range, 0));
            let init = http.fetch(&join(playlist, &map.uri)?, range, MOST_SEGMENT).await?;
            if self.fmp4.as_ref().is_none_or(|(known, _)| *known != init) {
                let mut demuxer = Fmp4SegmentDemuxer::new();
                demuxer.handle_init_segment(&init).map_err(malformed)?;
                self.fmp4 = Some((init, demuxer));
            }
        }
        let data = http.fetch(&join(playlist, &segment.uri)?, range, MOST_SEGMENT).await?;
        let pieces = match (&mut self.fmp4, data.first()) {
            (Some((_, demuxer)), _) => fragments(demuxer, &data)?,
            (None, Some(0x47)) => transport(self.ts.get_or_insert_with(TsDemuxer::new), &data)?,
            (None, None) => Vec::new(),
            (None, Some(_)) => return Err(HlsError::Container),
        };
        for piece in pieces {
            out.send(piece).await?;
        }
        Ok(())
    }
}

fn transport(demuxer: &mut TsDemuxer, data: &[u8]) -> Result<Vec<Piece>, HlsError> {
    demuxer.push(data)?;
    demuxer.flush();
    Ok(std::iter::from_fn(|| demuxer.next_tag()).map(Piece::Tag).collect())
}

/// A segment may have several fragments, each of which the library reads by itself.
pub fn fragments(demuxer: &mut Fmp4SegmentDemuxer, segment: &[u8]) -> Result<Vec<Piece>, HlsError> {
    let mut pieces = Vec::new();
    let mut rest = segment;
    let mut fragment: Option<&[u8]> = None;
    while !rest.is_empty() {
        let (kind, size) = head(rest).ok_or_else(|| HlsError::Mp4("a box does not fit".to_owned()))?;
        match kind {
            b"moof" => fragment = Some(rest),
            b"mdat" => {
                if let Some(begin) = fragment.take() {
                    let length = begin.len() - rest.len() + size;
                    tags(demuxer, &begin[..length], &mut pieces)?;
                }
            }
            _ => {}
        }
        rest = &rest[size..];
    }
    Ok(pieces)
}

/// Type and size of the box that begins here, which fits.
fn head(data: &[u8]) -> Option<(&[u8; 4], usize)> {
    let (size, after) = data.split_first_chunk::<4>()?;
    let (kind, after) = after.split_first_chunk::<4>()?;
    let size = match u32::from_be_bytes(*size) {
        0 => data.len(),
        1 => usize::try_from(u64::from_be_bytes(*after.first_chunk()?)).ok()?,
        size => size as usize,
    };
    (8..=data.len()).contains(&size).then_some((kind, size))
}

fn tags(demuxer: &mut Fmp4SegmentDemuxer, fragment: &[u8], out: &mut Vec<Piece>) -> Result<(), HlsError> {
    let samples = demuxer.handle_media_segment(fragment).map_err(malformed)?;
    let mut places = Vec::new();
    for sample in &samples {
        let at = Duration::from_secs(sample.timestamp) / sample.track.timescale.get();
        if let Some(place) = Place::of(sample)? {
            places.push((at, place));
        }
    }
    // The tracks of a fragment come one after the other.
    places.sort_by_key(|(at, _)| *at);
    for (_, mut place) in places {
        let from = usize::try_from(place.position).map_err(|_| SampleError::Range)?;
        let data = from.checked_add(place.size).and_then(|end| fragment.get(from..end));
        let data = data.ok_or(SampleError::Range)?;
        out.extend(place.config.take().map(Piece::Tag));
        out.push(Piece::Tag(place.tag(data)));
    }
    Ok(())
}

fn malformed(error: shiguredo_mp4::demux::DemuxError) -> HlsError {
    HlsError::Mp4(error.to_string().chars().take(200).collect())
}
