//! Records on EVENTS that no processor published.

use std::fmt::Write as _;

use async_nats::HeaderMap;
use journal::Link;

use crate::bed::{Bed, take};

/// Publishes what `forge` makes of the last record, on an EVENTS with three commits; gives what is said about it.
async fn forged(forge: impl Fn(i64, &HeaderMap) -> HeaderMap) -> String {
    let mut bed = Bed::with(3).await;
    let (headers, _) = bed.stored(3).await;
    let position = headers.get("Sluice-Position").unwrap().as_str();
    let headers = forge(position.parse().unwrap(), &headers);
    let sequence = bed.publish((headers, BODY.into())).await;

    let mut source = bed.source(Link::default());
    take(&mut source, 3).await;
    let error = source.next().await.unwrap_err().to_string();
    let place = format!("record {sequence} of EVENTS, partition 0: ");
    assert!(error.starts_with(&place), "{error}");
    // Asked again, it says so again.
    assert_eq!(source.next().await.unwrap_err().to_string(), error);
    error
}

const BODY: &str = "{}\n";

/// Sound by itself, behind a commit with the hash `previous`.
fn linked(previous: [u8; 32], position: i64, headers: &HeaderMap) -> HeaderMap {
    let hex = |bytes: [u8; 32]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let mut headers = headers.clone();
    headers.insert("Sluice-Position", position.to_string());
    headers.insert("Sluice-Previous-Hash", hex(previous));
    let hash = journal::link(&previous, BODY.as_bytes());
    headers.insert("Sluice-Hash", hex(hash));
    headers
}

#[tokio::test]
async fn a_record_that_claims_to_be_a_commit_and_is_none_is_an_error_that_names_it() {
    let error = forged(|_, headers| headers.clone()).await;
    assert!(error.contains("its bytes do not have the hash"), "{error}");
    let error = forged(|position, headers| linked([7; 32], position + 1, headers)).await;
    assert!(error.contains("Postgres has no such commit"), "{error}");
    let error = forged(|position, headers| linked([7; 32], position, headers)).await;
    assert!(error.contains("Postgres has another commit"), "{error}");
}

#[tokio::test]
async fn a_record_that_does_not_claim_to_be_a_commit_is_passed_over() {
    let mut bed = Bed::with(3).await;
    let mut source = bed.source(Link::default());
    take(&mut source, 3).await;
    bed.publish((HeaderMap::new(), BODY.into())).await;
    bed.commit(2).await;
    let live = take(&mut source, 2).await;
    let mut from_there = bed.source(Link::default());
    assert_eq!(take(&mut from_there, 5).await[3..], live[..]);
}
