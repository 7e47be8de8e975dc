//! One handle on the three streams.
//!
//! Invariant: the number of partitions comes from the stream, never from a flag.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::context::{ContextBuilder, GetStreamErrorKind};
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, ErrorCode};
use schemas::{Partition, Timestamp};

use crate::durability::Checked;
use crate::fetch::Wanted;
use crate::streams::{COMMANDS, DLQ, EVENTS, command_subject, partitions_of};
use crate::{Connection, Error, Settings, StreamIdentity};

/// How long one publish waits for its acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// The log, over one connection, beside those that read.
#[derive(Debug, Clone)]
pub struct Log {
    pub(crate) connection: Connection,
    pub(crate) jetstream: Context,
    partitions: u16,
    /// Where only durable appends are wanted: for which connection they are.
    pub(crate) checked: Option<Checked>,
}

/// How full a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    pub bytes: u64,
    /// `None`: unlimited.
    pub bytes_max: Option<u64>,
}

impl Log {
    /// Opens the log over `connection`; the streams must exist.
    ///
    /// # Errors
    /// When the server does not answer or a stream is missing.
    pub async fn open(connection: Connection) -> Result<Self, Error> {
        let jetstream = context(connection.client());
        let commands = get_stream(&jetstream, COMMANDS).await?;
        let partitions = partitions_of(&commands.cached_info().config)?;
        for stream in [EVENTS, DLQ] {
            get_stream(&jetstream, stream).await?;
        }
        Ok(Self {
            connection,
            jetstream,
            partitions,
            checked: None,
        })
    }

    /// Creates what is missing, sets the limits that are given, and opens the log.
    ///
    /// # Errors
    /// When the server does not answer or refuses a stream.
    pub async fn create(connection: Connection, settings: &Settings) -> Result<Self, Error> {
        let jetstream = context(connection.client());
        for (mut wanted, bytes_max) in settings.configs() {
            let (name, subjects) = (wanted.name.clone(), wanted.subjects.clone());
            wanted.max_bytes = bytes_max.unwrap_or(wanted.max_bytes);
            let existing = jetstream
                .get_or_create_stream(wanted)
                .await
                .map_err(|source| {
                    Error::unavailable(format!("creating the stream {name}"), source)
                })?;
            let existing = &existing.cached_info().config;
            let mut config = existing.clone();
            config.max_bytes = bytes_max.unwrap_or(config.max_bytes);
            if name == DLQ {
                // The version before had one subject for all partitions.
                config.subjects = subjects;
            }
            if config != *existing {
                jetstream.update_stream(config).await.map_err(|source| {
                    Error::unavailable(format!("changing the stream {name}"), source)
                })?;
            }
        }
        Self::open(connection).await
    }

    /// P: how many partitions `COMMANDS` was created with.
    pub fn partitions(&self) -> u16 {
        self.partitions
    }

    /// Sends what is still to be sent and closes the connection.
    ///
    /// # Errors
    /// When the connection is closed already.
    pub async fn close(&self) -> Result<(), Error> {
        self.connection
            .client
            .drain()
            .await
            .map_err(|source| Error::unavailable("closing the connection to nats-server", source))
    }

    pub fn is_connected(&self) -> bool {
        self.connection.client.connection_state() == State::Connected
    }

    /// How often a connection was made; where it differs from before, the server may hold another log.
    pub fn connects(&self) -> u64 {
        self.connection
            .client
            .statistics()
            .connects
            .load(Ordering::Relaxed)
    }

    /// Of the nats-server that this connection goes to.
    pub fn server_version(&self) -> String {
        self.connection.client.server_info().version
    }

    /// Largest payload that the server takes, in bytes.
    pub fn payload_bytes_max(&self) -> usize {
        self.connection.client.max_payload()
    }

    /// Which life of `COMMANDS` this is.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn identity(&self) -> Result<StreamIdentity, Error> {
        let stream = get_stream(&self.jetstream, COMMANDS).await?;
        StreamIdentity::of(stream.cached_info())
    }

    /// Sequence of the last record on `COMMANDS`, of whichever partition: as many were ever appended.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn last_appended(&self) -> Result<u64, Error> {
        let stream = get_stream(&self.jetstream, COMMANDS).await?;
        Ok(stream.cached_info().state.last_sequence)
    }

    /// How full each stream is, by name.
    ///
    /// # Errors
    /// When the server does not answer or a stream is missing.
    pub async fn usage(&self) -> Result<Vec<(&'static str, Usage)>, Error> {
        let mut usage = Vec::new();
        for name in [COMMANDS, EVENTS, DLQ] {
            let stream = get_stream(&self.jetstream, name).await?;
            let info = stream.cached_info();
            let bytes_max = u64::try_from(info.config.max_bytes)
                .ok()
                .filter(|max| *max > 0);
            usage.push((
                name,
                Usage {
                    bytes: info.state.bytes,
                    bytes_max,
                },
            ));
        }
        Ok(usage)
    }

    /// When the leader of `COMMANDS` stored the record at `sequence`; `None` when it holds no such record of this partition.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn stored_at(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> Result<Option<Timestamp>, Error> {
        let record = self.fetch(COMMANDS, &Wanted::at(sequence)).await?;
        Ok(record
            .filter(|record| record.subject == command_subject(partition))
            .map(|record| record.stored_at))
    }

    /// Sequence and time of the first record of a partition after `sequence`, if there is one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn next_after(
        &self,
        partition: Partition,
        sequence: u64,
    ) -> Result<Option<(u64, Timestamp)>, Error> {
        let subject = command_subject(partition);
        let wanted = Wanted::after(sequence, &subject);
        let next = self.fetch(COMMANDS, &wanted).await?;
        Ok(next.map(|next| (next.sequence, next.stored_at)))
    }
}

pub(crate) fn context(client: Client) -> Context {
    ContextBuilder::new()
        .timeout(ACK_TIMEOUT)
        .max_ack_inflight(1024)
        .build(client)
}

pub(crate) async fn get_stream(jetstream: &Context, name: &'static str) -> Result<Stream, Error> {
    jetstream
        .get_stream(name)
        .await
        .map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(cause)
                if cause.error_code() == ErrorCode::STREAM_NOT_FOUND =>
            {
                Error::StreamMissing(name)
            }
            _ => Error::unavailable(format!("looking for the stream {name}"), error),
        })
}

/// A handle without a round trip.
pub(crate) async fn get_stream_no_info(
    jetstream: &Context,
    name: &'static str,
) -> Result<Stream<()>, Error> {
    jetstream
        .get_stream_no_info(name)
        .await
        .map_err(|source| Error::unavailable(format!("looking for the stream {name}"), source))
}
