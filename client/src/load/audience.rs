//! Members without media: they log in, enter as audience and stay, and count the bytes that signaling sends them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use rotunda_proto::clock::Clock;
use rotunda_proto::ids::{SdkAppId, UserId};
use rotunda_proto::room::TrackState;
use rotunda_proto::signaling::{Event, PublisherView, Reply, Request, Role, ServerMessage};
use tokio_util::sync::CancellationToken;

use super::plan::Member;
use super::tally::Meter;
use crate::{JoinError, SignalingClient};

/// One address has about 28,000 ephemeral ports; the search for a free one gets slow long before they are used up.
const MEMBERS_AN_ADDRESS: u32 = 10_000;
/// The time limit of a goodbye, for a server that gets thousands of them at once.
const GOODBYE: Duration = Duration::from_secs(60);

/// The parameters with which an audience member joins.
pub struct Entry<'a> {
    pub url: &'a str,
    /// The local address of this member's WebSocket.
    pub source: IpAddr,
    pub app: SdkAppId,
    pub member: Member,
    pub ticket: String,
}

/// The duration of a join.
#[derive(Debug, Clone, Copy)]
pub struct Joined {
    /// From the WebSocket's connect to the reply to `enterRoom`.
    pub whole: Duration,
    /// From `enterRoom` to its reply.
    pub reply: Duration,
}

/// The traffic that signaling sent to audience members in the measured time, as WebSocket frames with their
/// headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AudienceTally {
    pub members: u64,
    pub frames: u64,
    pub bytes: u64,
    /// Of the member who received most.
    pub most_bytes: u64,
    /// Members who still had a camera that was not muted in their view when they left.
    pub behind: u64,
}

impl AudienceTally {
    pub fn add(&mut self, other: Self) {
        self.members += other.members;
        self.frames += other.frames;
        self.bytes += other.bytes;
        self.most_bytes = self.most_bytes.max(other.most_bytes);
        self.behind += other.behind;
    }
}

/// The source address of the audience member with this number. `given`: the addresses of the plan. Without any it
/// is `local`, or, on loopback, one of 127.0.x.1, because one address has ports for only 28,000.
pub fn source_address(number: u32, given: &[IpAddr], local: IpAddr) -> IpAddr {
    let block = number / MEMBERS_AN_ADDRESS;
    match (given, local) {
        ([], IpAddr::V4(local)) if local.is_loopback() => {
            // 250 blocks are 2.5 million members, more than a plan may have.
            let third = u8::try_from(block).unwrap_or(u8::MAX);
            Ipv4Addr::new(127, 0, third, 1).into()
        }
        ([], _) => local,
        (given, _) => given[number as usize % given.len()],
    }
}

/// One member's whole membership, until `stop`. `up` is called when the member has entered.
pub async fn attend(
    entry: Entry<'_>,
    meter: &RefCell<Meter>,
    stop: &CancellationToken,
    up: impl FnOnce(Joined),
) -> Result<(), JoinError> {
    let clock = Clock;
    let began = clock.now();
    let mut signaling = tokio::select! {
        signaling = enter(entry) => signaling?,
        () = stop.cancelled() => return Ok(()),
    };
    up(Joined {
        whole: clock.now().saturating_duration_since(began),
        reply: signaling.reply,
    });
    let mut mine = AudienceTally {
        members: 1,
        ..AudienceTally::default()
    };
    loop {
        let frame = tokio::select! {
            frame = signaling.client.next_frame() => frame?,
            () = stop.cancelled() => break,
        };
        if meter.borrow().measures(clock.now()) {
            mine.frames += 1;
            mine.bytes += frame.bytes as u64;
        }
        match frame.message {
            Some(ServerMessage::Event(Event::Kicked { reason })) => {
                return Err(JoinError::Kicked(format!("{reason:?}")));
            }
            Some(ServerMessage::Event(Event::Publishing { publisher })) => signaling.cameras.handle(publisher),
            _ => {}
        }
    }
    mine.most_bytes = mine.bytes;
    mine.behind = u64::from(!signaling.cameras.all_muted());
    meter.borrow_mut().audience.add(mine);
    let goodbye = async {
        let _told = signaling.client.request(Request::ExitRoom {}).await;
        signaling.client.close().await;
    };
    let _gone = tokio::time::timeout(GOODBYE, goodbye).await;
    Ok(())
}

struct Entered {
    client: SignalingClient,
    reply: Duration,
    cameras: Cameras,
}

/// The cameras of the room as a member sees them.
#[derive(Default)]
struct Cameras(BTreeMap<UserId, TrackState>);

impl Cameras {
    fn handle(&mut self, publisher: PublisherView) {
        match publisher.camera {
            Some(state) => self.0.insert(publisher.user_id, state),
            None => self.0.remove(&publisher.user_id),
        };
    }

    fn all_muted(&self) -> bool {
        self.0.values().all(|state| *state == TrackState::Muted)
    }
}

async fn enter(entry: Entry<'_>) -> Result<Entered, JoinError> {
    let clock = Clock;
    let mut client = SignalingClient::connect_from(entry.url, entry.source).await?;
    let login = Request::Login {
        sdk_app_id: entry.app,
        user_id: entry.member.user,
        user_sig: entry.ticket,
        resume_token: None,
    };
    client.request(login).await?;
    let asked = clock.now();
    let request = Request::EnterRoom {
        room_id: entry.member.room,
        role: Role::Audience,
        user_define_record_id: None,
        stream_id: None,
        private_map_key: None,
        pass: None,
    };
    match client.request(request).await? {
        Reply::Entered { room, .. } => {
            let mut cameras = Cameras::default();
            room.publishers
                .into_iter()
                .for_each(|publisher| cameras.handle(publisher));
            Ok(Entered {
                client,
                reply: clock.now().saturating_duration_since(asked),
                cameras,
            })
        }
        other => Err(JoinError::Reply(Box::new(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn on_loopback_every_ten_thousand_have_an_address_of_their_own() {
        let at = |number| source_address(number, &[], ip("127.0.0.1"));
        assert_eq!((at(0), at(9_999)), (ip("127.0.0.1"), ip("127.0.0.1")));
        assert_eq!((at(10_000), at(49_999)), (ip("127.0.1.1"), ip("127.0.4.1")));
    }

    #[test]
    fn elsewhere_members_take_the_given_addresses_in_turn() {
        let given = [ip("10.0.0.2"), ip("10.0.0.3")];
        let at = |number| source_address(number, &given, ip("10.0.0.1"));
        assert_eq!([at(0), at(1), at(2)], [given[0], given[1], given[0]]);
        assert_eq!(source_address(20_000, &[], ip("10.0.0.1")), ip("10.0.0.1"));
    }
}
