-- No version before has written these two tables.
DROP TABLE event_stream;
DROP TABLE journal;

-- The stream of events, for clusters without another server for it.
CREATE TABLE event_stream (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    -- An event is in the stream once, however often it is appended.
    id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    appended_unix_ms BIGINT NOT NULL
);

CREATE TABLE journal (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- The id of the event. It has effects once, whichever streams it is in.
    event TEXT NOT NULL UNIQUE,
    application_id BIGINT NOT NULL,
    room TEXT NOT NULL,
    kind TEXT NOT NULL,
    at_unix_ms BIGINT NOT NULL,
    -- JSON
    body TEXT NOT NULL
);

CREATE INDEX journal_room ON journal (application_id, room, number);
CREATE INDEX journal_time ON journal (at_unix_ms);

-- Members present in a minute, by room and node. The highest sum of a day is in usage_totals.
CREATE TABLE present_members (
    application_id BIGINT NOT NULL,
    -- Minutes since 1970.
    minute BIGINT NOT NULL,
    class TEXT NOT NULL,
    -- The room and node.
    place TEXT NOT NULL,
    members BIGINT NOT NULL,
    PRIMARY KEY (application_id, minute, class, place)
);
