//! What the loop relies on, held against the doubles and the real servers by the same bodies.

mod bench;
pub(crate) mod commits;
mod log;
pub(crate) mod memory;
mod store;

/// The same body twice: among the doubles, on their own clock, and among real servers.
macro_rules! contract {
    ($($name:ident;)*) => {
        mod the_double {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(crate::seams::bench::Double::start()).await;
            })*
        }

        mod the_real_servers {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::seams::bench::Real::start().await).await;
            })*
        }
    };
}
use contract;
