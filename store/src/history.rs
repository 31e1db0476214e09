//! Questions about the past, answered from the journal: the rooms that there were, their members, and how many.

use rotunda_proto::ids::SdkAppId;

use crate::StoreError;
use crate::pool::{Engine, Store, retried};
use crate::row::columns;

/// A room from its first member's entry to its last member's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomLife {
    /// The room's token.
    pub room: String,
    pub created_unix_ms: i64,
    /// None: the journal has no end of it.
    pub ended_unix_ms: Option<i64>,
    /// The fact of its first member's entry, JSON; None: it is not in the journal yet.
    pub first_entry: Option<String>,
    /// The time of the last thing that happened in it.
    pub last_unix_ms: i64,
}

columns!(RoomLife {
    room,
    created_unix_ms,
    ended_unix_ms,
    first_entry,
    last_unix_ms
});

/// How much a day had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayScale {
    /// Days since 1970, in UTC.
    pub day: i64,
    pub entries: i64,
    /// Users, each counted once in each of their rooms.
    pub users: i64,
    pub rooms: i64,
}

columns!(DayScale {
    day,
    entries,
    users,
    rooms
});

/// The clocks of nodes may differ by this much.
const SKEW_MS: i64 = 2000;

/// Rooms that were made at a time. $2, $3: from and to, milliseconds since 1970. $4, $5: tokens of the room to find; empty: every room.
const LIVES: &str = "SELECT made.number AS number, made.room AS room, made.at_unix_ms AS created_unix_ms, \
    (SELECT MIN(later.at_unix_ms) FROM journal later WHERE later.application_id = made.application_id \
     AND later.room = made.room AND later.at_unix_ms >= made.at_unix_ms AND later.kind IN ('room_ended', 'room_made') \
     AND (later.at_unix_ms > made.at_unix_ms OR later.number > made.number)) AS ended_unix_ms \
    FROM journal made WHERE made.application_id = $1 AND made.kind = 'room_made' AND made.at_unix_ms <= $3 \
    AND made.at_unix_ms >= $2 AND ($4 = '' OR made.room = $4 OR made.room = $5)";

/// The query of a page of [`LIVES`]. $6: of the condition. $7, $8: most rows, and the first one.
fn page_of(within: &str) -> String {
    format!(
        "SELECT lives.room AS room, lives.created_unix_ms AS created_unix_ms, lives.ended_unix_ms AS ended_unix_ms, \
         (SELECT entered.body FROM journal entered WHERE entered.application_id = $1 AND entered.room = lives.room \
          AND entered.kind = 'entered' AND entered.at_unix_ms >= lives.created_unix_ms - {SKEW_MS} \
          ORDER BY entered.at_unix_ms, entered.number LIMIT 1) AS first_entry, \
         (SELECT MAX(latest.at_unix_ms) FROM journal latest WHERE latest.application_id = $1 \
          AND latest.room = lives.room AND latest.at_unix_ms >= lives.created_unix_ms \
          AND (lives.ended_unix_ms IS NULL OR latest.at_unix_ms <= lives.ended_unix_ms)) AS last_unix_ms \
         FROM ({LIVES}) lives WHERE {within} ORDER BY lives.created_unix_ms DESC, lives.number DESC LIMIT $7 OFFSET $8"
    )
}

impl Store {
    /// The rooms that were in existence within a span of time, newest first, and how many there are.
    /// `rooms`: tokens of the room to find, in its two spellings; both empty: every room.
    pub async fn room_lives(
        &self,
        application: SdkAppId,
        (from_unix_ms, to_unix_ms): (i64, i64),
        rooms: [&str; 2],
        (offset, most): (i64, i64),
    ) -> Result<(Vec<RoomLife>, i64), StoreError> {
        let within = "lives.ended_unix_ms IS NULL OR lives.ended_unix_ms >= $6";
        let count = format!("SELECT COUNT(*) FROM ({LIVES}) lives WHERE {within}");
        let page = page_of(within);
        retried!(self, pool => {
            let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count.clone()))
                .bind(i64::from(application.get()))
                .bind(0_i64)
                .bind(to_unix_ms)
                .bind(rooms[0])
                .bind(rooms[1])
                .bind(from_unix_ms)
                .fetch_one(pool)
                .await?;
            let lives = sqlx::query_as::<_, RoomLife>(sqlx::AssertSqlSafe(page.clone()))
                .bind(i64::from(application.get()))
                .bind(0_i64)
                .bind(to_unix_ms)
                .bind(rooms[0])
                .bind(rooms[1])
                .bind(from_unix_ms)
                .bind(most)
                .bind(offset)
                .fetch_all(pool)
                .await?;
            Ok((lives, total))
        })
    }

    /// The rooms that were made within a span of time, both ends included.
    pub async fn room_lives_made_within(
        &self,
        application: SdkAppId,
        (from_unix_ms, to_unix_ms): (i64, i64),
        most: i64,
    ) -> Result<Vec<RoomLife>, StoreError> {
        let page = page_of("$6 = $6");
        retried!(self, pool => {
            sqlx::query_as::<_, RoomLife>(sqlx::AssertSqlSafe(page.clone()))
                .bind(i64::from(application.get()))
                .bind(from_unix_ms)
                .bind(to_unix_ms)
                .bind("")
                .bind("")
                .bind(0_i64)
                .bind(most)
                .bind(0_i64)
                .fetch_all(pool)
                .await
        })
    }

    /// The entries of members into a room and their ends, oldest first, as facts (JSON). The span is widened by what the clocks of
    /// nodes may differ.
    pub async fn room_attendance(
        &self,
        application: SdkAppId,
        room: &str,
        from_unix_ms: i64,
        to_unix_ms: i64,
    ) -> Result<Vec<String>, StoreError> {
        retried!(self, pool => {
            sqlx::query_scalar(
                "SELECT body FROM journal WHERE application_id = $1 AND room = $2 AND at_unix_ms >= $3 \
                 AND at_unix_ms <= $4 AND kind IN ('entered', 'left') ORDER BY at_unix_ms, number",
            )
            .bind(i64::from(application.get()))
            .bind(room)
            .bind(from_unix_ms - SKEW_MS)
            .bind(to_unix_ms.saturating_add(SKEW_MS))
            .fetch_all(pool)
            .await
        })
    }

    /// What each day had from one moment to another, the last one not included.
    pub async fn scale(
        &self,
        application: SdkAppId,
        from_unix_ms: i64,
        to_unix_ms: i64,
    ) -> Result<Vec<DayScale>, StoreError> {
        let user = match self.engine() {
            Engine::Sqlite => "json_extract(body, '$.user')",
            Engine::Postgres => "(body::json ->> 'user')",
        };
        let query = format!(
            "SELECT at_unix_ms / 86400000 AS day, COUNT(*) AS entries, COUNT(DISTINCT room || ' ' || {user}) AS users, \
             COUNT(DISTINCT room) AS rooms FROM journal WHERE application_id = $1 AND kind = 'entered' \
             AND at_unix_ms >= $2 AND at_unix_ms < $3 GROUP BY at_unix_ms / 86400000 ORDER BY 1"
        );
        retried!(self, pool => {
            sqlx::query_as::<_, DayScale>(sqlx::AssertSqlSafe(query.clone()))
                .bind(i64::from(application.get()))
                .bind(from_unix_ms)
                .bind(to_unix_ms)
                .fetch_all(pool)
                .await
        })
    }
}
