//! One pass over a partition: its journal beside COMMANDS and EVENTS.
//!
//! Invariant: every row is read once, for all three checks.

use journal::Ledgers;
use streams::StreamIdentity;

use crate::chain::Chain;
use crate::events::Events;
use crate::journal::Journal;
use crate::outcomes::Outcomes;
use crate::report::Checks;
use crate::snapshot::Bounds;
use crate::{Config, Connections, Error};

#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) connections: &'a Connections,
    pub(crate) config: &'a Config,
    pub(crate) stream: StreamIdentity,
    pub(crate) bounds: &'a Bounds,
    pub(crate) ledgers: &'a Ledgers,
}

impl Pass<'_> {
    pub(crate) async fn check(
        self,
        checks: &mut Checks,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Error> {
        let mut outcomes = Outcomes::new(self, &mut checks.outcomes).await?;
        let mut chain = Chain::new(self.bounds.partition);
        let mut events = Events::new(self).await?;
        let mut journal = Journal::new(
            &self.connections.database,
            self.bounds.partition,
            self.bounds.applied,
        );
        while let Some(span) = journal.next().await? {
            outcomes.check(&span, &mut checks.outcomes).await?;
            chain.check(&span, &mut checks.chain);
            events.check(&span.commits, &mut checks.events).await?;
            progress(
                span.rows
                    .as_ref()
                    .map_or(0, |rows| rows.events.len() as u64),
            );
        }
        outcomes.finish(&mut checks.outcomes);
        chain.finish(self.bounds, &mut checks.chain);
        events.finish(&mut checks.events).await
    }
}
