use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::lease::{AddressState, BootTime, Effect, Report};
use egret_core::model::{AnnouncementForm, NodeName};
use egret_peers::Endpoint;
use egret_ports::announcer::{Announcer, ForeignClaim};
use egret_ports::error::ErrorClass;
use egret_ports::gateway::{AddressMap, UplinkLink};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use super::address_probe::AddressProbes;
use super::clocks::now;
use super::map_entry::{MapEntry, address_entry};
use super::{LeaseEvent, PersistedLeaseFile, PlanUpdate};

/// What listening failed for is often over soon; in nanoseconds.
const LISTEN_AGAIN: u64 = 1_000_000_000;

/// What the effects of the lease protocol act on.
pub(crate) struct LeasePorts<M, A> {
    pub(crate) endpoint: Endpoint,
    pub(crate) map: M,
    pub(crate) announcer: A,
    pub(crate) persisted: PersistedLeaseFile,
}

/// The hands of the lease thread: they carry out what the machine says.
pub(crate) struct KernelEffects<M, A> {
    me: NodeName,
    pub(crate) ports: LeasePorts<M, A>,
    pub(crate) probes: AddressProbes,
    /// Where the tunnel ends here: what the store says of it may be older.
    own: Vec<IpAddr>,
    /// Why that is not where the endpoint listens, and when it tries again.
    not_listening: Option<(String, BootTime)>,
    update: PlanUpdate,
    entries: BTreeMap<IpAddr, MapEntry>,
    /// Held, and claimed by another host since they were last taken.
    in_conflict: BTreeSet<IpAddr>,
    lease_events: UnboundedSender<LeaseEvent>,
}

impl<M: AddressMap, A: Announcer> KernelEffects<M, A> {
    pub(crate) fn new(
        me: NodeName,
        ports: LeasePorts<M, A>,
        lease_events: UnboundedSender<LeaseEvent>,
    ) -> Self {
        Self {
            me,
            own: ports.endpoint.addresses(),
            not_listening: None,
            ports,
            probes: AddressProbes::default(),
            update: PlanUpdate::default(),
            entries: BTreeMap::new(),
            in_conflict: BTreeSet::new(),
            lease_events,
        }
    }

    /// Takes note of peers, endpoints and links; entries that they change are written again. Returns the
    /// addresses that can be announced from now on.
    pub(crate) fn adopt(&mut self, mut update: PlanUpdate) -> Vec<IpAddr> {
        update.endpoints.insert(self.me.clone(), self.own.clone());
        if let Some(cluster) = &update.view.cluster {
            for refusal in self.ports.endpoint.set_peers(&cluster.id, &update.peers) {
                warn!(?refusal, "a peer cannot be talked to");
            }
        }
        let before = std::mem::replace(&mut self.update, update);
        for (address, link) in &self.update.links {
            if let Some(uplink) = &link.uplink
                && before.links.get(address) != Some(link)
                && let Err(error) = self.ports.announcer.listen(*address, uplink)
            {
                warn!(%error, %address, "cannot listen for conflicts and solicitations");
            }
        }
        if before.lacks_of_entries(&self.update) {
            let entries = std::mem::take(&mut self.entries);
            for (address, entry) in &entries {
                if let Err(error) = self.put(*address, entry) {
                    warn!(%error, %address, "cannot write the address map");
                }
            }
            self.entries = entries;
        }
        self.set_host();
        let links = self.update.links.iter();
        links
            .filter(|(address, link)| link.is_ready_since(before.links.get(address)))
            .map(|(address, _)| *address)
            .collect()
    }

    /// Takes note of other addresses of this node and listens there. To the protocol nothing has changed: a
    /// node is known by its name and its key.
    pub(crate) fn listen(&mut self, addresses: Vec<IpAddr>) {
        self.own = addresses;
        // Links stay: nothing is ready that was not.
        let _ = self.adopt(self.update.clone());
        self.try_to_listen(now().boot);
    }

    /// Tries again what has failed. The sockets before do meanwhile, as far as they reach.
    pub(crate) fn listen_again(&mut self, now: BootTime) {
        if self.not_listening.as_ref().is_some_and(|(_, due)| *due <= now) {
            self.try_to_listen(now);
        }
    }

