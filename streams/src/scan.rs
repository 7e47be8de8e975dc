//! A stream from end to end, for checks.
//!
//! Invariant: a scan ends at the last record that stood there when it began.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use schemas::{Partition, Position, Timestamp};

use crate::events::{EventRecord, committed_at, event_record, hash_of, position_of};
use crate::fetch::{Raw, Wanted};
use crate::records::{Records, unnamed};
use crate::streams::{COMMANDS, EVENTS, command_subject, event_subject};
use crate::{Error, Log, Record};

/// How often in a row a scan begins again where it was, without getting a record.
const REOPENED_MAX: u32 = 5;
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// One record as it stands on a stream.
#[derive(Debug, Clone)]
pub struct Scanned {
    pub sequence: u64,
    pub stored_at: Timestamp,
    pub body: Bytes,
    /// The header block; its names in alphabetical order, or, where it cannot be read, as it was published.
    pub block: Bytes,
    /// Why the headers cannot be read; then there are none.
    pub unreadable: Option<&'static str>,
    headers: HeaderMap,
}

impl From<Raw> for Scanned {
    fn from(raw: Raw) -> Self {
        Self {
            sequence: raw.sequence,
            stored_at: raw.stored_at,
            body: raw.body,
            block: raw.block,
            unreadable: raw.headers.as_ref().err().copied(),
            headers: raw.headers.unwrap_or_default(),
        }
    }
}

impl Scanned {
    /// As a reader hands it out.
    pub fn as_record(&self) -> Record {
        let (block, body) = (self.block.clone(), self.body.clone());
        Record::kept(self.sequence, self.stored_at, block, body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// The hash in the headers of an event record.
    pub fn hash(&self) -> Option<[u8; 32]> {
        hash_of(&self.headers)
    }

    /// When the processor's COMMIT of an event record returned; `None` for one that was made again later.
    pub fn committed_at(&self) -> Option<Timestamp> {
        committed_at(&self.headers)
    }

    /// The commit that an event record says it is; `None` where its headers are not those of one.
    pub fn event_record(&self, partition: Partition) -> Option<EventRecord> {
        event_record(partition, &self.headers, &self.body)
    }

    /// The last position in the headers of an event record.
    pub fn position(&self) -> Option<Position> {
        position_of(&self.headers)
    }
}

/// The records of one subject, in order. A lost connection is taken up again at the same place.
pub struct Scan {
    records: Records,
    /// Sequence in the stream of the last record handed out.
    after: u64,
    last: u64,
    reopened: u32,
}

impl Log {
    /// Command records of a partition after `sequence`.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn scan_commands(&self, partition: Partition, sequence: u64) -> Result<Scan, Error> {
        self.scan(COMMANDS, command_subject(partition), sequence)
            .await
    }

    /// Event records of a partition after `sequence`.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn scan_events(&self, partition: Partition, sequence: u64) -> Result<Scan, Error> {
        self.scan(EVENTS, event_subject(partition), sequence).await
    }

    pub(crate) async fn scan(
        &self,
        name: &'static str,
        subject: String,
        sequence: u64,
    ) -> Result<Scan, Error> {
        let last = self.fetch(name, &Wanted::last_of(&subject)).await?;
        Ok(Scan {
            records: Records::new(
                self.clone(),
                name,
                subject,
                sequence,
                unnamed("check of the log"),
            ),
            after: sequence,
            last: last.map_or(0, |last| last.sequence),
            reopened: 0,
        })
    }
}

impl Scan {
    /// Sequence at which the scan ends; 0 for an empty subject.
    pub fn last_sequence(&self) -> u64 {
        self.last
    }

    /// The next record; `None` behind the last one.
    ///
    /// # Errors
    /// When the server does not answer for some seconds.
    pub async fn next(&mut self) -> Result<Option<Scanned>, Error> {
        while self.after < self.last {
            let interrupted = match self.records.next().await {
                Ok(taken) => {
                    self.after = taken.record.sequence;
                    self.reopened = 0;
                    return Ok(Some(taken.record.into()));
                }
                Err(interrupted) => interrupted,
            };
            let error = self.records.unavailable(interrupted);
            if self.reopened >= REOPENED_MAX {
                return Err(error);
            }
            self.reopened += 1;
            tracing::debug!(%error, after = self.after, "reading on with another consumer");
            tokio::time::sleep(REOPEN_AFTER).await;
        }
        Ok(None)
    }
}
