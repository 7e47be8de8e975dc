//! Where a command stands in the log.
//!
//! Invariant: positions of one partition only grow, across a re-creation of the stream too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::AccountId;

/// Number of a partition, `0..P`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Partition(pub u16);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// FNV-1a 32 of the account id modulo `count`, as nats-server's `partition(count, 1)` computes it.
pub fn partition_of(account: &AccountId, count: u16) -> Partition {
    let hash = account
        .as_str()
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    let partition = hash % u32::from(count);
    Partition(u16::try_from(partition).expect("a remainder of a 16-bit count fits 16 bits"))
}

/// A place in a partition: the stream's sequence number, and above it the stream's generation, which an
/// operator raises when a stream is deliberately re-created.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(transparent)]
pub struct Position(i64);

impl Position {
    const SEQUENCE_BITS: u32 = 48;
    const SEQUENCE_MASK: i64 = (1 << Self::SEQUENCE_BITS) - 1;

    /// # Panics
    /// When the sequence passes 2^48, which no stream reaches within centuries.
    pub fn new(generation: u16, sequence: u64) -> Self {
        let sequence = i64::try_from(sequence).expect("stream sequences fit 48 bits");
        assert!(
            sequence <= Self::SEQUENCE_MASK,
            "stream sequences fit 48 bits"
        );
        Self(i64::from(generation) << Self::SEQUENCE_BITS | sequence)
    }

    /// From the number that [`Position::number`] gave, such as a database column.
    pub fn from_number(number: i64) -> Self {
        Self(number)
    }

    pub fn number(self) -> i64 {
        self.0
    }

    pub fn sequence(self) -> u64 {
        u64::try_from(self.0 & Self::SEQUENCE_MASK).expect("masked to 48 bits")
    }

    pub fn generation(self) -> u16 {
        u16::try_from(self.0 >> Self::SEQUENCE_BITS).expect("generations fit 15 bits")
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One line of one record: `3.1042.0` is partition 3, position 1042, line 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinePosition {
    pub partition: Partition,
    pub position: Position,
    pub line: u32,
}

impl fmt::Display for LinePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.partition, self.position, self.line)
    }
}

/// What [`LinePosition`]'s text is not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is PARTITION.POSITION or PARTITION.POSITION.LINE")]
pub struct NoPosition;

impl FromStr for LinePosition {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let mut parts = text.split('.');
        let partition = parts
            .next()
            .and_then(|part| part.parse().ok())
            .ok_or(NoPosition)?;
        let position: i64 = parts
            .next()
            .and_then(|part| part.parse().ok())
            .ok_or(NoPosition)?;
        let line = parts
            .next()
            .unwrap_or("0")
            .parse()
            .map_err(|_| NoPosition)?;
        if position < 0 || parts.next().is_some() {
            return Err(NoPosition);
        }
        Ok(Self {
            partition: Partition(partition),
            position: Position(position),
            line,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_the_ones_nats_server_computes() {
        let on_the_server = [
            ("alice", 7),
            ("bob", 4),
            ("world", 3),
            ("acct_1", 2),
            ("w17", 6),
        ];
        for (account, partition) in on_the_server {
            let account = AccountId::parse(account).unwrap();
            assert_eq!(partition_of(&account, 8), Partition(partition), "{account}");
        }
    }

    #[test]
    fn a_later_generation_is_a_later_position() {
        assert_eq!(Position::new(0, 1042).to_string(), "1042");
        assert!(Position::new(1, 1) > Position::new(0, 1 << 40));
        let position = Position::new(3, 77);
        assert_eq!((position.generation(), position.sequence()), (3, 77));
    }

    #[test]
    fn a_line_position_survives_its_text() {
        for text in ["3.1042.0", "0.1.17"] {
            assert_eq!(text.parse::<LinePosition>().unwrap().to_string(), text);
        }
        assert_eq!(
            "3.1042".parse::<LinePosition>().unwrap().to_string(),
            "3.1042.0"
        );
        for bad in ["", "3", "3.x", "3.1.2.4", "-1.2", "3.-1"] {
            assert_eq!(bad.parse::<LinePosition>(), Err(NoPosition), "{bad}");
        }
    }
}
