//! The double of the log, and of a reader of one partition.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use schemas::{Partition, Timestamp};
use streams::{
    Copied, DeadLetterRecord, EventRecord, PublishError, Published, ReadError, Record, Reply,
    ReplyTo, StreamIdentity,
};
use worker::Error;
use worker::simulation::{Feed as FeedSeam, Log as Seam};

use super::commands::Delivery;
use super::events::Stored;
use super::faults::Point;
use super::process::Process;
use super::world::World;

pub(crate) const STREAM_CREATED: i64 = 1_795_000_000_000_000_000;
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const BUFFERED_MAX: usize = 5;

#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) process: Process,
    pub(crate) partitions: u16,
    pub(crate) payload_bytes_max: usize,
}

/// What `streams::Reader` is to the real log.
pub(crate) struct Feed {
    process: Process,
    pub(crate) consumer: String,
    buffered: VecDeque<Delivery>,
    next: u64,
}

fn failed(why: &'static str) -> Error {
    Error::Unavailable {
        doing: "using the log",
        source: why.into(),
    }
}

impl Log {
    async fn ask<T>(&self, point: Point, ask: impl FnOnce(&mut World) -> T) -> Result<T, Error> {
        let effect = async { Ok(ask(&mut self.process.world.lock())) };
        self.process.call(point, failed, effect).await
    }
}

impl Seam for Log {
    type Feed = Feed;

    fn partitions(&self) -> u16 {
        self.partitions
    }

    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    async fn identity(&self) -> Result<StreamIdentity, Error> {
        self.ask(Point::Identity, |world| StreamIdentity {
            created: Timestamp::from_nanoseconds(STREAM_CREATED),
            last_sequence: world.commands.stored.len() as u64,
        })
        .await
    }

