//! One command must not stop a partition.

use worker::Config;

use super::bed::{Servers, described, open, transfer, until};

/// Six transfers in one record, the third of them spoilt by `spoil`; gives the dead letters' reasons and lines.
async fn check(spoil: &'static str, third: String) -> (Vec<(i32, String, String)>, i64, i64) {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(
            0,
            &[open("world", true), open("alice", false), open("bob", true)],
        )
        .await;
    servers.applied(&[(0, opened)]).await;
    servers.execute(spoil).await;
    let mut lines: Vec<String> = (0..6)
        .map(|number| transfer(&format!("k{number}"), "world", "alice", 10))
        .collect();
    lines[2] = third;
    let spoilt = servers.append(0, &lines).await;
    let after = servers
        .append(0, &[transfer("after", "world", "alice", 1)])
        .await;
    servers.applied(&[(0, spoilt), (0, after)]).await;
    role.stop().await;
    let dead: Vec<(i32, String, String)> =
        sqlx::query_as("SELECT line, reason, detail FROM dead_letters")
            .fetch_all(&servers.admin)
            .await
            .unwrap();
    let posted = "SELECT count(*) FROM transfers WHERE reason IS NULL";
    let balance = "SELECT balance FROM accounts WHERE id = 'alice'";
    (
        dead,
        servers.number(posted).await,
        servers.number(balance).await,
    )
}

#[tokio::test]
async fn a_command_that_postgres_refuses_becomes_a_dead_letter_and_the_partition_goes_on() {
    let constraint = "ALTER TABLE transfers ADD CONSTRAINT sane CHECK (description <> 'insane')";
    let third = described("k2", "world", "alice", 10, "insane");
    let (dead, posted, balance) = check(constraint, third).await;
    let [(2, reason, detail)] = &dead[..] else {
        panic!("{dead:?}");
    };
    assert_eq!(reason, "cannot_be_committed");
    assert!(detail.contains("sane"), "{detail}");
    assert_eq!((posted, balance), (6, 51));
}

#[tokio::test]
async fn a_command_that_panics_the_core_becomes_a_dead_letter_and_the_partition_goes_on() {
    let no_room = "UPDATE accounts SET version = 9223372036854775807 WHERE id = 'bob'";
    let third = transfer("k2", "world", "bob", 10);
    let (dead, posted, balance) = check(no_room, third).await;
    let [(2, reason, detail)] = &dead[..] else {
        panic!("{dead:?}");
    };
    assert_eq!(reason, "cannot_be_committed");
    assert!(detail.contains("panicked"), "{detail}");
    assert_eq!((posted, balance), (6, 51));
}

fn account(command: &str, id: &str, rest: &str) -> String {
    format!(r#"{{"command":"{command}","ledger":"sim","id":"{id}"{rest}}}"#)
}

/// One commit holds what an account may do and what it then does.
#[tokio::test]
async fn a_limit_and_the_transfers_that_use_it_are_committed_together() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let opened = [
        open("world", true),
        open("alice", false),
        open("bob", false),
    ];
    let opened = servers.append(0, &opened).await;
    servers.applied(&[(0, opened)]).await;
    let mut lines = vec![account(
        "change_account",
        "alice",
        r#","min_balance":"-100""#,
    )];
    lines.extend((0..100).map(|number| transfer(&format!("use {number}"), "alice", "bob", 1)));
    lines.push(account("freeze_account", "bob", ""));
    lines.push(account("unfreeze_account", "bob", ""));
    lines.push(transfer("empty", "bob", "world", 100));
    lines.push(account("close_account", "bob", ""));
    let last = servers.append(0, &lines).await;
    servers.applied(&[(0, last)]).await;
    role.stop().await;

    let dead: Vec<(i32, String)> = sqlx::query_as("SELECT line, detail FROM dead_letters")
        .fetch_all(&servers.admin)
        .await
        .unwrap();
    assert_eq!(dead, [], "valid commands were buried");
    let posted = "SELECT count(*) FROM transfers WHERE reason IS NULL";
    assert_eq!(servers.number(posted).await, 101);
    let rows: Vec<(String, String, i64, Option<i64>, i64)> = sqlx::query_as(
        "SELECT id, status, balance, min_balance, version FROM accounts ORDER BY id",
    )
    .fetch_all(&servers.admin)
    .await
    .unwrap();
    let row = |id: &str, status: &str, balance, least, version| {
        (id.to_owned(), status.to_owned(), balance, least, version)
    };
    let expected = [
        row("alice", "open", -100, Some(-100), 100),
        row("bob", "closed", 0, Some(0), 101),
        row("world", "open", 100, None, 1),
    ];
    assert_eq!(rows, expected);
}

