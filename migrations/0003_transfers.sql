-- Who asked: 'key:<id>', 'sluice' or 'nats'. What a refusal saw of its debit account: NULL where none was read, and
-- min_balance_seen also where there was no limit.
ALTER TABLE transfers
    ADD COLUMN actor            TEXT COLLATE "C",
    ADD COLUMN balance_seen     BIGINT,
    ADD COLUMN version_seen     BIGINT,
    ADD COLUMN min_balance_seen BIGINT;
