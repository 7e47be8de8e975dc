//! The HTTP interface against a real nats-server and Postgres, without a processor.
#![cfg(test)]

mod bad_input;
mod book;
mod created_again;
mod documentation;
mod faults;
mod grown;
mod harness;
mod keys;
mod log;
mod outcomes;
mod reads;
mod slow_clients;
