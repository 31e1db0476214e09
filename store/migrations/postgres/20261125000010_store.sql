CREATE TABLE mix_tasks (
    id TEXT NOT NULL PRIMARY KEY,
    room TEXT NOT NULL,
    stream_id TEXT NOT NULL,
    spec TEXT NOT NULL,
    started_unix_ms BIGINT NOT NULL,
    ended_unix_ms BIGINT,
    end_reason TEXT,
    application_id BIGINT NOT NULL DEFAULT 0,
    origin TEXT NOT NULL DEFAULT 'api',
    epoch BIGINT NOT NULL DEFAULT 0,
    owner TEXT,
    program_ms BIGINT NOT NULL DEFAULT 0
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
    state TEXT NOT NULL DEFAULT 'waiting',
    sequence BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    claimed_by TEXT,
    claimed_until_unix_ms BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE recording_files (
    file_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- recording, closed, finishing, ready or failed
    state TEXT NOT NULL,
    format TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    started_unix_us BIGINT NOT NULL,
    url TEXT NOT NULL,
    -- The whole RecordingFile as JSON, for its callback.
    file TEXT NOT NULL,
    announced BIGINT NOT NULL DEFAULT 0,
    -- Whose file it is: sdk_app_id.
    app BIGINT NOT NULL DEFAULT 0,
    recording_id TEXT NOT NULL DEFAULT '',
    part BIGINT NOT NULL DEFAULT 0,
    -- Which process works on it, and until when it may be silent.
    owner TEXT NOT NULL DEFAULT '',
    lease_unix_ms BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX mix_tasks_running ON mix_tasks (ended_unix_ms);
CREATE INDEX callback_outbox_waiting ON callback_outbox (state, created_unix_ms);
CREATE INDEX callback_outbox_due ON callback_outbox (state, sdk_app_id, room, sequence, created_unix_ms);
CREATE INDEX recording_files_app ON recording_files (app, started_unix_us);
CREATE INDEX recording_files_name ON recording_files (name);
CREATE INDEX recording_files_of_recording ON recording_files (recording_id);
CREATE INDEX recording_files_open ON recording_files (state, lease_unix_ms);
CREATE INDEX recording_files_announced ON recording_files (announced, started_unix_us);

-- Tenants that the API has made. Those of the configuration file have no row.
CREATE TABLE applications (
    id BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- JSON, without secrets.
    settings TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    changed_unix_ms BIGINT NOT NULL,
    -- Grows with every change; a change names the one that it is based on.
    revision BIGINT NOT NULL
);

-- Two slots for each purpose, so that a secret can be replaced while the one before is still good.
CREATE TABLE application_secrets (
    application_id BIGINT NOT NULL REFERENCES applications (id) ON DELETE CASCADE,
    -- user_sig or callback
    purpose TEXT NOT NULL,
    slot BIGINT NOT NULL,
    -- Encrypted with the key of the configuration.
    sealed BYTEA NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (application_id, purpose, slot)
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    -- Null: of every application.
    application_id BIGINT,
    name TEXT NOT NULL,
    sealed BYTEA NOT NULL,
    -- Words with spaces between them.
    scopes TEXT NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    expires_unix_ms BIGINT
);

-- What happened, by its number in the stream of events.
CREATE TABLE journal (
    sequence BIGINT NOT NULL PRIMARY KEY,
    application_id BIGINT NOT NULL,
    room TEXT NOT NULL,
    kind TEXT NOT NULL,
    at_unix_ms BIGINT NOT NULL,
    -- JSON
    body TEXT NOT NULL
);

CREATE INDEX journal_room ON journal (application_id, room, sequence);
CREATE INDEX journal_time ON journal (at_unix_ms);

-- The stream of events itself, where there is no other server for it.
CREATE TABLE event_stream (
    sequence BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body TEXT NOT NULL,
    appended_unix_ms BIGINT NOT NULL
);

-- How far each consumer of a stream has come; written with what it made of the events.
CREATE TABLE positions (
    consumer TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL
);

CREATE TABLE usage_totals (
    application_id BIGINT NOT NULL,
    -- 2026-11-25
    day TEXT NOT NULL,
    class TEXT NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (application_id, day, class)
);

CREATE TABLE pictures (
    application_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    name TEXT NOT NULL,
    -- background, watermark or placeholder
    kind TEXT NOT NULL,
    -- png, jpg ...
    suffix TEXT NOT NULL,
    -- JSON: position and size that the caller has given.
    placement TEXT NOT NULL,
    content BYTEA NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (application_id, id)
);
