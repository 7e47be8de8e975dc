//! The queries that look for what must not be there.
//!
//! Invariant: each gives one text column, a finding a row, and no row when all is well. Postgres sorts and joins on
//! disk where memory does not suffice, so the tables may have any size.

/// Balances against each other and against the postings.
pub(crate) const MONEY: &[&str] = &[SUMS, BALANCES, PARTIES];

/// Each account along its versions.
pub(crate) const ACCOUNTS: &[&str] = &[BELOW_MINIMUM, POSTINGS];

/// The journal against the applied positions.
pub(crate) const BEYOND: &[&str] = &[BEYOND_APPLIED];

/// The order of commits.
pub(crate) const ORDER: &[&str] = &[SERIALS];

const SUMS: &str = "
    SELECT format('ledger %s: its %s accounts sum to %s minor units, expected 0',
                  coalesce(l.name, s.ledger::text), s.currency, s.total)
      FROM (SELECT ledger, currency, sum(balance) AS total
              FROM accounts
             GROUP BY ledger, currency
            HAVING sum(balance) <> 0) s
      LEFT JOIN ledgers l ON l.number = s.ledger";

const BALANCES: &str = "
    SELECT format('account %s of ledger %s: balance %s and version %s, its postings give %s and %s',
                  a.id, coalesce(l.name, a.ledger::text), a.balance, a.version, coalesce(e.balance, 0),
                  coalesce(e.postings, 0))
      FROM accounts a
      LEFT JOIN (SELECT ledger, account, sum(amount) AS balance, count(*) AS postings
                   FROM entries
                  GROUP BY ledger, account) e ON e.ledger = a.ledger AND e.account = a.id
      LEFT JOIN ledgers l ON l.number = a.ledger
     WHERE a.balance <> coalesce(e.balance, 0) OR a.version <> coalesce(e.postings, 0)";

const PARTIES: &str = "
    SELECT format('transfer %s at %s.%s.%s: account %s of ledger %s is %s, expected an account in %s with exponent %s',
                  'tr_' || replace(e.transfer_id::text, '-', ''), e.partition, e.position, e.line, e.account,
                  coalesce(l.name, e.ledger::text),
                  coalesce('in ' || a.currency || ' with exponent ' || a.exponent, 'not there'),
                  e.currency, e.exponent)
      FROM entries e
      LEFT JOIN accounts a ON a.ledger = e.ledger AND a.id = e.account
      LEFT JOIN ledgers l ON l.number = e.ledger
     WHERE a.id IS NULL OR a.currency <> e.currency OR a.exponent <> e.exponent";

const BELOW_MINIMUM: &str = "
    SELECT format('account %s of ledger %s: balance %s is below its min_balance %s',
                  a.id, coalesce(l.name, a.ledger::text), a.balance, a.min_balance)
      FROM accounts a
      LEFT JOIN ledgers l ON l.number = a.ledger
     WHERE a.balance < a.min_balance";

/// `numeric`, so that a balance near the end of 64 bits is a finding and not an error.
const POSTINGS: &str = "
    SELECT format('account %s of ledger %s, version %s, transfer %s at %s.%s.%s: ',
                  e.account, coalesce(l.name, e.ledger::text), e.version,
                  'tr_' || replace(e.transfer_id::text, '-', ''), e.partition, e.position, e.line)
        || concat_ws(', ',
           CASE WHEN e.version <> e.version_before + 1
                THEN format('expected version %s', e.version_before + 1) END,
           CASE WHEN e.balance_after::numeric <> e.balance_before::numeric + e.amount
                THEN format('balance after is %s, expected %s', e.balance_after,
                            e.balance_before::numeric + e.amount) END,
           CASE WHEN e.decided_at < e.decided_before
                THEN format('decided at %s ns, before the posting before it at %s ns', e.decided_at,
                            e.decided_before) END,
           CASE WHEN e.is_last AND a.balance <> e.balance_after
                THEN format('balance after is %s, the account has %s', e.balance_after, a.balance) END,
           CASE WHEN e.is_last AND a.changed_at < e.decided_at
                THEN format('decided at %s ns, the account changed last at %s ns', e.decided_at,
                            a.changed_at) END)
      FROM (SELECT ledger, account, version, amount, balance_after, decided_at, transfer_id, partition, position, line,
                   lag(version, 1, 0::bigint) OVER along AS version_before,
                   lag(balance_after, 1, 0::bigint) OVER along AS balance_before,
                   lag(decided_at, 1, decided_at) OVER along AS decided_before,
                   lead(version) OVER along IS NULL AS is_last
              FROM entries
            WINDOW along AS (PARTITION BY ledger, account ORDER BY version)) e
      LEFT JOIN accounts a ON e.is_last AND a.ledger = e.ledger AND a.id = e.account
      LEFT JOIN ledgers l ON l.number = e.ledger
     WHERE e.version <> e.version_before + 1
        OR e.balance_after::numeric <> e.balance_before::numeric + e.amount
        OR e.decided_at < e.decided_before
        OR a.balance <> e.balance_after
        OR a.changed_at < e.decided_at";

const BEYOND_APPLIED: &str = "
    SELECT format('%s: the row at %s.%s.%s lies beyond the applied position %s of its partition',
                  j.source, j.partition, j.position, j.line, coalesce(p.applied, 0))
      FROM (SELECT 'transfers' AS source, partition, position, line FROM transfers
             UNION ALL
            SELECT 'outcomes', partition, position, line FROM outcomes
             UNION ALL
            SELECT 'dead_letters', partition, position, line FROM dead_letters
             UNION ALL
            SELECT 'commits', partition, position, 0 FROM commits) j
      LEFT JOIN partitions p ON p.partition = j.partition
     WHERE j.position > coalesce(p.applied, 0) OR j.position < 1";

/// Commits are numbered while they hold their partition's row, and what the first encoder did not write was numbered.
const SERIALS: &str = "
    SELECT format('commit %s of partition %s: ', c.position, c.partition)
        || CASE WHEN c.serial IS NULL THEN 'it has no serial'
                ELSE format('its serial is %s, expected more than %s of the commits before', c.serial, c.before) END
      FROM (SELECT partition, position, encoder, serial,
                   max(serial) OVER (PARTITION BY partition ORDER BY position
                                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
              FROM commits) c
     WHERE (c.serial IS NULL AND (c.encoder > 1 OR c.before IS NOT NULL)) OR c.serial <= c.before";
