-- no-transaction
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS commits_serial_key ON commits (serial);
