//! What is read from Postgres, with rows as a processor writes them.

use schemas::{Partition, Position, partition_of};
use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::book::{Book, a_busy_day, apply};
use crate::harness::{Api, eventually};

/// Every element of a list, read in pages of `limit`.
async fn pages(api: &Api, path: &str, limit: usize) -> Vec<Value> {
    let mut elements = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!("{path}limit={limit}{after}");
        let page = api.get(&api.read_key, &path).await.expect(200);
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= limit);
        elements.extend(data.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return elements,
        }
    }
}

fn field(elements: &[Value], name: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    elements
        .iter()
        .map(|element| text(&element[name]))
        .collect()
}

#[tokio::test]
async fn a_decided_transfer_is_read_by_id_and_by_key() {
    let api = Api::start().await;
    let book = a_busy_day(&api).await;
    let path = format!("/v1/transfers/{}", book.id("p1"));
    let transfer = api.get(&api.read_key, &path).await.expect(200);
    let expected = json!({
        "id": book.id("p1").to_string(), "status": "posted", "debit_account": "alice", "credit_account": "bob",
        "amount": "1.00", "currency": "USD", "idempotency_key": "p1",
        "accepted_at": "1970-01-01T00:00:02Z", "decided_at": "1970-01-01T00:00:02Z",
        "partition": 0, "position": 2, "debit_version": 2, "credit_version": 1,
        "debit_balance_after": "99.00", "credit_balance_after": "1.00",
    });
    assert_eq!(transfer, expected);
    let by_key = api.get(&api.read_key, "/v1/transfers/by-key/p1").await;
    assert_eq!(by_key.expect(200), expected);
    let refused = api.get(&api.read_key, "/v1/transfers/by-key/r1").await;
    assert_eq!(refused.expect(200)["reason"], "insufficient_funds");
    let timeline = api
        .get(&api.read_key, format!("{path}/timeline"))
        .await
        .expect(200);
    let steps = field(timeline["data"].as_array().unwrap(), "status");
    assert_eq!(steps, ["accepted", "logged", "posted"]);
    assert_eq!(timeline["data"][1]["look"], "nats stream get COMMANDS 2");
}

#[tokio::test]
async fn a_missing_transfer_is_pending_only_until_its_place_is_applied() {
    let api = Api::start().await;
    let book = Book::new(&api, "demo").await;
    let path = format!("/v1/transfers/{}?at=0.7", book.id("k"));
    api.get(&api.read_key, &path).await.expect(202);
    apply(&api, Partition(0), 7).await;
    api.get(&api.read_key, &path)
        .await
        .expect_problem(404, "transfer_not_found");
    sqlx::query(
        "INSERT INTO dead_letters (position, decided_at, recorded_at, ledger, line, partition, whole, reason, detail,
                transfer_id, body)
         VALUES (7, 1, 1, $1, 0, 0, FALSE, 'panicked', 'the core panicked', $2, '')",
    )
    .bind(book.ledger)
    .bind(Uuid::from_bytes(book.id("k").to_bytes()))
    .execute(&api.pool)
    .await
    .unwrap();
    api.get(&api.read_key, &path)
        .await
        .expect_problem(422, "dead_lettered");
}

#[tokio::test]
async fn a_read_waits_for_the_outcome() {
    let api = Api::start().await;
    let mut book = Book::new(&api, "demo").await;
    let path = format!("/v1/transfers/{}?at=0.1&wait=10", book.id("k"));
    let decide = async {
        book.posted("k", "alice", "bob", 1).await;
        book.close().await;
    };
    let (answer, ()) = tokio::join!(api.get(&api.read_key, &path), decide);
    answer.expect(200);
    assert_eq!(answer.header("preference-applied"), "wait=10");
}

