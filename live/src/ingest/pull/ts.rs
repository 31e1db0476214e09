//! Takes MPEG transport streams apart: H.264 and AAC in ADTS. Sans-IO. Sources: ISO/IEC 13818-1 §2.4; ISO/IEC 13818-7 §6.2 (ADTS).

use std::collections::VecDeque;

use mpeg2ts_reader::demultiplex::{
    Demultiplex, DemuxContext, FilterChangeset, FilterRequest, NullPacketFilter, PatPacketFilter, PmtPacketFilter,
};
use mpeg2ts_reader::pes::{ElementaryStreamConsumer, PesContents, PesHeader, PesPacketFilter, PtsDts};
use mpeg2ts_reader::{StreamType, packet_filter_switch, psi};
use rotunda_media::codec::h264::{nal_type, nal_units, parameter_sets, to_length_prefixed};
use rotunda_media::mux::flv;
use thiserror::Error;

use super::tag::{Kind, Tag};

/// Bytes of a packet, and how each begins.
const PACKET: usize = 188;
const SYNC: u8 = 0x47;
/// Longest access unit, bytes.
const MOST_BYTES: usize = 8 << 20;
const IDR: u8 = 5;
/// Ticks in a millisecond.
const TICKS: u64 = 90;
/// Samples of an AAC frame.
const AAC_SAMPLES: u64 = 1024;
/// Samples a second, by the index in an ADTS header.
const RATES: [u64; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350,
];
const ADTS_HEADER: usize = 7;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TsError {
    #[error("the source is not an MPEG transport stream: it does not begin with 0x47")]
    Sync,
    #[error("the {0} has {1}; serve H.264 and AAC (ADTS)")]
    Codec(&'static str, String),
}

packet_filter_switch! {
    Filter<Context> {
        Media: PesPacketFilter<Context, Consumer>,
        Pat: PatPacketFilter<Context>,
        Pmt: PmtPacketFilter<Context>,
        Null: NullPacketFilter<Context>,
    }
}

/// See the [module](self).
pub struct TsDemuxer {
    demultiplex: Demultiplex<Context>,
    context: Context,
    /// The beginning of a packet.
    waiting: Vec<u8>,
}

impl TsDemuxer {
    pub fn new() -> Self {
        let mut context = Context::default();
        Self {
            demultiplex: Demultiplex::new(&mut context),
            context,
            waiting: Vec::new(),
        }
    }

    /// Takes the next bytes, split at any point.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TsError> {
        self.waiting.extend_from_slice(bytes);
        let whole = self.waiting.len() - self.waiting.len() % PACKET;
        if self.waiting[..whole].chunks(PACKET).any(|packet| packet[0] != SYNC) {
            return Err(TsError::Sync);
        }
        self.demultiplex.push(&mut self.context, &self.waiting[..whole]);
        self.waiting.drain(..whole);
        match self.context.refused.take() {
            Some(refused) if !self.context.has_media() => Err(refused),
            _ => Ok(()),
        }
    }

    /// The end of a segment, at which each access unit is whole.
    pub fn flush(&mut self) {
        self.waiting.clear();
        self.context.end(Kind::Video);
        self.context.end(Kind::Audio);
    }

    pub fn next_tag(&mut self) -> Option<Tag> {
        self.context.tags.pop_front()
    }
}

#[derive(Default)]
pub struct Context {
    changeset: FilterChangeset<Filter>,
    video: Track,
    audio: Track,
    /// The parameter sets that the last configuration had.
    sets: Option<(bytes::Bytes, bytes::Bytes)>,
    /// The ADTS fields that the last configuration had.
    adts: Option<[u8; 2]>,
    refused: Option<TsError>,
    tags: VecDeque<Tag>,
}

/// One elementary stream.
#[derive(Default)]
struct Track {
    has_begun: bool,
    /// PTS and DTS of the packet, in ticks.
    times: Option<(u64, u64)>,
    data: Vec<u8>,
}

impl DemuxContext for Context {
    type F = Filter;

    fn filter_changeset(&mut self) -> &mut FilterChangeset<Filter> {
        &mut self.changeset
    }

    fn construct(&mut self, request: FilterRequest<'_, '_>) -> Filter {
        match request {
            FilterRequest::ByPid(psi::pat::PAT_PID) => Filter::Pat(PatPacketFilter::default()),
            FilterRequest::Pmt { pid, program_number } => Filter::Pmt(PmtPacketFilter::new(pid, program_number)),
            FilterRequest::ByStream { stream_type, .. } => self.stream(stream_type),
            FilterRequest::ByPid(_) | FilterRequest::Nit { .. } => Filter::Null(NullPacketFilter::default()),
        }
    }
}

