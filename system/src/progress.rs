//! How far a long piece of work is: a bar on a terminal, lines elsewhere.
//!
//! Invariant: progress goes to standard error, so that a report can be piped.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

pub struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    done: AtomicU64,
}

impl Progress {
    pub fn new(what: impl Into<String>, total: u64) -> Self {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(
                "{msg:<22} [{bar:40}] {human_pos}/{human_len}  {per_sec}  {eta}",
            )
            .unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar =
                ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(style.progress_chars("=> "));
            bar.set_message(what.clone());
            bar
        });
        if bar.is_none() {
            eprintln!("{what}: 0 of {total}");
        }
        Self {
            bar,
            what,
            total,
            done: AtomicU64::new(0),
        }
    }

    pub fn add(&self, count: u64) {
        let before = self.done.fetch_add(count, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(count);
            return;
        }
        let tenth = |done: u64| {
            done.saturating_mul(10)
                .checked_div(self.total)
                .unwrap_or(10)
        };
        let after = before + count;
        if tenth(after) > tenth(before) {
            eprintln!("{}: {after} of {}", self.what, self.total);
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}
