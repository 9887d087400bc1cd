//! Which counters of an incarnation were seen: a bitmap of the last 1,024 (RFC 6479's scheme).

use crate::discard::Discard;

const BITS: u64 = 1_024;
const WORDS: usize = (BITS / 64) as usize;

/// Counters begin at 1. Always: a counter is accepted at most once.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    greatest: u64,
    seen: [u64; WORDS],
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { greatest: 0, seen: [0; WORDS] }
    }

    /// Marks `counter` as seen, or says why it is not acceptable.
    pub(crate) fn accept(&mut self, counter: u64) -> Result<(), Discard> {
        if counter > self.greatest {
            self.advance(counter);
        } else if self.greatest - counter >= BITS {
            return Err(Discard::TooOld);
        } else if self.seen[word(counter)] & bit(counter) != 0 || counter == 0 {
            return Err(Discard::Replayed);
        }
        self.seen[word(counter)] |= bit(counter);
        Ok(())
    }

    fn advance(&mut self, to: u64) {
        if to - self.greatest >= BITS {
            self.seen = [0; WORDS];
        } else {
            for passed in self.greatest + 1..=to {
                self.seen[word(passed)] &= !bit(passed);
            }
        }
        self.greatest = to;
    }
}

fn word(counter: u64) -> usize {
    (counter % BITS / 64) as usize
}

fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_counter_passes_once_and_only_inside_the_window() {
        let mut window = Window::new();
        assert_eq!(window.accept(0), Err(Discard::Replayed));
        assert_eq!(window.accept(5), Ok(()));
        assert_eq!(window.accept(5), Err(Discard::Replayed));
        assert_eq!(window.accept(3), Ok(()));
        assert_eq!(window.accept(5 + BITS - 2), Ok(()));
        assert_eq!(window.accept(4), Ok(()), "1,023 behind is the last one inside");
        assert_eq!(window.accept(3), Err(Discard::TooOld));
        assert_eq!(window.accept(u64::MAX), Ok(()));
        assert_eq!(window.accept(u64::MAX), Err(Discard::Replayed));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_everything_seen(
            counters in prop::collection::vec(1u64..3_000, 1..400),
        ) {
            let mut window = Window::new();
            let (mut seen, mut greatest) = (BTreeSet::new(), 0);
            for counter in counters {
                let expected = if counter + BITS <= greatest {
                    Err(Discard::TooOld)
                } else if seen.insert(counter) {
                    Ok(())
                } else {
                    Err(Discard::Replayed)
                };
                greatest = greatest.max(counter);
                prop_assert_eq!(window.accept(counter), expected);
            }
        }
    }
}
