-- Files, batches, and the requests that are lines of one.
ALTER TABLE requests ADD COLUMN batch TEXT;
ALTER TABLE requests ADD COLUMN line INTEGER;
ALTER TABLE requests ADD COLUMN quiet INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN quiet INTEGER NOT NULL DEFAULT 0;

-- Lines are in no list, and there may be a million of them.
DROP INDEX listing;
CREATE INDEX listing ON requests (tenant, accepted_at) WHERE batch IS NULL;
CREATE INDEX open_lines ON requests (batch, line)
    WHERE batch IS NOT NULL AND next_check IS NOT NULL;

-- Columns stand in the order of batch_rows.BatchRow.
CREATE TABLE batches (
    seq              INTEGER PRIMARY KEY,
    id               TEXT    NOT NULL UNIQUE,
    tenant           TEXT    NOT NULL,
    created_at       REAL    NOT NULL,
    dialect          TEXT    NOT NULL,
    in_order         INTEGER NOT NULL, -- 1: gathered as in its input
    terms            BLOB    NOT NULL,
    status           TEXT    NOT NULL,
    times            BLOB    NOT NULL,
    errors           BLOB    NOT NULL,
    total            INTEGER NOT NULL DEFAULT 0,
    model            TEXT,
    made             INTEGER NOT NULL DEFAULT 0,
    fed_line         INTEGER NOT NULL DEFAULT 0,
    fed_offset       INTEGER NOT NULL DEFAULT 0,
    fed_physical     INTEGER NOT NULL DEFAULT 0,
    completed        INTEGER NOT NULL DEFAULT 0,
    failed           INTEGER NOT NULL DEFAULT 0,
    cancelled        INTEGER NOT NULL DEFAULT 0,
    expired          INTEGER NOT NULL DEFAULT 0,
    input_tokens     INTEGER NOT NULL DEFAULT 0,
    output_tokens    INTEGER NOT NULL DEFAULT 0,
    cached_tokens    INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    rate             REAL    NOT NULL DEFAULT 0,
    paused           INTEGER NOT NULL DEFAULT 0,
    has_output       INTEGER NOT NULL DEFAULT 0,
    has_errors       INTEGER NOT NULL DEFAULT 0,
    told             INTEGER NOT NULL DEFAULT 0,
    token            INTEGER NOT NULL DEFAULT 0, -- that of the newest hold
    owner            TEXT,                       -- who has it, until then
    held_until       REAL    NOT NULL DEFAULT 0,
    gathered_to      INTEGER NOT NULL DEFAULT 0, -- in order: the next line to gather
    expires_at       REAL                        -- null until it has ended
) STRICT;
CREATE INDEX batches_listed ON batches (tenant, dialect, created_at, id);
CREATE INDEX batches_running ON batches (tenant, created_at, id) WHERE expires_at IS NULL;
CREATE INDEX batches_unfinished ON batches (created_at, id) WHERE told = 0;
CREATE INDEX batches_expiry ON batches (expires_at) WHERE expires_at IS NOT NULL;

-- The lines that have ended and are not gathered; they number as they end.
CREATE TABLE line_ends (
    number  INTEGER PRIMARY KEY,
    batch   INTEGER NOT NULL,
    line    INTEGER NOT NULL,
    request INTEGER NOT NULL
) STRICT;
CREATE INDEX line_ends_as_they_end ON line_ends (batch);
CREATE UNIQUE INDEX line_ends_in_order ON line_ends (batch, line);

-- Which lines are `gathered`, and which are in the error file (`failed`): pages of bits.
CREATE TABLE line_bits (
    batch INTEGER NOT NULL,
    kind  TEXT    NOT NULL,
    page  INTEGER NOT NULL,
    bits  BLOB    NOT NULL,
    PRIMARY KEY (batch, kind, page)
) STRICT, WITHOUT ROWID;

CREATE TABLE files (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    tenant     TEXT    NOT NULL,
    purpose    TEXT    NOT NULL,
    filename   TEXT    NOT NULL,
    bytes      INTEGER NOT NULL,
    created_at REAL    NOT NULL,
    expires_at REAL    NOT NULL
) STRICT;
CREATE INDEX files_listed ON files (tenant, created_at, id);
CREATE INDEX files_of_purpose ON files (tenant, purpose, created_at, id);
CREATE INDEX files_expiry ON files (expires_at);
CREATE TABLE file_parts (
    number INTEGER PRIMARY KEY,
    file   INTEGER NOT NULL,
    key    TEXT    NOT NULL,
    bytes  INTEGER NOT NULL
) STRICT;
CREATE INDEX file_parts_in_order ON file_parts (file);
CREATE UNIQUE INDEX file_parts_keys ON file_parts (file, key);