#[tokio::test]
async fn those_who_wait_share_their_looks_at_postgres() {
    const WAITERS: usize = 100;
    let api = Api::start().await;
    let mut book = Book::new(&api, "demo").await;
    apply(&api, Partition(0), 0).await;
    let transactions = async || -> i64 {
        sqlx::query_scalar(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&api.pool)
        .await
        .unwrap()
    };
    let before = transactions().await;
    // Unknown ids, one that is decided meanwhile, one whose place is known, and one whose place is not reached.
    let unknown: Vec<String> = (0..WAITERS)
        .map(|number| format!("/v1/transfers/{}?wait=5", book.id(&format!("k{number}"))))
        .collect();
    let unknown = unknown.iter().map(|path| api.get(&api.read_key, path));
    let unknown = futures::future::join_all(unknown);
    let decided = format!("/v1/transfers/{}?wait=30", book.id("decided"));
    let placed = format!("/v1/transfers/{}?at=0.1&wait=30", book.id("decided"));
    let other = format!("/v1/transfers/{}?at=1.7&wait=5", book.id("other"));
    let decide = async {
        crate::harness::eventually("some wait already", async || transactions().await > before)
            .await;
        book.posted("decided", "alice", "bob", 1).await;
        book.close().await;
    };
    let (unknown, decided, placed, other, ()) = tokio::join!(
        unknown,
        api.get(&api.read_key, decided),
        api.get(&api.read_key, placed),
        api.get(&api.read_key, other),
        decide
    );
    for answer in unknown {
        answer.expect_problem(404, "transfer_not_found");
    }
    decided.expect(200);
    placed.expect(200);
    other.expect(202);
    let spent = transactions().await - before;
    // Two looks of two statements each, and twenty shared looks a second.
    assert!(spent < 1_000, "{spent} transactions for {WAITERS} waiters");
}

#[tokio::test]
async fn lists_are_newest_first_and_pages_neither_skip_nor_repeat() {
    let api = Api::start().await;
    let _book = a_busy_day(&api).await;
    let cases: &[(&str, &[&str])] = &[
        (
            "/v1/transfers?",
            &["p4", "p3", "r3", "r2", "p2", "r1", "p1", "fund"],
        ),
        (
            "/v1/transfers?status=posted&",
            &["p4", "p3", "p2", "p1", "fund"],
        ),
        ("/v1/transfers?status=refused&", &["r3", "r2", "r1"]),
        (
            "/v1/transfers?account=alice&",
            &["p3", "r3", "r2", "p2", "r1", "p1", "fund"],
        ),
        (
            "/v1/transfers?account=alice&status=posted&",
            &["p3", "p2", "p1", "fund"],
        ),
        (
            "/v1/transfers?account=alice&status=refused&",
            &["r3", "r2", "r1"],
        ),
        (
            "/v1/transfers?account=bob&",
            &["p4", "p3", "r2", "p2", "r1", "p1"],
        ),
        ("/v1/transfers?account=nobody&", &[]),
    ];
    for (path, expected) in cases {
        for limit in [1, 2, 3, 200] {
            let keys = field(&pages(&api, path, limit).await, "idempotency_key");
            assert_eq!(keys, *expected, "{path} in pages of {limit}");
        }
    }
    let accounts = field(&pages(&api, "/v1/accounts?", 2).await, "id");
    assert_eq!(accounts, ["alice", "bob", "world"]);
}

