-- A file has a row from its first segment on. `state`: recording, closed, finishing, ready, failed.
-- Which recording and which of its parts it is of; its folder has the recording's name.
ALTER TABLE recordings ADD COLUMN recording_id TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN part BIGINT NOT NULL DEFAULT 0;
-- Which process works on it, and until when it may be silent.
ALTER TABLE recordings ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE recordings ADD COLUMN lease_unix_ms BIGINT NOT NULL DEFAULT 0;

CREATE INDEX recordings_of_recording ON recordings (recording_id);
CREATE INDEX recordings_open ON recordings (state, lease_unix_ms);
