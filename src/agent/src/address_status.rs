//! What a holder writes into the status of its addresses, and repeats until the store has it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::conditions::on_interface;
use egret_core::model::{
    Condition, ConditionType, Holding, Millis, NodeName, Snapshot, Timestamp, Uplink,
};
use egret_core::reason::AgentReason;
use egret_ports::cluster_state::Write;

/// What this node has to say of one address that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldAddress {
    pub(crate) holding: Holding,
    /// The fence of its lease.
    pub(crate) fence: u64,
    pub(crate) since: Timestamp,
    pub(crate) probed: bool,
    /// Another host has it too: what to do.
    pub(crate) conflict: Option<String>,
}

/// The host that a conflict names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForeignHost {
    mac: [u8; 6],
    heard: Timestamp,
}

impl ForeignHost {
    /// Two rounds of probes and a little (docs/design.md decision 12): it has answered none of them.
    const SILENT: Millis = Millis(130_000);

    /// Whom to name once `mac` was heard: of several hosts the first, while it goes on to answer.
    pub(crate) fn heard(named: Option<Self>, mac: [u8; 6], now: Timestamp) -> Self {
        let answers = |named: &Self| now.since(named.heard) <= Self::SILENT && named.mac != mac;
        named.filter(answers).unwrap_or(Self { mac, heard: now })
    }

    pub(crate) fn mac(&self) -> [u8; 6] {
        self.mac
    }
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
        // Agents before `was_held` wrote `probed` once and for all.
        next.was_held |= status.probed || held.probed;
        next.probed = held.probed;
        // Fences only grow. The plan may have another one by now: what was answered for was not under that.
        next.held_fence = next.held_fence.max(held.probed.then_some(held.fence));
        conflict_condition(snapshot, *address, held, now).put_into(&mut next.conditions);
        if next != *status {
            let expect = Some(stored.version.clone());
            writes.push(Write::AddressStatus { address: *address, expect, status: next });
        }
    }
    writes
}

/// What a node of the cluster says that it has on an interface needs no search.
fn conflict_condition(
    snapshot: &Snapshot,
    address: IpAddr,
    held: &HeldAddress,
    now: Timestamp,
) -> Condition {
    const NONE: &str = "no other host claims the address";
    let kind = ConditionType::Conflict;
    if let Some(message) = on_interface(snapshot, address) {
        return Condition::new(kind, true, AgentReason::OnInterface, message, now);
    }
    match &held.conflict {
        Some(message) => Condition::new(kind, true, AgentReason::ForeignHost, message, now),
        None => Condition::new(kind, false, AgentReason::NoForeignHost, NONE, now),
    }
}

/// What is said of a host with this MAC address that claims an address.
pub(crate) fn conflict_message(snapshot: Option<&Snapshot>, mac: [u8; 6]) -> String {
    let mac = mac_text(mac);
    let nodes = snapshot.into_iter().flat_map(|snapshot| &snapshot.egress_nodes);
    let uplinks = nodes.flat_map(|(name, node)| {
        node.value.status.uplinks.iter().map(move |uplink| (name, uplink))
    });
    let own = |(_, uplink): &(&NodeName, &Uplink)| uplink.mac.as_deref() == Some(mac.as_str());
    match uplinks.into_iter().find(own) {
        Some((node, uplink)) => format!(
            "node {node} claims the address too (MAC address {mac}, interface {}): take it off there, \
             or take the address out of the pool",
            uplink.name
        ),
        None => format!(
            "a host with MAC address {mac} claims the address too: find and stop it, or take the \
             address out of the pool"
        ),
    }
}

/// The message of a conflict that the holder before has found, and this one looks for again.
pub(crate) fn written_conflict(snapshot: &Snapshot, address: IpAddr) -> Option<String> {
    let conditions = &snapshot.addresses.get(&address)?.value.status.conditions;
    let found = conditions.iter().find(|known| is_foreign_host(known));
    found.map(|known| known.message.clone())
}

