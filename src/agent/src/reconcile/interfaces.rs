//! Network interfaces that a cloud delivers to: configured where nobody does it, and looked at.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use egret_core::model::{EgressAddress, Family, NodeName, ObjectRef, Snapshot};
use egret_core::reason::{AgentReason, EventReason};
use egret_core::tunnel_network::ToldEndpoint;
use egret_datapath::host::HostUplink;
use egret_datapath::interface::{self, FoundInterface};
use egret_datapath::neighbour;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::{ErrorClass, PortError};
use ipnet::IpNet;
use tracing::{info, warn};

use super::{Completion, MainLoop};
use crate::address_status::{mac_text, parse_mac};
use crate::interface_config::{
    HostView, InterfaceDecision, NamedInterface, NamedInterfaces, decide, judge_router,
    named_interfaces,
};
use crate::interface_memory::InterfaceMemory;
use crate::kernel::FollowedEndpoints;
use crate::lease_thread::LeaseCommand;
use crate::plan_update::attachments;

/// The host's, also in the chart's containers.
const RUN: &str = "/run";
/// So long an interface is left to others after it was first seen: udev renames it, and a manager of
/// networks takes it.
const SETTLED: Duration = Duration::from_secs(3);
/// What may be wrong with one.
const REASONS: [AgentReason; 3] =
    [AgentReason::InterfaceNotFound, AgentReason::InterfaceUnusable, AgentReason::RouterSilent];

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// Takes over what an earlier process of this node's has written of its interfaces, once: else every
    /// restart would bring addresses back for a while.
    pub(super) fn recall_unusable(&mut self, snapshot: &Snapshot) {
        let memory = &mut self.memory.interfaces;
        if std::mem::replace(&mut memory.recalled, true) {
            return;
        }
        let Some(stored) = snapshot.egress_nodes.get(&self.me) else { return };
        let status = &stored.value.status;
        let links = status.uplinks.iter().filter_map(|uplink| {
            Some((uplink.name.as_str(), uplink.mac.as_deref().and_then(parse_mac)?))
        });
        for (name, mac) in links.clone() {
            memory.uplink_macs.insert(name.to_owned(), mac);
            if let Some(why) = status.unusable_uplinks.get(name) {
                memory.recall_uplink((name, mac), why, Instant::now());
            }
        }
        for (mac, why) in &status.unusable_interfaces {
            let Some(mac) = parse_mac(mac) else { continue };
            if is_on_lan(snapshot, &self.me, mac) {
                for link in links.clone().filter(|(_, its)| *its == mac) {
                    memory.recall_uplink(link, why, Instant::now());
                }
            } else {
                memory.health.recall(mac, why, Instant::now());
                memory.present.insert(mac);
            }
        }
    }

    /// Takes note of the interfaces by which a cloud delivers, or would deliver, to this node.
    pub(super) fn set_named(&mut self, named: NamedInterfaces) {
        self.memory.interfaces.wanted = named.keys().copied().collect();
        let named = self.memory.interfaces.with_unusable(named);
        if self.memory.interfaces.named == named {
            return;
        }
        let macs = named.keys().copied().collect();
        self.memory.interfaces.health.keep(|mac| named.contains_key(mac));
        self.memory.interfaces.named = named;
        if let Err(error) = self.kernel.name_uplinks(macs) {
            warn!(%error, "cannot look for uplinks");
        }
        if self.kernel.take_new_uplinks() {
            self.publish_uplinks();
        }
        self.tend_interfaces();
    }

    /// Carries addresses on the uplinks that the last repair has found, where they are others.
    pub(super) fn adopt_uplinks(&mut self) {
        if self.kernel.take_new_uplinks() {
            self.publish_uplinks();
            if let Some(watched) = self.memory.watched.clone() {
                self.on_snapshot(watched);
            }
        }
        // A renewal makes a dozen notices.
        if !self.memory.interfaces.endpoint_timer
            && let Some(due) = self.kernel.endpoint_due()
        {
            self.memory.interfaces.endpoint_timer = true;
            let completions = self.completions.clone();
            tokio::spawn(async move {
                tokio::time::sleep(due).await;
                // The loop is gone only when the process is ending.
                let _ = completions.send(Completion::EndpointDue);
            });
        }
    }

    pub(super) fn on_endpoint_due(&mut self) {
        self.memory.interfaces.endpoint_timer = false;
        self.follow_endpoints(false);
    }

    /// Takes note of whether the lease thread listens where this node is by now.
    pub(super) fn on_listening(&mut self, result: Result<(), String>) {
        self.memory.interfaces.not_listening = result.err();
        self.note_endpoints();
    }

    /// Says of its links and endpoints what is so by now.
    pub(super) fn publish_uplinks(&mut self) {
        let uplinks = self.kernel.uplinks();
        let on_link = self.memory.update.on_link();
        let absent = self.memory.interfaces.reaches.absent(uplinks, &on_link);
        self.status.uplinks =
            crate::uplink_selection::published(&[uplinks, absent.as_slice()].concat());
        let own = self.kernel.published_endpoints();
        if self.status.endpoints != own {
            info!(event = "endpoints", before = ?self.status.endpoints, now = ?own, "this node has other addresses");
            self.status.endpoints = own;
        }
        let heard = self.kernel.heard_endpoints();
        if self.memory.interfaces.heard != heard {
            self.memory.interfaces.heard.clone_from(&heard);
            self.lease.send(LeaseCommand::Listen(heard));
        }
    }

    /// Goes after this node's own addresses, and says where it has none. `anyway`: as
    /// [`Kernel::follow_endpoints`](crate::kernel::Kernel::follow_endpoints) has it.
    pub(super) fn follow_endpoints(&mut self, anyway: bool) {
        let FollowedEndpoints { looked, repaired } = self.kernel.follow_endpoints(anyway);
        if let Err(error) = looked {
            warn!(%error, "cannot look for this node's own addresses");
        }
        if let Some(repaired) = repaired {
            self.record(AgentReason::RulesNotApplied, repaired);
        }
        self.adopt_uplinks();
        self.note_endpoints();
    }

    /// Ends the tunnel where the store says by now. In steps, as peers know this node by an end that it has;
    /// `None` is known of a node that is new.
    pub(super) fn follow_told(&mut self, snapshot: &Snapshot) {
        let Some(stored) = snapshot.egress_nodes.get(&self.me) else { return };
        let (told, said) = (ToldEndpoint::of(&stored.value.spec), &stored.value.status.endpoints);
        let is_as_before = self.memory.told.as_ref() == Some(&told)
            || said.is_empty() && told == ToldEndpoint::default();
        if !self.kernel.learn_addresses(snapshot, &self.me) && is_as_before {
            return;
        }
        // What the store shows of this node's own status may be older than what its peers know by now.
        let is_first = self.memory.told.is_none();
        let at_once = is_first && self.kernel.endpoints().iter().all(|own| !said.contains(own));
        if let Err(error) = self.kernel.want_endpoints(&told, at_once) {
            return warn!(%error, "cannot look for the addresses that the tunnel is to end at");
        }
        self.memory.told = Some(told);
        self.follow_endpoints(true);
    }

    fn note_endpoints(&mut self) {
        let mut troubles = self.kernel.endpoint_troubles();
        if let Some(why) = &self.memory.interfaces.not_listening {
            troubles.insert(AgentReason::EndpointImpaired, why.clone());
        }
        for reason in [AgentReason::EndpointMissing, AgentReason::EndpointImpaired] {
            let result = troubles.remove(&reason).map_or(Ok(()), |why| {
                Err(PortError::new(ErrorClass::NotFound, "be reached by other nodes", why))
            });
            self.record(reason, result);
        }
    }

    /// Looks at them, configures those that nobody does, and says what cannot carry addresses.
    pub(super) fn tend_interfaces(&mut self) {
        let now = Instant::now();
        self.forget_absent(now);
        let named = self.memory.interfaces.named.clone();
        let wanted = |mac: [u8; 6]| named.contains_key(&mac);
        let found =
            if named.is_empty() { Ok(Vec::new()) } else { interface::find(wanted, Path::new(RUN)) };
        let found = match found {
            Ok(found) => found,
            Err(error) => return warn!(%error, "cannot look at interfaces"),
        };
        self.note_seen(&found, now);
        let mut troubles: BTreeMap<AgentReason, Vec<String>> = BTreeMap::new();
        self.memory.interfaces.restless = false;
        for (mac, interface) in &named {
            let found = found.iter().find(|found| found.mac == *mac);
            let decision = self.tend((mac, interface), found, now);
            let why = match &decision {
                InterfaceDecision::Usable => None,
                InterfaceDecision::Unusable { message, .. } => Some(message.as_str()),
                InterfaceDecision::Wait | InterfaceDecision::Configure(_) => {
                    self.memory.interfaces.restless = true;
                    continue;
                }
            };
            self.memory.interfaces.health.note(*mac, why, now);
            if let InterfaceDecision::Unusable { reason, message } = decision {
                // A first question to a router has no answer yet.
                let said = self.memory.interfaces.health.said(mac).is_some();
                if said || reason != AgentReason::RouterSilent {
                    troubles.entry(reason).or_default().push(message);
                }
            }
        }
        for (reason, message) in self.judge_uplinks(now) {
            troubles.entry(reason).or_default().push(message);
        }
        for reason in REASONS {
            let result = match troubles.remove(&reason) {
                None => Ok(()),
                Some(messages) => Err(PortError::new(
                    ErrorClass::NotFound,
                    "use the network interface that carries addresses",
                    messages.join("; "),
                )),
            };
            self.record(reason, result);
        }
        let (by_mac, by_name) = self.memory.interfaces.all_said();
        self.status.unusable_interfaces =
            by_mac.into_iter().map(|(mac, why)| (mac_text(mac), why.to_owned())).collect();
        self.status.unusable_uplinks =
            by_name.into_iter().map(|(name, why)| (name.to_owned(), why.to_owned())).collect();
    }

    fn note_seen(&mut self, found: &[FoundInterface], now: Instant) {
        let uplinks = self.kernel.uplinks();
        let placed = &self.memory.placed;
        let InterfaceMemory { named, seen, present, history, .. } = &mut self.memory.interfaces;
        seen.retain(|index, _| found.iter().any(|found| found.index == *index));
        *present = found.iter().map(|found| found.mac).collect();
        for found in found {
            seen.entry(found.index).or_insert(now);
            let uplink = uplinks.iter().find(|uplink| uplink.index == found.index);
            history.note_found(found, uplink.is_some_and(HostUplink::is_primary), placed);
        }
        for mac in named.keys().filter(|mac| !present.contains(*mac)) {
            history.note_absent(*mac, now);
        }
        history.note_unwatched(|mac| named.contains_key(mac));
    }

    /// What has been gone for long, and what the cloud names no more, is no trouble of this node's.
    fn forget_absent(&mut self, now: Instant) {
        let InterfaceMemory { named, wanted, health, history, .. } = &mut self.memory.interfaces;
        let unnamed = named.keys().copied().filter(|mac| !wanted.contains(mac));
        let forgotten = history.forget(unnamed, now);
        named.retain(|mac, _| !forgotten.contains(mac));
        health.keep(|mac| !forgotten.contains(mac));
    }

    /// Does what is to be done about one, and says how it is.
    fn tend(
        &mut self,
        (mac, named): (&[u8; 6], &NamedInterface),
        found: Option<&FoundInterface>,
        now: Instant,
    ) -> InterfaceDecision {
        let memory = &self.memory.interfaces;
        let since = found.and_then(|found| memory.seen.get(&found.index));
        let aged = since.is_some_and(|since| now.duration_since(*since) >= SETTLED);
        let past = memory.history.past(mac, aged, now);
        let host = HostView {
            uplinks: self.kernel.uplinks(),
            chosen: self.kernel.chosen_uplinks(),
            placed: &self.memory.placed,
        };
        let decision = decide((mac, named), found, host, past);
        let proofs = &memory.proofs;
        let passed_by = found.and_then(|found| proofs.trouble(found.index, &found.name));
        if let (InterfaceDecision::Usable, Some(message)) = (&decision, passed_by) {
            // Recorded with the proof, of all uplinks.
            let reason = AgentReason::ProgramsPassedBy;
            return InterfaceDecision::Unusable { reason, message };
        }
        match (&decision, found) {
            (InterfaceDecision::Usable, Some(found)) => match self.router_of(named, found) {
                Some(router) => judge_router((mac, named), router, answers(found, router)),
                None => decision,
            },
            (InterfaceDecision::Configure(own), Some(found)) => {
                // It runs the programs before it comes up.
                let configured =
                    self.kernel.repair().and_then(|_| interface::configure(found, *own));
                match configured {
                    Ok(()) => self.note_configured(mac, found, &own.to_string(), now),
                    Err(error) => {
                        let (reason, message) = (AgentReason::InterfaceUnusable, error.to_string());
                        return InterfaceDecision::Unusable { reason, message };
                    }
                }
                decision
            }
            _ => decision,
        }
    }

    /// The router that what leaves there needs. Where the main table has a default route, that is the
    /// node's own way too, and no matter of one interface.
    fn router_of(&self, named: &NamedInterface, found: &FoundInterface) -> Option<IpAddr> {
        let mut uplinks = self.kernel.uplinks().iter();
        let uplink = uplinks.find(|uplink| uplink.index == found.index)?;
        if uplink.is_primary_for(Family::IPv4) {
            return None;
        }
        crate::uplink_selection::next_hop(uplink, Family::IPv4, named.router)
    }

    fn note_configured(&mut self, mac: &[u8; 6], found: &FoundInterface, own: &str, now: Instant) {
        let name = &found.name;
        info!(event = "interface_configured", interface = %name, address = own, "an interface is up");
        self.memory.interfaces.history.note_repair(*mac, now);
        if self.memory.interfaces.history.is_ours(mac) {
            let message = format!("{name} was down or without its address {own}: repaired");
            let about = ObjectRef::egress_node(&self.me);
            self.events.add(true, about, EventReason::Repaired, message, self.clock.now());
        }
    }
}

