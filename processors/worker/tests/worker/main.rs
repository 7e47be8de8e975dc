//! The worker as its servers see it: a seeded simulation of the loop, contracts held against the doubles and the real
//! servers alike, and what only real servers can show.

#![cfg(test)]

mod double;
mod seams;
mod servers;
mod simulation;
