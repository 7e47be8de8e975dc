//! What somebody can do who may rewrite rows, hashes and EVENTS.
//!
//! The last command is `last`: 1.00 from alice to bob. `{undone}` takes it back out of the accounts, `{line}` is its line.

use journal::{Lines, Stretch, commits_after, events_in, link};
use schemas::{Encoder, Partition, Position};
use sqlx::PgPool;
use streams::EVENTS;

use crate::damages::Reported;
use crate::history::{PARTITIONS, System, usd};

pub(crate) struct Forgery {
    pub(crate) what: &'static str,
    sql: &'static str,
    /// Every check that must report it, and no other.
    pub(crate) reported: Reported,
}

const fn forgery(what: &'static str, sql: &'static str, reported: Reported) -> Forgery {
    Forgery {
        what,
        sql,
        reported,
    }
}

pub(crate) const FORGERIES: &[Forgery] = &[
    forgery(
        "a valid transfer is buried as something that is no command",
        "WITH gone AS (DELETE FROM transfers WHERE ledger = 1 AND idempotency_key = 'last' RETURNING *)
         INSERT INTO dead_letters (position, decided_at, recorded_at, ledger, line, partition, whole, reason, detail,
                transfer_id, body, actor, headers)
         SELECT g.position, g.decided_at, p.applied_at, g.ledger, g.line, g.partition, false, 'json_malformed', 'no',
                g.id, convert_to('{line}', 'UTF8'), g.actor, ''
           FROM gone g
           JOIN partitions p ON p.partition = g.partition;
         {undone}",
        &[("dead_letters", "@last: json_malformed, but its line is a command")],
    ),
    forgery(
        "a valid transfer is buried as one that cannot be committed",
        "WITH gone AS (DELETE FROM transfers WHERE ledger = 1 AND idempotency_key = 'last' RETURNING *)
         INSERT INTO dead_letters (position, decided_at, recorded_at, ledger, line, partition, whole, reason, detail,
                transfer_id, body, actor, headers)
         SELECT g.position, g.decided_at, p.applied_at, g.ledger, g.line, g.partition, false, 'cannot_be_committed',
                'violates check constraint \"accounts_min_balance\"', g.id, convert_to('{line}', 'UTF8'), g.actor, ''
           FROM gone g
           JOIN partitions p ON p.partition = g.partition;
         {undone}",
        &[("dead_letters", "@last: cannot_be_committed, but tried alone it is sluice.transfer.posted.v1")],
    ),
    forgery(
        "a valid record is buried as one that is too long",
        "WITH gone AS (DELETE FROM transfers WHERE ledger = 1 AND idempotency_key = 'last' RETURNING *)
         INSERT INTO dead_letters (position, decided_at, recorded_at, ledger, line, partition, whole, reason, detail,
                transfer_id, body, actor, headers)
         SELECT g.position, g.decided_at, p.applied_at, NULL, g.line, g.partition, true, 'record_too_long',
                'the record holds 1 commands, at most 0 fit one', NULL, convert_to('{line}', 'UTF8'), 'nats', ''
           FROM gone g
           JOIN partitions p ON p.partition = g.partition;
         {undone}",
        &[("dead_letters", "@last: record_too_long, but no processor had a limit of 0 commands")],
    ),
    forgery(
        "a valid record is buried as one of an unknown schema",
        "WITH gone AS (DELETE FROM transfers WHERE ledger = 1 AND idempotency_key = 'last' RETURNING *)
         INSERT INTO dead_letters (position, decided_at, recorded_at, ledger, line, partition, whole, reason, detail,
                transfer_id, body, actor, headers)
         SELECT g.position, g.decided_at, p.applied_at, NULL, g.line, g.partition, true, 'schema_unknown', 'no', NULL,
                convert_to('{line}', 'UTF8'), 'nats', ''
           FROM gone g
           JOIN partitions p ON p.partition = g.partition;
         {undone}",
        &[("dead_letters", "@last: schema_unknown, but the record can be read")],
    ),
    forgery(
        "a valid transfer is refused",
        "UPDATE transfers
            SET reason = 'insufficient_funds', detail = 'account alice has 88.66 and may not fall below -10.00',
                debit_version = NULL, credit_version = NULL, debit_balance_after = NULL, credit_balance_after = NULL,
                balance_seen = 8866, version_seen = 4, min_balance_seen = -1000
          WHERE ledger = 1 AND idempotency_key = 'last';
         {undone}",
        &[("decisions", "@last: sluice.transfer.refused.v1 (insufficient_funds), decided again it is sluice.transfer.posted.v1")],
    ),
    forgery(
        "a refused transfer is posted",
        "UPDATE transfers
            SET reason = NULL, detail = NULL, debit_version = 99, credit_version = 99, debit_balance_after = -99991034,
                credit_balance_after = 100005734, balance_seen = NULL, version_seen = NULL, min_balance_seen = NULL
          WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[
            ("money", "account bob of ledger demo"),
            ("accounts", "@k3"),
            ("decisions", "@k3: sluice.transfer.posted.v1, decided again it is sluice.transfer.refused.v1 (insufficient_funds)"),
        ],
    ),
    forgery(
        "a refusal saw another balance",
        "UPDATE transfers SET balance_seen = balance_seen + 1 WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[("decisions", "@k3: sluice.transfer.refused.v1, decided again it differs: balance_seen is")],
    ),
    forgery(
        "a refusal saw another version",
        "UPDATE transfers SET version_seen = version_seen + 1 WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[("decisions", "@k3: sluice.transfer.refused.v1, decided again it differs: version_seen is")],
    ),
    forgery(
        "a refusal saw another limit",
        "UPDATE transfers SET min_balance_seen = 1 WHERE ledger = 1 AND idempotency_key = 'k3'",
        &[("decisions", "@k3: sluice.transfer.refused.v1, decided again it differs: min_balance_seen is")],
    ),
    forgery(
        "a transfer has another actor",
        "UPDATE transfers SET actor = 'key:mallory' WHERE ledger = 1 AND idempotency_key = 'k5'",
        &[("decisions", "@k5: actor is key:mallory, expected nats")],
    ),
    forgery(
        "an account's change has another actor",
        "UPDATE outcomes SET actor = 'sluice' WHERE kind = 'sluice.account.closed.v1'",
        &[("decisions", "actor is sluice, expected nats")],
    ),
    forgery(
        "a dead letter has no actor",
        "UPDATE dead_letters SET actor = NULL WHERE reason = 'json_malformed'",
        &[("decisions", "actor is absent, expected nats")],
    ),
    forgery(
        "an account is changed otherwise than was asked",
        "UPDATE outcomes SET data = replace(data, '-10.00', '-20.00') WHERE kind = 'sluice.account.changed.v1';
         UPDATE accounts SET min_balance = -2000 WHERE ledger = 1 AND id = 'alice'",
        &[("decisions", "sluice.account.changed.v1, decided again it differs: min_balance is")],
    ),
    forgery(
        "a change is called a change that changed nothing",
        "UPDATE outcomes SET kind = 'sluice.account.unchanged.v1' WHERE kind = 'sluice.account.changed.v1'",
        &[("decisions", "sluice.account.unchanged.v1, decided again it is sluice.account.changed.v1")],
    ),
    forgery(
        "a used key is said to differ in more",
        "UPDATE outcomes SET data = replace(data, '[\"amount\",', '[\"amount\",\"currency\",')
          WHERE kind = 'sluice.transfer.key_reused.v1'",
        &[("decisions", "sluice.transfer.key_reused.v1, decided again it differs: differs is")],
    ),
    forgery(
        "a commit decided later than it says",
        "UPDATE commits SET decided_at = decided_at + 1000
          WHERE (partition, position) = (SELECT partition, position FROM transfers WHERE idempotency_key = 'last')",
        &[("decisions", "@last: sluice.transfer.posted.v1, decided again it differs: decided_at is")],
    ),
];

