-- The rows of before, with what several nodes and tenants need.
ALTER TABLE mix_tasks ADD COLUMN application_id BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mix_tasks ADD COLUMN origin TEXT NOT NULL DEFAULT 'api';
ALTER TABLE mix_tasks ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE mix_tasks ADD COLUMN owner TEXT;
ALTER TABLE mix_tasks ADD COLUMN program_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE callback_outbox ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0;
ALTER TABLE callback_outbox ADD COLUMN last_error TEXT;
ALTER TABLE callback_outbox ADD COLUMN claimed_by TEXT;
ALTER TABLE callback_outbox ADD COLUMN claimed_until_unix_ms BIGINT NOT NULL DEFAULT 0;

ALTER TABLE recordings RENAME TO recording_files;
DROP INDEX recordings_started;
DROP INDEX recordings_app;
DROP INDEX recordings_name;
DROP INDEX recordings_of_recording;
DROP INDEX recordings_open;

CREATE INDEX mix_tasks_running ON mix_tasks (ended_unix_ms);
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
    sealed BLOB NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (application_id, purpose, slot)
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    -- Null: of every application.
    application_id BIGINT,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
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
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
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
    content BLOB NOT NULL,
    created_unix_ms BIGINT NOT NULL,
    PRIMARY KEY (application_id, id)
);
