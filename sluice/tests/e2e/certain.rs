//! What is said about a time stays true, however close to now it is asked and whatever is decided meanwhile.

use std::time::SystemTime;

use schemas::Timestamp;
use serde_json::Value;

use crate::http::Client;
use crate::load::Load;
use crate::process::eventually;
use crate::system::System;

const ACCOUNTS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const READS: usize = 50;

/// What was said about an account at a time.
struct Said {
    account: &'static str,
    as_of: Timestamp,
    what: What,
}

enum What {
    Balance(Value),
    /// Version of the last line before that time, behind another version.
    LastLine {
        after: Value,
        last: Value,
    },
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn time(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap(), "").unwrap()
}

async fn balance(client: &mut Client, account: &str, at: Timestamp) -> Value {
    let path = format!("/v1/accounts/{account}/balance?at={at}");
    client.get(&path).await.expect(200)
}

/// The last line of the statement before a time, behind `after`.
async fn last_line(client: &mut Client, account: &str, to: Timestamp, after: &Value) -> Value {
    let path = format!("/v1/accounts/{account}/statement?to={to}&after={after}&limit=200");
    let mut page = client.get(&path).await.expect(200);
    let last = page["data"]
        .as_array()
        .unwrap()
        .last()
        .map(|line| line["version"].clone());
    page["last"] = last.unwrap_or(Value::Null);
    page
}

/// Asks about now, again and again.
async fn listen(client: &mut Client) -> Vec<Said> {
    let mut said = Vec::new();
    for account in ACCOUNTS.into_iter().cycle().take(READS) {
        let asked = now();
        let told = balance(client, account, asked).await;
        assert_eq!(time(&told["at"]), asked);
        let as_of = time(&told["as_of"]);
        assert!(as_of <= asked);
        let what = What::Balance(told["balance"].clone());
        said.push(Said {
            account,
            as_of,
            what,
        });

        let page = last_line(client, account, now(), &told["version"]).await;
        said.push(Said {
            account,
            as_of: time(&page["as_of"]),
            what: What::LastLine {
                after: told["version"].clone(),
                last: page["last"].clone(),
            },
        });
    }
    said
}

#[tokio::test]
async fn what_is_said_about_a_time_is_said_again() {
    let system = System::with_partitions(2).await;
    system.open(&ACCOUNTS).await;
    let mut client = system.client();
    let load = Load::start(&system, 6, &ACCOUNTS);
    load.progress(100).await;

    // A partition without traffic says so with its first renewal.
    eventually("every partition has a certain time", async || {
        let path = format!("/v1/accounts/alice/balance?at={}", now());
        let answer = system.client().get(&path).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let said = listen(&mut client).await;
    // One time, from the moment when it is certain.
    let asked = now();
    let first = eventually("a time becomes certain", async || {
        let told = balance(&mut system.client(), "alice", asked).await;
        (time(&told["as_of"]) == asked).then_some(told)
    })
    .await;
    for _ in 0..100 {
        assert_eq!(balance(&mut client, "alice", asked).await, first);
    }
    load.stop().await;
    system.drained().await;

    let moved = said.iter().map(|said| said.as_of).max().unwrap();
    eventually("all of it is certain", async || {
        let told = balance(&mut system.client(), "alice", moved).await;
        (time(&told["as_of"]) == moved).then_some(())
    })
    .await;
    for said in &said {
        let Said {
            account,
            as_of,
            what,
        } = said;
        match what {
            What::Balance(before) => {
                let told = balance(&mut client, account, *as_of).await;
                assert_eq!(&told["balance"], before, "{account} at {as_of}");
            }
            What::LastLine { after, last } => {
                let page = last_line(&mut client, account, *as_of, after).await;
                assert_eq!(&page["last"], last, "{account} before {as_of}");
            }
        }
    }

    let future = Timestamp::from_nanoseconds(now().nanoseconds() + 3_600_000_000_000);
    for path in [
        format!("balance?at={future}"),
        format!("statement?to={future}"),
    ] {
        let answer = client.get(&format!("/v1/accounts/alice/{path}")).await;
        assert_eq!(answer.expect(400)["code"], "time_in_future");
    }
    system.verify().await;
}
