//! The core as its callers see it: scripts of single cases, and properties against a simple model.

#![cfg(test)]

mod book;
mod model;
mod properties;
mod scripts;
mod words;