impl Forgery {
    /// Rewrites rows, then hashes, then EVENTS.
    pub(crate) async fn commit(&self, system: &System, database: &PgPool, url: &str) {
        rewrite(system, database, url, self.sql).await;
    }
}

/// Rows by SQL, then hashes, then EVENTS.
pub(crate) async fn rewrite(system: &System, database: &PgPool, url: &str, sql: &str) {
    let sql = sql
        .replace("{undone}", UNDONE)
        .replace("{line}", &last_line());
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
        .execute(database)
        .await
        .unwrap();
    link_again(database).await;
    system.recreate(EVENTS).await;
    system.work(url).await;
}

pub(crate) fn last_line() -> String {
    usd("last", "alice", "bob", "1.00").to_string()
}

/// Every commit with the hash that its rows have now.
async fn link_again(database: &PgPool) {
    for partition in (0..PARTITIONS).map(Partition) {
        let commits = commits_after(database, partition, Position::default(), 1000)
            .await
            .unwrap();
        let mut previous = [0; 32];
        for commit in commits {
            let events = events_in(database, Stretch::of(partition, &commit), None)
                .await
                .unwrap();
            let encoder = Encoder::parse(commit.encoder).unwrap();
            let hash = link(&previous, &Lines::encode(encoder, &events).body);
            sqlx::query("UPDATE commits SET previous_hash = $3, hash = $4 WHERE partition = $1 AND position = $2")
                .bind(journal::partition_number(partition))
                .bind(commit.position.number())
                .bind(&previous[..])
                .bind(&hash[..])
                .execute(database)
                .await
                .unwrap();
            previous = hash;
        }
    }
}

/// As if `last` had never been posted.
const UNDONE: &str = "
    UPDATE accounts a
       SET balance = balance + CASE id WHEN 'alice' THEN 100 ELSE -100 END,
           version = version - 1,
           changed_at = greatest(
               (SELECT max(e.decided_at) FROM entries e WHERE e.ledger = a.ledger AND e.account = a.id),
               (SELECT max(o.decided_at) FROM outcomes o WHERE o.kind = 'sluice.account.changed.v1' AND a.id = 'alice'))
     WHERE ledger = 1 AND id IN ('alice', 'bob')";
