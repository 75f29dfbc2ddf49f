-- What an ended call used, for its settlement.
ALTER TABLE outbox ADD COLUMN tokens INTEGER;
