//! Everything that can be set about the way in.
//!
//! Invariant: every queue, body and wait has a named limit here.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Config {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// nats-servers' monitoring ports (`http://host:port`, several separated by commas): the only places that say
    /// whether they sync always.
    pub monitor_url: Option<String>,
    /// Accept transfers although an acknowledgement does not mean "on disk"; every 202 then says so.
    pub allow_lazy_sync: bool,
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            monitor_url: None,
            allow_lazy_sync: false,
            limits: Limits::default(),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Limits {
    pub connections_max: usize,
    /// From the opening of a connection, or from the last answer, to the end of the next request's headers.
    pub header_time_max: Duration,
    /// Most bytes of a request's line and headers.
    pub header_bytes_max: usize,
    /// From the headers to the end of the body.
    pub body_time_max: Duration,
    /// From the headers to the answer, whatever happens.
    pub request_time_max: Duration,
    /// How long an answer may stand still, or nearly, because its client does not read.
    pub write_time_max: Duration,
    /// After the stop: how long connections may finish what they are at.
    pub shutdown_time_max: Duration,
    pub body_bytes_max: usize,
    pub batch_bytes_max: usize,
    pub batch_lines_max: usize,
    /// What batches hold together, from the arrival of their bytes until their answers are written.
    pub batches_bytes_max: usize,
    /// Batches that are put on the log at a time; more are told to come back.
    pub batches_max: usize,
    /// What one partition queues for its next records; more is told to come back.
    pub queue_commands_max: usize,
    pub record_commands_max: usize,
    /// Records on their way to the log at a time: it writes them one after another, so more only make emptier records.
    pub records_in_flight_max: usize,
    /// Longest time between the starts of two records of a partition while commands come: fewer are fuller.
    pub record_interval_max: Duration,
    /// Recent transfers whose repeats are recognised without the log.
    pub replays_max: usize,
    /// Most seconds that `Prefer: wait` and `?wait=` may ask for.
    pub wait_max: Duration,
    /// How long a change of an account waits for its outcome.
    pub account_wait: Duration,
    pub database_time_max: Duration,
    /// How often keys, units and generations are read again.
    pub key_refresh: Duration,
    /// How long known keys stay valid while Postgres is away.
    pub key_grace: Duration,
    /// How often the log is asked how full it is.
    pub usage_refresh: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            header_time_max: Duration::from_secs(30),
            header_bytes_max: 32 << 10,
            body_time_max: Duration::from_secs(10),
            request_time_max: Duration::from_secs(45),
            write_time_max: Duration::from_secs(20),
            shutdown_time_max: Duration::from_secs(5),
            body_bytes_max: 64 << 10,
            batch_bytes_max: 8 << 20,
            batch_lines_max: 10_000,
            batches_bytes_max: 32 << 20,
            batches_max: 8,
            queue_commands_max: 20_000,
            record_commands_max: 2_000,
            records_in_flight_max: 1,
            record_interval_max: Duration::from_millis(10),
            replays_max: 200_000,
            wait_max: Duration::from_secs(30),
            account_wait: Duration::from_secs(10),
            database_time_max: Duration::from_secs(3),
            key_refresh: Duration::from_secs(5),
            key_grace: Duration::from_hours(1),
            usage_refresh: Duration::from_secs(10),
        }
    }
}
