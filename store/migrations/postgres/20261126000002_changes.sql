-- Grows with every change of the rows of a subject, so that running servers notice it.
CREATE TABLE changes (
    subject TEXT NOT NULL PRIMARY KEY,
    revision BIGINT NOT NULL
);
