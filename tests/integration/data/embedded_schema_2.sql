-- Lists, joins, dead letters and the count of open requests.
ALTER TABLE requests ADD COLUMN body_hash BLOB;
ALTER TABLE requests ADD COLUMN redrive_of TEXT;
ALTER TABLE requests ADD COLUMN redriven_as TEXT;
ALTER TABLE requests ADD COLUMN dead INTEGER NOT NULL DEFAULT 0; -- 1: ended, its envelope kept

UPDATE requests SET dead = 1
    WHERE next_check IS NULL AND seq IN (SELECT seq FROM envelopes);
UPDATE results SET expires_at = (SELECT gone_at FROM requests q WHERE q.seq = results.seq)
    WHERE seq IN (SELECT seq FROM requests WHERE dead = 1);

CREATE INDEX listing ON requests (tenant, accepted_at);
CREATE INDEX dead_letters ON requests (tenant, accepted_at) WHERE dead = 1;
CREATE INDEX joinable ON requests (body_hash) WHERE next_check IS NOT NULL AND held_by IS NOT NULL;

-- Kept by triggers, so that no step of a request can forget it.
CREATE TABLE open_counts (
    tenant TEXT PRIMARY KEY,
    count  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO open_counts
    SELECT tenant, sum(status IN ('queued', 'in_progress')) FROM requests GROUP BY tenant;

CREATE TRIGGER request_born AFTER INSERT ON requests
WHEN new.status IN ('queued', 'in_progress')
BEGIN
    INSERT INTO open_counts VALUES (new.tenant, 1)
        ON CONFLICT (tenant) DO UPDATE SET count = count + 1;
END;

CREATE TRIGGER request_ended AFTER UPDATE OF status ON requests
WHEN old.status IN ('queued', 'in_progress') AND new.status NOT IN ('queued', 'in_progress')
BEGIN
    UPDATE open_counts SET count = count - 1 WHERE tenant = old.tenant;
END;
