-- Usage in steps of five minutes, for the queries of a day.
CREATE TABLE usage_points (
    application_id BIGINT NOT NULL,
    -- Steps of five minutes since 1970.
    point BIGINT NOT NULL,
    class TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (application_id, point, class)
);

-- Mixes that run: their time counts until now.
CREATE TABLE usage_meters (
    subject TEXT NOT NULL PRIMARY KEY,
    application_id BIGINT NOT NULL,
    class TEXT NOT NULL,
    since_unix_ms BIGINT NOT NULL
);

CREATE INDEX usage_meters_application ON usage_meters (application_id);

-- Rooms by time, and what happened in a room by time.
CREATE INDEX journal_kinds ON journal (application_id, kind, at_unix_ms);
CREATE INDEX journal_room_times ON journal (application_id, room, at_unix_ms);
