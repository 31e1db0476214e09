//! A session is opened away from the packets: the answer to its offer takes milliseconds.

use std::net::{IpAddr, SocketAddr};

use rotunda_bus::Request;
use rotunda_proto::clock::Clock;
use rotunda_proto::sfu::{ControlError, MAX_SLOTS, Reply};
use str0m::Candidate;
use str0m::net::TcpType;
use tokio::sync::oneshot;

use super::Handle;
use crate::node::advertise::Advertised;
use crate::node::worker_message::{Command as WorkerCommand, Task, WorkerMessage};
use crate::session::{Opening, Session};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    Yes,
    No,
}

/// Answers an offer away from the packets, as it takes milliseconds, and hands the session to its worker.
pub(super) async fn open(worker: Handle, opening: Opening, request: Request) -> Opened {
    let reply = opened(worker, opening)
        .await
        .unwrap_or_else(|error| Reply::Refused { error });
    let opened = match &reply {
        Reply::Opened { .. } => Opened::Yes,
        Reply::Done | Reply::Refused { .. } | Reply::Statistics { .. } | Reply::Met { .. } | Reply::Linked { .. } => {
            Opened::No
        }
    };
    request.answer(&reply);
    opened
}

async fn opened(worker: Handle, opening: Opening) -> Result<Reply, ControlError> {
    let lines = &opening.lines;
    if lines.audio.len() > MAX_SLOTS || lines.video.len() > MAX_SLOTS {
        let reason = format!("more than {MAX_SLOTS} receive lines of a kind");
        return Err(ControlError::BadSdp { reason });
    }
    let Advertised { addresses, first } = worker.advertised.borrow().clone();
    let told = candidates(addresses.iter().copied(), worker.port);
    // Not told any more, but datagrams that come through a NAT count as arrived there.
    let kept = candidates(first.into_iter().filter(|ip| !addresses.contains(ip)), worker.port);
    let open = move || {
        let (mut session, answer) = Session::open(Clock.now(), opening, &told)?;
        for candidate in kept {
            session.transport.rtc().add_local_candidate(candidate);
        }
        Ok::<_, ControlError>((session, answer))
    };
    let opened = tokio::task::spawn_blocking(open).await;
    // A panic in there is a bug, and only this session ends.
    let (session, answer) = opened.map_err(|_| ControlError::NodeFull)??;
    let (reply, adopted) = oneshot::channel();
    let task = Task::Adopt {
        session: Box::new(session),
        answer,
    };
    let sent = worker
        .inbox
        .send(WorkerMessage::Command(WorkerCommand { task, reply }))
        .await;
    sent.map_err(|_| ControlError::NodeFull)?;
    adopted.await.map_err(|_| ControlError::NodeFull)
}

fn candidates(addresses: impl Iterator<Item = IpAddr>, port: u16) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for address in addresses.map(|ip| SocketAddr::new(ip, port)) {
        candidates.extend(Candidate::host(address, "udp"));
        let tcp = Candidate::builder().tcp().host(address);
        candidates.extend(tcp.tcptype(TcpType::Passive).build());
    }
    candidates
}
