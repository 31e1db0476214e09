-- Ended calls.
CREATE TABLE calls (
    application_id BIGINT NOT NULL,
    call_id TEXT NOT NULL,
    inviter TEXT NOT NULL,
    ended_unix_ms BIGINT NOT NULL,
    -- JSON
    record TEXT NOT NULL,
    PRIMARY KEY (application_id, call_id)
);

CREATE INDEX calls_by_end ON calls (application_id, ended_unix_ms, call_id);

-- The users of each ended call, for queries of one user.
CREATE TABLE call_parties (
    application_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    ended_unix_ms BIGINT NOT NULL,
    call_id TEXT NOT NULL,
    PRIMARY KEY (application_id, user_id, ended_unix_ms, call_id)
);

-- Calls of which no device has known, until a device of the user registers.
CREATE TABLE missed_calls (
    application_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    at_unix_ms BIGINT NOT NULL,
    -- JSON
    call TEXT NOT NULL,
    PRIMARY KEY (application_id, user_id, call_id)
);

CREATE TABLE call_profiles (
    application_id BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    nickname TEXT NOT NULL,
    avatar_url TEXT NOT NULL,
    bell_url TEXT NOT NULL,
    PRIMARY KEY (application_id, user_id)
);
