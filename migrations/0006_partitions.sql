ALTER TABLE partitions
    ADD COLUMN dlq_published BIGINT NOT NULL DEFAULT 0,  -- dead letters up to this position are on DLQ
    ADD COLUMN certain_at    BIGINT NOT NULL DEFAULT 0;  -- no later commit decides before this time; 0: none is known
