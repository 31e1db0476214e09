//! Pushes of session 0: by RTMP, and by WHIP (RFC 9725).

use std::net::IpAddr;
use std::sync::Arc;

use metrics::counter;
use reqwest::Url;
use rotunda_client::load::{WhipError, WhipSession};
use rotunda_client::{JoinError, OfferError, SendingSession, local_address};
use rotunda_live::{Outbound, Push};
use rotunda_media::program::ProgramHub;
use rotunda_proto::clock::Clock;
use rotunda_proto::config::Secret;
use rotunda_proto::ids::{SdkAppId, StreamKey};
use rotunda_proto::outbound::{AllowedNetworks, Network};
use rotunda_proto::push_address::PushAddress;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::attempts::Attempts;
use crate::avatar::Handle;
use crate::peer::{Ended, PeerTask, QUEUE};
use crate::sessions::STANDING;
use crate::sockets::Sockets;

/// Why a push does not begin.
#[derive(Debug, Error)]
pub enum PushError {
    #[error("set up TLS")]
    Tls(#[from] rotunda_live::TlsError),
    #[error("the program cannot be opened")]
    Program(#[from] rotunda_media::program::ProgramExists),
    #[error("reach the WHIP endpoint")]
    Address(#[source] JoinError),
    #[error("open the UDP socket")]
    Socket(#[source] std::io::Error),
    #[error("publish by WHIP")]
    Whip(#[from] WhipError),
    #[error("the WHIP session")]
    Session(#[from] OfferError),
}

/// Pushes by RTMP until `stop`.
pub async fn rtmp(address: PushAddress, avatar: Handle, stop: CancellationToken) -> Result<(), PushError> {
    let hub = ProgramHub::new();
    // The hub has this one program, so its name is read by nobody else.
    let (Ok(app), Ok(id)) = (SdkAppId::try_from(1_u32), "avatar".parse()) else {
        return Ok(());
    };
    let stream = StreamKey { app, id };
    let writer = hub.open(&stream)?;
    let Some(reader) = hub.subscribe(&stream) else {
        return Ok(());
    };
    avatar.add_program(writer);
    // The operator chose the address, so it may be in their own network.
    let everywhere: Vec<Network> = ["0.0.0.0/0", "::/0"]
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect();
    let outbound = Outbound {
        networks: AllowedNetworks::new(everywhere),
        tls: rotunda_live::push_trust(None)?,
    };
    rotunda_live::push(Push {
        address,
        outbound,
        reader,
        stop,
        teller: None,
    })
    .await;
    Ok(())
}

/// Publishes by WHIP, with back-off after failures, until `stop`.
pub async fn whip(url: Url, token: Secret, avatar: Handle, stop: CancellationToken) {
    let http = reqwest::Client::new();
    let token = Arc::new(token);
    let mut attempts = Attempts::new(Clock.now());
    loop {
        match attempt(&http, &url, &token, &avatar, &stop).await {
            Ok(Ended::Asked) => return,
            Ok(ended) => ended.log(STANDING),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                "the push by WHIP failed; it is tried again"
            ),
        }
        counter!("rotunda_avatar_push_failures_total").increment(1);
        if !attempts.wait(&stop).await {
            return;
        }
    }
}

async fn attempt(
    http: &reqwest::Client,
    url: &Url,
    token: &Secret,
    avatar: &Handle,
    stop: &CancellationToken,
) -> Result<Ended, PushError> {
    let clock = Clock;
    let address: IpAddr = local_address(url.as_str()).await.map_err(PushError::Address)?;
    let sockets = Sockets::on(address).await.map_err(PushError::Socket)?;
    let (mut session, offer, mids) = SendingSession::offer(clock.now(), sockets.addresses()[0])?;
    let (published, answer) = WhipSession::post(http, url.clone(), token.reveal(), offer).await?;
    if let Err(error) = session.handle_answer(clock.now(), &answer, mids) {
        published.delete().await;
        return Err(error.into());
    }
    let (sink, frames) = mpsc::channel(QUEUE);
    avatar.add_output(session.codec(), sink);
    info!("the avatar is published by WHIP");
    let task = PeerTask {
        session,
        sockets,
        frames,
        avatar: avatar.clone(),
    };
    let ended = task.run(stop).await;
    published.delete().await;
    Ok(ended)
}
