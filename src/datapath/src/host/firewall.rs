//! What nftables and iptables do with marks, whichever tool shows it.

use std::collections::{BTreeMap, BTreeSet};

use egret_ports::steering::Collision;

use super::findings::HostFindings;
use crate::constants::HostSettings;
use crate::packet_mark::{self, MarkMatch, MatchEffect};

/// Bits that BPF programs set on what pods send, and that rules of theirs demand: Calico's `MarkSeen`. Others are not
/// taken for granted: who refuses what has not a bit, and sets it nowhere, may be a policy that allows nothing yet.
const SET_BY_PROGRAMS: u32 = 0x100_0000;

/// In the names of whose chains, or of the table (`cali-FORWARD`, `ip calico`).
const CALICO: &str = "cali";

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
    /// Bits of packets' marks that it copies to connections.
    pub(super) saved: u32,
    /// What it gives to the mark of packets or connections: value, and the bits of the mark that it is about.
    pub(super) written: Vec<(u32, u32)>,
    /// Bits that it may set in packets' marks.
    pub(super) may_set: u32,
    /// What it does to marks is not in the listing.
    pub(super) is_unread: bool,
    pub(super) verdict: RuleVerdict,
}

/// The rules of one listing, and where their chains run.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    pub(super) bases: BTreeMap<String, HookPlace>,
    pub(super) rules: Vec<FirewallRule>,
    /// It says what the targets of xtables do, which nft does not show.
    pub(super) shows_targets: bool,
}

/// What all listings of a host say together: one tool shows a rule that demands a bit, and another one who sets it.
pub(super) fn judge(firewalls: &[Firewall], settings: &HostSettings) -> HostFindings {
    let mut found = HostFindings::default();
    let mut rules = firewalls.iter().flat_map(|firewall| &firewall.rules);
    let demandable = match rules.any(|rule| rule.who.contains(CALICO)) {
        true => SET_BY_PROGRAMS & !set_behind(firewalls),
        false => 0,
    };
    for firewall in firewalls {
        firewall.judge(settings, demandable, &mut found);
    }
    found.marks = packet_mark::deduplicated(found.marks);
    found
}

/// Bits that rules may set behind our chain: who demands these decides by its own rules who has them.
fn set_behind(firewalls: &[Firewall]) -> u32 {
    let unread = match firewalls.iter().any(|firewall| firewall.shows_targets) {
        true => 0,
        false => u32::MAX,
    };
    let of = |firewall: &Firewall| {
        let places = firewall.places();
        let is_behind = |rule: &&FirewallRule| {
            places.get(&rule.chain).is_none_or(|runs| runs.contains(&HookPlace::Behind))
        };
        firewall
            .rules
            .iter()
            .filter(is_behind)
            .fold(0, |bits, rule| bits | rule.may_set | if rule.is_unread { unread } else { 0 })
    };
    firewalls.iter().fold(0, |bits, firewall| bits | of(firewall))
}

impl Firewall {
    fn judge(&self, settings: &HostSettings, demandable: u32, found: &mut HostFindings) {
        let places = self.places();
        let refusing = self.refusing();
        let nowhere = BTreeSet::new();
        for rule in &self.rules {
            let runs = places.get(&rule.chain).unwrap_or(&nowhere);
            note_connection(rule, runs, settings, found);
            let effect = match &rule.verdict {
                RuleVerdict::Spares => MatchEffect::Spared,
                RuleVerdict::Refuses => MatchEffect::Refused,
                RuleVerdict::Jumps(to) if refusing.contains(to) => MatchEffect::Refused,
                _ => MatchEffect::Other,
            };
            // Only where our packets pass is anything refused to them.
            let is_elsewhere = !runs.is_empty() && !runs.contains(&HookPlace::Behind);
            let effect = match effect {
                MatchEffect::Refused if is_elsewhere => MatchEffect::Other,
                other => other,
            };
            let who = || rule.who.clone();
            for (want, mask, inverted) in rule.marks.iter().copied() {
                let demand = demanded(want, mask, inverted).filter(|bits| bits & !demandable == 0);
                let passes = runs.contains(&HookPlace::Behind);
                found.marks.push(
                    match demand.filter(|_| passes && effect == MatchEffect::Refused) {
                        Some(bits) => MarkMatch {
                            want: bits,
                            mask: bits,
                            inverted: true,
                            effect: MatchEffect::Demanded,
                            who: who(),
                        },
                        None => MarkMatch { want, mask, inverted, effect, who: who() },
                    },
                );
            }
            for (value, mask) in rule.written.iter().copied().filter(|(value, _)| *value != 0) {
                let (want, effect) = (value & mask, MatchEffect::Other);
                found.marks.push(MarkMatch { want, mask, inverted: false, effect, who: who() });
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

/// All bits that a packet must have not to be matched so, in Calico's form: `mark & M == 0` is how its policies
/// ask, not its programs' rules.
fn demanded(want: u32, mask: u32, inverted: bool) -> Option<u32> {
    (inverted && want != 0 && want == mask && mask != u32::MAX).then_some(mask)
}

/// Who uses our bit takes what is ours, wherever its rule runs; so does who copies whole marks of packets to connections,
/// where our bit may be in them. Who overwrites the whole mark otherwise does not know of it, and may never meet our
/// connections: said, and no reason not to start.
fn note_connection(
    rule: &FirewallRule,
    runs: &BTreeSet<HookPlace>,
    settings: &HostSettings,
    found: &mut HostFindings,
) {
    let bit = settings.mark;
    let what = format!("the connection mark's bit {bit:#x}");
    let who = rule.who.clone();
    // A chain to which no way is seen (named maps are not listed) may run anywhere.
    let before = runs.is_empty() || runs.contains(&HookPlace::Before);
    let meets_ours = before || is_about_our_packets(&rule.marks);
    if rule.connection_bits & bit != 0 {
        found.collisions.insert(Collision { what, who, setting: "mark" });
    } else if rule.saved & bit != 0 && !rules_out(&rule.marks, bit) {
        let setting = "mask there, without that bit";
        found.collisions.insert(Collision { what, who, setting });
    } else if rule.overwrites_connection && meets_ours && runs.iter().ne([&HookPlace::Local]) {
        found.overwrites.insert(who);
    }
}

/// Whether no packet that is matched has this bit.
fn rules_out(matches: &[(u32, u32, bool)], bit: u32) -> bool {
    matches.iter().any(|(want, mask, inverted)| match inverted {
        false => mask & bit != 0 && want & bit == 0,
        true => (*want, *mask) == (bit, bit),
    })
}

/// Whether a rule with these matches may be about packets that have our mark: it asks for no mark, which ours is
/// chosen not to be.
fn is_about_our_packets(matches: &[(u32, u32, bool)]) -> bool {
    matches.iter().all(|(want, mask, inverted)| *inverted || (*want == 0 && *mask != u32::MAX))
}

#[cfg(test)]
mod tests;
