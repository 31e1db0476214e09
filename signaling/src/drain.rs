//! Draining: this node takes no new members, and asks those that it has to enter again, which leads them to another node.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use metrics::counter;
use rotunda_bus::{Watch, WatchEvent};
use rotunda_proto::clock::Clock;
use rotunda_proto::ids::LoginId;
use rotunda_proto::room::{LOGINS_PREFIX, LoginDocument, login_key};
use tracing::{info, warn};

use crate::member::ToMember;
use crate::registry::UserLogin;
use crate::shared::Shared;

/// In this time proxies see that the node is not ready, and stop sending clients here.
const NOTICE: Duration = Duration::from_secs(5);
/// After the last request to move, members get this time to arrive elsewhere.
const ARRIVAL: Duration = Duration::from_secs(5);
/// The share of the time in which members move who send nothing. Publishers follow.
const AUDIENCE_SHARE: f64 = 0.7;
/// A node with few members asks one after this time, and is done sooner.
const SLOWEST: Duration = Duration::from_millis(50);

/// Moves the members away within the time, evenly: those who send nothing first, publishers at the end.
pub async fn drain(shared: &Shared, within: Duration) {
    shared.draining.cancel();
    let clock = Clock;
    let began = clock.now();
    let notice = NOTICE.min(within / 4);
    let moving = within - notice - ARRIVAL.min(within / 4);
    info!(seconds = within.as_secs(), "draining: members move to other nodes");
    clock.sleep_until(began + notice).await;
    let logins = match shared.bus.watch(LOGINS_PREFIX).await {
        Ok(watch) => Some(watch),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            warn!(error, "where members go is not seen: the bus is away");
            None
        }
    };
    let mut moves = Moves {
        logins,
        evacuation: Evacuation::default(),
    };
    moves
        .ask_all(shared, moving.mul_f64(AUDIENCE_SHARE), Whom::Audience)
        .await;
    moves
        .ask_all(shared, moving.mul_f64(1.0 - AUDIENCE_SHARE), Whom::Everybody)
        .await;
    moves.follow(began + within, Until::AllArrived).await;
    moves.evacuation.write();
}

/// The answer to a client that opens a WebSocket meanwhile.
pub fn refusal() -> Response {
    let why = "this node ends; connect again, which leads to another one";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], why).into_response()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Those who send nothing.
    Audience,
    Everybody,
}

struct Moves {
    /// None: the bus is away.
    logins: Option<Watch>,
    evacuation: Evacuation,
}

impl Moves {
    async fn ask_all(&mut self, shared: &Shared, within: Duration, whom: Whom) {
        let logins = shared.registry.all();
        let pause = SLOWEST.min(within / (logins.len().max(1) as u32));
        let mut at = Clock.now();
        for UserLogin { app, user, login } in logins {
            // A member who has ended is on the way already. One whose queue is full holds up nobody: they are asked with everybody,
            // or told when the node ends.
            let _gone_or_busy = login.member.try_send(ToMember::Move(whom));
            self.evacuation
                .handle_asked(login_key(app, &user), login.id, Clock.now());
            at += pause;
            self.follow(at, Until::Then).await;
        }
    }

    /// Sees where members log in, until the moment.
    async fn follow(&mut self, moment: Instant, until: Until) {
        while until == Until::Then || !self.evacuation.asked.is_empty() {
            let event = tokio::select! {
                event = next(&mut self.logins) => event,
                () = Clock.sleep_until(moment) => return,
            };
            if let WatchEvent::Change(change) = event
                && let Some(login) = change.parse::<LoginDocument>()
            {
                self.evacuation.handle_login(&change.key, &login, Clock.now());
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    Then,
    /// Or everybody who was asked is elsewhere.
    AllArrived,
}

async fn next(watch: &mut Option<Watch>) -> WatchEvent {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

/// Which members were asked to move, where they went, and after what time.
#[derive(Debug, Default)]
struct Evacuation {
    /// By the key of the user's login.
    asked: HashMap<String, (LoginId, Instant)>,
    /// Between the request and the new login, by node.
    arrived: BTreeMap<String, Vec<Duration>>,
}

impl Evacuation {
    /// A repeated request counts from the last one: a publisher is asked twice.
    fn handle_asked(&mut self, key: String, login: LoginId, now: Instant) {
        self.asked.insert(key, (login, now));
    }

    fn handle_login(&mut self, key: &str, document: &LoginDocument, now: Instant) {
        let Some((before, asked_at)) = self.asked.get(key) else {
            return;
        };
        if *before == document.login {
            return;
        }
        let node = document.node.node().to_string();
        self.arrived
            .entry(node)
            .or_default()
            .push(now.duration_since(*asked_at));
        self.asked.remove(key);
    }

    fn write(self) {
        let is_elsewhere = self.arrived.values().map(Vec::len).sum::<usize>();
        for (node, mut times) in self.arrived {
            times.sort_unstable();
            let at = |share: f64| times.get(((times.len() - 1) as f64 * share) as usize);
            let [median, longest] = [0.5, 1.0].map(|share| at(share).map(Duration::as_millis));
            info!(node, members = times.len(), median_ms = ?median, longest_ms = ?longest, "evacuation: members moved");
        }
        counter!("rotunda_signaling_moved_members_total").increment(is_elsewhere as u64);
        match self.asked.len() {
            0 => info!("evacuation: nobody is left"),
            left => warn!(left, "evacuation: members who have not logged in elsewhere"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rotunda_proto::ids::NodeId;
    use rotunda_proto::incarnation::Incarnation;

    use super::*;

    const ANN: &str = "logins.1.ann";

    fn document(login: u64, node: &str) -> LoginDocument {
        LoginDocument {
            login: LoginId(login),
            node: Incarnation::new(node.parse::<NodeId>().unwrap(), 1),
        }
    }

    #[test]
    fn a_member_has_moved_when_they_have_a_newer_login() {
        let (mut evacuation, now) = (Evacuation::default(), Clock.now());
        evacuation.handle_asked(ANN.to_owned(), LoginId(1), now);
        evacuation.handle_login(ANN, &document(1, "one"), now);
        assert_eq!(evacuation.asked.len(), 1, "the login that ends is told once more");

        evacuation.handle_login("logins.1.bob", &document(7, "two"), now);
        assert!(evacuation.arrived.is_empty(), "bob was not asked");

        let later = now + Duration::from_millis(300);
        evacuation.handle_login(ANN, &document(2, "two"), later);
        assert!(evacuation.asked.is_empty());
        assert_eq!(evacuation.arrived["two"], [Duration::from_millis(300)]);
    }

    #[test]
    fn a_publisher_is_asked_twice_and_moves_once() {
        let (mut evacuation, now) = (Evacuation::default(), Clock.now());
        evacuation.handle_asked(ANN.to_owned(), LoginId(1), now);
        let again = now + Duration::from_secs(10);
        evacuation.handle_asked(ANN.to_owned(), LoginId(1), again);
        evacuation.handle_login(ANN, &document(2, "two"), again + Duration::from_millis(400));
        assert_eq!(evacuation.arrived["two"], [Duration::from_millis(400)]);
    }
}
