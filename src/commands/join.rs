//! `rotunda join`: synthetic participants.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use rotunda_client::source::{AudioContent, SourceConfig};
use rotunda_client::{Participant, ParticipantConfig};
use rotunda_media::codec::VideoCodec;
use rotunda_proto::config::Application;
use rotunda_proto::ids::UserId;
use tokio::task::JoinSet;
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
        .clone()
        .unwrap_or_else(|| format!("ws://127.0.0.1:{}/ws", config.server.port));
    let stop = CancellationToken::new();
    let mut people = JoinSet::new();
    for user in users(&arguments)? {
        let participant = Participant::join(participant(&arguments, &application, &url, &user)).await?;
        println!("{user} has entered room {}  (Ctrl-C leaves it)", arguments.room);
        std::io::stdout().flush()?;
        people.spawn(participant.run(stop.clone()));
    }
    let leave = stop.clone();
    tokio::spawn(async move {
        asked_to_stop_within(arguments.seconds).await;
        leave.cancel();
    });
    // One that fails ends the others, who leave in order.
    let mut first = Ok(());
    while let Some(ended) = people.join_next().await {
        let ended = ended.context("a participant's task")?;
        if ended.is_err() && first.is_ok() {
            first = ended;
        }
        stop.cancel();
    }
    first?;
    Ok(())
}

fn users(arguments: &cli::Join) -> anyhow::Result<Vec<UserId>> {
    let Some(members) = arguments.members else {
        return Ok(vec![arguments.user.clone()]);
    };
    let user = |number| format!("{}-{number}", arguments.user).parse().context("--user");
    (1..=members).map(user).collect()
}

fn participant(arguments: &cli::Join, application: &Application, url: &str, user: &UserId) -> ParticipantConfig {
    let ticket = arguments.user_sig.clone();
    ParticipantConfig {
        url: url.to_owned(),
        app: application.sdk_app_id,
        user: user.clone(),
        user_sig: ticket.unwrap_or_else(|| sign(application, user, TICKET_LIFE)),
        room: arguments.room.clone(),
        record_id: arguments.record_id.clone(),
        stream_id: arguments.stream_id.clone(),
        source: SourceConfig {
            name: user.to_string(),
            mark: arguments.mark,
            codec: match arguments.codec {
                cli::Codec::H264 => VideoCodec::H264,
                cli::Codec::Vp8 => VideoCodec::Vp8,
            },
            fps: arguments.fps,
            size: (arguments.size.width, arguments.size.height),
            clip: arguments.clip.clone(),
            as_coded: arguments.as_coded,
            audio: match arguments.audio {
                cli::AudioName::Speech => AudioContent::Speech,
                cli::AudioName::Beeps => AudioContent::Beeps,
                cli::AudioName::None => AudioContent::None,
            },
        },
    }
}
