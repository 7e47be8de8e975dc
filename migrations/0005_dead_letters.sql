ALTER TABLE dead_letters
    ADD COLUMN actor   TEXT COLLATE "C",
    ADD COLUMN headers BYTEA;                         -- of the record, as the log keeps them
