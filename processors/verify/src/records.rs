//! A stream's records one after another, the next one in view.
//!
//! Invariant: one record is in memory, and a scan that stands still is an error, not a hang.

use std::time::Duration;

use streams::{Scan, Scanned};

use crate::Error;

pub(crate) struct Records {
    scan: Scan,
    next: Option<Scanned>,
    wait: Duration,
}

impl Records {
    pub(crate) async fn new(scan: Scan, wait: Duration) -> Result<Self, Error> {
        let mut records = Self {
            scan,
            next: None,
            wait,
        };
        records.take().await?;
        Ok(records)
    }

    pub(crate) fn peek(&self) -> Option<&Scanned> {
        self.next.as_ref()
    }

    /// The record in view; the one behind it comes into view.
    pub(crate) async fn take(&mut self) -> Result<Option<Scanned>, Error> {
        let next = tokio::time::timeout(self.wait, self.scan.next())
            .await
            .map_err(|_| Error::LogSilent(self.wait))??;
        Ok(std::mem::replace(&mut self.next, next))
    }
}