#[tokio::test]
async fn a_page_of_long_rows_ends_before_its_limit() {
    let api = Api::start().await;
    let mut book = Book::new(&api, "demo").await;
    let keys: Vec<String> = (0..150).map(|number| format!("k{number:03}")).collect();
    for key in &keys {
        book.posted(key, "alice", "bob", 1).await;
    }
    book.close().await;
    let long = "x".repeat(4_000);
    sqlx::query("UPDATE transfers SET description = $1")
        .bind(&long)
        .execute(&api.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE accounts SET metadata = jsonb_build_object('x', $1::text)::text")
        .bind(&long)
        .execute(&api.pool)
        .await
        .unwrap();
    for path in [
        "/v1/transfers?",
        "/v1/transfers?account=bob&",
        "/v1/accounts/bob/statement?",
        "/v1/events?",
    ] {
        let mut after = String::new();
        let (mut rows, mut pages) = (0, 0);
        loop {
            let page = api
                .get(&api.read_key, format!("{path}limit=200{after}"))
                .await;
            assert!(page.body.len() < 300_000, "{path}: {}", page.body.len());
            let page = page.expect(200);
            let length = page["data"].as_array().unwrap().len();
            rows += length;
            pages += 1;
            match page["next"].as_str() {
                Some(next) if length > 0 => after = format!("&after={next}"),
                _ => break,
            }
        }
        assert_eq!(rows, keys.len(), "{path}");
        assert!(pages >= 3, "{path}: {pages} pages");
    }
}

#[tokio::test]
async fn a_statement_is_cut_by_version_and_by_time() {
    let api = Api::start().await;
    let _book = a_busy_day(&api).await;
    let statement = "/v1/accounts/alice/statement?";
    for limit in [1, 3, 200] {
        let lines = pages(&api, statement, limit).await;
        assert_eq!(field(&lines, "version"), ["1", "2", "3", "4"]);
        assert_eq!(
            field(&lines, "amount"),
            ["100.00", "-1.00", "-2.00", "1.00"]
        );
        let balances = ["100.00", "99.00", "97.00", "98.00"];
        assert_eq!(field(&lines, "balance_after"), balances);
        let parties = ["world", "bob", "bob", "bob"];
        assert_eq!(field(&lines, "counterparty"), parties);
    }
    let cases: &[(&str, &[&str])] = &[
        ("from=1970-01-01T00:00:02Z&", &["2", "3", "4"]),
        ("from=1970-01-01T00:00:02.5Z&", &["3", "4"]),
        ("to=1970-01-01T00:00:02Z&", &["1"]),
        (
            "from=1970-01-01T00:00:02Z&to=1970-01-01T00:00:07Z&",
            &["2", "3"],
        ),
        ("from=2000-01-01T00:00:00Z&", &[]),
        ("to=1969-01-01T00:00:00Z&", &[]),
    ];
    for (range, expected) in cases {
        let lines = pages(&api, &format!("{statement}{range}"), 2).await;
        assert_eq!(field(&lines, "version"), *expected, "{range}");
    }
    let page = api
        .get(&api.read_key, format!("{statement}after=2"))
        .await
        .expect(200);
    assert_eq!(
        field(page["data"].as_array().unwrap(), "version"),
        ["3", "4"]
    );
}

#[tokio::test]
async fn a_balance_is_what_was_decided_up_to_its_time() {
    let api = Api::start().await;
    let _book = a_busy_day(&api).await;
    let cases = [
        ("", "98.00", 4),
        ("?at=1969-12-31T23:59:59Z", "0.00", 0),
        ("?at=1970-01-01T00:00:01Z", "100.00", 1),
        ("?at=1970-01-01T00:00:03.9Z", "99.00", 2),
        ("?at=1970-01-01T00:00:04Z", "97.00", 3),
        ("?at=2020-01-01T00:00:00Z", "98.00", 4),
    ];
    for (at, balance, version) in cases {
        let path = format!("/v1/accounts/alice/balance{at}");
        let found = api.get(&api.read_key, &path).await.expect(200);
        assert_eq!(found["balance"], balance, "{at}");
        assert_eq!(found["version"], version, "{at}");
        assert_eq!(found["account"], "alice");
    }
}

#[tokio::test]
async fn an_answer_about_a_time_is_of_a_time_before_which_nothing_is_decided_any_more() {
    let api = Api::start().await;
    let _book = a_busy_day(&api).await;
    let certain = |until: &'static str| {
        sqlx::query("UPDATE partitions SET certain_at = $1::bigint * 1000000")
            .bind(until.parse::<i64>().unwrap())
            .execute(&api.pool)
    };
    let asked = "1970-01-01T00:00:04Z";
    let cases = [
        ("4000", "1970-01-01T00:00:03.999999Z", "99.00", 2),
        ("4001", asked, "97.00", 3),
        ("9000", asked, "97.00", 3),
        ("1", "1970-01-01T00:00:00.000999Z", "0.00", 0),
    ];
    for (until, as_of, balance, version) in cases {
        certain(until).await.unwrap();
        let path = format!("/v1/accounts/alice/balance?at={asked}");
        let found = api.get(&api.read_key, &path).await.expect(200);
        let told = (
            &found["at"],
            &found["as_of"],
            &found["balance"],
            &found["version"],
        );
        let expected = (
            &json!(asked),
            &json!(as_of),
            &json!(balance),
            &json!(version),
        );
        assert_eq!(told, expected, "certain until {until} ms");
    }
    certain("2500").await.unwrap();
    let statement = "/v1/accounts/alice/statement";
    let page = api
        .get(&api.read_key, format!("{statement}?to={asked}"))
        .await
        .expect(200);
    assert_eq!(page["as_of"], "1970-01-01T00:00:02.499999Z");
    assert_eq!(
        field(page["data"].as_array().unwrap(), "version"),
        ["1", "2"]
    );
    let page = api.get(&api.read_key, statement).await.expect(200);
    assert_eq!(page["as_of"], json!(null));

    for path in [
        "balance?at=2200-01-01T00:00:00Z",
        "statement?to=2200-01-01T00:00:00Z",
    ] {
        let answer = api
            .get(&api.read_key, format!("/v1/accounts/alice/{path}"))
            .await;
        answer.expect_problem(400, "time_in_future");
    }
}

