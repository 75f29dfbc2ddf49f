-- One narrow row per request; bodies and results live apart, so that scans stay small.
-- Instants are Unix seconds. Columns stand in the order of rows.Row; later files add the last ones.
CREATE TABLE requests (
    seq           INTEGER PRIMARY KEY,
    id            TEXT    NOT NULL UNIQUE,
    partition     INTEGER NOT NULL,
    tenant        TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    endpoint      TEXT    NOT NULL,
    priority      TEXT    NOT NULL,
    status        TEXT    NOT NULL,
    accepted_at   REAL    NOT NULL,
    deadline      REAL    NOT NULL,
    not_before    REAL,
    generation    INTEGER NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 0,
    poison        INTEGER NOT NULL DEFAULT 0,
    witnessed     INTEGER NOT NULL DEFAULT 0, -- the attempt that a heartbeat has seen running
    owner         TEXT,
    reservation   TEXT,
    held_by       TEXT,
    on_disconnect TEXT    NOT NULL,
    started_at    REAL,
    finished_at   REAL,
    expires_at    REAL,             -- readers see nothing from here on
    gone_at       REAL,             -- until here the row answers late copies of the message
    next_check    REAL,             -- null once terminal
    parked        INTEGER NOT NULL, -- 1 while not_before lies ahead
    metadata      BLOB
) STRICT;

CREATE INDEX waiting ON requests (model, priority, accepted_at)
    WHERE status = 'queued' AND parked = 0;
CREATE INDEX parked ON requests (not_before) WHERE status = 'queued' AND parked = 1;
CREATE INDEX open_checks ON requests (partition, next_check) WHERE next_check IS NOT NULL;
CREATE INDEX gone ON requests (gone_at) WHERE gone_at IS NOT NULL;

-- The whole envelope, until the request ends; a dead letter keeps it.
CREATE TABLE envelopes (
    seq  INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;

CREATE TABLE results (
    seq        INTEGER PRIMARY KEY,
    expires_at REAL NOT NULL,
    data       BLOB NOT NULL
) STRICT;
CREATE INDEX results_expiry ON results (expires_at);

CREATE TABLE outbox (
    cursor      INTEGER PRIMARY KEY AUTOINCREMENT,
    partition   INTEGER NOT NULL,
    request_id  TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    backend     TEXT,
    reservation TEXT
) STRICT;
CREATE INDEX outbox_order ON outbox (partition, cursor);

CREATE TABLE foreign_messages (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    filed_at REAL NOT NULL,
    reason   TEXT NOT NULL,
    body     BLOB NOT NULL
) STRICT;

CREATE TABLE epochs (
    epoch INTEGER PRIMARY KEY
) STRICT;
