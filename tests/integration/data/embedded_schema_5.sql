-- Streams, replies by AMQP and webhooks, as the envelope says.
ALTER TABLE requests ADD COLUMN stream INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN restart INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN reply_to TEXT;
ALTER TABLE requests ADD COLUMN correlation_id TEXT;
ALTER TABLE requests ADD COLUMN reply_as TEXT;
ALTER TABLE requests ADD COLUMN replied INTEGER NOT NULL DEFAULT 0; -- 1: its reply was sent
ALTER TABLE requests ADD COLUMN webhook TEXT;

-- The body of a request whose client may ask for it, as long as its result.
CREATE TABLE asked (
    seq        INTEGER PRIMARY KEY,
    expires_at REAL, -- null while the request is open
    body       BLOB NOT NULL
) STRICT;
CREATE INDEX asked_expiry ON asked (expires_at) WHERE expires_at IS NOT NULL;

-- Which request was made of a message that has no id of its own.
CREATE TABLE marks (
    mark       BLOB NOT NULL,
    request_id TEXT NOT NULL,
    expires_at REAL NOT NULL,
    PRIMARY KEY (mark, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX marks_expiry ON marks (expires_at);

-- Several read the outbox, each behind its own cursor.
ALTER TABLE outbox ADD COLUMN tenant TEXT;
ALTER TABLE outbox ADD COLUMN wants_webhook INTEGER NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN wants_reply INTEGER NOT NULL DEFAULT 0;
UPDATE outbox SET tenant = (SELECT tenant FROM requests q WHERE q.id = outbox.request_id);
CREATE TABLE outbox_cursors (
    partition INTEGER NOT NULL,
    reader    TEXT    NOT NULL,
    cursor    INTEGER NOT NULL,
    PRIMARY KEY (partition, reader)
) STRICT, WITHOUT ROWID;

-- Receivers of webhooks, the secrets for a tenant's own URLs, and what is on its way to them.
CREATE TABLE hook_endpoints (
    id         TEXT PRIMARY KEY,
    updated_at REAL NOT NULL,
    data       BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE hook_secrets (
    tenant TEXT PRIMARY KEY,
    secret TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE hook_posts (
    seq        INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    tenant     TEXT    NOT NULL,
    request_id TEXT    NOT NULL,
    endpoint   TEXT,
    url        TEXT    NOT NULL,
    event_type TEXT    NOT NULL,
    created_at REAL    NOT NULL,
    due_at     REAL    NOT NULL,
    secret     TEXT,
    state      TEXT    NOT NULL,
    tried      INTEGER NOT NULL,
    tries      BLOB    NOT NULL,
    receiver   TEXT    NOT NULL,
    free_at    REAL, -- when it may be leased: due_at, or the end of its lease; null: settled
    settled_at REAL,
    event      BLOB    NOT NULL
) STRICT;
CREATE INDEX hook_posts_free ON hook_posts (receiver, free_at) WHERE free_at IS NOT NULL;
CREATE INDEX hook_posts_listed ON hook_posts (tenant, created_at, id);
CREATE INDEX hook_posts_settled ON hook_posts (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX hook_posts_kept ON hook_posts (tenant, settled_at) WHERE settled_at IS NOT NULL;
CREATE TABLE hook_counts (
    tenant  TEXT PRIMARY KEY,
    settled INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
