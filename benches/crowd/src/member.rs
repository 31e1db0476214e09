//! One member of the audience: it logs in, enters and listens.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rotunda_client::SignalingClient;
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{RoomId, UserId};
use rotunda_proto::signaling::{Event, PublisherView, Reply, Request, Role, ServerMessage};
use rotunda_proto::user_sig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::board::Board;
use crate::mux::Mux;
use crate::{APP, SECRET};

/// One address has ports for about 28,000 connections.
const MEMBERS_AN_ADDRESS: usize = 10_000;
const TICKET_LIFE: Duration = Duration::from_secs(3600);

/// The connections to the server.
pub enum Way {
    /// Streams of one connection.
    Streams(Mux),
    /// One socket per member.
    Tcp,
}

/// Stays in the room until the server ends the membership.
pub async fn attend(
    number: usize,
    due: Instant,
    way: &Way,
    url: &str,
    board: &Rc<RefCell<Board>>,
) -> anyhow::Result<()> {
    match way {
        Way::Streams(mux) => {
            let stream = mux.open(u32::try_from(number)?);
            let client = SignalingClient::over(stream, url).await?;
            stay(client, number, due, board).await
        }
        Way::Tcp => {
            let block = u8::try_from(number / MEMBERS_AN_ADDRESS)?;
            let source = IpAddr::from(Ipv4Addr::new(127, 0, block, 1));
            stay(SignalingClient::connect_from(url, source).await?, number, due, board).await
        }
    }
}

/// `due`: the scheduled start, from which its join time counts.
async fn stay<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: SignalingClient<S>,
    number: usize,
    due: Instant,
    board: &Rc<RefCell<Board>>,
) -> anyhow::Result<()> {
    let clock = Clock;
    client.request(login(&format!("crowd-{number}").parse()?)?).await?;
    let asked = clock.now();
    // Sources published before this member joined: it learns of them at once.
    for publisher in enter(&mut client, Role::Audience).await? {
        board.borrow_mut().handle_publishing(clock.now(), number, &publisher);
    }
    let now = clock.now();
    let since = |from: Instant| now.saturating_duration_since(from);
    board.borrow_mut().handle_entered(now, since(due), since(asked));
    loop {
        let frame = client.next_frame().await?;
        let mut board = board.borrow_mut();
        board.handle_frame(number, frame.bytes);
        match frame.message {
            Some(ServerMessage::Event(Event::Publishing { publisher })) => {
                board.handle_publishing(clock.now(), number, &publisher);
            }
            Some(ServerMessage::Event(Event::Kicked { reason })) => {
                bail!("the server ended the membership: {reason:?}")
            }
            _ => {}
        }
    }
}

pub fn login(user: &UserId) -> anyhow::Result<Request> {
    let app = APP.try_into()?;
    Ok(Request::Login {
        sdk_app_id: app,
        user_id: user.clone(),
        user_sig: user_sig::sign(app, SECRET, user, Clock.unix(), TICKET_LIFE),
        resume_token: None,
    })
}

/// Enters the one room and returns its publishers.
pub async fn enter<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut SignalingClient<S>,
    role: Role,
) -> anyhow::Result<Vec<PublisherView>> {
    let request = Request::EnterRoom {
        room_id: RoomId::Name("crowd".parse()?),
        role,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    match client.request(request).await.context("enter the room")? {
        Reply::Entered { room, .. } => Ok(room.publishers),
        other => bail!("the server answered {other:?}"),
    }
}