/// Whether no cloud delivers, or would, by the interface with this hardware address; by what this node's own
/// object says of its uplinks.
fn is_on_lan(snapshot: &Snapshot, me: &NodeName, mac: [u8; 6]) -> bool {
    let (of_clouds, of_lans): (Vec<&EgressAddress>, Vec<_>) = snapshot
        .addresses
        .values()
        .map(|stored| &stored.value)
        .partition(|address| address.plan.facts().cloud_places());
    if of_clouds.is_empty() {
        return true;
    }
    let own = snapshot.egress_nodes.get(me).map(|stored| &stored.value.status.uplinks);
    let own = own.into_iter().flatten();
    let mut own = own.filter(|uplink| uplink.mac.as_deref().and_then(parse_mac) == Some(mac));
    let carries = |net: &IpNet| of_lans.iter().any(|lan| net.contains(&lan.address));
    // What a cloud named while it was usable it may not name now.
    !named_interfaces(attachments(snapshot, me)).contains_key(&mac)
        && own.any(|uplink| uplink.subnets.iter().any(carries))
}

/// `None` where the kernel did not say.
fn answers(found: &FoundInterface, router: IpAddr) -> Option<bool> {
    neighbour::answers(found.index, router)
        .inspect_err(|error| warn!(%error, interface = %found.name, "cannot ask for a router"))
        .ok()
}

