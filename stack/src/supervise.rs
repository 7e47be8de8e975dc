//! Restarting servers that die by themselves.
//!
//! **Invariant:** every death is reported with the server's last words; a server that keeps dying is given up, which is
//! said too.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::error::chain;
use crate::report::Report;
use crate::server::Server;

const LOOK_EVERY: Duration = Duration::from_millis(200);
const DEATHS_MAX: usize = 10;
const DEATHS_WITHIN: Duration = Duration::from_mins(1);
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// Why a server is not restarted any more.
#[derive(Debug, Clone)]
pub struct GivenUp {
    pub server: &'static str,
    pub reason: String,
}

type Watched = (&'static str, Arc<Server>);

pub(crate) async fn run(
    servers: Vec<Watched>,
    report: Report,
    give_up: watch::Sender<Option<GivenUp>>,
) {
    let mut watchers = tokio::task::JoinSet::new();
    for (name, server) in servers {
        watchers.spawn(look_after(name, server, report.clone()));
    }
    while let Some(ended) = watchers.join_next().await {
        if let Ok(given_up) = ended {
            report.say(format!(
                "giving up on {}: {}",
                given_up.server, given_up.reason
            ));
            give_up.send_replace(Some(given_up));
        }
    }
}

async fn look_after(name: &'static str, server: Arc<Server>, report: Report) -> GivenUp {
    let mut deaths = VecDeque::new();
    loop {
        sleep(LOOK_EVERY).await;
        let Some(status) = server.died() else {
            continue;
        };
        report.say(format!(
            "{name} died ({status}) and is being restarted; its last log lines:\n{}",
            server.log_tail()
        ));
        let mut problem = status.to_string();
        loop {
            if remember(&mut deaths) > DEATHS_MAX {
                return GivenUp {
                    server: name,
                    reason: format!("it died {DEATHS_MAX} times within a minute, last: {problem}"),
                };
            }
            sleep(back_off(deaths.len())).await;
            match server.restart().await {
                Ok(()) => break,
                Err(error) => problem = chain(&error),
            }
            report.say(format!("{name} could not be restarted: {problem}"));
        }
        report.say(format!("{name} runs again"));
    }
}

/// How many deaths there were lately, this one included.
fn remember(deaths: &mut VecDeque<Instant>) -> usize {
    let now = Instant::now();
    deaths.push_back(now);
    deaths.retain(|death| now.duration_since(*death) < DEATHS_WITHIN);
    deaths.len()
}

fn back_off(deaths: usize) -> Duration {
    let doublings = u32::try_from(deaths.saturating_sub(1).min(16)).expect("at most 16");
    (BACK_OFF_FIRST * 2_u32.pow(doublings)).min(BACK_OFF_MAX)
}
