-- Lanes, parking, the history of attempts, and how many requests are queued.
ALTER TABLE requests ADD COLUMN lane TEXT NOT NULL DEFAULT 'open';
ALTER TABLE requests ADD COLUMN parked_for TEXT;
ALTER TABLE requests ADD COLUMN history BLOB;

DROP INDEX waiting;
CREATE INDEX waiting ON requests (model, priority, lane, accepted_at)
    WHERE status = 'queued' AND parked = 0;

-- Kept by triggers, so that no step of a request can forget it.
CREATE TABLE waiting_counts (
    model    TEXT    NOT NULL,
    priority TEXT    NOT NULL,
    tenant   TEXT    NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (model, priority, tenant)
) STRICT, WITHOUT ROWID;
INSERT INTO waiting_counts
    SELECT model, priority, tenant, count(*) FROM requests
    WHERE status = 'queued' GROUP BY model, priority, tenant;

CREATE TRIGGER request_waits_from_birth AFTER INSERT ON requests
WHEN new.status = 'queued'
BEGIN
    INSERT INTO waiting_counts VALUES (new.model, new.priority, new.tenant, 1)
        ON CONFLICT (model, priority, tenant) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER request_waits_again AFTER UPDATE OF status ON requests
WHEN old.status <> 'queued' AND new.status = 'queued'
BEGIN
    INSERT INTO waiting_counts VALUES (new.model, new.priority, new.tenant, 1)
        ON CONFLICT (model, priority, tenant) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER request_waits_no_more AFTER UPDATE OF status ON requests
WHEN old.status = 'queued' AND new.status <> 'queued'
BEGIN
    UPDATE waiting_counts SET count = count - 1
        WHERE model = old.model AND priority = old.priority AND tenant = old.tenant;
    DELETE FROM waiting_counts
        WHERE model = old.model AND priority = old.priority AND tenant = old.tenant AND count = 0;
END;

-- What an ended call used, for its settlement.
ALTER TABLE outbox ADD COLUMN tokens INTEGER;