    fn try_to_listen(&mut self, now: BootTime) {
        let said = self.not_listening.take().map(|(why, _)| why);
        match self.ports.endpoint.listen_on(&self.own) {
            Ok(()) if said.is_none() => {}
            Ok(()) => self.send_event(LeaseEvent::Listening(Ok(()))),
            Err(error) => {
                let why = error.to_string();
                if said.as_ref() != Some(&why) {
                    warn!(%why, "listening where this node was before");
                    self.send_event(LeaseEvent::Listening(Err(why.clone())));
                }
                self.not_listening = Some((why, BootTime(now.0.saturating_add(LISTEN_AGAIN))));
            }
        }
    }

    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), String> {
        for effect in effects {
            match effect {
                Effect::Persist(kept) => self
                    .ports
                    .persisted
                    .write(&kept)
                    .map_err(|error| format!("cannot keep lease state: {error}"))?,
                Effect::Send { to, message } => {
                    if let Err(error) = self.ports.endpoint.send(&to, &message) {
                        debug!(%error, %to, "not sent");
                    }
                }
                Effect::Kernel { address, state, holder, valid_until } => {
                    let entry = MapEntry { state, holder, valid_until };
                    if state == AddressState::Held {
                        self.note_claims_before(address);
                    }
                    // Who goes on probing is in the way of the next holder's probes.
                    if entry.holder.as_ref() != Some(&self.me) {
                        self.probes.forget(address);
                    }
                    self.put(address, &entry)
                        .map_err(|error| format!("cannot write the address map: {error}"))?;
                    self.log_change(address, &entry);
                    self.entries.insert(address, entry);
                }
                Effect::Forget { address } => self.forget(address),
                Effect::Announce { address, form } => self.announce(address, form),
                Effect::Probe { address } => {
                    // What came until now, such as the former holder's last probe, answers no probe.
                    self.notice_conflicts();
                    self.probes.begin(address, now().boot);
                }
                Effect::ReadConsistently => self.send_event(LeaseEvent::ReadConsistently),
                Effect::Report(report) => self.report(report),
            }
        }
        Ok(())
    }

    pub(crate) fn send_probe(&mut self, address: IpAddr) {
        // Without a link nothing goes out either; once there is one, the probes come first.
        let failed = match self.uplink(address) {
            None => Some("it has no uplink".to_owned()),
            Some(uplink) => {
                let sent = self.ports.announcer.probe(address, &uplink);
                sent.err().map(|error| error.to_string())
            }
        };
        if let Some(error) = failed
            && self.probes.begin_anew(address, now().boot)
        {
            warn!(%error, %address, "cannot probe");
        }
    }

    /// What is held and claimed by another host: looked for now, and not told of yet.
    pub(crate) fn take_in_conflict(&mut self) -> BTreeSet<IpAddr> {
        self.notice_conflicts();
        std::mem::take(&mut self.in_conflict)
    }

    /// The addresses of which it is known only now that who was found to have them keeps nobody off.
    pub(crate) fn take_explained(&mut self) -> Vec<IpAddr> {
        self.probes.take_explained(&self.update.harmless)
    }

    fn notice_conflicts(&mut self) {
        let claims = match self.ports.announcer.conflicts() {
            Ok(claims) => claims,
            Err(error) => return debug!(%error, "cannot listen for conflicts"),
        };
        for ForeignClaim { address, mac, probes } in claims {
            // Google's network answers every ARP request itself.
            let plan = self.update.view.addresses.get(&address);
            if plan.is_some_and(|plan| plan.announcement == AnnouncementForm::GarpRa) {
                continue;
            }
            // The new holder's announcements look like this to the others: only a holder, or one
            // that is about to become it, has a conflict.
            let held = self.entries.get(&address).is_some_and(|entry| {
                matches!(entry.state, AddressState::Held)
                    && entry.valid_until.is_none_or(|until| until > now().boot)
            });
            // While nobody answers for it here, the network may go on to answer for a holder that is no
            // more, and a node that has got it meanwhile answers too. Once its next holder has announced
            // itself the network has another answer, and that node is in conflict with it.
            let harmless = self.update.harmless.get(&address);
            if !held && harmless.is_some_and(|harmless| harmless.contains(&mac)) {
                continue;
            }
            // A probe finds that a held address is taken (RFC 5227 section 2.4); two that probe for a
            // free one are in each other's way (section 2.1.1).
            let probed_for = (!held || !probes) && self.probes.conflict(address, mac, now().boot);
            if probed_for || (held && !probes) {
                self.send_event(LeaseEvent::Conflict { address, mac });
            }
            if held && !probes && !probed_for {
                self.in_conflict.insert(address);
            }
        }
    }

    /// What the holder before has announced until now is no conflict of this one.
    fn note_claims_before(&mut self, address: IpAddr) {
        let held = |entry: &MapEntry| entry.state == AddressState::Held;
        if !self.entries.get(&address).is_some_and(held) {
            self.notice_conflicts();
        }
    }

    fn put(
        &mut self,
        address: IpAddr,
        entry: &MapEntry,
    ) -> Result<(), egret_ports::error::PortError> {
        self.ports.map.put(address, &address_entry(address, entry, &self.me, &self.update))
    }

    fn forget(&mut self, address: IpAddr) {
        self.entries.remove(&address);
        self.probes.forget(address);
        if let Err(error) = self.ports.map.remove(address) {
            warn!(%error, %address, "cannot remove an address from the map");
        }
        self.set_host();
        if let Err(error) = self.ports.announcer.forget(address) {
            debug!(%error, %address, "cannot stop listening");
        }
    }

    fn set_host(&mut self) {
        if let Err(error) = self.ports.map.set_host(&self.update.host) {
            warn!(%error, "pods' packets for this node's own addresses may be counted as forwarded");
        }
    }

    fn announce(&mut self, address: IpAddr, form: AnnouncementForm) {
        let Some(uplink) = self.uplink(address) else { return };
        match self.ports.announcer.announce(address, form, &uplink) {
            Ok(()) => info!(event = "announced", %address, "announced"),
            Err(error) if error.class == ErrorClass::Conflict => {
                info!(event = "announcement_refused", %address, "the lease had ended: not announced");
            }
            Err(error) => warn!(%error, %address, "cannot announce"),
        }
    }

    fn uplink(&self, address: IpAddr) -> Option<UplinkLink> {
        self.update.links.get(&address).and_then(|link| link.uplink)
    }

    fn log_change(&self, address: IpAddr, entry: &MapEntry) {
        if self.entries.get(&address).is_none_or(|before| before.state != entry.state) {
            let state = format!("{:?}", entry.state).to_lowercase();
            info!(event = state, %address, "this node's part of the address has changed");
        }
    }

    fn report(&mut self, report: Report) {
        self.send_event(LeaseEvent::Report(report));
    }

    fn send_event(&self, event: LeaseEvent) {
        // The receiver is gone only when the process is ending.
        let _ = self.lease_events.send(event);
    }
}

#[cfg(test)]
mod tests;
