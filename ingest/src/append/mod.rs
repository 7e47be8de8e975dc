//! Commands onto the log, many to a record.
//!
//! Invariant: the commands of a partition stand on the log in the order in which they came, and a receipt says
//! yes only after the server's acknowledgement.

mod partition;
mod starts;
mod waiting;

use std::sync::Arc;

use schemas::{Command, LinePosition, Partition, partition_of};
use streams::{AppendError, Log, RecordIds, ReplyTo};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::config::Limits;
use crate::lives::Lives;
use partition::PartitionTask;
use starts::{BeingServed, Starts};
pub(crate) use waiting::{Decided, Waiting};

/// Why a command is not known to be on the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AppendFailed {
    /// Certainly not on the log.
    QueueFull,
    /// Certainly not on the log.
    LogUnavailable,
    /// Certainly not on the log.
    LogFull,
    /// Certainly not on the log.
    LogNotDurable,
    /// Perhaps on the log.
    OutcomeUnknown,
}

impl AppendFailed {
    fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::LogUnavailable => "log_unavailable",
            Self::LogFull => "log_full",
            Self::LogNotDurable => "log_not_durable",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

impl From<&AppendError> for AppendFailed {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::NotSent | AppendError::Refused(_) => Self::LogUnavailable,
            AppendError::Full => Self::LogFull,
            AppendError::NotDurable => Self::LogNotDurable,
            AppendError::Unknown => Self::OutcomeUnknown,
        }
    }
}

/// Whether somebody stays to hear what is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcomes {
    Wanted,
    Unwanted,
}

/// What a full queue means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Refuse,
    /// For a batch, which holds its place and its memory already.
    Wait,
}

/// How a command is handed over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) outcomes: Outcomes,
    pub(crate) when_full: WhenFull,
}

/// A command in the queue of its partition.
struct Queued {
    line: Vec<u8>,
    event_bytes_max: usize,
    logged: oneshot::Sender<Result<LinePosition, AppendFailed>>,
    decided: Option<oneshot::Sender<Decided>>,
}

/// What comes back for one command.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) logged: oneshot::Receiver<Result<LinePosition, AppendFailed>>,
    /// Only where the outcome was wanted; closed without a word when the reply is lost.
    pub(crate) decided: Option<oneshot::Receiver<Decided>>,
    _served: BeingServed,
}

#[derive(Debug)]
pub(crate) struct Appender {
    log: Log,
    starts: Arc<Starts>,
    queues: Vec<mpsc::Sender<Queued>>,
}

impl Appender {
    /// Starts one task for each partition.
    pub(crate) fn start(
        log: &Log,
        reply_to: &ReplyTo,
        waiting: &Arc<Waiting>,
        lives: &Arc<Lives>,
        limits: &Limits,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let starts = Arc::new(Starts::new(limits));
        let record_ids = Arc::new(RecordIds::random());
        let queues = (0..log.partitions())
            .map(|number| {
                let (sender, queue) = mpsc::channel(limits.queue_commands_max);
                let task = PartitionTask {
                    partition: Partition(number),
                    queue,
                    log: log.clone(),
                    reply_to: reply_to.clone(),
                    waiting: Arc::clone(waiting),
                    lives: Arc::clone(lives),
                    starts: Arc::clone(&starts),
                    pace: starts::pace(limits),
                    record_ids: Arc::clone(&record_ids),
                    record_commands_max: limits.record_commands_max,
                    metrics: crate::metrics::Records::register(Partition(number)),
                };
                tasks.spawn(task.run());
                sender
            })
            .collect();
        Self {
            log: log.clone(),
            starts,
            queues,
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.log.is_connected()
    }

    pub(crate) fn log(&self) -> &Log {
        &self.log
    }

    pub(crate) fn partitions(&self) -> u16 {
        self.log.partitions()
    }

    /// Queues a command for the next record of its partition.
    ///
    /// # Errors
    /// When it certainly will not be sent.
    pub(crate) async fn enqueue(
        &self,
        command: &Command,
        manner: Manner,
    ) -> Result<Receipt, AppendFailed> {
        if !self.log.is_connected() {
            return Err(AppendFailed::LogUnavailable);
        }
        if !self.log.is_durable() {
            return Err(AppendFailed::LogNotDurable);
        }
        let served = self.starts.serve();
        let (logged, logged_receiver) = oneshot::channel();
        let (decided, decided_receiver) = match manner.outcomes {
            Outcomes::Wanted => {
                let (sender, receiver) = oneshot::channel();
                (Some(sender), Some(receiver))
            }
            Outcomes::Unwanted => (None, None),
        };
        let queued = Queued {
            line: command.encode(),
            event_bytes_max: command.event_bytes_max(),
            logged,
            decided,
        };
        let partition = partition_of(command.account(), self.log.partitions());
        let queue = &self.queues[usize::from(partition.0)];
        match (queue.try_send(queued), manner.when_full) {
            (Ok(()), _) => {}
            (Err(TrySendError::Full(queued)), WhenFull::Wait) => queue
                .send(queued)
                .await
                .map_err(|_| AppendFailed::LogUnavailable)?,
            (Err(TrySendError::Full(_)), WhenFull::Refuse) => return Err(AppendFailed::QueueFull),
            (Err(TrySendError::Closed(_)), _) => return Err(AppendFailed::LogUnavailable),
        }
        Ok(Receipt {
            logged: logged_receiver,
            decided: decided_receiver,
            _served: served,
        })
    }
}

impl Receipt {
    /// Where the command stands on the log.
    ///
    /// # Errors
    /// When it is not known to be there.
    pub(crate) async fn logged(&mut self) -> Result<LinePosition, AppendFailed> {
        // A task that ended in the middle of an append leaves the outcome open.
        (&mut self.logged)
            .await
            .unwrap_or(Err(AppendFailed::OutcomeUnknown))
    }
}
