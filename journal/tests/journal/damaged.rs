//! Postgres answers, but not with what was written.

use std::error::Error;

use journal::Link;

use crate::bed::{ALL, Bed, take};

/// Damages a partition of five commits, at positions 10 to 50, that EVENTS lacks; gives what is said about it behind
/// the first `sound` ones.
async fn damaged(sql: &'static str, sound: usize) -> String {
    let mut bed = Bed::with(5).await;
    bed.purge(ALL).await;
    bed.execute(sql).await;
    let mut source = bed.source(Link::default());
    take(&mut source, sound).await;
    let next = tokio::time::timeout(std::time::Duration::from_mins(1), source.next()).await;
    let error = next.expect("it ends").unwrap_err();
    // Asked again, it says so again.
    let again = source.next().await.unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

#[tokio::test]
async fn a_commit_that_cannot_be_read_ends_it_with_the_place() {
    let error = damaged("UPDATE commits SET commands = -7 WHERE position = 30", 2).await;
    let place = "reading the commit behind 20 of partition 0: ";
    assert!(error.starts_with(place), "{error}");
    assert!(error.contains("-7 commands"), "{error}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_ends_it_with_the_place() {
    let place = "reading the rows of commit 40 of partition 0: ";
    for (sql, cause) in [
        (
            "UPDATE outcomes SET kind = 'sluice.nothing.v1' WHERE position = 40",
            "sluice.nothing.v1",
        ),
        (
            "UPDATE outcomes SET actor = 'nobody' WHERE position = 40",
            "",
        ),
    ] {
        let error = damaged(sql, 3).await;
        assert!(error.starts_with(place), "{error}");
        assert!(error.contains(cause), "{error}");
    }
}

#[tokio::test]
async fn rows_that_were_changed_end_it_with_the_place() {
    let error = damaged(
        "UPDATE outcomes SET decided_at = decided_at + 1 WHERE position = 20",
        1,
    )
    .await;
    assert!(error.contains("commit 20 of partition 0"), "{error}");
}

#[tokio::test]
async fn a_table_that_is_another_one_ends_it() {
    let error = damaged("ALTER TABLE partitions RENAME published TO seen", 0).await;
    let place = "reading what partition 0 has published: ";
    assert!(error.starts_with(place), "{error}");
}
