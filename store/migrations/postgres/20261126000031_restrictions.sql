-- What users may not do in a room, after they have left it, too.
CREATE TABLE restrictions (
    application_id BIGINT NOT NULL,
    -- The room's token.
    room TEXT NOT NULL,
    -- Empty: everybody.
    user_id TEXT NOT NULL,
    -- entry or media
    kind TEXT NOT NULL,
    -- Of media: the bits of the rights that are left.
    rights BIGINT NOT NULL,
    -- Null: until it is lifted.
    until_unix_ms BIGINT,
    created_unix_ms BIGINT NOT NULL,
    -- The key that made it.
    created_by TEXT NOT NULL,
    PRIMARY KEY (application_id, room, user_id, kind)
);
