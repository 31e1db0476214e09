//! Restrictions: what users may not do in a room, also when they enter it again.

use std::time::Duration;

use rotunda_proto::ids::{RoomKey, SdkAppId, UserId};
use rotunda_proto::room_ticket::Rights;

use crate::StoreError;
use crate::applications::UnknownWord;
use crate::callbacks::millis;
use crate::pool::{Store, retried};
use crate::row::columns;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restriction {
    pub room: RoomKey,
    /// None: everybody.
    pub user: Option<UserId>,
    pub limit: RestrictionLimit,
    /// None: until it is lifted.
    pub until: Option<Duration>,
    pub created: Duration,
    /// The API key that made it.
    pub created_by: String,
}

/// What a restriction leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestrictionLimit {
    /// They may not enter.
    Entry,
    /// They have these rights, whatever their room ticket says.
    Media(Rights),
    /// They enter when a moderator or the server API has admitted them.
    Admission,
}

/// A user of a room has at most one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestrictionKind {
    Entry,
    Media,
    Admission,
}

impl Restriction {
    pub fn kind(&self) -> RestrictionKind {
        match self.limit {
            RestrictionLimit::Entry => RestrictionKind::Entry,
            RestrictionLimit::Media(_) => RestrictionKind::Media,
            RestrictionLimit::Admission => RestrictionKind::Admission,
        }
    }

    pub fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl RestrictionKind {
    pub const ALL: [Self; 3] = [Self::Entry, Self::Media, Self::Admission];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Media => "media",
            Self::Admission => "admission",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

struct Row {
    room: String,
    user_id: String,
    kind: String,
    rights: i64,
    until_unix_ms: Option<i64>,
    created_unix_ms: i64,
    created_by: String,
}

columns!(Row {
    room,
    user_id,
    kind,
    rights,
    until_unix_ms,
    created_unix_ms,
    created_by
});

impl Store {
    /// In place of one of the same kind. Removes those of the application that are over.
    pub async fn restrict(&self, restriction: &Restriction) -> Result<(), StoreError> {
        let rights = match restriction.limit {
            RestrictionLimit::Entry | RestrictionLimit::Admission => 0,
            RestrictionLimit::Media(rights) => rights.bits(),
        };
        let user = restriction.user.as_ref().map_or("", |user| user.as_str());
        let (app, room) = (i64::from(restriction.room.app.get()), restriction.room.token());
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            sqlx::query("DELETE FROM restrictions WHERE application_id = $1 AND until_unix_ms <= $2")
                .bind(app)
                .bind(millis(restriction.created))
                .execute(&mut *transaction)
                .await?;
            sqlx::query(
                "INSERT INTO restrictions \
                 (application_id, room, user_id, kind, rights, until_unix_ms, created_unix_ms, created_by) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (application_id, room, user_id, kind) \
                 DO UPDATE SET rights = excluded.rights, until_unix_ms = excluded.until_unix_ms, \
                 created_unix_ms = excluded.created_unix_ms, created_by = excluded.created_by",
            )
            .bind(app)
            .bind(&room)
            .bind(user)
            .bind(restriction.kind().as_str())
            .bind(i64::from(rights))
            .bind(restriction.until.map(millis))
            .bind(millis(restriction.created))
            .bind(&restriction.created_by)
            .execute(&mut *transaction)
            .await?;
            sqlx::query(RESTRICTIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await
        })
    }

    /// Lifts a restriction; false: there was none. `user`: None: that of everybody.
    pub async fn lift_restriction(
        &self,
        room: &RoomKey,
        user: Option<&UserId>,
        kind: RestrictionKind,
    ) -> Result<bool, StoreError> {
        let (app, token) = (i64::from(room.app.get()), room.token());
        let user = user.map_or("", |user| user.as_str());
        retried!(self, pool => {
            let mut transaction = pool.begin().await?;
            let lifted = sqlx::query(
                "DELETE FROM restrictions WHERE application_id = $1 AND room = $2 AND user_id = $3 AND kind = $4",
            )
            .bind(app)
            .bind(&token)
            .bind(user)
            .bind(kind.as_str())
            .execute(&mut *transaction)
            .await?
            .rows_affected();
            sqlx::query(RESTRICTIONS_CHANGED).execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(lifted > 0)
        })
    }

    /// Those that are not over, oldest first.
    pub async fn restrictions(&self, now: Duration) -> Result<Vec<Restriction>, StoreError> {
        let rows = retried!(self, pool => {
            sqlx::query_as::<_, Row>(
                "SELECT room, user_id, kind, rights, until_unix_ms, created_unix_ms, created_by FROM restrictions \
                 WHERE until_unix_ms IS NULL OR until_unix_ms > $1 ORDER BY created_unix_ms, room, user_id, kind",
            )
            .bind(millis(now))
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(Row::restriction).collect()
    }

    pub async fn restrictions_of(&self, app: SdkAppId, now: Duration) -> Result<i64, StoreError> {
        retried!(self, pool => {
            sqlx::query_scalar::<_, i64>(
                "SELECT COUNT(*) FROM restrictions \
                 WHERE application_id = $1 AND (until_unix_ms IS NULL OR until_unix_ms > $2)",
            )
            .bind(i64::from(app.get()))
            .bind(millis(now))
            .fetch_one(pool)
            .await
        })
    }

    /// Grows with every change of a restriction.
    pub async fn restrictions_revision(&self) -> Result<i64, StoreError> {
        let revision: Option<i64> = retried!(self, pool => {
            sqlx::query_scalar("SELECT revision FROM changes WHERE subject = 'restrictions'")
                .fetch_optional(pool)
                .await
        })?;
        Ok(revision.unwrap_or(0))
    }
}

const RESTRICTIONS_CHANGED: &str = "INSERT INTO changes (subject, revision) VALUES ('restrictions', 1) \
    ON CONFLICT (subject) DO UPDATE SET revision = changes.revision + 1";

impl Row {
    fn restriction(self) -> Result<Restriction, StoreError> {
        let wrong = |text: &str| StoreError::row("restrictions", UnknownWord(text.to_owned()));
        let kind = RestrictionKind::parse(&self.kind).ok_or_else(|| wrong(&self.kind))?;
        let time = |unix_ms: i64| Duration::from_millis(unix_ms.unsigned_abs());
        Ok(Restriction {
            room: RoomKey::from_token(&self.room).ok_or_else(|| wrong(&self.room))?,
            user: match self.user_id.as_str() {
                "" => None,
                user => Some(user.parse().map_err(|_| wrong(user))?),
            },
            limit: match kind {
                RestrictionKind::Entry => RestrictionLimit::Entry,
                RestrictionKind::Admission => RestrictionLimit::Admission,
                RestrictionKind::Media => {
                    RestrictionLimit::Media(Rights::from_bits(u32::try_from(self.rights).unwrap_or_default()))
                }
            },
            until: self.until_unix_ms.map(time),
            created: time(self.created_unix_ms),
            created_by: self.created_by,
        })
    }
}
