//! What is written to the journal, read again from real servers.
#![cfg(test)]

mod bed;
mod damaged;
mod forged;
mod grown;
mod source;