#[tokio::test]
async fn there_is_no_past_before_every_partition_of_the_log_has_told_it() {
    let api = Api::start().await;
    let _book = a_busy_day(&api).await;
    let run = async |sql: &'static str| sqlx::raw_sql(sql).execute(&api.pool).await.unwrap();
    let ask = async |path: &str| {
        let path = format!("/v1/accounts/alice/{path}=2020-01-01T00:00:00Z");
        api.get(&api.read_key, path).await
    };
    // What the version before left: the column's default.
    run("UPDATE partitions SET certain_at = 0 WHERE partition = 1").await;
    for path in ["balance?at", "statement?to"] {
        let answer = ask(path).await;
        answer.expect_problem(503, "past_not_certain");
        assert_eq!(answer.header("retry-after"), "1");
    }
    run("DELETE FROM partitions WHERE partition = 1").await;
    ask("balance?at")
        .await
        .expect_problem(503, "past_not_certain");
    api.get(&api.read_key, "/v1/accounts/alice/balance")
        .await
        .expect(200);

    apply(&api, Partition(1), 0).await;
    // Of a log that had more partitions: nobody renews them any more.
    apply(&api, Partition(api.log.partitions()), 7).await;
    for frozen in [
        "UPDATE partitions SET certain_at = 0 WHERE applied = 7",
        "UPDATE partitions SET certain_at = 1000 WHERE applied = 7",
    ] {
        run(frozen).await;
        let found = ask("balance?at").await.expect(200);
        assert_eq!(found["as_of"], "2020-01-01T00:00:00Z", "{frozen}");
        assert_eq!(found["balance"], "98.00");
    }
}

