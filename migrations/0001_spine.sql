-- Ledgers, accounts, transfers and the journal of what was decided.
-- Times that come from the log or stand in an event are BIGINT nanoseconds since 1970 UTC: timestamptz rounds
-- to microseconds, and an event must be rebuilt byte for byte. Client JSON is TEXT for the same reason.
-- The hot path (accounts, transfers, outcomes, commits) has no foreign keys: each would cost a look-up per row,
-- and the one writer reads the rows it refers to under a lock in the same transaction.

CREATE TABLE ledgers (
    number     INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[A-Za-z0-9_-]{1,64}$'),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Units of a ledger's own, beside ISO 4217.
CREATE TABLE units (
    ledger   INTEGER NOT NULL REFERENCES ledgers,
    code     TEXT COLLATE "C" NOT NULL CHECK (code ~ '^[A-Z][A-Z0-9]{2,11}$'),
    exponent SMALLINT NOT NULL CHECK (exponent BETWEEN 0 AND 12),
    PRIMARY KEY (ledger, code)
);

-- API keys. Only the SHA-256 of a key is kept: the key itself has 256 random bits.
CREATE TABLE keys (
    id         TEXT COLLATE "C" PRIMARY KEY,
    hash       BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),
    ledger     INTEGER NOT NULL REFERENCES ledgers,
    scope      TEXT NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    name       TEXT,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    revoked_at TIMESTAMPTZ
);
CREATE INDEX keys_ledger ON keys (ledger, id);

