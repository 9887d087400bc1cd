//! The chains of what the node itself sends, or sends on for pods.

use super::matches::{FIRST, REPLIES_TO_EGRESS, SELECTED_PAIRS, never, steered};
use crate::constants::HostSettings;
use crate::nft::table::NftRule;

/// What comes by here for a pod never passes prerouting with its last destination: a proxy in the kernel (IPVS) or in
/// user space sends it on. All else that has our bit here is the node's own, with another's mark on its connection: it
/// goes its way.
pub(super) fn own(settings: &HostSettings) -> Vec<NftRule> {
    vec![
        NftRule::new(format!("{FIRST} jump first"), "first packets"),
        NftRule::new(
            format!("{} jump own-steered", steered(settings)),
            "what may belong to a steered connection",
        ),
    ]
}

/// A connection that was marked by a Service's address may lead on to what is not steered: its packets have the mark from
/// prerouting, and get another way only where a chain has changed it.
pub(super) fn own_anew(mark: u32) -> Vec<NftRule> {
    vec![NftRule::new(format!("meta mark {mark:#x} meta mark set 0"), "its way is found anew")]
}

/// Also those to what is not steered any more: an open connection goes on.
pub(super) fn own_steered(mark: u32) -> Vec<NftRule> {
    let rule = |(matched, family), what: &str| {
        NftRule::new(format!("{matched} meta mark set {mark:#x}"), format!("{what}, {family}"))
    };
    let of_open = REPLIES_TO_EGRESS.map(|replies| rule(replies, "steer an open connection"));
    let of_new = SELECTED_PAIRS.map(|pair| rule(pair, "steer what is selected"));
    of_open.into_iter().chain(never()).chain(of_new).collect()
}

/// As in forward, for what a proxy on the node sends for pods.
pub(super) fn own_guard() -> Vec<NftRule> {
    vec![
        NftRule::new("ct state invalid,untracked jump broken", "NAT never touches these"),
        NftRule::new(format!("{FIRST} jump own-fresh"), "first packets"),
    ]
}

/// Only what a socket sends has an owner. A range of pods has addresses of the node itself, from which it may send what it
/// likes.
pub(super) fn own_fresh() -> Vec<NftRule> {
    let mut rules = never().to_vec();
    rules.extend([
        NftRule::new("meta skuid 0-4294967295 goto known", "sent by a socket"),
        NftRule::new("goto fresh", "sent on by the kernel"),
    ]);
    rules
}
