//! Which mark a packet carries into the tunnel: one value of all 32 bits, which no match of others hits.
//!
//! Every bit of the mark is somebody's, and some policy rules stand before ours. So not a bit of its own
//! tells our packets, but a whole value: to all masked matches of others it looks like no mark.

use std::collections::BTreeSet;
use std::fmt;

/// The mark that is taken where nothing speaks against it. Its bits are in no mask of kube-proxy, the
/// portmap plugin, Cilium, Calico, Tailscale or the AWS VPC CNI ([`WELL_KNOWN`]).
pub const DEFAULT: u32 = 0x54;

/// Bits that others match one by one, or in masks of few bits, often where nobody can read it: 0x80 the
/// AWS VPC CNI, 0xf00 Cilium, 0x2000 portmap, 0xc000 kube-proxy, 0xffff0000 Calico.
const WELL_KNOWN: u32 = 0xffff_ef80;

/// Marks that the BPF programs give each other on the tunnel device (`bpf/egret.bpf.c`).
const OF_PROGRAMS: [u32; 2] = [0x6567_7201, 0x6567_7202];

/// More steps than a search takes among some hundred matches: beyond, there is none to be found.
const STEPS: usize = 1 << 16;

/// A match of somebody else's on a packet's mark: `mark & mask == want`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkMatch {
    /// What the masked mark is compared with.
    pub want: u32,
    /// Which bits are compared; 0: all marks match.
    pub mask: u32,
    /// Hits what does *not* compare equal.
    pub inverted: bool,
    /// A policy rule that the kernel asks before ours.
    pub before: bool,
    /// Whose, for a person, such as `the IPv4 rule of priority 100 to table 77`.
    pub who: String,
}

impl MarkMatch {
    /// Whether a packet with this mark is matched.
    #[must_use]
    pub fn hits(&self, mark: u32) -> bool {
        (mark & self.mask == self.want) != self.inverted
    }

    /// Whether a packet with this mark goes another way because of it. Before our rule: each that is
    /// matched. Elsewhere: each that is matched and would not be without a mark.
    #[must_use]
    pub fn diverts(&self, mark: u32) -> bool {
        // `mark != 0` is about every mark: nobody can have one that it is not about.
        let any = self.inverted && !self.before && self.want == 0 && self.mask == u32::MAX;
        self.mask != 0 && !any && self.hits(mark) && (self.before || !self.hits(0))
    }

    /// The same as (mask, value) pairs, none of which a mark may have. `None`: no mark escapes.
    fn clauses(&self) -> Option<Vec<(u32, u32)>> {
        let bits = || single_bits(self.mask).collect();
        Some(match (self.before, self.inverted, self.want) {
            _ if self.mask == 0 => Vec::new(),
            (true, true, 0) => bits(),
            // Only the mark that it spares escapes, and that is another's.
            (true, true, _) => return None,
            (false, true, 0) if self.mask != u32::MAX => bits(),
            (false, true, _) | (false, false, 0) => Vec::new(),
            (_, false, want) => vec![(self.mask, want)],
        })
    }
}

/// Every mark is matched by somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFreeMark {
    /// Who matches the mark that is used instead.
    pub who: BTreeSet<String>,
}

impl fmt::Display for NoFreeMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who: Vec<&str> = self.who.iter().map(String::as_str).collect();
        write!(
            f,
            "no mark of a packet is free on this node: {}; narrow the mask of one of them, or let \
             Egret's rule come first (--rule-priority)",
            who.join(", ")
        )
    }
}

impl std::error::Error for NoFreeMark {}

/// Chooses the mark of packets that go into the tunnel.
///
/// Guarantees: the mark diverts at no match of `foreign` ([`MarkMatch::diverts`]), is neither 0 nor
/// shares a bit with `ct_bit`, which `restore-mark` of others copies to packets in both directions. `current`
/// stays while that is true of it. The same input gives the same mark.
///
/// # Errors
/// There is none.
pub fn choose(current: Option<u32>, ct_bit: u32, foreign: &[MarkMatch]) -> Result<u32, NoFreeMark> {
    let is_free = |mark: u32| {
        mark != 0
            && mark & ct_bit == 0
            && !OF_PROGRAMS.contains(&mark)
            && !foreign.iter().any(|one| one.diverts(mark))
    };
    if let Some(free) = current.into_iter().chain([DEFAULT]).find(|mark| is_free(*mark)) {
        return Ok(free);
    }
    let found = clauses(ct_bit, foreign).and_then(|clauses| {
        let mut careful = clauses.clone();
        careful.extend(single_bits(WELL_KNOWN));
        search(&careful).or_else(|| search(&clauses))
    });
    let used = current.unwrap_or(DEFAULT);
    let who = || foreign.iter().filter(|one| one.diverts(used)).map(|one| one.who.clone());
    found.filter(|mark| is_free(*mark)).ok_or_else(|| NoFreeMark { who: who().collect() })
}

fn clauses(ct_bit: u32, foreign: &[MarkMatch]) -> Option<Vec<(u32, u32)>> {
    let mut clauses = vec![(u32::MAX, 0)];
    clauses.extend(single_bits(ct_bit));
    clauses.extend(OF_PROGRAMS.map(|mark| (u32::MAX, mark)));
    for one in foreign {
        clauses.extend(one.clauses()?);
    }
    Some(clauses)
}

fn single_bits(bits: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..32).map(|bit| 1_u32 << bit).filter(move |bit| bits & bit != 0).map(|bit| (bit, bit))
}

/// Decides bit by bit from the highest, each to 0 where that can be, and goes back where some clause is hit.
fn search(clauses: &[(u32, u32)]) -> Option<u32> {
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

#[cfg(test)]
mod tests;