CREATE TABLE accounts (
    balance             BIGINT NOT NULL,
    min_balance         BIGINT,
    version             BIGINT NOT NULL CHECK (version >= 0),
    opened_at           BIGINT NOT NULL,
    changed_at          BIGINT NOT NULL,
    opening_min_balance BIGINT,
    ledger              INTEGER NOT NULL,
    exponent            SMALLINT NOT NULL CHECK (exponent BETWEEN 0 AND 12),
    id                  TEXT COLLATE "C" NOT NULL CHECK (length(id) BETWEEN 1 AND 64), -- a pattern would be matched at every posting
    currency            TEXT COLLATE "C" NOT NULL,
    status              TEXT COLLATE "C" NOT NULL CHECK (status IN ('open', 'frozen', 'closed')),
    type                TEXT,
    metadata            TEXT,
    opening_metadata    TEXT,
    PRIMARY KEY (ledger, id),
    CONSTRAINT accounts_min_balance CHECK (balance >= min_balance),
    CONSTRAINT accounts_closed_empty CHECK (status <> 'closed' OR balance = 0)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- One row per idempotency key, for ever: the row is the key. It is never updated.
CREATE TABLE transfers (
    id                   UUID NOT NULL,
    position             BIGINT NOT NULL,
    accepted_at          BIGINT NOT NULL,
    decided_at           BIGINT NOT NULL,
    amount               BIGINT NOT NULL CHECK (amount > 0),
    debit_version        BIGINT,
    credit_version       BIGINT,
    debit_balance_after  BIGINT,
    credit_balance_after BIGINT,
    ledger               INTEGER NOT NULL,
    line                 INTEGER NOT NULL,
    partition            SMALLINT NOT NULL,
    exponent             SMALLINT NOT NULL,
    debit_account        TEXT COLLATE "C" NOT NULL,
    credit_account       TEXT COLLATE "C" NOT NULL,
    currency             TEXT COLLATE "C" NOT NULL,
    idempotency_key      TEXT COLLATE "C" NOT NULL,
    reason               TEXT COLLATE "C",          -- NULL: posted
    detail               TEXT,
    description          TEXT,
    metadata             TEXT,
    CONSTRAINT transfers_key PRIMARY KEY (id),
    CONSTRAINT transfers_posted CHECK ((reason IS NULL) = (debit_version IS NOT NULL AND credit_version IS NOT NULL
        AND debit_balance_after IS NOT NULL AND credit_balance_after IS NOT NULL)),
    CONSTRAINT transfers_differ CHECK (reason IS NOT NULL OR debit_account <> credit_account)
);
CREATE UNIQUE INDEX transfers_journal ON transfers (partition, position, line);
CREATE UNIQUE INDEX transfers_debit ON transfers (ledger, debit_account, debit_version) WHERE reason IS NULL;
CREATE UNIQUE INDEX transfers_credit ON transfers (ledger, credit_account, credit_version) WHERE reason IS NULL;
CREATE INDEX transfers_decided ON transfers (ledger, decided_at);
-- Refusals are few: these cost next to nothing and let them be listed.
CREATE INDEX transfers_refused ON transfers (ledger, decided_at) WHERE reason IS NOT NULL;
CREATE INDEX transfers_refused_debit ON transfers (ledger, debit_account, decided_at) WHERE reason IS NOT NULL;
CREATE INDEX transfers_refused_credit ON transfers (ledger, credit_account, decided_at) WHERE reason IS NOT NULL;

-- A transfer as its two postings.
CREATE VIEW entries AS
SELECT ledger, debit_account AS account, debit_version AS version, -amount AS amount,
       debit_balance_after AS balance_after, credit_account AS counterparty, id AS transfer_id, currency, exponent,
       decided_at, description, partition, position, line
  FROM transfers
 WHERE reason IS NULL
UNION ALL
SELECT ledger, credit_account, credit_version, amount,
       credit_balance_after, debit_account, id, currency, exponent,
       decided_at, description, partition, position, line
  FROM transfers
 WHERE reason IS NULL;

-- Outcomes that make no transfer row: replays, reused keys, account changes.
CREATE TABLE outcomes (
    position    BIGINT NOT NULL,
    decided_at  BIGINT NOT NULL,
    ledger      INTEGER NOT NULL,
    line        INTEGER NOT NULL,
    partition   SMALLINT NOT NULL,
    kind        TEXT COLLATE "C" NOT NULL,          -- the type of the event
    transfer_id UUID,                               -- for replays: the data is that transfer's row
    data        TEXT,                               -- for all others: the data of the event
    PRIMARY KEY (partition, position, line),
    CONSTRAINT outcomes_data CHECK ((transfer_id IS NULL) <> (data IS NULL))
);

-- Commands that can never be decided, with their bytes.
CREATE TABLE dead_letters (
    position    BIGINT NOT NULL,
    decided_at  BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,                    -- when the log stored the record
    ledger      INTEGER,
    line        INTEGER NOT NULL,
    partition   SMALLINT NOT NULL,
    whole       BOOLEAN NOT NULL,                   -- the record as a whole, not one line of it
    reason      TEXT COLLATE "C" NOT NULL,
    detail      TEXT NOT NULL,
    transfer_id UUID,
    body        BYTEA NOT NULL,
    PRIMARY KEY (partition, position, line)
);
CREATE INDEX dead_letters_transfer ON dead_letters (transfer_id) WHERE transfer_id IS NOT NULL;

-- One row per commit: outbox, journal and proof in one.
CREATE TABLE commits (
    position       BIGINT NOT NULL,                 -- last position of the commit
    first_position BIGINT NOT NULL,                 -- of its first record
    decided_at     BIGINT NOT NULL,
    epoch          BIGINT NOT NULL,
    commands       INTEGER NOT NULL,
    partition      SMALLINT NOT NULL,
    encoder        SMALLINT NOT NULL,
    previous_hash  BYTEA NOT NULL CHECK (length(previous_hash) = 32),
    hash           BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (partition, position)
);

-- The position in the log that the balances reflect, and who may move it.
CREATE TABLE partitions (
    partition      SMALLINT PRIMARY KEY,
    owner          TEXT,
    epoch          BIGINT NOT NULL DEFAULT 0,
    lease_until    TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
    generation     SMALLINT NOT NULL DEFAULT 0,
    stream_created BIGINT,                          -- NULL until the first takeover
    applied        BIGINT NOT NULL DEFAULT 0,
    applied_at     BIGINT NOT NULL DEFAULT 0,       -- when the log stored the record at `applied`
    published      BIGINT NOT NULL DEFAULT 0,
    stopped        TEXT,                            -- why the owner does not go on
    stopped_at     TIMESTAMPTZ
) WITH (fillfactor = 50);

-- Live processors: partitions are spread over those seen lately.
CREATE TABLE processors (
    owner   TEXT PRIMARY KEY,
    seen_at TIMESTAMPTZ NOT NULL
);

-- Deliberate re-creations of the stream, by whom it may concern later.
CREATE TABLE adoptions (
    number             BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition          SMALLINT NOT NULL,
    adopted_at         TIMESTAMPTZ NOT NULL DEFAULT now(),
    why                TEXT NOT NULL CHECK (why <> ''),
    generation         SMALLINT NOT NULL,
    old_stream_created BIGINT,
    new_stream_created BIGINT NOT NULL,
    old_applied        BIGINT NOT NULL,
    new_applied        BIGINT NOT NULL
);