#[tokio::test]
async fn the_feed_shows_every_event_once_and_never_passes_what_is_applied() {
    let api = Api::start().await;
    let book = a_busy_day(&api).await;
    for (partition, position, kind, id, data) in [
        (0, 20, "sluice.transfer.replayed.v1", Some("p1"), None),
        (
            1,
            5,
            "sluice.transfer.key_reused.v1",
            None,
            Some(json!({"transfer_id": book.id("p1").to_string(), "differs": ["amount"]})),
        ),
        (
            1,
            9,
            "sluice.transfer.key_reused.v1",
            None,
            Some(json!({"transfer_id": book.id("p2").to_string(), "differs": ["amount"]})),
        ),
    ] {
        sqlx::query(
            "INSERT INTO outcomes (position, decided_at, ledger, line, partition, kind, transfer_id, data)
             VALUES ($1, 1, $2, 3, $3, $4, $5, $6)",
        )
        .bind(i64::from(position))
        .bind(book.ledger)
        .bind(partition)
        .bind(kind)
        .bind(id.map(|key| Uuid::from_bytes(book.id(key).to_bytes())))
        .bind(data.map(|data| data.to_string()))
        .execute(&api.pool)
        .await
        .unwrap();
    }
    apply(&api, Partition(0), 20).await;
    apply(&api, Partition(1), 5).await;
    let mut after = String::new();
    let mut more = async || {
        let page = api
            .get(&api.read_key, format!("/v1/events?limit=2{after}"))
            .await
            .expect(200);
        after = format!("&after={}", page["next"].as_str().unwrap());
        let data = page["data"].as_array().unwrap();
        assert!(data.iter().all(|event| event["source"] == "/ledgers/demo"));
        field(data, "id")
    };
    let mut rest = async || {
        let mut ids = Vec::new();
        loop {
            match more().await {
                page if page.is_empty() => return ids,
                page => ids.extend(page),
            }
        }
    };
    let mut seen = rest().await;
    assert!(!seen.contains(&"1.9.3".to_owned()));
    // A commit that comes late, behind what was read of other partitions.
    apply(&api, Partition(1), 9).await;
    assert_eq!(rest().await, ["1.9.3"]);
    seen.push("1.9.3".to_owned());
    let of_partition = |number: &str| -> Vec<&str> {
        let prefix = format!("{number}.");
        let ids = seen.iter().map(String::as_str);
        ids.filter(|id| id.starts_with(&prefix)).collect()
    };
    let first: Vec<String> = (1..=8).map(|position| format!("0.{position}.0")).collect();
    let mut expected: Vec<&str> = first.iter().map(String::as_str).collect();
    expected.push("0.20.3");
    assert_eq!(of_partition("0"), expected);
    assert_eq!(of_partition("1"), ["1.5.3", "1.9.3"]);
}

#[tokio::test]
async fn a_key_sees_nothing_of_another_ledger() {
    let api = Api::start().await;
    let mut book = Book::new(&api, "other").await;
    book.posted("k", "alice", "bob", 1).await;
    book.close().await;
    let id = book.id("k");
    for path in [
        format!("/v1/transfers/{id}"),
        format!("/v1/transfers/{id}?at=0.1"),
        format!("/v1/transfers/{id}/timeline"),
        "/v1/transfers/by-key/k".to_owned(),
    ] {
        let answer = api.get(&api.admin_key, &path).await;
        answer.expect_problem(404, "transfer_not_found");
    }
    for path in ["", "/statement", "/balance", "?at=0.1.0"] {
        let answer = api
            .get(&api.admin_key, format!("/v1/accounts/alice{path}"))
            .await;
        answer.expect_problem(404, "account_unknown");
    }
    for path in [
        "/v1/transfers",
        "/v1/transfers?account=alice",
        "/v1/accounts",
        "/v1/events",
    ] {
        let page = api.get(&api.admin_key, path).await.expect(200);
        assert_eq!(page["data"], json!([]), "{path}");
    }
    // The same key is another transfer here.
    api.transfer("k", "alice", "bob").await.expect(202);
    let mine = Book::new(&api, "demo").await.id("k");
    assert_ne!(mine, id);
}

#[tokio::test]
async fn a_recognised_repeat_gets_the_outcome_and_another_request_the_conflict() {
    let api = Api::start().await;
    api.transfer("k", "alice", "bob").await.expect(202);
    let mut book = Book::new(&api, "demo").await;
    book.posted("k", "alice", "bob", 100).await;
    book.close().await;
    let replay = api.transfer("k", "alice", "bob").await;
    assert_eq!(replay.expect(200)["status"], "posted");
    assert_eq!(replay.header("idempotent-replayed"), "true");
    let conflict = api.transfer("k", "alice", "carol").await;
    conflict.expect_problem(422, "idempotency_key_reused");
    let problem = conflict.json();
    assert_eq!(problem["transfer_id"], book.id("k").to_string());
    assert_eq!(problem["differs"], json!(["credit_account"]));
    assert_eq!(api.commands().await.len(), 1);
}

