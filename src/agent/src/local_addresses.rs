//! Egress addresses that this host's tools make its own: which must not be, who did it, and how often.
//!
//! Only those that a cloud places: its metadata is where such tools have them from. On a local subnet
//! a person has put the address there, and may mean it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use egret_core::model::{Attachment, NodeName, Snapshot};
use egret_core::node_config::nodes_of;
use egret_datapath::local_address::{LocalAddress, LocalOrigin};
use egret_ports::backoff::ExponentialDelay;

/// What happened before that no longer counts.
const WINDOW: Duration = Duration::from_secs(600);
/// So often within that is an address taken back at once, and nobody has to do anything.
const PATIENCE: usize = 3;
/// How long it stays where it was put after that.
const DELAY: ExponentialDelay =
    ExponentialDelay { initial: Duration::from_secs(2), max: Duration::from_secs(60) };

/// The protocol of routes that Google's guest agent makes (`ethernet_proto_id` in its settings:
/// <https://github.com/GoogleCloudPlatform/guest-agent#network>).
const GUEST_AGENT: u8 = 66;

/// Addresses that this host must not have, with the egress address that each is or carries.
pub(crate) type PlacedAddresses = BTreeMap<IpAddr, IpAddr>;

/// What a cloud placed at `me` by plan, lease or its own word, also where it ends there.
pub(crate) fn placed(snapshot: &Snapshot, me: &NodeName) -> PlacedAddresses {
    let mut placed = PlacedAddresses::new();
    for (address, stored) in &snapshot.addresses {
        let there = stored.value.status.attachment_at(me);
        let in_cloud = stored.value.plan.facts().cloud_places();
        if in_cloud && (there.is_some() || nodes_of(&stored.value).contains(me)) {
            placed.extend(as_carried(*address, there));
        }
    }
    placed
}

/// The same by what an earlier process knew.
pub(crate) fn placed_before(attachments: &BTreeMap<IpAddr, Attachment>) -> PlacedAddresses {
    attachments.iter().flat_map(|(address, at)| as_carried(*address, Some(at))).collect()
}

/// The address itself, and the one that its packets carry here.
fn as_carried(
    address: IpAddr,
    at: Option<&Attachment>,
) -> impl Iterator<Item = (IpAddr, IpAddr)> + use<> {
    let wire = at.and_then(|at| at.wire);
    [address].into_iter().chain(wire).map(move |carried| (carried, address))
}

/// When each was taken back of late.
#[derive(Debug, Default)]
pub(crate) struct TakeBacks(BTreeMap<LocalAddress, Vec<Instant>>);

impl TakeBacks {
    /// Whether it may be taken back now: at once, but where a tool puts it there again and again.
    pub(crate) fn is_due(&self, found: &LocalAddress, now: Instant) -> bool {
        let Some(times) = self.0.get(found) else { return true };
        let (Some(above), Some(last)) = (times.len().checked_sub(PATIENCE), times.last()) else {
            return true;
        };
        let failures = u32::try_from(above + 1).unwrap_or(u32::MAX);
        now.duration_since(*last) >= DELAY.after(failures)
    }

    pub(crate) fn note(&mut self, found: &LocalAddress, now: Instant) {
        self.0.entry(found.clone()).or_default().push(now);
    }

    /// Forgets what was long ago.
    pub(crate) fn forget(&mut self, now: Instant) {
        for times in self.0.values_mut() {
            times.retain(|time| now.duration_since(*time) < WINDOW);
        }
        self.0.retain(|_, times| !times.is_empty());
    }

    /// What a person has to do where addresses come back again and again; `None` where none does.
    pub(crate) fn contested(&self) -> Option<String> {
        let often = self.0.iter().filter(|(_, times)| times.len() > PATIENCE);
        let said = often.map(|(found, _)| {
            let LocalAddress { address, interface, .. } = found;
            let (who, remedy) = maker(found);
            format!("{address} comes back to {interface}, made so by {who}: {remedy}")
        });
        let all: Vec<String> = said.collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// What is said of one that was taken back. The same whenever the same happens: equal events are
/// counted together.
pub(crate) fn message(found: &LocalAddress, egress: IpAddr, me: &NodeName) -> String {
    let LocalAddress { address, interface, .. } = found;
    let (who, remedy) = maker(found);
    let carries =
        if *address == egress { String::new() } else { format!(", which carries {egress} there,") };
    format!(
        "{address}{carries} was made an address of the host {me} on {interface}, by {who}; Egret \
         took it back: {remedy}"
    )
}

/// Who made an address the host's own, as far as its form tells, and what stops that.
fn maker(found: &LocalAddress) -> (String, String) {
    let LocalAddress { address, interface, by } = found;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    match *by {
        LocalOrigin::Route { protocol: GUEST_AGENT } => (
            "Google's guest agent (a route of protocol 66)".to_owned(),
            "in /etc/default/instance_configs.cfg set ip_forwarding = false under \
             [NetworkInterfaces], ip_aliases = false and target_instance_ips = false under \
             [IpForwarding], and restart google-guest-agent"
                .to_owned(),
        ),
        LocalOrigin::Route { protocol } => (
            format!("a route of protocol {protocol}"),
            "find the tool that makes it (`ip route show table local`), and have it leave the \
             address alone"
                .to_owned(),
        ),
        // AddPrefixRoute=false is in what it writes for systemd-networkd (create_ipv4_aliases in
        // lib/lib.sh), and in few other tools' words for a single address.
        LocalOrigin::Interface { prefix_len, prefix_route: false } if prefix_len == whole => (
            "amazon-ec2-net-utils, by its form".to_owned(),
            format!(
                "make the empty file /etc/systemd/network/70-{interface}.network.d/\
                 ec2net_alias.conf, which counts before what that writes in /run, and call \
                 networkctl reload"
            ),
        ),
        LocalOrigin::Interface { prefix_len, .. } => (
            format!("a tool that gave it the interface as {address}/{prefix_len}"),
            "have what configures secondary addresses here leave it alone: cloud-init \
             (datasource: {Ec2: {apply_full_imds_network_config: false}}), NetworkManager's \
             nm-cloud-setup (systemctl disable --now nm-cloud-setup.timer nm-cloud-setup.service), \
             or whatever else it is"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
