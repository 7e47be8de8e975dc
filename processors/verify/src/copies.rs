//! The copies of dead letters on DLQ.
//!
//! Invariant: a copy is taken for a dead letter's only under that dead letter's id, and only with its bytes. What else
//! stands there is nobody's business here.

use bytes::Bytes;
use schemas::LinePosition;
use streams::Scanned;

use crate::Error;
use crate::partition::Pass;
use crate::records::Records;

/// Who buried them.
const STAGE: &str = "process";

pub(crate) struct Copies {
    /// Of the version before, for all partitions on one subject; then the partition's own.
    scans: [Records; 2],
}

/// Why a dead letter has no copy as it should be; `None` when it has.
pub(crate) type Fault = Option<String>;

impl Copies {
    pub(crate) async fn open(pass: Pass<'_>) -> Result<Self, Error> {
        let log = &pass.connections.log;
        let (before, own) = log.scan_dead_letters(STAGE, pass.bounds.partition).await?;
        let wait = pass.config.log_wait;
        Ok(Self {
            scans: [
                Records::new(before, wait).await?,
                Records::new(own, wait).await?,
            ],
        })
    }

    /// Looks for the copy of a dead letter. They are asked for in the order of the log.
    pub(crate) async fn compare(
        &mut self,
        at: LinePosition,
        reason: &str,
        body: &Bytes,
    ) -> Result<Fault, Error> {
        Ok(match self.find(at).await? {
            None => Some("it is not on DLQ".to_owned()),
            Some(copy) if !has_body(&copy, body) => {
                Some("its copy on DLQ has other bytes".to_owned())
            }
            Some(copy) if copy.header("Sluice-Reason") != Some(reason) => Some(format!(
                "its copy on DLQ says {}",
                copy.header("Sluice-Reason").unwrap_or("nothing")
            )),
            Some(_) => None,
        })
    }

    async fn find(&mut self, at: LinePosition) -> Result<Option<Scanned>, Error> {
        for records in &mut self.scans {
            while let Some(record) = records.peek() {
                match record.dead_letter(STAGE, at.partition) {
                    Some(other) if other > at => break,
                    Some(other) if other == at => return records.take().await,
                    // Of another partition, of no dead letter, or copied twice, as the version before did.
                    _ => drop(records.take().await?),
                }
            }
        }
        Ok(None)
    }
}

/// A copy that was too long for the log was cut and says so.
fn has_body(copy: &Scanned, body: &Bytes) -> bool {
    let cut = copy.body.len() < body.len();
    let says = copy.header("Sluice-Truncated");
    body.starts_with(&copy.body) && (!cut || says == Some(&body.len().to_string()))
}