/// More culprits than one search may find: the others get through, over several tries.
#[tokio::test]
async fn many_commands_that_postgres_refuses_bury_no_other() {
    const LINES: i64 = 150;
    let servers = Servers::start(1).await;
    servers
        .execute("ALTER TABLE transfers ADD CONSTRAINT sane CHECK (description <> 'insane')")
        .await;
    let role = servers.process(Config::default());
    servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    let line = |number| {
        let text = ["", "insane"][usize::from(number % 2 == 1)];
        described(&format!("k{number}"), "world", "alice", 10, text)
    };
    let lines: Vec<String> = (0..LINES).map(line).collect();
    let last = servers.append(0, &lines).await;
    servers.applied(&[(0, last)]).await;
    role.stop().await;
    let guilty = "SELECT count(*) FROM dead_letters WHERE line % 2 = 1 AND detail LIKE '%sane%'";
    assert_eq!(servers.number(guilty).await, LINES / 2);
    let buried = "SELECT count(*) FROM dead_letters";
    assert_eq!(servers.number(buried).await, LINES / 2);
    let posted = "SELECT count(*) FROM transfers WHERE reason IS NULL";
    assert_eq!(servers.number(posted).await, LINES / 2);
}

/// What Postgres refuses only in company is our fault: nobody pays for it, and the places are named.
#[tokio::test]
async fn commands_that_fail_only_together_park_the_partition_and_bury_nobody() {
    let servers = Servers::start(1).await;
    servers
        .execute(
            "CREATE FUNCTION apart() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF (SELECT count(*) FROM added WHERE description IN ('left', 'right')) > 1 THEN
                     RAISE EXCEPTION 'not in one statement' USING ERRCODE = 'check_violation';
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER apart AFTER INSERT ON transfers REFERENCING NEW TABLE AS added
                FOR EACH STATEMENT EXECUTE FUNCTION apart()",
        )
        .await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    servers.applied(&[(0, opened)]).await;
    let lines: Vec<String> = ["", "", "left", "", "", "right", ""]
        .iter()
        .enumerate()
        .map(|(number, text)| described(&format!("k{number}"), "world", "alice", 10, text))
        .collect();
    let together = servers.append(0, &lines).await;
    let why = async || -> Option<String> {
        sqlx::query_scalar("SELECT stopped FROM partitions")
            .fetch_one(&servers.admin)
            .await
            .unwrap()
    };
    until(async || why().await.is_some()).await;
    let why_parked = why().await.unwrap();
    let places = format!("0.{together}.2 to 0.{together}.5");
    assert!(why_parked.contains(&places), "{why_parked}");
    assert!(why_parked.contains("not in one statement"), "{why_parked}");

    servers.execute("DROP TRIGGER apart ON transfers").await;
    servers.applied(&[(0, together)]).await;
    until(async || why().await.is_none()).await;
    role.stop().await;
    let buried = "SELECT count(*) FROM dead_letters";
    assert_eq!(servers.number(buried).await, 0);
    let posted = "SELECT count(*) FROM transfers WHERE reason IS NULL";
    assert_eq!(servers.number(posted).await, 7);
}
