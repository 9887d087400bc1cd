//! What nftables and iptables do with marks, whichever tool shows it.

use std::collections::{BTreeMap, BTreeSet};

use egret_ports::steering::Collision;

use super::findings::HostFindings;
use crate::constants::HostSettings;
use crate::packet_mark::{MarkMatch, MatchEffect};

/// Where a chain runs, as a packet of a pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HookPlace {
    /// Before our chain has set its mark: any mark may be on it.
    Before,
    Behind,
    /// Only what the node itself sends or takes in.
    Local,
}

/// What a rule does with what it matches, as far as it is asked here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum RuleVerdict {
    #[default]
    Other,
    Spares,
    Refuses,
    Jumps(String),
}

/// One rule of somebody else's.
#[derive(Clone, Debug, Default)]
pub(super) struct FirewallRule {
    /// The chain, by a name that is its own among all tables.
    pub(super) chain: String,
    pub(super) who: String,
    /// Its matches of packets' marks: want, mask, inverted.
    pub(super) marks: Vec<(u32, u32, bool)>,
    /// It matches something, or not always.
    pub(super) conditional: bool,
    /// Bits of the connection's mark that it matches by name, or writes.
    pub(super) connection_bits: u32,
    /// It writes all bits of the connection's mark, and keeps none.
    pub(super) overwrites_connection: bool,
    /// Whole marks that it gives to packets or connections.
    pub(super) written: Vec<u32>,
    pub(super) verdict: RuleVerdict,
}

/// The rules of one listing, and where their chains run.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    pub(super) bases: BTreeMap<String, HookPlace>,
    pub(super) rules: Vec<FirewallRule>,
}

impl Firewall {
    pub(super) fn judge(&self, settings: &HostSettings, found: &mut HostFindings) {
        let places = self.places();
        let refusing = self.refusing();
        let nowhere = BTreeSet::new();
        for rule in &self.rules {
            let runs = places.get(&rule.chain).unwrap_or(&nowhere);
            // A chain to which no way is seen (named maps are not listed) may run anywhere.
            let before = runs.is_empty() || runs.contains(&HookPlace::Before);
            if before || is_about_our_packets(&rule.marks) {
                note_connection(rule, runs, settings, found);
            }
            let effect = match &rule.verdict {
                RuleVerdict::Spares => MatchEffect::Spared,
                RuleVerdict::Refuses => MatchEffect::Refused,
                RuleVerdict::Jumps(to) if refusing.contains(to) => MatchEffect::Refused,
                _ => MatchEffect::Other,
            };
            for (want, mask, inverted) in rule.marks.iter().copied() {
                // Only where our packets pass does a demand for bits count.
                let is_demand = inverted && effect == MatchEffect::Refused;
                let elsewhere = is_demand && !runs.contains(&HookPlace::Behind);
                let effect = if elsewhere { MatchEffect::Other } else { effect };
                found.marks.push(MarkMatch { want, mask, inverted, effect, who: rule.who.clone() });
            }
            for want in rule.written.iter().copied().filter(|mark| *mark != 0) {
                let (mask, who) = (u32::MAX, rule.who.clone());
                let effect = MatchEffect::Other;
                found.marks.push(MarkMatch { want, mask, inverted: false, effect, who });
            }
        }
    }

    /// Where each chain runs, by the chains that jump to it.
    fn places(&self) -> BTreeMap<String, BTreeSet<HookPlace>> {
        let mut places: BTreeMap<String, BTreeSet<HookPlace>> =
            self.bases.iter().map(|(chain, place)| (chain.clone(), [*place].into())).collect();
        let mut is_open = true;
        while is_open {
            is_open = false;
            for rule in &self.rules {
                let RuleVerdict::Jumps(to) = &rule.verdict else { continue };
                for place in places.get(&rule.chain).cloned().unwrap_or_default() {
                    is_open |= places.entry(to.clone()).or_default().insert(place);
                }
            }
        }
        places
    }

    /// The chains that drop or reject whatever comes to such a rule of theirs.
    fn refusing(&self) -> BTreeSet<String> {
        let mut refusing = BTreeSet::new();
        let mut is_open = true;
        while is_open {
            is_open = false;
            for rule in self.rules.iter().filter(|rule| !rule.conditional) {
                let refuses = match &rule.verdict {
                    RuleVerdict::Refuses => true,
                    RuleVerdict::Jumps(to) => refusing.contains(to),
                    _ => false,
                };
                is_open |= refuses && refusing.insert(rule.chain.clone());
            }
        }
        refusing
    }
}

/// Who uses our bit takes what is ours. Who overwrites the whole mark does not know of it, and may never meet our
/// connections: said, and no reason not to start.
fn note_connection(
    rule: &FirewallRule,
    runs: &BTreeSet<HookPlace>,
    settings: &HostSettings,
    found: &mut HostFindings,
) {
    let bit = settings.mark;
    if rule.connection_bits & bit != 0 {
        found.collisions.insert(Collision {
            what: format!("the connection mark's bit {bit:#x}"),
            who: rule.who.clone(),
            setting: "mark",
        });
    } else if rule.overwrites_connection && runs.iter().ne([&HookPlace::Local]) {
        found.overwrites.insert(rule.who.clone());
    }
}

/// Whether a rule with these matches may be about packets that have our mark: it asks for no mark, which ours is
/// chosen not to be.
fn is_about_our_packets(matches: &[(u32, u32, bool)]) -> bool {
    matches.iter().all(|(want, mask, inverted)| *inverted || (*want == 0 && *mask != u32::MAX))
}

#[cfg(test)]
mod tests;
