-- What is needed to decide every command again: the order of commits, who asked, what a refusal saw, the lines (this
-- and the next files). Every column has a default or may be NULL, so that processors of the version before go on
-- meanwhile; nothing is rewritten. One table a file, as each file is one transaction: a migration never holds one table
-- while it waits for another.

-- Drawn after the locks, by the default, in the transaction that commits: commits that touched a common account stand
-- in the order in which they happened. NULL on older rows; gaps mean nothing.
CREATE SEQUENCE commits_serial CACHE 1;
ALTER TABLE commits
    ADD COLUMN serial BIGINT,
    ADD COLUMN rules  SMALLINT NOT NULL DEFAULT 1;   -- version of the core that decided
ALTER TABLE commits ALTER COLUMN serial SET DEFAULT nextval('commits_serial');
ALTER SEQUENCE commits_serial OWNED BY commits.serial;
