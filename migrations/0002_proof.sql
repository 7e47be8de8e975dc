-- What is needed to decide every command again: the order of commits, who asked, what a refusal saw, the lines.
-- Every column has a default or may be NULL, so that processors of the version before go on meanwhile; nothing is
-- rewritten.

-- Drawn after the locks, by the default, in the transaction that commits: commits that touched a common account stand
-- in the order in which they happened. NULL on older rows; gaps mean nothing.
CREATE SEQUENCE commits_serial CACHE 1;
ALTER TABLE commits
    ADD COLUMN serial BIGINT UNIQUE,
    ADD COLUMN rules  SMALLINT NOT NULL DEFAULT 1;   -- version of the core that decided
ALTER TABLE commits ALTER COLUMN serial SET DEFAULT nextval('commits_serial');
ALTER SEQUENCE commits_serial OWNED BY commits.serial;

-- Who asked: 'key:<id>', 'sluice' or 'nats'. What a refusal saw of its debit account: NULL where none was read, and
-- min_balance_seen also where there was no limit.
ALTER TABLE transfers
    ADD COLUMN actor            TEXT COLLATE "C",
    ADD COLUMN balance_seen     BIGINT,
    ADD COLUMN version_seen     BIGINT,
    ADD COLUMN min_balance_seen BIGINT;

ALTER TABLE outcomes
    ADD COLUMN actor   TEXT COLLATE "C",
    ADD COLUMN command TEXT;                          -- its line, without traceparent; NULL for replays

ALTER TABLE dead_letters
    ADD COLUMN actor   TEXT COLLATE "C",
    ADD COLUMN headers BYTEA;                         -- of the record, as the log keeps them

ALTER TABLE partitions
    ADD COLUMN dlq_published BIGINT NOT NULL DEFAULT 0,  -- dead letters up to this position are on DLQ
    ADD COLUMN certain_at    BIGINT NOT NULL DEFAULT 0;  -- no later commit decides before this time

ALTER TABLE units ADD COLUMN created_at TIMESTAMPTZ NOT NULL DEFAULT '-infinity';
ALTER TABLE units ALTER COLUMN created_at SET DEFAULT now();

-- What operators removed from a stream on purpose, so that its absence is no finding.
CREATE TABLE trims (
    number     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream     TEXT COLLATE "C" NOT NULL,
    partition  SMALLINT NOT NULL,
    up_to      BIGINT NOT NULL,                       -- position of the last record that was removed
    trimmed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    actor      TEXT COLLATE "C" NOT NULL,
    why        TEXT NOT NULL CHECK (why <> '')
);
