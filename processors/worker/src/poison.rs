//! The one command that spoils a batch.
//!
//! Invariant: found by trial transactions that are rolled back, so that looking for it changes nothing.

use ledger::Batch;

use crate::Error;
use crate::commit::Slot;

/// The shortest prefix of the batch that fails ends with the culprit: finds its place among the slots by
/// bisection. `fails` tries a prefix.
pub(crate) async fn find<F>(
    batch: &Batch,
    slots: &[Slot],
    mut fails: impl FnMut(Batch, Vec<Slot>) -> F,
) -> Result<usize, Error>
where
    F: Future<Output = Result<bool, Error>>,
{
    let commands: Vec<usize> = (0..slots.len())
        .filter(|place| matches!(slots[*place], Slot::Command { .. }))
        .collect();
    let (mut good, mut bad) = (0, commands.len());
    while bad - good > 1 {
        let middle = good.midpoint(bad);
        let prefix = Batch {
            items: batch.items[..middle].to_vec(),
        };
        let end = commands[middle - 1] + 1;
        if fails(prefix, slots[..end].to_vec()).await? {
            bad = middle;
        } else {
            good = middle;
        }
    }
    Ok(commands[bad - 1])
}
