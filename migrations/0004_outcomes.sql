ALTER TABLE outcomes
    ADD COLUMN actor   TEXT COLLATE "C",
    ADD COLUMN command TEXT;                          -- its line, without traceparent; NULL for replays
