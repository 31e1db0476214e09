-- Finds whether an earlier callback of a room is still waiting.
CREATE INDEX callback_outbox_rooms ON callback_outbox (room, state, created_unix_ms);
