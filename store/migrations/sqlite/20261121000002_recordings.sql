CREATE TABLE recordings (
    file_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    -- ready or failed
    state TEXT NOT NULL,
    format TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    started_unix_us BIGINT NOT NULL,
    url TEXT NOT NULL,
    -- The whole RecordingFile as JSON, for its callback.
    file TEXT NOT NULL,
    announced BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX recordings_started ON recordings (started_unix_us);
