//! The double of COMMANDS: records of all partitions in one sequence, and consumers with sequences of their own.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use schemas::{Partition, Timestamp};
use streams::ReplyTo;

/// A record as it is published.
#[derive(Debug, Clone)]
pub(crate) struct Appended {
    pub(crate) partition: Partition,
    pub(crate) body: Bytes,
    pub(crate) schema: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) reply_to: Option<ReplyTo>,
}

#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) record: Appended,
}

/// A record on its way to whoever asked the consumer for it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) stored: Stored,
    pub(crate) consumer_sequence: u64,
    pub(crate) delivered: u64,
    pub(crate) pending: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Commands {
    pub(crate) stored: Vec<Stored>,
    consumers: BTreeMap<String, Consumer>,
}

#[derive(Debug)]
struct Consumer {
    partition: Partition,
    /// Sequence of the last record handed out.
    last: u64,
    /// How many deliveries there were.
    deliveries: u64,
    /// Handed out, to be handed out again.
    again: VecDeque<Stored>,
}

impl Commands {
    pub(crate) fn append(&mut self, record: Appended, at: Timestamp) -> u64 {
        let sequence = self.stored.len() as u64 + 1;
        self.stored.push(Stored {
            sequence,
            at,
            record,
        });
        sequence
    }

    pub(crate) fn after(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> impl Iterator<Item = &Stored> {
        self.stored.iter().filter(move |stored| {
            stored.record.partition == partition && stored.sequence > sequence
        })
    }

    pub(crate) fn create_consumer(&mut self, name: &str, partition: Partition, after: u64) {
        let consumer = Consumer {
            partition,
            last: after,
            deliveries: 0,
            again: VecDeque::new(),
        };
        let before = self.consumers.insert(name.to_owned(), consumer);
        assert!(before.is_none(), "consumers never share a name: {name}");
    }

    pub(crate) fn delete_consumer(&mut self, name: &str) {
        self.consumers.remove(name);
    }

    pub(crate) fn consumer_names(&self) -> Vec<String> {
        self.consumers.keys().cloned().collect()
    }

    /// The next delivery of a consumer; `Err` when there is no such consumer.
    pub(crate) fn pull(&mut self, name: &str) -> Result<Option<Delivery>, ()> {
        let Some(consumer) = self.consumers.get(name) else {
            return Err(());
        };
        let (partition, last) = (consumer.partition, consumer.last);
        let behind = self.after(partition, last).count() as u64;
        let fresh = self.after(partition, last).next().cloned();
        let consumer = self.consumers.get_mut(name).expect("found above");
        let (stored, delivered) = match consumer.again.pop_front() {
            Some(stored) => (stored, 2),
            None => match fresh {
                Some(stored) => {
                    consumer.last = stored.sequence;
                    (stored, 1)
                }
                None => return Ok(None),
            },
        };
        consumer.deliveries += 1;
        Ok(Some(Delivery {
            stored,
            consumer_sequence: consumer.deliveries,
            delivered,
            pending: behind.saturating_sub(1),
        }))
    }

    /// The server hands a record out once more, as after a missing acknowledgement.
    pub(crate) fn redeliver(&mut self, name: &str) -> bool {
        let Some(consumer) = self.consumers.get(name) else {
            return false;
        };
        let last = self
            .stored
            .iter()
            .find(|stored| stored.sequence == consumer.last)
            .filter(|_| consumer.deliveries > 0)
            .cloned();
        let Some(last) = last else { return false };
        let consumer = self.consumers.get_mut(name).expect("found above");
        consumer.again.push_back(last);
        true
    }
}
