//! The plan of a run, and the names of its members.

use std::net::IpAddr;
use std::time::Duration;

use rotunda_proto::ids::{RoomId, RoomName, UserId};
use rotunda_proto::room::{MAX_MEMBERS, MAX_VIDEO_PUBLISHERS};
use serde::Serialize;
use thiserror::Error;

use super::link::Bandwidth;
use super::stamp::{MIN_AUDIO_BYTES, MIN_VIDEO_BYTES};

/// Larger payloads do not fit a datagram with headers and encryption.
const MAX_PAYLOAD_BYTES: usize = 1_160;
/// Per second: a server permits 50 requests per member.
const MOST_MUTES: f64 = 40.0;
/// Seconds: a turn takes two requests, and listeners must hear all of it.
const SHORTEST_TURN: f64 = 0.1;
/// Larger numbers make no sense in a plan.
const LARGEST: f64 = 1e6;

/// The parameters of a run; printed with its result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    pub entrance: Entrance,
    pub room: RoomId,
    /// None: one room. Otherwise that many rooms, ROOM-1 to ROOM-K, each with all publishers and viewers.
    pub rooms: Option<u32>,
    /// In each room.
    pub publishers: u32,
    /// In each room.
    pub viewers: u32,
    /// In each room: members without media.
    pub audience: u32,
    pub user_prefix: String,
    /// Joins per second, in all rooms together.
    pub join_rate: f64,
    /// Seconds before the measured time.
    pub warm_up: f64,
    /// Measured seconds.
    pub seconds: f64,
    pub video: Flow,
    /// Packets of one frame; they leave together.
    pub frame_packets: u32,
    /// Seconds between keyframes.
    pub gop: f64,
    /// Without packets publishers have no microphone.
    pub audio: Flow,
    /// How many times per second each publisher mutes or unmutes its camera in the measured time; 0: never.
    pub mutes: f64,
    /// Seconds for which one publisher of a room has its microphone open before it closes it and the next one opens
    /// its own; 0: all speak all the time.
    pub talk_turns: f64,
    /// Share of the media packets that viewers drop on arrival, 0 to 1.
    pub loss: f64,
    /// The rate of each viewer's link; None: no limit.
    pub bandwidth: Option<Bandwidth>,
    pub seed: u64,
    /// Local addresses for the connections of audience members, in turn; empty: chosen by the server's address.
    pub sources: Vec<IpAddr>,
    /// Threads that run the members.
    pub threads: u32,
    /// The server's process on this machine, whose CPU time is measured.
    pub server_pid: Option<u32>,
}

/// How members join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entrance {
    /// Rotunda's signaling, for example `ws://127.0.0.1:8080/ws`. Viewers watch all publishers of their room.
    Signaling { url: String },
    /// Publishers by WHIP (RFC 9725), viewers by WHEP. Each viewer watches one publisher of its room; viewers are
    /// spread over the publishers in turn. `{room}` and `{user}` (the publisher) are replaced in both addresses.
    Whip { whip: String, whep: String },
    /// Janus's API, for example `ws://127.0.0.1:8188`, and its video room plugin, in which the rooms must exist.
    /// Viewers watch all publishers of their room.
    Janus { url: String },
}

impl Entrance {
    /// The server's address, with its placeholders.
    pub fn url(&self) -> &str {
        match self {
            Self::Signaling { url } | Self::Janus { url } => url,
            Self::Whip { whip, .. } => whip,
        }
    }
}

/// The packets that a publisher sends of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Flow {
    pub packets_per_second: u32,
    /// Of one packet's payload.
    pub bytes: usize,
}

/// Why a plan is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlanError {
    #[error(
        "a room takes at most {MAX_VIDEO_PUBLISHERS} video publishers, not {0}: use --rooms to have {MAX_VIDEO_PUBLISHERS} in each of several rooms"
    )]
    Publishers(u32),
    #[error("a room takes at most {MAX_MEMBERS} members")]
    Members,
    #[error("{0} is zero, negative or much too large")]
    Range(&'static str),
    #[error("an audience without media can join only by Rotunda's signaling")]
    Audience,
    #[error("publishers who take turns speaking need a microphone: --audio-packets")]
    Silence,
    #[error("the loss must be from 0 to 1")]
    Loss,
    #[error("{name} must be from {least} to {most} bytes")]
    Bytes {
        name: &'static str,
        least: usize,
        most: usize,
    },
    #[error(
        "with --user-prefix {0:?} the members' ids are not valid user ids (at most 32 letters, digits, `_` and `-`)"
    )]
    UserPrefix(String),
    #[error("with several rooms, {0} does not give valid room names")]
    RoomName(RoomId),
}

