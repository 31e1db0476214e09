CREATE TABLE mix_tasks (
    id TEXT NOT NULL PRIMARY KEY,
    room TEXT NOT NULL,
    stream_id TEXT NOT NULL,
    spec TEXT NOT NULL,
    started_unix_ms BIGINT NOT NULL,
    ended_unix_ms BIGINT,
    end_reason TEXT
);

CREATE TABLE callback_outbox (
    id TEXT NOT NULL PRIMARY KEY,
    room TEXT NOT NULL,
    url TEXT NOT NULL,
    sdk_app_id BIGINT NOT NULL,
    body TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    next_attempt_unix_ms BIGINT NOT NULL,
    attempts BIGINT NOT NULL DEFAULT 0,
    -- waiting, delivered or failed
    state TEXT NOT NULL DEFAULT 'waiting'
);

CREATE INDEX callback_outbox_waiting ON callback_outbox (state, created_unix_ms);
