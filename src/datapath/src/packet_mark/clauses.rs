//! The search among all 2^32 marks for one that no clause hits.

use super::mark_match::{CILIUM, MarkMatch, MatchEffect, OF_PROGRAMS, SMALL};

/// More steps than a search takes among some hundred matches: beyond, there is none to be found.
const STEPS: usize = 1 << 16;

/// (mask, value) pairs, none of which a mark may have.
#[derive(Clone, Debug)]
pub(super) struct Clauses(Vec<(u32, u32)>);

impl Clauses {
    /// `None`: no mark escapes.
    pub(super) fn new(
        ct_bit: u32,
        (mask, value): (u32, u32),
        foreign: &[&MarkMatch],
    ) -> Option<Self> {
        let mut clauses = vec![(!SMALL, 0)];
        clauses.extend(single_bits(ct_bit | (CILIUM & !mask)));
        clauses.extend(OF_PROGRAMS.map(|mark| (u32::MAX, mark)));
        clauses.extend(single_bits(mask).map(|(bit, _)| (bit, !value & bit)));
        for one in foreign {
            clauses.extend(of_match(one)?);
        }
        Some(Self(clauses))
    }

    /// Those, and none of these bits.
    pub(super) fn and_without(&self, bits: u32) -> Self {
        let mut careful = self.clone();
        careful.0.extend(single_bits(bits));
        careful
    }
}

/// [`MarkMatch::diverts`] as clauses. `None`: no mark escapes.
fn of_match(one: &MarkMatch) -> Option<Vec<(u32, u32)>> {
    let MarkMatch { want, mask, inverted, effect, .. } = *one;
    let is_before = effect == MatchEffect::RoutedBefore;
    let whole = mask == u32::MAX;
    Some(match inverted {
        _ if mask == 0 => Vec::new(),
        false if effect == MatchEffect::Spared && whole => Vec::new(),
        true if whole && is_before && want != 0 => return None,
        true if whole && !is_before => Vec::new(),
        false if whole && want == 0 && !is_before => Vec::new(),
        false if is_before || effect == MatchEffect::Demanded => vec![(mask, want)],
        // Required bits.
        true if want != 0 && (is_before || effect == MatchEffect::Demanded) => Vec::new(),
        _ if want == 0 => single_bits(mask).collect(),
        _ => vec![(mask, want)],
    })
}

pub(super) fn single_bits(bits: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..32).map(|bit| 1_u32 << bit).filter(move |bit| bits & bit != 0).map(|bit| (bit, bit))
}

/// Decides bit by bit from the highest, each to 0 where that can be, and goes back where some clause is hit.
pub(super) fn search(Clauses(clauses): &Clauses) -> Option<u32> {
    let (mut mark, mut bit) = (0_u32, 32_u32);
    for _ in 0..STEPS {
        let decided = u32::MAX.checked_shl(bit).unwrap_or(0);
        let hit = |(mask, want): &(u32, u32)| mask & !decided == 0 && mark & mask == *want;
        if !clauses.iter().any(hit) {
            if bit == 0 {
                return Some(mark);
            }
            bit -= 1;
            continue;
        }
        // The lowest decided bit that is 0 becomes 1; those below are open again.
        let zeros = !mark & decided;
        if zeros == 0 {
            return None;
        }
        bit = zeros.trailing_zeros();
        mark = (mark | 1 << bit) & (u32::MAX << bit);
    }
    None
}
