//! What a holder writes into the status of its addresses, and repeats until the store has it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::model::{Condition, ConditionType, Holding, NodeName, Snapshot, Timestamp};
use egret_core::reason::AgentReason;
use egret_ports::cluster_state::Write;

/// What this node has to say of one address that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldAddress {
    pub(crate) holding: Holding,
    pub(crate) since: Timestamp,
    pub(crate) probed: bool,
    /// A foreign host has it too: its MAC address.
    pub(crate) conflict: Option<[u8; 6]>,
}

/// The writes that the store still lacks.
///
/// A holder writes only itself, and only with an epoch that is not below the one written: a
/// status with a greater epoch is the word of a later holder.
pub(crate) fn missing(
    snapshot: &Snapshot,
    me: &NodeName,
    held: &BTreeMap<IpAddr, HeldAddress>,
    now: Timestamp,
) -> Vec<Write> {
    let mut writes = Vec::new();
    for (address, held) in held.iter().filter(|(_, held)| held.holding.node == *me) {
        let Some(stored) = snapshot.addresses.get(address) else { continue };
        let status = &stored.value.status;
        let written = status.holding.as_ref();
        if written.is_some_and(|written| written.epoch > held.holding.epoch) {
            continue;
        }
        let mut next = status.clone();
        if written != Some(&held.holding) {
            next.since = Some(held.since);
        }
        next.holding = Some(held.holding.clone());
        next.probed |= held.probed;
        conflict_condition(held, now).put_into(&mut next.conditions);
        if next != *status {
            let expect = Some(stored.version.clone());
            writes.push(Write::AddressStatus { address: *address, expect, status: next });
        }
    }
    writes
}

fn conflict_condition(held: &HeldAddress, now: Timestamp) -> Condition {
    const NONE: &str = "no other host claims the address";
    let kind = ConditionType::Conflict;
    let Some(mac) = held.conflict else {
        return Condition::new(kind, false, AgentReason::NoForeignHost, NONE, now);
    };
    let message = format!(
        "a host with MAC address {} claims the address too: find and stop it, or take the address \
         out of the pool",
        mac_text(mac)
    );
    Condition::new(kind, true, AgentReason::ForeignHost, message, now)
}

pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Reads what [`mac_text`] writes, in either case; `None` for anything else.
pub(crate) fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let byte = |digits: &str| (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?;
    let bytes: Vec<u8> = text.split(':').map(byte).collect::<Option<_>>()?;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_read_as_it_is_written() {
        let mac = [0x02, 0, 0x5e, 0x10, 0, 0xff];
        assert_eq!(parse_mac(&mac_text(mac)), Some(mac));
        assert_eq!(parse_mac("02:00:5E:10:00:FF"), Some(mac));
        for text in ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff", "02-00-5e"] {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }
}