/// One member of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Counts all members of this kind, from 0.
    pub number: u32,
    pub room: RoomId,
    pub user: UserId,
    /// For a viewer who can watch only one publisher: that publisher. Viewers of a room are spread over its
    /// publishers.
    pub watches: Option<UserId>,
}

/// All members of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    pub publishers: Vec<Member>,
    pub viewers: Vec<Member>,
    pub audience: Vec<Member>,
}

impl Plan {
    /// Checks the plan and names its members.
    pub fn cast(&self) -> Result<Cast, PlanError> {
        self.check()?;
        let rooms = self.room_ids()?;
        let publishers = self.members(&rooms, "p", self.publishers)?;
        let mut viewers = self.members(&rooms, "v", self.viewers)?;
        for (number, viewer) in viewers.iter_mut().enumerate() {
            // Both are in the order of members().
            let (place, room) = (number / rooms.len(), number % rooms.len());
            let watched = publishers.iter().skip(room).step_by(rooms.len()).cycle().nth(place);
            viewer.watches = watched.map(|publisher| publisher.user.clone());
        }
        Ok(Cast {
            publishers,
            viewers,
            audience: self.members(&rooms, "a", self.audience)?,
        })
    }

    /// Sockets that the run opens.
    pub fn sockets(&self) -> u64 {
        let with_media = u64::from(self.publishers) + u64::from(self.viewers);
        (2 * with_media + u64::from(self.audience)) * u64::from(self.rooms.unwrap_or(1))
    }

    /// The time between one mute or unmute of a publisher and the next; None: it does neither.
    pub fn mute_interval(&self) -> Option<Duration> {
        (self.mutes > 0.0).then(|| Duration::from_secs_f64(1.0 / self.mutes))
    }

