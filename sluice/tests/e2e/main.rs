//! The product from outside: real processes, a real nats-server, a real Postgres.
#![cfg(test)]

mod bench;
mod bench_faults;
mod certain;
mod connections;
mod faults;
mod flood;
mod handover;
mod http;
mod load;
mod log;
mod process;
mod quiet;
mod restored;
mod stories;
mod system;
mod up;
mod upgrade;
