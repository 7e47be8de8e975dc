//! The records of one partition.
//!
//! Invariant: one record is in flight at a time. What arrives until the next one starts (see `starts`) stands in it; at
//! low load a record holds one command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use schemas::{LinePosition, Partition, Position};
use streams::{AppendError, CommandRecord, Log, Pace, RecordIds, ReplyTo};
use tokio::sync::{mpsc, oneshot};

use super::starts::{Start, Starts};
use super::{AppendFailed, Decided, Queued, Waiting};
use crate::lives::Lives;
use crate::metrics::{Records, append_failed};

/// What headers and framing of a record may take beside its body.
const PAYLOAD_SLACK: usize = 8 << 10;

/// How often a task that waits for the server looks whether the connection is still there.
const CONNECTION_CHECK: Duration = Duration::from_millis(100);

pub(super) struct PartitionTask {
    pub(super) partition: Partition,
    pub(super) queue: mpsc::Receiver<Queued>,
    pub(super) log: Log,
    pub(super) reply_to: ReplyTo,
    pub(super) waiting: Arc<Waiting>,
    pub(super) lives: Arc<Lives>,
    pub(super) starts: Arc<Starts>,
    pub(super) pace: Pace,
    pub(super) record_ids: Arc<RecordIds>,
    pub(super) record_commands_max: usize,
    pub(super) metrics: Records,
}

/// A record that is being filled.
#[derive(Default)]
struct Filling {
    body: Vec<u8>,
    event_bytes_max: usize,
    logged: Vec<oneshot::Sender<Result<LinePosition, AppendFailed>>>,
    decided: Vec<(u32, oneshot::Sender<Decided>)>,
}

impl PartitionTask {
    /// Until every sender of the queue is gone.
    pub(super) async fn run(mut self) {
        let mut carried = None;
        loop {
            let first = match carried.take() {
                Some(queued) => queued,
                None => match self.queue.recv().await {
                    Some(queued) => queued,
                    None => return,
                },
            };
            let starts = Arc::clone(&self.starts);
            let due = self.pace.next();
            let start = self.while_connected(starts.next(due)).await;
            self.pace.start(start.at);
            let (filling, rest) = self.fill(first);
            carried = rest;
            self.metrics.queued(self.queue.len());
            if !filling.logged.is_empty() {
                self.append(filling, start).await;
            }
        }
    }

    /// Takes what is queued, as much as one record may hold; what does not fit is the first of the next.
    fn fill(&mut self, first: Queued) -> (Filling, Option<Queued>) {
        let bytes_max = self.log.payload_bytes_max().saturating_sub(PAYLOAD_SLACK);
        let mut filling = Filling::default();
        let mut next = Some(first);
        while let Some(queued) = next {
            if !filling.fits(&queued, bytes_max) {
                return (filling, Some(queued));
            }
            // Whoever left got no promise.
            if !queued.logged.is_closed() {
                filling.push(queued);
            }
            if filling.logged.len() >= self.record_commands_max {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        (filling, None)
    }

    async fn append(&mut self, filling: Filling, start: Start<'_>) {
        let count = u32::try_from(filling.logged.len()).expect("record_commands_max fits 32 bits");
        let record = CommandRecord {
            partition: self.partition,
            id: self.record_ids.next(),
            body: Bytes::from(filling.body),
            count,
            reply_to: (!filling.decided.is_empty()).then(|| self.reply_to.clone()),
        };
        if !filling.decided.is_empty() {
            self.waiting.expect(&record.id, filling.decided);
        }
        let started = Instant::now();
        let (log, lives) = (self.log.clone(), Arc::clone(&self.lives));
        self.while_connected(lives.meet(&log)).await;
        match self.while_connected(log.append(&record)).await {
            Ok(sequence) => {
                self.metrics.acknowledged(count, started.elapsed());
                self.pace.took(start.at.elapsed());
                self.while_connected(lives.acknowledged(&log, sequence))
                    .await;
                self.acknowledge(filling.logged, sequence);
            }
            Err(error) => {
                self.waiting.forget(&record.id);
                self.report(&error, &record);
                refuse(filling.logged, AppendFailed::from(&error));
            }
        }
    }

    fn acknowledge(
        &self,
        logged: Vec<oneshot::Sender<Result<LinePosition, AppendFailed>>>,
        sequence: u64,
    ) {
        let position = Position::new(self.lives.generation(self.partition), sequence);
        for (line, client) in (0..).zip(logged) {
            // A client that left needs no answer.
            client
                .send(Ok(LinePosition {
                    partition: self.partition,
                    position,
                    line,
                }))
                .ok();
        }
    }

    fn report(&self, error: &AppendError, record: &CommandRecord) {
        append_failed(AppendFailed::from(error).as_str());
        tracing::warn!(
            partition = %self.partition,
            record = record.id,
            commands = record.count,
            error = error as &dyn std::error::Error,
            "a record was not acknowledged"
        );
    }

    /// Waits for the server; once the connection is lost, what is queued is told so instead of waiting along.
    async fn while_connected<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(CONNECTION_CHECK) => {}
            }
            if !self.log.is_connected() {
                while let Ok(queued) = self.queue.try_recv() {
                    refuse([queued.logged], AppendFailed::LogUnavailable);
                }
            }
        }
    }
}

impl Filling {
    /// The first always fits: one command is far below the smallest `max_payload` that makes sense.
    fn fits(&self, queued: &Queued, bytes_max: usize) -> bool {
        self.logged.is_empty()
            || (self.body.len() + queued.line.len() < bytes_max
                && self.event_bytes_max + queued.event_bytes_max < bytes_max)
    }

    fn push(&mut self, queued: Queued) {
        if !self.body.is_empty() {
            self.body.push(b'\n');
        }
        self.body.extend_from_slice(&queued.line);
        self.event_bytes_max += queued.event_bytes_max;
        if let Some(decided) = queued.decided {
            let line = u32::try_from(self.logged.len()).expect("record_commands_max fits 32 bits");
            self.decided.push((line, decided));
        }
        self.logged.push(queued.logged);
    }
}

fn refuse(
    clients: impl IntoIterator<Item = oneshot::Sender<Result<LinePosition, AppendFailed>>>,
    failed: AppendFailed,
) {
    for client in clients {
        // A client that left needs no answer.
        client.send(Err(failed)).ok();
    }
}