/// Whether a condition says that a host that is no node's has the address.
pub(crate) fn is_foreign_host(condition: &Condition) -> bool {
    condition.kind == ConditionType::Conflict
        && condition.status
        && condition.reason == AgentReason::ForeignHost.to_string()
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
    use egret_core::model::{AddressStatus, EgressNodeStatus, Epoch};

    use super::*;
    use crate::testing::{put_address, put_node};

    #[test]
    fn a_hardware_address_is_read_as_it_is_written() {
        let mac = [0x02, 0, 0x5e, 0x10, 0, 0xff];
        assert_eq!(parse_mac(&mac_text(mac)), Some(mac));
        assert_eq!(parse_mac("02:00:5E:10:00:FF"), Some(mac));
        for text in ["", "02:00:5e:10:00", "02:00:5e:10:00:ff:00", "2:0:5e:10:0:ff", "02-00-5e"] {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }

    fn add(snapshot: &mut Snapshot, status: AddressStatus) {
        put_address(snapshot, ADDRESS, |put| {
            put.plan.owner = Some("g1".into());
            put.status = status;
        });
    }

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 17));

    /// What g1 writes of the address: it answers for it (`probed`), and has heard of a conflict.
    fn written(snapshot: &Snapshot, probed: bool, conflict: Option<&str>) -> AddressStatus {
        let epoch = Epoch { counter: 1, node: "g1".into() };
        let holding = Holding { node: "g1".into(), epoch };
        let conflict = conflict.map(str::to_owned);
        let held = HeldAddress { holding, fence: 7, since: Timestamp(1), probed, conflict };
        let writes = missing(snapshot, &"g1".into(), &[(ADDRESS, held)].into(), Timestamp(1));
        let Some(Write::AddressStatus { status, .. }) = writes.into_iter().next() else { panic!() };
        status
    }

    #[test]
    fn it_was_held_for_good_and_is_probed_as_long_as_its_holder_answers() {
        let mut snapshot = Snapshot::default();
        add(&mut snapshot, AddressStatus::default());
        let said = |status: &AddressStatus| (status.probed, status.was_held, status.held_fence);
        assert_eq!(said(&written(&snapshot, false, None)), (false, false, None));
        let answered = written(&snapshot, true, None);
        assert_eq!(said(&answered), (true, true, Some(7)));
        // As an agent before `wasHeld` left it.
        add(&mut snapshot, AddressStatus { was_held: false, ..answered });
        let again = written(&snapshot, false, None);
        let now = (false, true, Some(7));
        assert_eq!(said(&again), now, "nobody had it for a while: no licence for ever");
    }

    /// A holder that has not read of the revocation yet has answered for nothing since.
    #[test]
    fn it_was_held_under_the_fence_of_the_lease_and_not_of_the_plan() {
        for (before, after) in [(None, 7), (Some(6), 7), (Some(9), 9)] {
            let mut snapshot = Snapshot::default();
            put_address(&mut snapshot, ADDRESS, |put| {
                put.plan.fence = 9;
                put.status.held_fence = before;
            });
            assert_eq!(written(&snapshot, true, None).held_fence, Some(after), "{before:?}");
        }
    }

    #[test]
    fn of_two_foreign_hosts_the_first_is_named_while_it_answers() {
        let [one, other] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
        let mut named = None;
        for (seconds, mac, expected) in [
            (0, one, one),
            (1, other, one),
            (60, other, one),
            (61, one, one),
            (190, other, one),
            (192, other, other),
            (193, one, other),
        ] {
            let host = ForeignHost::heard(named, mac, Timestamp(seconds * 1000));
            assert_eq!(host.mac(), expected, "after {seconds} s");
            named = Some(host);
        }
    }

    #[test]
    fn a_conflict_names_the_node_whose_hardware_address_or_interface_it_is() {
        let mut snapshot = Snapshot::default();
        add(&mut snapshot, AddressStatus::default());
        let mac = [2, 0, 0x5e, 0x10, 0, 9];
        let uplink = Uplink { name: "eth1".into(), mac: Some(mac_text(mac)), ..Uplink::default() };
        let uplinks = EgressNodeStatus { uplinks: vec![uplink], ..EgressNodeStatus::default() };
        put_node(&mut snapshot, "d1", uplinks);
        let of_node = conflict_message(Some(&snapshot), mac);
        assert!(of_node.contains("node d1") && of_node.contains("interface eth1"), "{of_node}");
        let foreign = conflict_message(Some(&snapshot), [2, 0, 0, 0, 0, 1]);
        assert!(foreign.starts_with("a host with MAC address 02:00:00:00:00:01"), "{foreign}");

        let condition = |snapshot: &Snapshot, conflict: Option<&str>| {
            let status = written(snapshot, true, conflict);
            let condition = status.conditions.into_iter().next().unwrap();
            (condition.status, condition.reason, condition.message)
        };
        assert!(!condition(&snapshot, None).0);
        let (is, reason, message) = condition(&snapshot, Some(&foreign));
        assert_eq!((is, reason.as_str(), message), (true, "ForeignHost", foreign.clone()));
        let local_addresses = [(ADDRESS, "vip0".to_owned())].into();
        let local = EgressNodeStatus { local_addresses, ..EgressNodeStatus::default() };
        put_node(&mut snapshot, "d2", local);
        let (is, reason, message) = condition(&snapshot, Some(&foreign));
        assert_eq!((is, reason.as_str()), (true, "OnInterface"));
        assert!(message.contains("node d2") && message.contains("vip0"), "{message}");
    }
}