impl Context {
    /// The first stream of each kind is read.
    fn stream(&mut self, stream_type: StreamType) -> Filter {
        let kind = match stream_type {
            StreamType::H264 => Kind::Video,
            StreamType::ADTS => Kind::Audio,
            StreamType::H262 | StreamType::H265 | StreamType::ISO_11172_VIDEO => {
                self.refused = Some(TsError::Codec("video", format!("{stream_type:?}")));
                return Filter::Null(NullPacketFilter::default());
            }
            StreamType::LATM | StreamType::ISO_11172_AUDIO | StreamType::ISO_138183_AUDIO => {
                self.refused = Some(TsError::Codec("audio", format!("{stream_type:?}")));
                return Filter::Null(NullPacketFilter::default());
            }
            _ => return Filter::Null(NullPacketFilter::default()),
        };
        let track = self.track(kind);
        if std::mem::replace(&mut track.has_begun, true) {
            return Filter::Null(NullPacketFilter::default());
        }
        Filter::Media(PesPacketFilter::new(Consumer { kind }))
    }

    fn has_media(&self) -> bool {
        self.video.has_begun || self.audio.has_begun
    }

    fn track(&mut self, kind: Kind) -> &mut Track {
        match kind {
            Kind::Video => &mut self.video,
            Kind::Audio => &mut self.audio,
        }
    }

    fn append(&mut self, kind: Kind, data: &[u8]) {
        let track = self.track(kind);
        if track.data.len() + data.len() <= MOST_BYTES {
            track.data.extend_from_slice(data);
        } else {
            track.times = None;
        }
    }

    /// A packet is whole.
    fn end(&mut self, kind: Kind) {
        let track = self.track(kind);
        let data = std::mem::take(&mut track.data);
        match (track.times.take(), kind) {
            (Some((pts, dts)), Kind::Video) => self.video(pts, dts, &data),
            (Some((pts, _)), Kind::Audio) => self.audio(pts, data),
            (None, _) => {}
        }
    }

    fn video(&mut self, pts: u64, dts: u64, unit: &[u8]) {
        let timestamp_ms = millis(dts);
        if let Some(sets) = parameter_sets(unit)
            && self.sets.as_ref() != Some(&sets)
        {
            let body = flv::avc_config_body(&sets.0, &sets.1);
            self.tags.push_back(Tag {
                kind: Kind::Video,
                timestamp_ms,
                body,
            });
            self.sets = Some(sets);
        }
        let is_key = nal_units(unit).any(|nal| nal_type(nal) == IDR);
        let composition_ms = millis(pts).wrapping_sub(timestamp_ms) as i32;
        let data = to_length_prefixed(unit);
        if self.sets.is_some() && !data.is_empty() {
            self.tags
                .push_back(Tag::avc_frame(timestamp_ms, composition_ms, is_key, &data));
        }
    }

    /// A frame may go on in the next packet.
    fn audio(&mut self, pts: u64, data: Vec<u8>) {
        let (mut rest, mut frames) = (data.as_slice(), 0);
        while let Some(header) = rest.first_chunk::<ADTS_HEADER>() {
            let [0xff, second, third, fourth, fifth, sixth, _] = header else {
                return;
            };
            let length = usize::from(fourth & 3) << 11 | usize::from(*fifth) << 3 | usize::from(sixth >> 5);
            let header_bytes = if second & 1 == 0 { ADTS_HEADER + 2 } else { ADTS_HEADER };
            let index = third >> 2 & 0x0f;
            let Some(rate) = RATES.get(usize::from(index)) else {
                return;
            };
            if second & 0xf6 != 0xf0 || length <= header_bytes {
                return;
            }
            let Some((frame, after)) = rest.split_at_checked(length) else {
                break;
            };
            rest = after;
            let timestamp_ms = millis(pts + frames * AAC_SAMPLES * 1000 * TICKS / rate);
            frames += 1;
            let channels = (third & 1) << 2 | fourth >> 6;
            // The object type is the profile and one (ISO/IEC 14496-3 §1.6.2.1).
            let object = (third >> 6) + 1;
            let config = [object << 3 | index >> 1, index << 7 | channels << 3];
            if self.adts != Some(config) {
                self.adts = Some(config);
                self.tags.push_back(Tag::aac_config(timestamp_ms, &config));
            }
            self.tags
                .push_back(Tag::aac_frame(timestamp_ms, &frame[header_bytes..]));
        }
        self.audio.data = rest.to_vec();
    }
}

fn millis(ticks: u64) -> u32 {
    (ticks / TICKS) as u32
}

pub struct Consumer {
    kind: Kind,
}

impl ElementaryStreamConsumer<Context> for Consumer {
    fn start_stream(&mut self, _context: &mut Context) {}

    fn begin_packet(&mut self, context: &mut Context, header: PesHeader<'_>) {
        let PesContents::Parsed(Some(contents)) = header.contents() else {
            return;
        };
        let times = match contents.pts_dts() {
            Ok(PtsDts::PtsOnly(Ok(pts))) => Some((pts.value(), pts.value())),
            Ok(PtsDts::Both {
                pts: Ok(pts),
                dts: Ok(dts),
            }) => Some((pts.value(), dts.value())),
            _ => None,
        };
        context.track(self.kind).times = times;
        context.append(self.kind, contents.payload());
    }

    fn continue_packet(&mut self, context: &mut Context, data: &[u8]) {
        context.append(self.kind, data);
    }

    fn end_packet(&mut self, context: &mut Context) {
        context.end(self.kind);
    }

    fn continuity_error(&mut self, context: &mut Context) {
        let track = context.track(self.kind);
        track.times = None;
        track.data.clear();
    }
}
