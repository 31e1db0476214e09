//! `rotunda join`: one synthetic participant.

use std::io::Write;
use std::time::Duration;

use rotunda_client::source::{AudioContent, SourceConfig};
use rotunda_client::{Participant, ParticipantConfig};
use rotunda_media::codec::VideoCodec;
use tokio_util::sync::CancellationToken;

use super::{Quiet, asked_to_stop_within, load, local_application, sign, start_logging};
use crate::cli;

/// The lifetime of a ticket that this program makes.
pub const TICKET_LIFE: Duration = Duration::from_secs(86_400);

pub async fn run(arguments: cli::Join) -> anyhow::Result<()> {
    let config = load(&arguments.file)?;
    start_logging(&config, Quiet::Yes);
    let application = local_application(&config)?;
    let url = arguments
        .url
        .unwrap_or_else(|| format!("ws://127.0.0.1:{}/ws", config.server.port));
    let ticket = arguments
        .user_sig
        .unwrap_or_else(|| sign(&application, &arguments.user, TICKET_LIFE));
    let source = SourceConfig {
        name: arguments.user.to_string(),
        mark: arguments.mark,
        codec: match arguments.codec {
            cli::Codec::H264 => VideoCodec::H264,
            cli::Codec::Vp8 => VideoCodec::Vp8,
        },
        fps: arguments.fps,
        size: (arguments.size.width, arguments.size.height),
        clip: arguments.clip,
        audio: match arguments.audio {
            cli::AudioName::Speech => AudioContent::Speech,
            cli::AudioName::Beeps => AudioContent::Beeps,
            cli::AudioName::None => AudioContent::None,
        },
    };
    let participant = Participant::join(ParticipantConfig {
        url,
        app: application.sdk_app_id,
        user: arguments.user.clone(),
        user_sig: ticket,
        room: arguments.room.clone(),
        record_id: arguments.record_id,
        stream_id: arguments.stream_id,
        source,
    })
    .await?;
    println!(
        "{} has entered room {}  (Ctrl-C leaves it)",
        arguments.user, arguments.room
    );
    std::io::stdout().flush()?;
    let stop = CancellationToken::new();
    let leave = stop.clone();
    tokio::spawn(async move {
        asked_to_stop_within(arguments.seconds).await;
        leave.cancel();
    });
    participant.run(stop).await?;
    Ok(())
}
