-- Nothing was appended before events had ids of their own.
DELETE FROM event_stream;
-- An event is in the stream once however often it is appended.
ALTER TABLE event_stream ADD COLUMN id TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX event_stream_ids ON event_stream (id);
