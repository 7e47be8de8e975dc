//! Whether what is remembered is worth believing.
//!
//! Invariant: pure. Where others write the same accounts, nearly all batches read them, and next to none is decided in
//! vain.

/// Largest exponent of how many batches read everything after one that believed in vain.
const CAREFUL_MAX: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct Confidence {
    /// So many batches read everything before the next one believes.
    careful: u32,
    /// How often lately, as an exponent.
    refuted: u32,
    /// Batches in a row that believed rightly.
    confirmed: u32,
}

impl Confidence {
    /// Whether the next batch may believe.
    pub(super) fn believes(&mut self) -> bool {
        let believes = self.careful == 0;
        self.careful = self.careful.saturating_sub(1);
        believes
    }

    /// Confidence comes back more slowly than it goes.
    pub(super) fn confirmed(&mut self) {
        self.confirmed += 1;
        if self.confirmed >= 1 << self.refuted {
            self.confirmed = 0;
            self.refuted = self.refuted.saturating_sub(1);
        }
    }

    pub(super) fn refuted(&mut self) {
        self.confirmed = 0;
        self.refuted = (self.refuted + 1).min(CAREFUL_MAX);
        self.careful = 1 << self.refuted;
    }
}
