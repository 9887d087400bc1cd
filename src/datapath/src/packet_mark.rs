//! Which mark a packet carries into the tunnel: one value of all 32 bits, which no match of others hits.
//!
//! Every bit of the mark is somebody's, and some policy rules stand before ours. So not a bit of its own
//! tells our packets, but a whole value: to all masked matches of others it looks like no mark.

use std::collections::BTreeSet;
use std::fmt;

mod clauses;
mod mark_match;

use self::clauses::{Clauses, search};
use self::mark_match::{CILIUM, OF_PROGRAMS, SMALL};

pub use self::mark_match::{MarkMatch, MatchEffect};

/// The mark that is taken where nothing speaks against it. Its bits are in no mask of kube-proxy, the
/// portmap plugin, Cilium, Calico, Tailscale or the AWS VPC CNI.
pub const DEFAULT: u32 = 0x54;

/// What Cilium marks for a proxy on the node (`MARK_MAGIC_TO_PROXY`), in the bits [`CILIUM`].
const TO_PROXY: u32 = 0x200;

/// Bits that others match one by one, or in masks of few bits, often where nobody can read it: 0x80 the
/// AWS VPC CNI, 0xf00 Cilium, 0x2000 portmap, 0xc000 kube-proxy, 0xffff0000 Calico.
const WELL_KNOWN: u32 = 0xffff_ef80;

/// The same matches, each once, whoever's first.
#[must_use]
pub fn deduplicated(mut matches: Vec<MarkMatch>) -> Vec<MarkMatch> {
    matches.sort();
    let key = |one: &MarkMatch| (one.want, one.mask, one.inverted, one.effect);
    matches.dedup_by(|later, first| key(later) == key(first));
    matches
}

/// Every mark is matched by somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoFreeMark {
    /// Who matches the mark that is used instead.
    pub who: BTreeSet<String>,
    /// What to use: what it says to those who refuse or accept by marks is what no mark says, where that can be had.
    pub instead: u32,
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
/// Guarantees: the mark diverts at no match of `foreign` ([`MarkMatch::diverts`]), but for those that bits which
/// others require make unavoidable; it is not 0 and shares no bit with `ct_bit`, which `restore-mark` of others
/// copies to packets in both directions. `current` stays while that is true of it. A new one is more
/// than 15, and has no bit that Cilium's programs use, unless others require it. The same input gives the same mark.
///
/// # Errors
/// There is none.
pub fn choose(current: Option<u32>, ct_bit: u32, foreign: &[MarkMatch]) -> Result<u32, NoFreeMark> {
    let none = || no_free(current, ct_bit, foreign);
    let (mask, value) = required(foreign).ok_or_else(none)?;
    let demanded = required(foreign.iter().filter(|one| one.effect == MatchEffect::Demanded));
    let demanded = demanded.unwrap_or_default();
    let foreign: Vec<&MarkMatch> =
        foreign.iter().filter(|one| !is_unavoidable(one, (mask, value), demanded)).collect();
    let is_free = |mark: u32| {
        mark != 0
            && mark & ct_bit == 0
            && mark & mask == value
            && !OF_PROGRAMS.contains(&mark)
            && !foreign.iter().any(|one| one.diverts(mark))
    };
    let is_new = |mark: &u32| is_free(*mark) && *mark > SMALL && mark & CILIUM & !mask == 0;
    if let Some(free) = current.filter(|mark| is_free(*mark)) {
        return Ok(free);
    }
    let likely = [DEFAULT].into_iter().chain(unusual()).map(|mark| mark & !mask | value);
    if let Some(free) = likely.into_iter().find(is_new) {
        return Ok(free);
    }
    let found = Clauses::new(ct_bit, (mask, value), &foreign).and_then(|all| {
        let careful = all.and_without(WELL_KNOWN & !mask);
        search(&careful).or_else(|| search(&all))
    });
    found.filter(is_new).ok_or_else(none)
}

/// The way into the tunnel may be lost, but who refuses or accepts by marks is not overruled.
fn no_free(current: Option<u32>, ct_bit: u32, foreign: &[MarkMatch]) -> NoFreeMark {
    let is_policy =
        |one: &&MarkMatch| matches!(one.effect, MatchEffect::Refused | MatchEffect::Spared);
    let policies: Vec<MarkMatch> = foreign.iter().filter(is_policy).cloned().collect();
    let instead = match policies.len() == foreign.len() {
        true => current.unwrap_or(DEFAULT),
        false => choose(current, ct_bit, &policies).unwrap_or_else(|none| none.instead),
    };
    let who = foreign.iter().filter(|one| one.diverts(instead)).map(|one| one.who.clone());
    NoFreeMark { who: who.collect(), instead }
}

/// Marks without a well-known bit and with several others: first the odd ones, which no mask of one bit is meant for.
fn unusual() -> impl Iterator<Item = u32> {
    let several = |mark: &u32| mark.count_ones() >= 3;
    let all = SMALL + 1..0x80;
    let odd = all.clone().filter(|mark| mark % 2 == 1);
    odd.chain(all.filter(|mark| mark % 2 == 0)).filter(several)
}

/// All bits that others require; `None` where two contradict each other.
fn required<'a>(foreign: impl IntoIterator<Item = &'a MarkMatch>) -> Option<(u32, u32)> {
    foreign.into_iter().filter_map(MarkMatch::required).try_fold(
        (0, 0),
        |(mask, value), (more, bits)| {
            (value & more == bits & mask).then_some((mask | more, value | bits))
        },
    )
}

/// Whether required bits alone make the difference to a packet without a mark, which then is about what those bits are
/// for. What accepts by them may do so only where programs set them on all that pods send.
fn is_unavoidable(one: &MarkMatch, required: (u32, u32), demanded: (u32, u32)) -> bool {
    let is_decided = |(mask, value): (u32, u32)| match one.want {
        0 => value & one.mask != 0,
        want => one.mask & !mask == 0 && value & one.mask == want,
    };
    match one.effect {
        MatchEffect::Other => is_decided(required),
        MatchEffect::Spared => is_decided(demanded),
        MatchEffect::Refused | MatchEffect::Demanded | MatchEffect::RoutedBefore => false,
    }
}

/// Whether Cilium's policy rule is there, before ours, which leads what it has marked so to its proxy on the node.
#[must_use]
pub fn leads_to_proxy(foreign: &[MarkMatch]) -> bool {
    let is_it = |one: &MarkMatch| {
        one.effect == MatchEffect::RoutedBefore
            && !one.inverted
            && (one.want, one.mask) == (TO_PROXY, CILIUM)
    };
    foreign.iter().any(is_it)
}

#[cfg(test)]
mod tests;