#[cfg(test)]
mod tests {
    use egret_core::model::{Attachment, EgressNodeStatus, ProviderKind, Uplink};

    use super::*;
    use crate::testing::{put_address, put_node};

    #[test]
    fn what_was_said_of_an_interface_is_a_clouds_or_a_lans_each_for_itself() {
        let mac = |last: u8| [2, 0, 0, 0, 0, last];
        let uplink = |last: u8, net: &str| Uplink {
            subnets: vec![net.parse().unwrap()],
            mac: Some(mac_text(mac(last))),
            ..Uplink::default()
        };
        let uplinks = vec![uplink(3, "203.0.113.0/24"), uplink(4, "10.0.1.0/24")];
        let (me, mut snapshot) = (NodeName::from("g1"), Snapshot::default());
        put_node(&mut snapshot, "g1", EgressNodeStatus { uplinks, ..EgressNodeStatus::default() });
        let addresses = ["203.0.113.17", "192.0.2.17"].map(|text| text.parse::<IpAddr>().unwrap());
        put_address(&mut snapshot, addresses[0], |_| {});
        let on_lan = |snapshot: &Snapshot| [3, 4].map(|last| is_on_lan(snapshot, &me, mac(last)));
        assert_eq!(on_lan(&snapshot), [true, true], "there is no cloud");
        put_address(&mut snapshot, addresses[1], |put| put.plan.provider = ProviderKind::Aws);
        assert_eq!(on_lan(&snapshot), [true, false]);
        let at = Attachment { mac: Some(mac_text(mac(3))), ..Attachment::at(me.clone()) };
        put_address(&mut snapshot, addresses[1], |put| {
            (put.plan.provider, put.status.prepared) = (ProviderKind::Aws, vec![at]);
        });
        assert_eq!(on_lan(&snapshot), [false, false], "the cloud names it");
    }
}
