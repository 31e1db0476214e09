//! The applications that this node serves now, by id and by API key.

use std::sync::Arc;
use std::time::Duration;

use rotunda_proto::applications::{ApplicationList, ApplicationSet};
use rotunda_proto::config::{Application, PublishLimits};
use rotunda_proto::ids::{CallId, RoomKey, SdkAppId, UserId};
use rotunda_proto::room_ticket::{self, Rights};
use rotunda_proto::signaling::ErrorCode;

/// A snapshot of the applications.
#[derive(Debug)]
pub struct Applications(Arc<ApplicationSet>);

impl Applications {
    pub fn now(list: &ApplicationList) -> Self {
        Self(list.now())
    }

    /// An application for each API key.
    pub fn by_key(&self) -> impl Iterator<Item = &Application> {
        self.0.by_key()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Application> {
        self.0.iter()
    }

    pub fn by_id(&self, id: SdkAppId) -> Option<&Application> {
        self.0.by_id(id)
    }

    /// Applications without API keys are not in it.
    pub fn by_secret_id(&self, secret_id: &str) -> Option<&Application> {
        let has_keys = |application: &&Application| {
            !application.secret_id.is_empty() && !application.api_secret.reveal().is_empty()
        };
        let mut with_keys = self.by_key().filter(has_keys);
        with_keys.find(|application| application.secret_id == secret_id)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub fn new(applications: Vec<Application>) -> Self {
        Self::now(&ApplicationList::new(applications))
    }

    /// How many members of a room of this application may publish.
    pub fn publish_limits(&self, id: SdkAppId) -> PublishLimits {
        self.by_id(id)
            .map(|application| PublishLimits {
                microphones: application.max_microphones,
                cameras: application.max_cameras,
            })
            .unwrap_or_default()
    }

    /// The rights of a user in a room. `ticket`: used if the application requires room tickets. The rooms of calls are for the users of
    /// the call alone ([`calls::room_rights`](crate::calls::room_rights)).
    pub fn rights(
        &self,
        room: &RoomKey,
        user: &UserId,
        ticket: Option<&str>,
        unix_now: Duration,
    ) -> Result<Rights, ErrorCode> {
        let application = self.by_id(room.app).ok_or(ErrorCode::UnknownApplication)?;
        if CallId::of_room(&room.room).is_some() {
            return Err(ErrorCode::NotPermitted);
        }
        if !application.requires_private_map_key {
            return Ok(Rights::ALL);
        }
        let ticket = ticket.ok_or(ErrorCode::PrivateMapKeyInvalid)?;
        let verify = |key: &str| room_ticket::verify(ticket, room.app, key, user, &room.room, unix_now);
        let rights = application
            .verify(verify, |_| true)
            .map_err(|_| ErrorCode::PrivateMapKeyInvalid)?;
        rights.may_enter().then_some(rights).ok_or(ErrorCode::NotPermitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For xiaojun in room 10000 of application 1400000000 until 1700000300, all rights; made by the official npm package.
    const TICKET: &str = "eJxVjU0LgkAURf-L2xoympUMtHgEWWShJEHutJmxUTPxq5Hov0eWi*7iwj1ncZ8QuEe94xVQMHUCk2FLxotGCjlgJaN72hY-VbMsKkvJgBoW*eVrGnnjQI3FP*WqlBUHOh1BW-MqbgVQQMQNd-JrbJZGnB-6IEHE1cUPT17vIiJ69qdxfJYJUCDa3trNrXwbrGeZZqeN70S5IiJRzIgePFREhGfBii7MlvB6A36tQqM_";
    const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

    fn rights(required: bool, room: &str, ticket: Option<&str>) -> Result<Rights, ErrorCode> {
        let app = SdkAppId::try_from(1_400_000_000).unwrap();
        let applications = Applications::new(vec![Application {
            requires_private_map_key: required,
            ..Application::new(app, KEY)
        }]);
        let room = RoomKey {
            app,
            room: room.parse().unwrap(),
        };
        applications.rights(
            &room,
            &"xiaojun".parse().unwrap(),
            ticket,
            Duration::from_secs(1_700_000_000),
        )
    }

    #[test]
    fn no_ticket_opens_the_room_of_a_call() {
        for required in [false, true] {
            let refused = rights(required, "@call:0000000000000007", Some(TICKET));
            assert_eq!(refused, Err(ErrorCode::NotPermitted));
        }
    }

    #[test]
    fn a_room_ticket_is_used_if_the_application_requires_one() {
        assert_eq!(rights(false, "10000", None), Ok(Rights::ALL));
        assert_eq!(rights(false, "10000", Some("nonsense")), Ok(Rights::ALL));
        assert_eq!(rights(true, "10000", Some(TICKET)), Ok(Rights::ALL));
        let invalid = Err(ErrorCode::PrivateMapKeyInvalid);
        for (room, ticket) in [("10000", None), ("10000", Some("nonsense")), ("10001", Some(TICKET))] {
            assert_eq!(rights(true, room, ticket), invalid);
        }
    }
}
