//! The quality of members of a call: from the logs of all nodes.

use std::time::Duration;

use rotunda_bus::{BusError, BusExt};
use rotunda_proto::ids::{NodeId, RoomKey, UserId};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::users::{QualityData, TimeValue};
use crate::quality_log::QualityPoint;
use crate::shared::Shared;

/// A node that does not answer within this time is left out.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// The question to each node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Question {
    pub rooms: Vec<RoomKey>,
    pub users: Vec<UserId>,
    /// Unix seconds, both included.
    pub start: u64,
    pub end: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct UserPoints {
    user: UserId,
    points: Vec<QualityPoint>,
}

fn subject(node: &NodeId) -> String {
    format!("signaling.{node}.quality")
}

/// Answers questions of other nodes until `shutdown`.
pub async fn serve(shared: Shared, shutdown: CancellationToken) -> Result<JoinHandle<()>, BusError> {
    let mut requests = shared.bus.serve(&subject(&shared.node)).await?;
    let serve = async move {
        loop {
            let request = requests.next().await;
            match request.parse::<Question>() {
                Ok(question) => request.answer(&here(&shared, &question)),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a question about quality could not be read");
                }
            }
        }
    };
    Ok(tokio::spawn(async move {
        let _stopped = shutdown.run_until_cancelled(serve).await;
    }))
}

fn here(shared: &Shared, question: &Question) -> Vec<UserPoints> {
    let log = shared.session_events.quality();
    let mut found = Vec::new();
    for room in &question.rooms {
        for user in &question.users {
            let points = log.of(room, user, question.start, question.end);
            if !points.is_empty() {
                found.push(UserPoints {
                    user: user.clone(),
                    points,
                });
            }
        }
    }
    found
}

/// The series of the measures `wanted`, by user.
pub async fn series(shared: &Shared, question: &Question, wanted: &[String]) -> Vec<QualityData> {
    let mut all = here(shared, question);
    let living = shared.cluster.living().borrow().clone();
    let others = living.iter().flat_map(|living| living.iter());
    let others = others
        .map(|node| node.node().clone())
        .filter(|node| *node != shared.node);
    let asked = others.map(|node| async move {
        let to = subject(&node);
        let asking = shared.bus.call::<_, Vec<UserPoints>>(&to, question);
        // A node without signaling serves no such question.
        match tokio::time::timeout(ANSWERED_WITHIN, asking).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => Vec::new(),
        }
    });
    all.extend(futures::future::join_all(asked).await.into_iter().flatten());
    question
        .users
        .iter()
        .flat_map(|user| of_user(user, &all, wanted))
        .collect()
}

/// A measure: its name by the contract, and its value.
type Measure = (&'static str, fn(&QualityPoint) -> Option<f64>);

const MEASURES: [Measure; 7] = [
    ("rtt", |point| point.round_trip.map(f64::from)),
    ("aBit", |point| Some(point.sent.audio as f64)),
    ("bigvBit", |point| Some(point.sent.video as f64)),
    ("aLoss", |point| Some(f64::from(point.sent.audio_loss))),
    ("bigvLoss", |point| Some(f64::from(point.sent.video_loss))),
    ("bigvHeight", |point| {
        (point.sent.height > 0).then(|| f64::from(point.sent.height))
    }),
    ("bigvEncFps", |point| {
        (point.sent.framerate > 0).then(|| f64::from(point.sent.framerate))
    }),
];

fn of_user(user: &UserId, all: &[UserPoints], wanted: &[String]) -> Vec<QualityData> {
    let mut points: Vec<QualityPoint> = all
        .iter()
        .filter(|found| found.user == *user)
        .flat_map(|found| found.points.iter().copied())
        .collect();
    points.sort_by_key(|point| point.at);
    // A member who has changed the node within a step.
    points.dedup_by_key(|point| point.at);
    let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted == "all" || wanted == name);
    MEASURES
        .iter()
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, value)| QualityData {
            content: points
                .iter()
                .filter_map(|point| {
                    Some(TimeValue {
                        time: point.at,
                        value: value(point)?,
                    })
                })
                .collect(),
            user_id: user.to_string(),
            peer_id: String::new(),
            data_type: (*name).to_owned(),
        })
        .filter(|series| !series.content.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use rotunda_proto::statistics::SentMedia;

    use super::*;

    #[test]
    fn each_wanted_measure_is_a_series_in_the_order_of_time_from_all_nodes() {
        let ann: UserId = "ann".parse().unwrap();
        let point = |at, audio, height| QualityPoint {
            at,
            round_trip: Some(40),
            sent: SentMedia {
                audio,
                height,
                framerate: height / 24,
                ..SentMedia::default()
            },
            downlink_loss: 0,
        };
        let found = [
            UserPoints {
                user: ann.clone(),
                points: vec![point(20, 30_000, 0)],
            },
            UserPoints {
                user: ann.clone(),
                points: vec![point(10, 32_000, 360)],
            },
        ];
        let wanted = ["aBit", "bigvHeight", "bigvEncFps", "appCpu"].map(str::to_owned);
        let rows: Vec<_> = of_user(&ann, &found, &wanted)
            .into_iter()
            .map(|series| {
                let content = series.content.iter().map(|point| (point.time, point.value));
                (series.data_type, content.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            ("aBit".to_owned(), vec![(10, 32_000.0), (20, 30_000.0)]),
            ("bigvHeight".to_owned(), vec![(10, 360.0)]),
            ("bigvEncFps".to_owned(), vec![(10, 15.0)]),
        ];
        assert_eq!(rows, expected);
        assert_eq!(of_user(&ann, &found, &["all".to_owned()]).len(), MEASURES.len());
        assert!(of_user(&"bob".parse().unwrap(), &found, &["all".to_owned()]).is_empty());
    }
}
