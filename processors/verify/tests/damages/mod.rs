//! What can be broken in Postgres.

/// Checks, and a text that a finding of each must hold; `@k` is the place of the transfer with key `k`, `#k` its id.
pub(crate) type Reported = &'static [(&'static str, &'static str)];

pub(crate) struct Damage {
    pub(crate) what: &'static str,
    pub(crate) sql: &'static str,
    /// Every check that must report it, and no other.
    pub(crate) reported: Reported,
}

const fn damage(what: &'static str, sql: &'static str, reported: Reported) -> Damage {
    Damage {
        what,
        sql,
        reported,
    }
}

pub(crate) const DAMAGES: &[Damage] = &[
    damage(
        "a balance is changed by a cent",
        "UPDATE accounts SET balance = balance + 1 WHERE ledger = 1 AND id = 'bob'",
        &[
            ("money", "ledger demo: its USD accounts sum to 1 minor units, expected 0"),
            ("money", "account bob of ledger demo: balance 5535 and version 5, its postings give 5534 and 5"),
            ("accounts", "balance after is 5534, the account has 5535"),
            ("decisions", "account bob of ledger demo: balance is 55.35, expected 55.34"),
        ],
    ),
    damage(
        "a cent goes from one account to another",
        "UPDATE accounts SET balance = balance + CASE id WHEN 'bob' THEN 1 ELSE -1 END
          WHERE ledger = 1 AND id IN ('bob', 'carol')",
        &[
            ("money", "account carol of ledger demo: balance 2599 and version 4, its postings give 2600 and 4"),
            ("accounts", "the account has 2599"),
            ("decisions", "account carol of ledger demo: balance is 25.99, expected 26.00"),
        ],
    ),
    damage(
        "a version is changed",
        "UPDATE accounts SET version = version + 1 WHERE ledger = 1 AND id = 'bob'",
        &[
            ("money", "account bob of ledger demo: balance 5534 and version 6, its postings give 5534 and 5"),
            ("decisions", "account bob of ledger demo: version is 6, expected 5"),
        ],
    ),
    damage(
        "a currency is changed",
        "UPDATE accounts SET currency = 'EUR' WHERE ledger = 1 AND id = 'carol'",
        &[
            ("money", "ledger demo: its EUR accounts sum to 2600 minor units, expected 0"),
            ("money", "transfer #k5 at @k5: account carol of ledger demo is in EUR with exponent 2, expected an account in USD with exponent 2"),
            ("decisions", "account carol of ledger demo: currency is EUR, expected USD"),
        ],
    ),
    damage(
        "an account is gone",
        "DELETE FROM accounts WHERE ledger = 1 AND id = 'member'",
        &[
            ("money", "ledger demo: its POINTS accounts sum to -7 minor units, expected 0"),
            ("money", "transfer #f4 at @f4: account member of ledger demo is not there"),
            ("decisions", "account member of ledger demo: it is gone"),
        ],
    ),
    damage(
        "a limit is passed",
        "ALTER TABLE accounts DROP CONSTRAINT accounts_min_balance;
         UPDATE accounts SET min_balance = 2601 WHERE ledger = 1 AND id = 'carol'",
        &[
            ("accounts", "account carol of ledger demo: balance 2600 is below its min_balance 2601"),
            ("decisions", "account carol of ledger demo: min_balance is 26.01, expected 0.00"),
        ],
    ),
    damage(
        "a posted transfer is gone",
        "DELETE FROM transfers WHERE ledger = 1 AND idempotency_key = 'k5'",
        &[
            ("money", "account bob of ledger demo: balance 5534 and version 5, its postings give 6034 and 4"),
            ("outcomes", "@k5: the command has 0 outcomes, expected 1"),
            ("accounts", "account carol of ledger demo, version"),
            ("chain", "outcomes, expected"),
            ("chain", "do not have the committed hash"),
            // Of which of its accounts' later transfers depends on the order of two partitions.
            ("decisions", "decided again it differs: "),
        ],
    ),
    damage(
        "a refused transfer is gone",
        "DELETE FROM transfers WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[
            ("outcomes", "@k3: the command has 0 outcomes, expected 1"),
            ("chain", "outcomes, expected"),
        ],
    ),
    damage(
        "a transfer that is repeated later is gone",
        "DELETE FROM transfers WHERE ledger = 2 AND idempotency_key = 'f1';
         DELETE FROM transfers WHERE ledger = 1 AND idempotency_key = 'k1'",
        &[
            ("money", "account alice of ledger other: balance 500 and version 1, its postings give 0 and 0"),
            ("outcomes", "reading the outcomes of a commit"),
            ("accounts", "account alice of ledger demo, version"),
            ("chain", "reading the outcomes of a commit"),
            ("decisions", "sluice.transfer.key_reused.v1, decided again it is sluice.transfer.posted.v1"),
        ],
    ),
    damage(
        "an amount is changed",
        "UPDATE transfers SET amount = amount + 1 WHERE ledger = 1 AND idempotency_key = 'k5'",
        &[
            ("money", "account carol of ledger demo: balance 2600 and version 4, its postings give 2601 and 4"),
            ("outcomes", "@k5: sluice.transfer.posted.v1 differs from the command on the log: amount is 5.01, expected 5.00"),
            ("accounts", "transfer #k5 at @k5: balance after is"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@k5: sluice.transfer.posted.v1, decided again it differs: amount is"),
        ],
    ),
    damage(
        "a description is changed",
        "UPDATE transfers SET description = 'dinner' WHERE ledger = 1 AND idempotency_key = 'k1'",
        &[
            ("outcomes", "@k1: sluice.transfer.posted.v1 differs from the command on the log: description is Some(\"dinner\"), expected Some(\"lunch\")"),
            ("chain", "do not have the committed hash"),
            ("decisions", "decided again it is sluice.transfer.key_reused.v1"),
        ],
    ),
    damage(
        "the sentence of a refusal is changed",
        "UPDATE transfers SET detail = 'no' WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[
            ("chain", "do not have the committed hash"),
            ("decisions", "@k3: sluice.transfer.refused.v1, decided again it differs: detail is"),
        ],
    ),
    damage(
        "a time of acceptance is changed",
        "UPDATE transfers SET accepted_at = accepted_at + 1 WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[
            ("outcomes", "accepted_at is 2026-01-02T03:04:05.678901235Z, expected 2026-01-02T03:04:05.678901234Z"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@k3: sluice.transfer.refused.v1, decided again it differs: accepted_at is"),
        ],
    ),
    damage(
        "a time of decision goes back",
        "UPDATE transfers SET decided_at = 1 WHERE ledger = 1 AND idempotency_key = 'k9'",
        &[
            ("accounts", "transfer #k9 at @k9: decided at 1 ns, before the posting before it"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@k9: sluice.transfer.posted.v1, decided again it differs: decided_at is"),
        ],
    ),
    damage(
        "a key is changed",
        "UPDATE transfers SET idempotency_key = 'k99' WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[
            ("outcomes", "@k3: sluice.transfer.refused.v1 differs from the command on the log: key is"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@k3: sluice.transfer.refused.v1, decided again it differs: idempotency_key is"),
        ],
    ),
    damage(
        "an id is changed",
        "UPDATE transfers SET id = gen_random_uuid() WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[
            ("outcomes", ", expected #k3"),
            ("chain", "do not have the committed hash"),
            ("decisions", "decided again it differs: id is"),
        ],
    ),
    damage(
        "a posting goes to another account",
        "UPDATE transfers SET credit_account = 'ghost' WHERE ledger = 1 AND idempotency_key = 'k5'",
        &[
            ("money", "transfer #k5 at @k5: account ghost of ledger demo is not there"),
            ("outcomes", "@k5: sluice.transfer.posted.v1 differs from the command on the log: credit_account is"),
            ("accounts", "account ghost of ledger demo, version"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@k5: sluice.transfer.posted.v1, decided again it differs: credit_account is"),
        ],
    ),
    damage(
        "a version of a posting is skipped",
        "UPDATE transfers SET debit_version = debit_version + 10 WHERE ledger = 1 AND idempotency_key = 'k9'",
        &[
            ("accounts", "transfer #k9 at @k9: expected version"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@k9: sluice.transfer.posted.v1, decided again it differs: debit_version is 14, expected 4"),
        ],
    ),
    damage(
        "a balance after a posting is changed",
        "UPDATE transfers SET credit_balance_after = credit_balance_after + 1
          WHERE ledger = 1 AND idempotency_key = 'f2'",
        &[
            ("accounts", "account bob of ledger demo, version 1, transfer #f2 at @f2: balance after is 5001, expected 5000"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@f2: sluice.transfer.posted.v1, decided again it differs: credit_balance_after is"),
        ],
    ),
    damage(
        "a balance after a posting is at the end of 64 bits",
        "UPDATE transfers SET credit_balance_after = 9223372036854775807
          WHERE ledger = 1 AND idempotency_key = 'f2'",
        &[
            ("accounts", "balance after is 9223372036854775807, expected 5000"),
            ("chain", "do not have the committed hash"),
            ("decisions", "@f2: sluice.transfer.posted.v1, decided again it differs: credit_balance_after is"),
        ],
    ),
    damage(
        "an outcome is gone",
        "DELETE FROM outcomes WHERE kind = 'sluice.account.closed.v1'",
        &[
            ("outcomes", "the command has 0 outcomes, expected 1"),
            ("chain", "outcomes, expected"),
            ("decisions", "account dora of ledger demo: changed_at is"),
        ],
    ),
    damage(
        "a command has a second outcome",
        "INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id)
         SELECT partition, position, line, ledger, decided_at, 'sluice.transfer.replayed.v1', id
           FROM transfers
          WHERE ledger = 1 AND idempotency_key = 'k5'",
        &[
            ("outcomes", "@k5: the command has 2 outcomes, expected 1, sluice.transfer.posted.v1, sluice.transfer.replayed.v1"),
            ("chain", "outcomes, expected"),
        ],
    ),
    damage(
        "an outcome has no command in its record",
        "INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id)
         SELECT partition, position, 99, ledger, decided_at, 'sluice.transfer.replayed.v1', id
           FROM transfers
          WHERE ledger = 1 AND idempotency_key = 'k5'",
        &[
            ("outcomes", ".99: sluice.transfer.replayed.v1 without a command on the log"),
            ("chain", "outcomes, expected"),
        ],
    ),
    damage(
        "an outcome has no record",
        "INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id)
         SELECT c.partition, max(c.first_position) - 1, 0, 1, 1, 'sluice.transfer.replayed.v1',
                (SELECT id FROM transfers WHERE ledger = 1 AND idempotency_key = 'k5')
           FROM commits c
          WHERE c.first_position > 1 + coalesce((SELECT max(b.position) FROM commits b
                                                  WHERE b.partition = c.partition AND b.position < c.position), 0)
          GROUP BY c.partition
          LIMIT 1",
        &[
            ("outcomes", ".0: sluice.transfer.replayed.v1 without a command on the log"),
            ("chain", ".0: sluice.transfer.replayed.v1 lies in no commit"),
        ],
    ),
    damage(
        "an outcome is of another kind",
        "UPDATE outcomes SET kind = 'sluice.account.opened.v1' WHERE kind = 'sluice.account.closed.v1'",
        &[
            ("outcomes", "sluice.account.opened.v1 differs from the command on the log: the command is close_account"),
            ("chain", "do not have the committed hash"),
            ("decisions", "sluice.account.opened.v1, decided again it is sluice.account.closed.v1"),
        ],
    ),
    damage(
        "an outcome is about another account",
        "UPDATE outcomes SET data = replace(data, '\"dora\"', '\"dolly\"') WHERE kind = 'sluice.account.closed.v1'",
        &[
            ("outcomes", "sluice.account.closed.v1 differs from the command on the log: account is"),
            ("chain", "do not have the committed hash"),
            ("decisions", "sluice.account.closed.v1, decided again it differs: id is"),
        ],
    ),
    damage(
        "an outcome cannot be read",
        "UPDATE outcomes SET data = '{' WHERE kind = 'sluice.account.closed.v1'",
        &[
            ("outcomes", "reading the outcomes of a commit"),
            ("chain", "reading the outcomes of a commit"),
            ("decisions", "error occurred while decoding"),
        ],
    ),
    damage(
        "a replay repeats another transfer",
        "UPDATE outcomes SET transfer_id = (SELECT id FROM transfers WHERE ledger = 1 AND idempotency_key = 'k5')
          WHERE kind = 'sluice.transfer.replayed.v1'",
        &[
            ("outcomes", "sluice.transfer.replayed.v1 differs from the command on the log: id is #k5, expected #k1"),
            ("chain", "do not have the committed hash"),
            ("decisions", "sluice.transfer.replayed.v1, decided again it differs: amount is"),
        ],
    ),
    damage(
        "a dead letter has other bytes",
        "UPDATE dead_letters SET body = 'still no json' WHERE reason = 'json_malformed'",
        &[
            ("outcomes", "sluice.command.dead_lettered.v1 differs from the command on the log: other bytes were kept"),
            ("dead_letters", "json_malformed, its copy on DLQ has other bytes"),
        ],
    ),
    damage(
        "a dead letter is of another record",
        "UPDATE dead_letters SET recorded_at = recorded_at + 1 WHERE reason = 'schema_unknown'",
        &[("outcomes", "sluice.command.dead_lettered.v1 differs from the command on the log: recorded_at is")],
    ),
    damage(
        "a dead letter is gone",
        "DELETE FROM dead_letters WHERE reason = 'record_empty'",
        &[
            ("outcomes", "the command has 0 outcomes, expected 1"),
            ("chain", "outcomes, expected"),
        ],
    ),
    damage(
        "the applied record has another time",
        "UPDATE partitions SET applied_at = applied_at + 1 WHERE applied > 0",
        &[("outcomes", "the record at the applied position")],
    ),
    damage(
        "a position is ahead of the log",
        "UPDATE partitions SET applied = applied + 1000, applied_at = applied_at + 1 WHERE partition = 0",
        &[
            ("outcomes", "is not on COMMANDS"),
            ("chain", "expected at the applied position"),
        ],
    ),
    damage(
        "a position is behind its commits",
        "UPDATE partitions p
            SET applied = c.position, published = c.position
           FROM (SELECT partition, min(position) AS position FROM commits GROUP BY partition) c
          WHERE p.partition = c.partition",
        &[
            ("outcomes", "commits: the row at"),
            ("outcomes", "@k9 lies beyond the applied position"),
            ("decisions", "account bob of ledger demo: balance is 55.34, expected 0.00"),
        ],
    ),
    damage(
        "a partition is gone",
        "DELETE FROM partitions WHERE partition = (SELECT partition FROM transfers WHERE ledger = 1 AND idempotency_key = 'k9')",
        &[
            ("outcomes", "transfers: the row at @k9 lies beyond the applied position 0"),
            ("decisions", "account alice of ledger demo: no outcome opened it"),
        ],
    ),
    damage(
        "the positions belong to another stream",
        "UPDATE partitions SET stream_created = stream_created - 1",
        &[("outcomes", "COMMANDS was created at")],
    ),
    damage(
        "a hash is changed",
        "UPDATE commits SET hash = sha256(hash)
          WHERE (partition, position) IN (SELECT partition, max(position) FROM commits GROUP BY partition)",
        &[
            ("chain", "do not have the committed hash"),
            ("events", "its header says hash"),
            ("events", "its bytes have hash"),
        ],
    ),
    damage(
        "a link is changed",
        "UPDATE commits SET previous_hash = sha256(hash)
          WHERE (partition, position) IN (SELECT partition, max(position) FROM commits GROUP BY partition)",
        &[
            ("chain", "it follows hash"),
            ("chain", "do not have the committed hash"),
            ("events", "its bytes have hash"),
        ],
    ),
    damage(
        "a count is changed",
        "UPDATE commits SET commands = commands + 1 WHERE position = (SELECT max(position) FROM commits)",
        &[("chain", "outcomes, expected")],
    ),
    damage(
        "a commit reaches into the one before",
        "UPDATE commits SET first_position = 1
          WHERE (partition, position) IN (SELECT partition, max(position) FROM commits GROUP BY partition)",
        &[
            ("chain", "it begins at 1, expected after"),
            ("decisions", "decided again it differs: decided_at is"),
        ],
    ),
    damage(
        "the encoder is unknown",
        "UPDATE commits SET encoder = 7 WHERE position = (SELECT max(position) FROM commits)",
        &[("chain", "was encoded by version 7")],
    ),
    damage(
        "a first commit is gone",
        "DELETE FROM commits WHERE (partition, position) IN (SELECT partition, min(position) FROM commits GROUP BY partition)",
        &[
            ("chain", "expected 0000000000000000000000000000000000000000000000000000000000000000 of commit 0"),
            ("chain", "lies in no commit"),
            ("events", "which Postgres does not expect here"),
            ("decisions", "account bob of ledger demo: no outcome opened it"),
        ],
    ),
    damage(
        "a last commit is gone",
        "DELETE FROM commits WHERE (partition, position) IN (SELECT partition, max(position) FROM commits GROUP BY partition)",
        &[
            ("chain", "expected at the applied position"),
            ("chain", "lies in no commit"),
            ("events", "which Postgres does not expect here"),
            ("decisions", "account bob of ledger demo: balance is 55.34, expected"),
        ],
    ),
    damage(
        "all commits are gone",
        "TRUNCATE commits",
        &[
            ("chain", "lies in no commit"),
            ("events", "which Postgres does not expect here"),
            ("decisions", "account bob of ledger demo: no outcome opened it"),
        ],
    ),
    damage(
        "a version is at the end of 64 bits",
        "UPDATE transfers SET credit_version = 9223372036854775807 WHERE ledger = 1 AND idempotency_key = 'f2'",
        &[
            ("accounts", "account bob of ledger demo, version"),
            ("chain", "do not have the committed hash"),
            ("decisions", ": deciding it again panics"),
        ],
    ),
    damage(
        "a limit is changed",
        "UPDATE accounts SET min_balance = -1 WHERE ledger = 1 AND id = 'bob'",
        &[("decisions", "account bob of ledger demo: min_balance is -0.01, expected 0.00")],
    ),
    damage(
        "a limit is taken away",
        "UPDATE accounts SET min_balance = NULL WHERE ledger = 1 AND id = 'bob'",
        &[("decisions", "account bob of ledger demo: min_balance is unlimited, expected 0.00")],
    ),
    damage(
        "an account is frozen",
        "UPDATE accounts SET status = 'frozen' WHERE ledger = 1 AND id = 'bob'",
        &[("decisions", "account bob of ledger demo: status is frozen, expected open")],
    ),
    damage(
        "the metadata of an account is changed",
        r#"UPDATE accounts SET metadata = '{"a":1}' WHERE ledger = 1 AND id = 'bob'"#,
        &[("decisions", r#"account bob of ledger demo: metadata is {"a":1}, expected absent"#)],
    ),
    damage(
        "the type of an account is changed",
        "UPDATE accounts SET type = 'savings' WHERE ledger = 1 AND id = 'bob'",
        &[("decisions", "account bob of ledger demo: type is savings, expected absent")],
    ),
    damage(
        "an account was opened otherwise",
        "UPDATE accounts SET opening_min_balance = -1 WHERE ledger = 1 AND id = 'bob'",
        &[("decisions", "account bob of ledger demo: min_balance when it was opened is -0.01, expected 0.00")],
    ),
    damage(
        "an account was never opened",
        "INSERT INTO accounts (ledger, id, currency, exponent, status, balance, version, opened_at, changed_at)
         VALUES (1, 'mallory', 'USD', 2, 'open', 0, 0, 1, 1)",
        &[("decisions", "account mallory of ledger demo: no outcome opened it")],
    ),
    damage(
        "another line is kept",
        "UPDATE outcomes SET command = replace(command, '12.35', '12.36') WHERE kind = 'sluice.transfer.key_reused.v1'
            AND command LIKE '%12.35%'",
        &[("decisions", "another line was kept than the one on the log")],
    ),
    damage(
        "a line is not kept",
        "UPDATE outcomes SET command = NULL WHERE kind = 'sluice.account.closed.v1'",
        &[("decisions", "another line was kept than the one on the log")],
    ),
    damage(
        "the headers of a dead letter are gone",
        "UPDATE dead_letters SET headers = '' WHERE reason = 'schema_unknown'",
        &[("dead_letters", "schema_unknown, but the record can be read")],
    ),
    damage(
        "two commits of a partition change places",
        "WITH two AS (SELECT partition, position, serial,
                             lead(serial) OVER (ORDER BY position) AS next, lag(serial) OVER (ORDER BY position) AS last
                        FROM (SELECT * FROM commits
                               WHERE partition = (SELECT partition FROM transfers WHERE idempotency_key = 'k9')
                               ORDER BY position DESC LIMIT 2) c),
              away AS (UPDATE commits c SET serial = NULL FROM two
                        WHERE c.partition = two.partition AND c.position = two.position)
         SELECT two.*, coalesce(next, last) AS other INTO TEMP places FROM two;
         UPDATE commits c SET serial = -c.serial;
         UPDATE commits c SET serial = p.other FROM places p WHERE c.partition = p.partition AND c.position = p.position;
         UPDATE commits c SET serial = -c.serial WHERE serial < 0",
        &[("decisions", "expected more than")],
    ),
    damage(
        "two commits that share an account change places",
        "CREATE TEMP TABLE places AS
         SELECT c.partition, c.position, c.serial FROM commits c
           JOIN transfers t ON t.partition = c.partition AND t.position BETWEEN c.first_position AND c.position
          WHERE t.idempotency_key IN ('k9', 'k10');
         UPDATE commits SET serial = -serial;
         UPDATE commits c SET serial = o.serial
           FROM places p, places o
          WHERE c.partition = p.partition AND c.position = p.position AND o.serial <> p.serial;
         UPDATE commits SET serial = -serial WHERE serial < 0",
        &[("decisions", "decided again it differs")],
    ),
    damage(
        "a commit has lost its place",
        "UPDATE commits SET serial = NULL WHERE serial = (SELECT max(serial) FROM commits)",
        &[("decisions", ": it has no serial"), ("decisions", "account")],
    ),
    damage(
        "every commit has lost its place",
        "UPDATE commits SET serial = NULL",
        &[("decisions", ": it has no serial")],
    ),
    damage(
        "a commit decided at another time",
        "UPDATE commits SET decided_at = decided_at + 1000 WHERE position = (SELECT max(position) FROM commits)",
        &[("decisions", "decided again it differs: ")],
    ),
    damage(
        "ten thousand rows too many in one commit",
        "INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id)
         SELECT partition, position, 99 + n, ledger, decided_at, 'sluice.transfer.replayed.v1', id
           FROM transfers, generate_series(1, 10000) n
          WHERE ledger = 1 AND idempotency_key = 'k5'",
        &[
            ("outcomes", ".100: sluice.transfer.replayed.v1 without a command on the log"),
            ("chain", "outcomes, expected"),
            ("decisions", "there are far more outcomes than the commit counts"),
        ],
    ),
    damage(
        "ten thousand rows too many outside of commits",
        "UPDATE partitions SET applied = applied + 20000
          WHERE partition = (SELECT partition FROM transfers WHERE ledger = 1 AND idempotency_key = 'k5');
         INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id)
         SELECT t.partition, p.applied - n, 0, ledger, decided_at, 'sluice.transfer.replayed.v1', id
           FROM transfers t, partitions p, generate_series(1, 10000) n
          WHERE t.ledger = 1 AND t.idempotency_key = 'k5' AND p.partition = t.partition",
        &[
            ("outcomes", "sluice.transfer.replayed.v1 without a command on the log"),
            ("chain", "lies in no commit"),
        ],
    ),
];
