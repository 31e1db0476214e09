-- Whose file it is: sdk_app_id. 0: not filled in yet; the recorder does it at its start.
ALTER TABLE recordings ADD COLUMN app BIGINT NOT NULL DEFAULT 0;

CREATE INDEX recordings_app ON recordings (app, started_unix_us);
CREATE INDEX recordings_name ON recordings (name);
