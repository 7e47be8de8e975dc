//! A session that answers nothing any more, because its server process stands still.
//!
//! Invariant: it is stopped while the test looks; what is seen happens without it.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;
use worker::{Config, times};

use super::bed::{Role, Servers, accounts_of, open, transfer, until};

/// Behind the time after which a step is given up: a takeover, or the turn that comes free.
const GOES_ON_WITHIN: Duration = times::STEP_MAX.saturating_add(Duration::from_secs(5));
/// Less than a step: nobody waits for the stopped session any more.
const NEXT_WAIT_MAX: Duration = Duration::from_secs(2);
const RECORDS: usize = 50;

/// The process that serves one of our sessions; it goes on when this is dropped.
struct Stopped(Pid);

impl Stopped {
    /// Waits until there is one such session of a processor.
    async fn one(servers: &Servers, which: &'static str) -> Self {
        let mut found = None;
        until(async || {
            found = sqlx::query_scalar::<_, i32>(which)
                .fetch_optional(&servers.admin)
                .await
                .unwrap();
            found.is_some()
        })
        .await;
        let pid = Pid::from_raw(found.unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
        let stopped = Self(pid);
        until(async || stopped.stands_still()).await;
        stopped
    }

    fn stands_still(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0));
        stat.is_ok_and(|stat| stat.rsplit(") ").next().unwrap().starts_with('T'))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may be gone.
        kill(self.0, Signal::SIGCONT).ok();
    }
}

struct Bed {
    servers: Servers,
    role: Role,
    /// Of each partition.
    accounts: [Vec<String>; 2],
}

impl Bed {
    /// Both partitions are at work.
    async fn start() -> Self {
        let servers = Servers::start(2).await;
        let role = servers.process(Config::default());
        let accounts = [0, 1].map(accounts_of);
        for (partition, accounts) in (0..).zip(&accounts) {
            let lines: Vec<String> = accounts.iter().map(|id| open(id, true)).collect();
            let opened = servers.append(partition, &lines).await;
            servers.applied(&[(partition, opened)]).await;
        }
        Self {
            servers,
            role,
            accounts,
        }
    }

    async fn pay(&self, partition: u16, key: &str) -> u64 {
        let [debit, credit] = &self.accounts[usize::from(partition)][..] else {
            unreachable!("two accounts each");
        };
        let line = transfer(key, debit, credit, 1);
        self.servers.append(partition, &[line]).await
    }

    /// The other partition goes on within the time of a step, and then at once.
    async fn the_other_goes_on(&self) {
        for number in 0..=RECORDS {
            let appended = Instant::now();
            let sequence = self.pay(1, &format!("goes on {number}")).await;
            self.servers.applied(&[(1, sequence)]).await;
            let waited = appended.elapsed();
            let waits_max = if number == 0 {
                GOES_ON_WITHIN
            } else {
                NEXT_WAIT_MAX
            };
            assert!(waited < waits_max, "record {number} waited {waited:?}");
        }
    }

    /// Each transfer is there once, and so is its money.
    async fn check(self) {
        self.role.stop().await;
        let all = i64::try_from(RECORDS + 2).unwrap();
        let servers = self.servers;
        for sql in [
            "SELECT count(*) FROM transfers WHERE reason IS NULL",
            "SELECT -sum(balance)::bigint FROM accounts WHERE balance < 0",
            "SELECT sum(version)::bigint / 2 FROM accounts",
        ] {
            assert_eq!(servers.number(sql).await, all, "{sql}");
        }
        assert_eq!(servers.number("SELECT count(*) FROM dead_letters").await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_gets_no_answer_is_given_up_and_its_partition_is_taken_over_afterwards() {
    const WAITS: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'sluice process' AND wait_event_type = 'Lock'";
    let bed = Bed::start().await;
    let mut outside = bed.servers.admin.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM accounts WHERE id = $1 FOR UPDATE")
        .bind(&bed.accounts[0][0])
        .execute(&mut *outside)
        .await
        .unwrap();
    let waits = bed.pay(0, "stopped").await;
    let stopped = Stopped::one(&bed.servers, WAITS).await;
    outside.rollback().await.unwrap();
    bed.the_other_goes_on().await;
    assert!(stopped.stands_still());
    let applied = "SELECT applied FROM partitions WHERE partition = 0";
    let applied = bed.servers.number(applied).await;
    assert!(
        u64::try_from(applied).unwrap() < waits,
        "its transaction keeps the partition locked"
    );
    drop(stopped);
    bed.servers.applied(&[(0, waits)]).await;
    bed.check().await;
}

/// Outside of any transaction: nothing is locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_session_that_answers_nothing_is_replaced() {
    /// The one that is taken next.
    const KEPT: &str = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'sluice process' AND state = 'idle' AND query = 'COMMIT'
        ORDER BY state_change DESC LIMIT 1";
    let bed = Bed::start().await;
    let stopped = Stopped::one(&bed.servers, KEPT).await;
    let appended = Instant::now();
    let sequence = bed.pay(0, "stopped").await;
    bed.the_other_goes_on().await;
    bed.servers.applied(&[(0, sequence)]).await;
    let waited = appended.elapsed();
    assert!(
        waited > times::STEP_MAX,
        "another session was taken at once"
    );
    assert!(waited < 2 * GOES_ON_WITHIN, "{waited:?}");
    assert!(stopped.stands_still());
    drop(stopped);
    bed.check().await;
}
