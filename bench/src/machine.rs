//! What the figures were measured on, and whether it kept what it acknowledged.
//!
//! Invariant: durable is only what both servers themselves report as synced to disk.

use std::fs;
use std::path::Path;

use serde::Serialize;
use sqlx::PgPool;
use streams::{Durability, Log};

use super::usage::kilobytes;
use system::Servers;
use system::connect;

#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    cpu: Option<String>,
    cores: Option<usize>,
    memory_bytes: Option<u64>,
    kernel: Option<String>,
    nats: Option<String>,
    postgres: Option<String>,
}

/// As the servers report it; `None` where they were not asked.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Fsync {
    nats: NatsFsync,
    postgres: PostgresFsync,
}

#[derive(Debug, Clone, Default, Serialize)]
struct NatsFsync {
    sync_always: Option<bool>,
}

#[derive(Debug, Clone, Default, Serialize)]
struct PostgresFsync {
    fsync: Option<String>,
    full_page_writes: Option<String>,
    /// Of a session with the processor's settings.
    synchronous_commit: Option<String>,
}

impl Machine {
    pub(super) async fn look(log: Option<&Log>, database: Option<&PgPool>) -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let postgres = match database {
            Some(database) => sqlx::query_scalar("SHOW server_version")
                .fetch_one(database)
                .await
                .ok(),
            None => None,
        };
        Self {
            cpu,
            cores: std::thread::available_parallelism()
                .ok()
                .map(std::num::NonZero::get),
            memory_bytes: kilobytes(Path::new("/proc/meminfo"), "MemTotal:"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .ok()
                .map(|text| text.trim().to_owned()),
            nats: log.map(Log::server_version),
            postgres,
        }
    }

    pub(super) fn line(&self) -> String {
        format!(
            "{} cores of {}, {} GiB, Linux {}, nats-server {}, Postgres {}",
            self.cores.unwrap_or(0),
            self.cpu.as_deref().unwrap_or("an unknown processor"),
            self.memory_bytes.unwrap_or(0) >> 30,
            self.kernel.as_deref().unwrap_or("?"),
            self.nats.as_deref().unwrap_or("?"),
            self.postgres.as_deref().unwrap_or("?"),
        )
    }
}

impl Fsync {
    pub(super) async fn ask(servers: &Servers) -> anyhow::Result<Self> {
        let mut fsync = Self::default();
        if let Some(monitor) = &servers.nats_monitor {
            fsync.nats.sync_always =
                Some(streams::durability(monitor).await? == Durability::SyncAlways);
        }
        if let Some(url) = &servers.database {
            let session = connect::open_sessions(url, 1, worker::session_options).await?;
            fsync.postgres.fsync = show(&session, "SHOW fsync").await?;
            fsync.postgres.full_page_writes = show(&session, "SHOW full_page_writes").await?;
            fsync.postgres.synchronous_commit = show(&session, "SHOW synchronous_commit").await?;
            session.close().await;
        }
        Ok(fsync)
    }

    pub(super) fn is_durable(&self) -> bool {
        self.nats.sync_always == Some(true) && self.postgres_is_durable()
    }

    pub(super) fn postgres_is_durable(&self) -> bool {
        let is_on = |setting: &Option<String>| setting.as_deref() == Some("on");
        is_on(&self.postgres.fsync) && is_on(&self.postgres.synchronous_commit)
    }

    pub(super) fn line(&self) -> String {
        let sync_always = match self.nats.sync_always {
            Some(true) => "always",
            Some(false) => "lazily",
            None => "not asked",
        };
        let told =
            |setting: &Option<String>| setting.clone().unwrap_or_else(|| "not asked".to_owned());
        format!(
            "nats-server syncs: {sync_always}; Postgres fsync: {}, synchronous_commit: {}",
            told(&self.postgres.fsync),
            told(&self.postgres.synchronous_commit)
        )
    }
}

async fn show(session: &PgPool, statement: &'static str) -> anyhow::Result<Option<String>> {
    Ok(Some(
        sqlx::query_scalar(statement).fetch_one(session).await?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durable_is_only_what_every_server_says() {
        let told = |sync_always, fsync: &str, commit: &str| Fsync {
            nats: NatsFsync { sync_always },
            postgres: PostgresFsync {
                fsync: Some(fsync.to_owned()),
                full_page_writes: None,
                synchronous_commit: Some(commit.to_owned()),
            },
        };
        assert!(told(Some(true), "on", "on").is_durable());
        for lacking in [
            told(Some(false), "on", "on"),
            told(None, "on", "on"),
            told(Some(true), "off", "on"),
            told(Some(true), "on", "off"),
            told(Some(true), "on", "local"),
            Fsync::default(),
        ] {
            assert!(!lacking.is_durable(), "{lacking:?}");
        }
    }
}
