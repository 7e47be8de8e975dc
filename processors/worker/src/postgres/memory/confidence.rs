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

#[cfg(test)]
mod tests {
    use super::*;

    /// How many batches read everything before the next one believes.
    fn careful(confidence: &mut Confidence) -> u32 {
        let mut careful = 0;
        while !confidence.believes() {
            careful += 1;
        }
        careful
    }

    #[test]
    fn each_belief_in_vain_is_followed_by_twice_as_many_careful_batches() {
        let mut confidence = Confidence::default();
        assert_eq!(careful(&mut confidence), 0);
        for exponent in (1..=CAREFUL_MAX).chain([CAREFUL_MAX; 3]) {
            confidence.refuted();
            assert_eq!(careful(&mut confidence), 1 << exponent);
        }
    }

    #[test]
    fn confidence_comes_back() {
        let mut confidence = Confidence::default();
        for _ in 0..3 {
            confidence.refuted();
        }
        assert_eq!(careful(&mut confidence), 8);
        for _ in 0..12 {
            assert!(confidence.believes());
            confidence.confirmed();
        }
        confidence.refuted();
        assert_eq!(careful(&mut confidence), 4, "one step up, two down");
        for _ in 0..7 {
            confidence.confirmed();
        }
        confidence.refuted();
        assert_eq!(careful(&mut confidence), 2, "as at the beginning");
    }

    #[test]
    fn where_half_of_all_beliefs_are_in_vain_few_batches_are() {
        let mut confidence = Confidence::default();
        let (mut batches, mut vain, mut is_so) = (0, 0, false);
        while batches < 100_000 {
            batches += 1;
            if confidence.believes() {
                is_so = !is_so;
                if is_so {
                    confidence.confirmed();
                } else {
                    vain += 1;
                    confidence.refuted();
                }
            }
        }
        assert!(vain < batches / 100, "{vain} of {batches}");
    }
}