    async fn stored_at(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> Result<Option<Timestamp>, Error> {
        self.ask(Point::StoredAt, |world| {
            let next = world.commands.after(partition, sequence - 1).next();
            next.filter(|stored| stored.sequence == sequence)
                .map(|stored| stored.at)
        })
        .await
    }

    async fn next_after(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> Result<Option<(u64, Timestamp)>, Error> {
        self.ask(Point::NextAfter, |world| {
            let next = world.commands.after(partition, sequence).next();
            next.map(|stored| (stored.sequence, stored.at))
        })
        .await
    }

    async fn read(&self, partition: Partition, name: &str, sequence: u64) -> Result<Feed, Error> {
        self.ask(Point::Read, |world| {
            world.commands.create_consumer(name, partition, sequence);
        })
        .await?;
        Ok(Feed {
            process: self.process.clone(),
            consumer: name.to_owned(),
            buffered: VecDeque::new(),
            next: 1,
        })
    }

    async fn last_published(&self, partition: Partition) -> Result<Published, Error> {
        self.ask(Point::LastPublished, |world| world.events.last(partition))
            .await
    }

    async fn publish(&self, record: &EventRecord, after: u64) -> Result<u64, PublishError> {
        let effect = async {
            let mut world = self.process.world.lock();
            let world = &mut *world;
            if world.faults.strikes(&mut world.chance, 80) {
                world.seen.count("publications to a full EVENTS");
                return Err(PublishError::Full {
                    stream: streams::EVENTS,
                    source: "maximum bytes exceeded".into(),
                });
            }
            let stored = world.events.publish(record, after);
            if stored.is_err() {
                let last = world.events.last(record.partition);
                let is_second = last.commit.is_some_and(|last| last.hash == record.hash);
                world.seen.count(if is_second {
                    "second copies of a commit refused"
                } else {
                    "publications behind another record"
                });
            }
            stored
        };
        let failed = |why: &'static str| PublishError::Unavailable(why.into());
        self.process.call(Point::Publish, failed, effect).await
    }

    async fn dead_letters_copied(&self, partition: Partition) -> Result<Copied, Error> {
        self.ask(Point::Copied, |world| world.events.copied(partition))
            .await
    }

    async fn publish_dead_letter(
        &self,
        letter: &DeadLetterRecord,
        after: u64,
    ) -> Result<u64, PublishError> {
        let effect = async {
            let mut world = self.process.world.lock();
            let world = &mut *world;
            if world.faults.strikes(&mut world.chance, 80) {
                world.seen.count("publications to a full DLQ");
                return Err(PublishError::Full {
                    stream: streams::DLQ,
                    source: "maximum bytes exceeded".into(),
                });
            }
            match world.events.publish_dead_letter(letter, after) {
                Ok(Stored::New(sequence)) => Ok(sequence),
                Ok(Stored::Duplicate(sequence)) => {
                    world
                        .seen
                        .count("second copies of a dead letter recognised");
                    Ok(sequence)
                }
                Err(error) => {
                    world.seen.count("dead letters behind another record");
                    Err(error)
                }
            }
        };
        let failed = |why: &'static str| PublishError::Unavailable(why.into());
        let point = Point::PublishDeadLetter;
        self.process.call(point, failed, effect).await
    }

    async fn reply(&self, to: &ReplyTo, reply: Reply) -> Result<(), Error> {
        self.ask(Point::Reply, |world| {
            world.events.replies.push((to.subject().to_owned(), reply));
        })
        .await
    }
}

impl Feed {
    fn lost(&self, why: &'static str) -> ReadError {
        ReadError::Lost {
            consumer: self.consumer.clone(),
            source: why.into(),
        }
    }

    /// Asks the consumer for a few records more.
    fn fill(&mut self) -> Result<(), ReadError> {
        let mut world = self.process.world.lock();
        let world = &mut *world;
        let wanted = world.chance.random_range(1..=BUFFERED_MAX);
        for _ in 0..wanted {
            match world.commands.pull(&self.consumer) {
                Ok(Some(delivery)) => self.buffered.push_back(delivery),
                Ok(None) => return Ok(()),
                Err(()) => {
                    world.seen.count("consumers found deleted");
                    return Err(self.lost("the consumer was deleted"));
                }
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Record>, ReadError> {
        let Some(delivery) = self.buffered.pop_front() else {
            return Ok(None);
        };
        if delivery.consumer_sequence != self.next || delivery.delivered != 1 {
            let seen = &mut self.process.world.lock().seen;
            seen.count(if delivery.delivered == 1 {
                "stolen records noticed"
            } else {
                "redelivered records noticed"
            });
            return Err(ReadError::Stolen(self.consumer.clone()));
        }
        self.next += 1;
        let stored = delivery.stored;
        Ok(Some(Record {
            sequence: stored.sequence,
            stored_at: stored.at,
            body: stored.record.body,
            schema: stored.record.schema,
            id: stored.record.id,
            reply_to: stored.record.reply_to,
            headers: Bytes::new(),
            unreadable: None,
            pending: delivery.pending,
        }))
    }
}

impl FeedSeam for Feed {
    async fn next(&mut self) -> Result<Record, ReadError> {
        loop {
            if let Some(record) = self.take()? {
                return Ok(record);
            }
            self.fill()?;
            if self.buffered.is_empty() {
                let appended = self.process.world.lock().appended.clone();
                tokio::select! {
                    biased;
                    () = appended.notified() => {}
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
                continue;
            }
            let consumer = self.consumer.clone();
            let failed = move |why: &'static str| ReadError::Lost {
                consumer: consumer.clone(),
                source: why.into(),
            };
            let arrived = async { Ok(()) };
            self.process.call(Point::Next, failed, arrived).await?;
        }
    }

    fn try_next(&mut self) -> Result<Option<Record>, ReadError> {
        if self.buffered.is_empty() && self.process.world.lock().chance.random_bool(0.5) {
            self.fill()?;
        }
        self.take()
    }

    async fn acknowledge(&mut self) -> Result<(), Error> {
        let acknowledged = async { Ok(()) };
        self.process
            .call(Point::Acknowledge, failed, acknowledged)
            .await
    }
}
