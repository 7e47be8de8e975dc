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
