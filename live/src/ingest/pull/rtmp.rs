//! Plays a stream of an RTMP server.

use std::time::Duration;

use rml_rtmp::sessions::{ClientSessionEvent, ClientSessionResult};
use rotunda_proto::push_address::PushAddress;
use thiserror::Error;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::source::{Gone, Out};
use super::tag::{Kind, Piece, Tag};
use crate::rtmp_client::{Ask, ClientError, Outbound, begin, is_end, open, read};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Time limit for a single write.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// Bytes of one read.
const BUFFER: usize = 16 * 1024;

#[derive(Debug, Error)]
pub enum RtmpPlayError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Gone(#[from] Gone),
}

/// Sends the media of a stream until the server ends it.
pub async fn play(address: &PushAddress, outbound: &Outbound, out: &Out) -> Result<(), RtmpPlayError> {
    let connecting = async {
        let mut socket = open(address, outbound).await?;
        let begun = begin(&mut socket, address, Ask::Play).await?;
        Ok::<_, ClientError>((socket, begun))
    };
    let connected = timeout(CONNECT_WITHIN, connecting).await;
    let (mut socket, begun) = connected.unwrap_or(Err(ClientError::Timeout))?;
    let (mut session, mut results) = (begun.session, begun.results);
    let mut buffer = vec![0; BUFFER];
    loop {
        for result in std::mem::take(&mut results) {
            let event = match result {
                ClientSessionResult::OutboundResponse(packet) => {
                    let written = timeout(DEAD_AFTER, socket.write_all(&packet.bytes)).await;
                    written.map_err(|_| ClientError::Timeout)?.map_err(ClientError::from)?;
                    continue;
                }
                ClientSessionResult::RaisedEvent(event) => event,
                ClientSessionResult::UnhandleableMessageReceived(_) => continue,
            };
            let tag = match event {
                ClientSessionEvent::VideoDataReceived { data, timestamp } => Tag {
                    kind: Kind::Video,
                    timestamp_ms: timestamp.value,
                    body: data,
                },
                ClientSessionEvent::AudioDataReceived { data, timestamp } => Tag {
                    kind: Kind::Audio,
                    timestamp_ms: timestamp.value,
                    body: data,
                },
                ClientSessionEvent::UnhandleableOnStatusCode { code } if is_end(&code) => return Ok(()),
                _ => continue,
            };
            out.send(Piece::Tag(tag)).await?;
        }
        let length = read(&mut socket, &mut buffer).await.map_err(ClientError::from)?;
        results = session.handle_input(&buffer[..length])?;
    }
}
