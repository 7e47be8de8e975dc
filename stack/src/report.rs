//! Lines of progress for people.
//!
//! **Invariant:** this crate never prints; what a person should read goes through the [`Report`] its caller gave.

use std::fmt;
use std::sync::Arc;

/// Takes one line of progress at a time, from any thread. Cheap to clone.
#[derive(Clone)]
pub struct Report(Arc<dyn Fn(&str) + Send + Sync>);

impl Report {
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub fn silent() -> Self {
        Self::new(|_| ())
    }

    /// Every line as a tracing event, for programs that only log.
    pub fn traced() -> Self {
        Self::new(|line| tracing::info!("{line}"))
    }

    pub fn say(&self, line: impl AsRef<str>) {
        (self.0)(line.as_ref());
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Report")
    }
}
