//! RTMP play: `rtmp://host/live/<streamId>`.

use std::time::Duration;

use axum::body::Bytes;
use metrics::gauge;
use rml_rtmp::sessions::{ServerSession, ServerSessionError, ServerSessionEvent, ServerSessionResult, StreamMetadata};
use rml_rtmp::time::RtmpTimestamp;
use rotunda_listen::Stream;
use rotunda_media::mux::flv;
use rotunda_media::program::{Frame, ProgramHeader, ReadError, Track};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::rtmp_session::{Ready, RtmpError};
use crate::timeline::{Step, Timeline};

/// Serves one player until either side ends it.
pub async fn serve(
    stream: Stream,
    ready: Ready,
    stall: Duration,
    shutdown: CancellationToken,
) -> Result<(), RtmpError> {
    gauge!("rotunda_live_players", "protocol" => "rtmp").increment(1.0);
    let played = play(stream, ready, stall, shutdown).await;
    gauge!("rotunda_live_players", "protocol" => "rtmp").decrement(1.0);
    played
}

async fn play(stream: Stream, ready: Ready, stall: Duration, shutdown: CancellationToken) -> Result<(), RtmpError> {
    let Ready {
        mut session,
        mut reader,
        rtmp_stream,
    } = ready;
    let (mut read, mut write) = tokio::io::split(stream);
    let mut timeline = Timeline::new();
    let mut buffer = vec![0; 4096];
    let mut out = Vec::new();
    loop {
        out.clear();
        tokio::select! {
            () = shutdown.cancelled() => break,
            frame = reader.next() => match frame {
                Ok(frame) => match timeline.step(&frame) {
                    Step::Skip => {}
                    Step::Begin { timestamp_ms } => {
                        let time = RtmpTimestamp::new(timestamp_ms);
                        out.extend(session.inner.send_metadata(rtmp_stream, &metadata(&frame.header))?.bytes);
                        if let Some(video) = &frame.header.video {
                            let body = flv::video_config_body(video);
                            out.extend(session.inner.send_video_data(rtmp_stream, body, time, false)?.bytes);
                        }
                        let body = flv::audio_config_body(&frame.header);
                        out.extend(session.inner.send_audio_data(rtmp_stream, body, time, false)?.bytes);
                        out.extend(message(&mut session.inner, rtmp_stream, &frame, timestamp_ms)?);
                    }
                    Step::Go { timestamp_ms } => out.extend(message(&mut session.inner, rtmp_stream, &frame, timestamp_ms)?),
                },
                Err(ReadError::Lagged(_) | ReadError::Lost(_)) => timeline.lose(),
                Err(ReadError::Ended) => break,
            },
            length = read.read(&mut buffer) => {
                let length = length?;
                if length == 0 {
                    return Ok(());
                }
                for result in session.handle_input(&buffer[..length])? {
                    match result {
                        ServerSessionResult::OutboundResponse(packet) => out.extend(packet.bytes),
                        ServerSessionResult::RaisedEvent(ServerSessionEvent::PlayStreamFinished { .. }) => return Ok(()),
                        _ => {}
                    }
                }
            }
        }
        timeout(stall, write.write_all(&out))
            .await
            .map_err(|_| RtmpError::Stalled)??;
    }
    let goodbye = session.inner.finish_playing(rtmp_stream)?;
    timeout(stall, write.write_all(&goodbye.bytes))
        .await
        .map_err(|_| RtmpError::Stalled)??;
    write.shutdown().await?;
    Ok(())
}

fn message(
    session: &mut ServerSession,
    rtmp_stream: u32,
    frame: &Frame,
    timestamp_ms: u32,
) -> Result<Vec<u8>, ServerSessionError> {
    let (time, body): (_, Bytes) = (RtmpTimestamp::new(timestamp_ms), flv::frame_body(frame));
    let packet = match frame.track {
        Track::Video => session.send_video_data(rtmp_stream, body, time, false)?,
        Track::Audio => session.send_audio_data(rtmp_stream, body, time, false)?,
    };
    Ok(packet.bytes)
}

/// The RTMP metadata of a program, sent before its frames.
pub fn metadata(header: &ProgramHeader) -> StreamMetadata {
    let mut metadata = StreamMetadata::new();
    if let Some(video) = &header.video {
        metadata.video_width = Some(video.width.into());
        metadata.video_height = Some(video.height.into());
        metadata.video_codec_id = Some(7);
        metadata.video_frame_rate = Some(video.framerate.into());
        metadata.video_bitrate_kbps = Some(video.bitrate_kbps);
    }
    metadata.audio_codec_id = Some(10);
    metadata.audio_sample_rate = Some(header.audio.sample_rate);
    metadata.audio_bitrate_kbps = Some(header.audio.bitrate_kbps);
    metadata.audio_channels = Some(header.audio.channels.into());
    metadata.audio_is_stereo = Some(header.audio.channels == 2);
    metadata.encoder = Some("rotunda".to_owned());
    metadata
}