    /// The time between two frames of a publisher.
    pub fn frame_interval(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.frame_packets) / f64::from(self.video.packets_per_second))
    }

    fn check(&self) -> Result<(), PlanError> {
        let positive = [
            (f64::from(self.rooms.unwrap_or(1)), "--rooms"),
            (f64::from(self.video.packets_per_second), "--video-packets"),
            (f64::from(self.frame_packets), "--frame-packets"),
            (f64::from(self.threads), "--threads"),
            (self.join_rate, "--join-rate"),
            (self.seconds, "--seconds"),
            (self.gop, "--gop"),
        ];
        // An audience can be alone; viewers need a publisher.
        let publishers = self.audience == 0 || self.viewers > 0;
        let media = [
            publishers.then_some((f64::from(self.publishers), "--publishers")),
            (self.audience == 0).then_some((f64::from(self.viewers), "--viewers")),
        ];
        let mut positive = positive.into_iter().chain(media.into_iter().flatten());
        // Written so that NaN fails too.
        let wrong = positive.find(|(value, _)| !(f64::MIN_POSITIVE..LARGEST).contains(value));
        if let Some((_, name)) = wrong {
            return Err(PlanError::Range(name));
        }
        if !(0.0..LARGEST).contains(&self.warm_up) {
            return Err(PlanError::Range("--warm-up"));
        }
        if !(0.0..=MOST_MUTES).contains(&self.mutes) {
            return Err(PlanError::Range("--mutes"));
        }
        if self.talk_turns != 0.0 && !(SHORTEST_TURN..LARGEST).contains(&self.talk_turns) {
            return Err(PlanError::Range("--talk-turns"));
        }
        if self.talk_turns > 0.0 && self.audio.packets_per_second == 0 {
            return Err(PlanError::Silence);
        }
        if self.publishers as usize > MAX_VIDEO_PUBLISHERS {
            return Err(PlanError::Publishers(self.publishers));
        }
        if u64::from(self.publishers) + u64::from(self.viewers) + u64::from(self.audience) > MAX_MEMBERS {
            return Err(PlanError::Members);
        }
        if self.audience > 0 && !matches!(self.entrance, Entrance::Signaling { .. }) {
            return Err(PlanError::Audience);
        }
        if !(0.0..=1.0).contains(&self.loss) {
            return Err(PlanError::Loss);
        }
        let bytes = [
            ("--video-bytes", self.video.bytes, MIN_VIDEO_BYTES),
            ("--audio-bytes", self.audio.bytes, MIN_AUDIO_BYTES),
        ];
        match bytes
            .into_iter()
            .find(|(_, bytes, least)| !(*least..=MAX_PAYLOAD_BYTES).contains(bytes))
        {
            Some((name, _, least)) => Err(PlanError::Bytes {
                name,
                least,
                most: MAX_PAYLOAD_BYTES,
            }),
            None => Ok(()),
        }
    }

    fn room_ids(&self) -> Result<Vec<RoomId>, PlanError> {
        let Some(rooms) = self.rooms else {
            return Ok(vec![self.room.clone()]);
        };
        let name = |number| {
            format!("{}-{number}", self.room)
                .parse::<RoomName>()
                .map(RoomId::Name)
                .map_err(|_| PlanError::RoomName(self.room.clone()))
        };
        (1..=rooms).map(name).collect()
    }

    /// The first member of every room, then the second of every room, and so on.
    fn members(&self, rooms: &[RoomId], kind: &str, in_each: u32) -> Result<Vec<Member>, PlanError> {
        let places = (1..=in_each).flat_map(|place| rooms.iter().enumerate().map(move |room| (place, room)));
        let member = |(number, (place, (index, room))): (usize, (u32, (usize, &RoomId)))| {
            let name = format!("{}-r{}-{kind}{place}", self.user_prefix, index + 1);
            Ok(Member {
                number: u32::try_from(number).unwrap_or(u32::MAX),
                room: room.clone(),
                user: name
                    .parse()
                    .map_err(|_| PlanError::UserPrefix(self.user_prefix.clone()))?,
                watches: None,
            })
        };
        places.enumerate().map(member).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn plan() -> Plan {
        Plan {
            entrance: Entrance::Signaling {
                url: "ws://127.0.0.1:8080/ws".to_owned(),
            },
            room: RoomId::Name("load".parse().unwrap()),
            rooms: None,
            publishers: 1,
            viewers: 10,
            audience: 0,
            user_prefix: "load".to_owned(),
            join_rate: 20.0,
            warm_up: 3.0,
            seconds: 30.0,
            video: Flow {
                packets_per_second: 200,
                bytes: 1100,
            },
            frame_packets: 6,
            gop: 2.0,
            mutes: 0.0,
            talk_turns: 0.0,
            audio: Flow {
                packets_per_second: 50,
                bytes: 80,
            },
            loss: 0.0,
            bandwidth: None,
            seed: 1,
            sources: Vec::new(),
            threads: 1,
            server_pid: None,
        }
    }

    #[test]
    fn members_are_spread_over_the_rooms() {
        let cast = Plan {
            rooms: Some(3),
            publishers: 2,
            ..plan()
        }
        .cast()
        .unwrap();
        assert_eq!((cast.publishers.len(), cast.viewers.len()), (6, 30));
        let rooms: Vec<_> = cast.publishers.iter().map(|member| member.room.to_string()).collect();
        assert_eq!(rooms, ["load-1", "load-2", "load-3", "load-1", "load-2", "load-3"]);
        assert_eq!(cast.viewers[4].user.as_str(), "load-r2-v2");
        let watched: Vec<_> = cast.viewers[..9]
            .iter()
            .map(|viewer| viewer.watches.clone().unwrap())
            .collect();
        let (first, second) = (&cast.publishers[..3], &cast.publishers[3..]);
        let in_turn = first.iter().chain(second).chain(first);
        assert!(in_turn.map(|publisher| &publisher.user).eq(&watched), "{watched:?}");
    }

    #[test]
    fn five_publishers_are_refused_with_advice() {
        let error = Plan {
            publishers: 5,
            ..plan()
        }
        .cast()
        .unwrap_err();
        assert!(error.to_string().contains("--rooms"), "{error}");
    }

    #[test]
    fn an_audience_needs_no_publisher_and_viewers_do() {
        let audience = Plan {
            publishers: 0,
            viewers: 0,
            audience: 5,
            ..plan()
        };
        assert_eq!(audience.cast().unwrap().audience.len(), 5);
        let viewers = Plan { viewers: 1, ..audience };
        assert_eq!(viewers.cast(), Err(PlanError::Range("--publishers")));
    }

    #[test]
    fn plans_that_make_no_sense_are_refused() {
        let wrong = [
            Plan { viewers: 0, ..plan() },
            Plan { loss: 1.5, ..plan() },
            Plan { mutes: 60.0, ..plan() },
            Plan {
                talk_turns: 0.01,
                ..plan()
            },
            Plan {
                talk_turns: 1.0,
                audio: Flow {
                    packets_per_second: 0,
                    bytes: 80,
                },
                ..plan()
            },
            Plan {
                audience: 1,
                entrance: Entrance::Janus {
                    url: "ws://127.0.0.1:8188".to_owned(),
                },
                ..plan()
            },
            Plan {
                join_rate: f64::NAN,
                ..plan()
            },
            Plan {
                video: Flow {
                    packets_per_second: 200,
                    bytes: 1400,
                },
                ..plan()
            },
            Plan {
                user_prefix: "not a name".to_owned(),
                ..plan()
            },
        ];
        for plan in wrong {
            assert!(plan.cast().is_err(), "{plan:?}");
        }
    }
}