#[tokio::test]
async fn a_retry_of_what_a_version_before_stored_is_recognised() {
    let api = Api::start().await;
    let ask = async |number: &str| {
        let body = format!(
            r#"{{"debit_account":"alice","credit_account":"bob","amount":"1","currency":"USD","metadata":{{"x":{number}}}}}"#
        );
        api.post("/v1/transfers", &[("idempotency-key", "k")], &body)
            .await
    };
    ask("0.416776807665196328").await.expect(202);
    let mut book = Book::new(&api, "demo").await;
    book.posted("k", "alice", "bob", 100).await;
    book.close().await;
    // That version read the number twice on its way here, and not to the nearest double.
    sqlx::query(r#"UPDATE transfers SET metadata = '{"x":0.4167768076651964}'"#)
        .execute(&api.pool)
        .await
        .unwrap();
    let replay = ask("0.416776807665196328").await;
    assert_eq!(replay.expect(200)["status"], "posted");
    let conflict = ask("0.41677680766519").await;
    conflict.expect_problem(422, "idempotency_key_reused");
    assert_eq!(conflict.json()["differs"], json!(["metadata"]));
}

#[tokio::test]
async fn positions_carry_the_generation_of_the_stream() {
    let api = Api::start_with(|config| {
        config.limits.key_refresh = std::time::Duration::from_millis(50);
    })
    .await;
    let alice = schemas::AccountId::parse("alice").unwrap();
    let partition = partition_of(&alice, api.log.partitions());
    sqlx::query("INSERT INTO partitions (partition, generation) VALUES ($1, 3)")
        .bind(i16::try_from(partition.0).unwrap())
        .execute(&api.pool)
        .await
        .unwrap();
    let mut number = 0;
    eventually("the generation is in the position", async || {
        number += 1;
        let answer = api.transfer(&format!("k{number}"), "alice", "bob").await;
        let position = answer.expect(202)["position"].as_i64().unwrap();
        Position::from_number(position).generation() == 3
    })
    .await;
}

#[tokio::test]
async fn an_event_reads_as_its_commit_wrote_it() {
    let api = Api::start().await;
    let mut book = Book::new(&api, "demo").await;
    book.refused("old", "alice", "bob", 100).await;
    book.refused("new", "alice", "bob", 100).await;
    book.close().await;
    sqlx::raw_sql(
        "UPDATE transfers SET actor = 'key:4f2a', balance_seen = 50, version_seen = 3, min_balance_seen = -10;
         INSERT INTO commits (position, first_position, decided_at, epoch, commands, partition, encoder, previous_hash, hash)
         SELECT p, p, p, 1, 1, 0, p, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
           FROM generate_series(1, 2) p",
    )
    .execute(&api.pool)
    .await
    .unwrap();
    let page = api.get(&api.read_key, "/v1/events").await.expect(200);
    let [old, new] = &page["data"].as_array().unwrap()[..] else {
        panic!("{page}");
    };
    for field in ["actor", "balance_seen", "version_seen", "min_balance_seen"] {
        assert_eq!(old["data"].get(field), None, "{field}");
    }
    assert_eq!(
        (old.get("actor"), &new["actor"]),
        (None, &json!("key:4f2a"))
    );
    // An answer tells what is known, whichever encoder wrote the event.
    for key in ["old", "new"] {
        let path = format!("/v1/transfers/by-key/{key}");
        let answer = api.get(&api.read_key, &path).await.expect(200);
        assert_eq!(answer["balance_seen"], "0.50");
        assert_eq!(answer["version_seen"], 3);
        assert_eq!(answer["min_balance_seen"], "-0.10");
        assert_eq!(answer["actor"], "key:4f2a");
    }
}

#[tokio::test]
async fn a_row_that_no_program_wrote_is_an_error_and_not_left_out() {
    let api = Api::start().await;
    let _book = a_busy_day(&api).await;
    api.get(&api.read_key, "/v1/events").await.expect(200);
    sqlx::query("INSERT INTO partitions (partition) VALUES (-1)")
        .execute(&api.pool)
        .await
        .unwrap();
    let answer = api.get(&api.read_key, "/v1/events").await;
    answer.expect_problem(503, "database_unavailable");
}
