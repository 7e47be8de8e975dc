//! What the loop needs of Postgres and of the log.
//!
//! Invariant: these traits have two implementations each, the real one and the simulation's, and the same test
//! body runs against both.

use journal::{CommitRow, Ledgers};
use ledger::{Reads, Rows};
use schemas::{Event, LinePosition, Partition, Position, Timestamp};
use streams::{
    Copied, DeadLetterRecord, EventRecord, PublishError, Published, ReadError, Record, Reply,
    ReplyTo, StreamIdentity,
};

use crate::Error;
use crate::commit::Commit;

/// The right to write one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    pub partition: Partition,
    pub epoch: i64,
}

/// A partition's row when it was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub lease: Lease,
    pub generation: u16,
    pub stream_created: Option<Timestamp>,
    pub applied: Position,
    /// When the log stored the record at `applied`.
    pub applied_at: Timestamp,
    pub published: Position,
    /// Dead letters up to here are on DLQ.
    pub dlq_published: Position,
    /// Why an owner before us stopped.
    pub stopped: Option<String>,
}

/// The step of the position that a transaction makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    pub previous: Position,
    pub next: Position,
    /// When the log stored the record at `next`.
    pub next_at: Timestamp,
    /// Known to be on EVENTS, up to here.
    pub published: Position,
}

/// What a batch is decided from.
#[derive(Debug)]
pub struct Loaded {
    pub rows: Rows,
    /// Of a clock that is not behind the rows and never says a time that was certain before.
    pub now: Timestamp,
}

/// Postgres.
pub trait Store: Clone + Send + Sync + 'static {
    type Transaction: Transaction;
    type Rehearsal: Rehearsal;

    /// Every ledger and its units.
    fn ledgers(&self) -> impl Future<Output = Result<Ledgers, Error>> + Send;

    /// Makes the partition ours, if its lease is free or ours, under a new epoch.
    fn take_over(
        &self,
        partition: Partition,
        owner: &str,
    ) -> impl Future<Output = Result<Option<Row>, Error>> + Send;

    /// Records which stream the positions belong to, once.
    fn bind_stream(
        &self,
        lease: Lease,
        created: Timestamp,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Prolongs the lease, and makes the past certain: no later commit decides before now.
    fn renew(
        &self,
        lease: Lease,
        published: Position,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Gives the partition back.
    fn release(
        &self,
        lease: Lease,
        published: Position,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Says why the partition does not go on, or that it does.
    fn set_stopped(
        &self,
        lease: Lease,
        why: Option<&str>,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// The commit that ends at `position`.
    fn commit_at(
        &self,
        partition: Partition,
        position: Position,
    ) -> impl Future<Output = Result<Option<CommitRow>, Error>> + Send;

    /// The last commit of the partition.
    fn last_commit(
        &self,
        partition: Partition,
    ) -> impl Future<Output = Result<Option<CommitRow>, Error>> + Send;

    /// The first commit after `position`.
    fn commit_after(
        &self,
        partition: Partition,
        position: Position,
    ) -> impl Future<Output = Result<Option<CommitRow>, Error>> + Send;

    /// The outcomes of a commit, in order.
    fn journal(
        &self,
        partition: Partition,
        commit: &CommitRow,
    ) -> impl Future<Output = Result<Vec<Event>, Error>> + Send;

    /// The first dead letters after a place, in order.
    fn dead_letters_after(
        &self,
        after: LinePosition,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<DeadLetterRecord>, Error>> + Send;

    /// Records that dead letters up to a position are on DLQ.
    fn dead_letters_copied(
        &self,
        lease: Lease,
        position: Position,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// Opens a transaction that moves the position and makes the past certain, and reads what its batch touches; accounts are
    /// locked, or remembered. `Fenced` when the position is not ours to move.
    fn begin(
        &self,
        lease: Lease,
        advance: Advance,
        reads: &Reads,
    ) -> impl Future<Output = Result<(Self::Transaction, Loaded), Error>> + Send;

    /// The same for a transaction that is never committed; it reads nothing yet.
    fn rehearse(
        &self,
        lease: Lease,
        advance: Advance,
    ) -> impl Future<Output = Result<Self::Rehearsal, Error>> + Send;
}

/// One batch's transaction; dropped without `commit`, it never happened.
pub trait Transaction: Send {
    /// Once. `Conflict` when the accounts are not those that were loaded: others wrote them since they were remembered. What
    /// was written may be remembered from now on.
    fn write(&mut self, commit: &Commit) -> impl Future<Output = Result<(), Error>> + Send;

    /// An error leaves open whether it happened.
    fn commit(self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Finds out what can be written: parts of a batch, one after another.
pub trait Rehearsal: Send {
    /// Reads what the next part touches; accounts are locked.
    fn load(&mut self, reads: &Reads) -> impl Future<Output = Result<Loaded, Error>> + Send;

    fn write(&mut self, commit: &Commit) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The log.
pub trait Log: Clone + Send + Sync + 'static {
    type Feed: Feed;

    fn partitions(&self) -> u16;

    fn payload_bytes_max(&self) -> usize;

    fn identity(&self) -> impl Future<Output = Result<StreamIdentity, Error>> + Send;

    fn stored_at(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> impl Future<Output = Result<Option<Timestamp>, Error>> + Send;

    fn next_after(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> impl Future<Output = Result<Option<(u64, Timestamp)>, Error>> + Send;

    fn read(
        &self,
        partition: Partition,
        name: &str,
        sequence: u64,
    ) -> impl Future<Output = Result<Self::Feed, Error>> + Send;

    fn last_published(
        &self,
        partition: Partition,
    ) -> impl Future<Output = Result<Published, Error>> + Send;

    fn publish(
        &self,
        record: &EventRecord,
        after: u64,
    ) -> impl Future<Output = Result<u64, PublishError>> + Send;

    fn dead_letters_copied(
        &self,
        partition: Partition,
    ) -> impl Future<Output = Result<Copied, Error>> + Send;

    fn publish_dead_letter(
        &self,
        letter: &DeadLetterRecord,
        after: u64,
    ) -> impl Future<Output = Result<u64, PublishError>> + Send;

    fn reply(&self, to: &ReplyTo, reply: Reply) -> impl Future<Output = Result<(), Error>> + Send;
}

/// The records of one partition, in order.
pub trait Feed: Send + Sync {
    fn next(&mut self) -> impl Future<Output = Result<Record, ReadError>> + Send;

    /// The next record, if it is here already.
    ///
    /// # Errors
    /// As `next`.
    fn try_next(&mut self) -> Result<Option<Record>, ReadError>;

    fn acknowledge(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}
