//! The real log behind the seam.
//!
//! Invariant: nothing is decided here.

use schemas::{Partition, Timestamp};
use streams::{
    Copied, DeadLetterRecord, EventRecord, PublishError, Published, ReadError, Reader, Record,
    Reply, ReplyTo, StreamIdentity,
};

use crate::Error;
use crate::seam::{Feed, Log};

const STAGE: &str = "process";

impl Log for streams::Log {
    type Feed = Reader;

    fn partitions(&self) -> u16 {
        streams::Log::partitions(self)
    }

    fn payload_bytes_max(&self) -> usize {
        streams::Log::payload_bytes_max(self)
    }

    async fn identity(&self) -> Result<StreamIdentity, Error> {
        Ok(streams::Log::identity(self).await?)
    }

    async fn stored_at(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> Result<Option<Timestamp>, Error> {
        Ok(streams::Log::stored_at(self, partition, sequence).await?)
    }

    async fn next_after(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> Result<Option<(u64, Timestamp)>, Error> {
        Ok(streams::Log::next_after(self, partition, sequence).await?)
    }

    async fn read(&self, partition: Partition, name: &str, sequence: u64) -> Result<Reader, Error> {
        Ok(streams::Log::read(self, partition, name, sequence).await?)
    }

    async fn last_published(&self, partition: Partition) -> Result<Published, Error> {
        Ok(streams::Log::last_published(self, partition).await?)
    }

    async fn publish(&self, record: &EventRecord, after: u64) -> Result<u64, PublishError> {
        streams::Log::publish(self, record, after).await
    }

    async fn dead_letters_copied(&self, partition: Partition) -> Result<Copied, Error> {
        Ok(streams::Log::dead_letters_copied(self, STAGE, partition).await?)
    }

    async fn publish_dead_letter(
        &self,
        letter: &DeadLetterRecord,
        after: u64,
    ) -> Result<u64, PublishError> {
        streams::Log::publish_dead_letter(self, STAGE, letter, after).await
    }

    async fn reply(&self, to: &ReplyTo, reply: Reply) -> Result<(), Error> {
        Ok(streams::Log::reply(self, to, reply).await?)
    }
}

impl Feed for Reader {
    async fn next(&mut self) -> Result<Record, ReadError> {
        Reader::next(self).await
    }

    fn try_next(&mut self) -> Result<Option<Record>, ReadError> {
        Reader::try_next(self)
    }

    async fn acknowledge(&mut self) -> Result<(), Error> {
        Ok(Reader::acknowledge(self).await?)
    }
}
