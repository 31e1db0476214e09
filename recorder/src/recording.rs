//! One running recording: reads a program and writes its files.

use std::path::PathBuf;
use std::sync::Arc;

use metrics::counter;
use rotunda_media::mux::MuxError;
use rotunda_media::mux::fmp4::{Fragment, FragmentMuxer};
use rotunda_media::program::{Frame, ProgramReader, ReadError, Track};
use rotunda_proto::clock::Clock;
use rotunda_proto::program::ProgramDescriptor;
use rotunda_proto::recording::{FileFormat, RecordingFile};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::config::{Config, Format};
use crate::hls_file::HlsFile;
use crate::mp4_file::{Mp4File, PART};
use crate::name::stamp;

/// Why a recording ended early.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error("write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("mux")]
    Mux(#[from] MuxError),
    #[error("a writing task ended")]
    Task(#[from] tokio::task::JoinError),
}

/// Records until the program ends or `stop`; answers the finished files. What was written before an error is finished too.
pub async fn record(
    config: Config,
    program: ProgramDescriptor,
    mut reader: ProgramReader,
    stop: CancellationToken,
) -> Result<Vec<RecordingFile>, RecordError> {
    let mut files: Option<Files> = None;
    let mut skip_to_key = false;
    let mut failed = None;
    let mut finished = Vec::new();
    loop {
        let read = tokio::select! {
            read = reader.next() => read,
            () = stop.cancelled() => Err(ReadError::Ended),
        };
        let frame = match read {
            Ok(frame) => frame,
            Err(ReadError::Lagged(frames)) => {
                warn!(
                    frames,
                    "the disk was too slow; the recording goes on at the next key frame"
                );
                counter!("rotunda_recorder_frames_lost_total").increment(frames);
                skip_to_key = true;
                continue;
            }
            Err(ReadError::Ended) => break,
        };
        let is_key = frame.is_key && (frame.track == Track::Video || frame.header.video.is_none());
        skip_to_key &= !is_key;
        if skip_to_key {
            continue;
        }
        // Another size or codec header: what follows is another file.
        if let Some(before) = files.take_if(|files| *files.muxer.header() != frame.header) {
            info!("the picture's parameters changed; another file begins");
            finished.extend(finish(before, &config, &program).await?);
        }
        let open = match files.take() {
            Some(open) => open,
            None => Files::create(&config, &program, &frame)?,
        };
        match open.push(frame).await {
            Ok(open) => files = Some(open),
            Err((open, error)) => {
                failed = Some(error);
                files = open;
                break;
            }
        }
    }
    if let Some(error) = failed {
        counter!("rotunda_recorder_failed_total").increment(1);
        tracing::error!(error = &error as &dyn std::error::Error, "the recording ends early");
    }
    if let Some(files) = files {
        finished.extend(finish(files, &config, &program).await?);
    }
    Ok(finished)
}

/// Disks block; the runtime's threads do not.
async fn finish(files: Files, config: &Config, program: &ProgramDescriptor) -> Result<Vec<RecordingFile>, RecordError> {
    let (config, program) = (config.clone(), program.clone());
    tokio::task::spawn_blocking(move || files.finish(&config, &program)).await?
}

/// The files of one recording, being written.
struct Files {
    muxer: FragmentMuxer,
    mp4: Option<Mp4File>,
    hls: Option<HlsFile>,
    fragment_ms: u64,
    /// Start of the fragment being gathered, milliseconds of program time.
    gathered_since: u64,
    started_unix_us: u64,
    start_stamp: String,
}

impl Files {
    fn create(config: &Config, program: &ProgramDescriptor, frame: &Frame) -> Result<Self, RecordError> {
        let now = Clock.unix();
        let start_stamp = stamp(now, &config.name_zone());
        let prefix = prefix(program);
        let has = |format| config.formats.contains(&format);
        let path = |ending: &str| config.directory.join(format!("{prefix}_{start_stamp}{ending}"));
        let failed = |path: PathBuf| move |source| RecordError::Write { path, source };
        let mp4 = match has(Format::Mp4) {
            true => Some(Mp4File::create(path(PART)).map_err(failed(path(PART)))?),
            false => None,
        };
        let hls = match has(Format::Hls) {
            true => {
                let folder = path(".part");
                Some(HlsFile::create(folder.clone(), config.hls_segment_seconds).map_err(failed(folder))?)
            }
            false => None,
        };
        info!(record = %prefix, stream = %program.stream_id, "recording");
        Ok(Self {
            muxer: FragmentMuxer::new(frame.header.clone())?,
            mp4,
            hls,
            fragment_ms: config.fragment_ms,
            gathered_since: frame.pts.millis(),
            started_unix_us: now.as_micros() as u64,
            start_stamp,
        })
    }

    /// Takes a frame; writes a fragment when it is long enough or a key frame begins the next. On an error the files come
    /// back, to be finished with what they have.
    async fn push(mut self, frame: Arc<Frame>) -> Result<Self, (Option<Self>, RecordError)> {
        let leads = frame.track == Track::Video || frame.header.video.is_none();
        let at = frame.pts.millis();
        let due =
            leads && (frame.is_key && frame.track == Track::Video || at >= self.gathered_since + self.fragment_ms);
        self.muxer.push(frame);
        if !due {
            return Ok(self);
        }
        self.gathered_since = at;
        let fragment = match self.muxer.flush() {
            Ok(Some(fragment)) => fragment,
            Ok(None) => return Ok(self),
            Err(error) => return Err((Some(self), error.into())),
        };
        // Disks block; the runtime's threads do not.
        let written = tokio::task::spawn_blocking(move || {
            let written = self.write(&fragment);
            (self, written)
        });
        match written.await {
            Ok((files, Ok(()))) => Ok(files),
            Ok((files, Err(error))) => Err((Some(files), error)),
            Err(error) => Err((None, error.into())),
        }
    }

    fn write(&mut self, fragment: &Fragment) -> Result<(), RecordError> {
        let init = self.muxer.init_segment().unwrap_or_default();
        let failed = |source| RecordError::Write {
            path: PathBuf::from(&self.start_stamp),
            source,
        };
        if let Some(mp4) = &mut self.mp4 {
            mp4.write(&init, fragment).map_err(failed)?;
        }
        if let Some(hls) = &mut self.hls {
            hls.write(&init, fragment).map_err(failed)?;
        }
        counter!("rotunda_recorder_bytes_total").increment(fragment.bytes.len() as u64);
        Ok(())
    }

    fn finish(mut self, config: &Config, program: &ProgramDescriptor) -> Result<Vec<RecordingFile>, RecordError> {
        if let Some(last) = self.muxer.finish()? {
            self.write(&last)?;
        }
        let now = Clock.unix();
        let end_stamp = stamp(now, &config.name_zone());
        let name = format!("{}_{}_{end_stamp}", prefix(program), self.start_stamp);
        let video = self.muxer.header().video.as_ref();
        let resolution = video.map(|video| (video.width, video.height));
        let task_id = decimal_id();
        let ready = |format, path: String, size_bytes, duration_ms| RecordingFile {
            file_id: decimal_id(),
            task_id: task_id.clone(),
            room: program.room.clone(),
            stream_id: program.stream_id.clone(),
            record_id: program.record.as_ref().map(|record| record.record_id.clone()),
            user: None,
            format,
            url: format!("{}/recordings/{path}", config.public_url.trim_end_matches('/')),
            name: path,
            size_bytes,
            duration_ms,
            started_unix_us: self.started_unix_us,
            ended_unix_us: now.as_micros() as u64,
            resolution,
        };
        let mut finished = Vec::new();
        if let Some(mp4) = self.mp4 {
            let file = format!("{name}.mp4");
            let summary = mp4.finish(&config.directory.join(&file))?;
            info!(
                file,
                seconds = summary.duration_ms / 1000,
                bytes = summary.size_bytes,
                "file finished"
            );
            finished.push(ready(FileFormat::Mp4, file, summary.size_bytes, summary.duration_ms));
        }
        if let Some(hls) = self.hls {
            let folder = config.directory.join(&name);
            let failed = |source| RecordError::Write {
                path: folder.clone(),
                source,
            };
            let (duration_ms, size) = hls.finish(&folder).map_err(failed)?;
            info!(
                folder = name,
                seconds = duration_ms / 1000,
                bytes = size,
                "HLS finished"
            );
            finished.push(ready(FileFormat::Hls, format!("{name}/index.m3u8"), size, duration_ms));
        }
        Ok(finished)
    }
}

fn prefix(program: &ProgramDescriptor) -> String {
    match &program.record {
        Some(record) => record.record_id.to_string(),
        None => program.stream_id.to_string(),
    }
}

/// 19 decimal digits, random.
pub fn decimal_id() -> String {
    let number = Uuid::new_v4().as_u128() % 9_000_000_000_000_000_000;
    (number + 1_000_000_000_000_000_000).to_string()
}
