-- Signed calls that changed something, while their signatures are good: a repeated one has no second effect.
CREATE TABLE signed_calls (
    -- A hash of the key's id and the signature.
    id TEXT NOT NULL PRIMARY KEY,
    first_unix_ms BIGINT NOT NULL,
    -- The signature is good for no longer.
    until_unix_ms BIGINT NOT NULL,
    -- JSON; null: it is not answered yet.
    answer TEXT
);
CREATE INDEX signed_calls_until ON signed_calls (until_unix_ms);
