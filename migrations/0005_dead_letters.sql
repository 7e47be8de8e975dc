ALTER TABLE dead_letters
    ADD COLUMN actor   TEXT COLLATE "C",
    ADD COLUMN headers BYTEA;                         -- of its record, with the first dead letter of that
