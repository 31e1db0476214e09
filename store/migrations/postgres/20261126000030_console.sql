-- Passwords of the operator console, hashed.
CREATE TABLE console_passwords (
    name TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    changed_unix_ms BIGINT NOT NULL
);
