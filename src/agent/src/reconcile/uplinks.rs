//! Uplinks: whether those that no cloud names reach their networks, and whether Egret's programs run on all.

use std::net::IpAddr;
use std::time::Instant;

use egret_core::model::{NodeRole, ObjectRef};
use egret_core::reason::{AgentReason, EventReason};
use egret_datapath::host;
use egret_datapath::link_proof::LinkQuestion;
use egret_ports::clock::Clock;
use egret_ports::cluster_state::ClusterState;
use egret_ports::error::{ErrorClass, PortError};
use tracing::{info, warn};

use super::{Completion, MainLoop};
use crate::interface_memory::InterfaceMemory;
use crate::lease_thread::{LeaseCommand, PlanUpdate};
use crate::plan_feed::HostFacts;
use crate::plan_update::note_reach;
use crate::program_proofs::{Proofs, questions};
use crate::router_watch;
use crate::uplink_reach::SeenUplink;

impl<S: ClusterState, C: Clock> MainLoop<S, C> {
    /// What plans depend on.
    pub(super) fn host_facts(&self) -> HostFacts {
        HostFacts {
            uplinks: self.kernel.uplinks().to_vec(),
            knows_uplinks: self.kernel.knows_uplinks(),
            reaches: self.memory.interfaces.reaches.clone(),
            local: self.status.local_addresses.clone(),
            heard: self.kernel.heard_endpoints(),
        }
    }

    /// Looks which of the uplinks reach their networks; true where that is something else than before.
    pub(super) fn note_reaches(&mut self) -> bool {
        let uplinks = (self.kernel.uplinks(), self.kernel.knows_uplinks());
        let InterfaceMemory { reaches, proofs, .. } = &mut self.memory.interfaces;
        let changed = match host::carriers(&reaches.links(uplinks.0)) {
            Ok(carriers) => {
                reaches.note_proofs(proofs);
                let changed = reaches.note(uplinks, &carriers, Instant::now());
                // Of those that are new.
                reaches.note_proofs(proofs) || changed
            }
            Err(error) => {
                warn!(%error, "cannot tell whether uplinks reach their networks");
                false
            }
        };
        if changed {
            let all: Vec<String> = reaches.all().map(SeenUplink::to_string).collect();
            info!(event = "uplinks", uplinks = all.join(", "), "an uplink's reach has changed");
            self.publish_uplinks();
        }
        changed
    }

    /// Goes by what has become of the uplinks; true where something has. Time alone makes one steady again.
    pub(super) fn tend_reaches(&mut self) -> bool {
        if !self.note_reaches() {
            self.feed.note_host(self.host_facts());
            return false;
        }
        if self.memory.snapshot.is_some() {
            self.update_lease_thread();
        } else if let Some(recalled) = self.memory.recalled.clone() {
            self.send_recalled(recalled);
        }
        true
    }

    /// Tells the lease thread what an earlier process knew, and of the uplinks of now.
    pub(super) fn send_recalled(&mut self, mut update: PlanUpdate) {
        note_reach(&mut update.view, &update.links, &self.memory.interfaces.reaches);
        self.memory.recalled = Some(update.clone());
        self.lease.send(LeaseCommand::Update(Box::new(update)));
    }

    /// Takes note of what the others are to know, and returns what keeps an address of this node's plans
    /// from its network, with the remedy.
    pub(super) fn judge_uplinks(&mut self, now: Instant) -> Vec<(AgentReason, String)> {
        if self.memory.update.view.cluster.is_none() {
            // Which addresses there are is not known yet: what an earlier process has said holds.
            return Vec::new();
        }
        self.publish_uplinks();
        let (in_need, cut_off) = self.memory.update.cut_off(&self.me);
        self.memory.interfaces.note_uplinks(&self.memory.update.on_link(), now);
        self.memory.interfaces.reaches.blame(&in_need, &cut_off)
    }

    /// Asks on each uplink, where that is due; nobody waits for the answers.
    pub(super) fn prove_programs(&mut self) {
        let peers: Vec<IpAddr> = self.memory.update.endpoints.values().flatten().copied().collect();
        let uplinks = self.kernel.uplinks().iter();
        let attached = uplinks.filter(|uplink| self.kernel.runs_on(&uplink.name));
        let questions = attached.flat_map(|uplink| questions(uplink, &peers)).collect();
        let Some(questions) = self.memory.interfaces.proofs.due(questions, Instant::now()) else {
            return;
        };
        let prove = self.kernel.program_proof();
        let completions = self.completions.clone();
        tokio::task::spawn_blocking(move || {
            // One after the other: on one link they would be counted for each other.
            let prove = |question: LinkQuestion| {
                let proof = prove(&question);
                (question, proof)
            };
            let proofs: Proofs = questions.into_iter().map(prove).collect();
            // The loop is gone only when the process is ending.
            let _ = completions.send(Completion::Proved(proofs));
        });
    }

    /// Whoever detaches a program by tcx tells nobody.
    pub(super) fn put_programs_back(&mut self) {
        match self.kernel.put_programs_back() {
            Ok(false) => {}
            Ok(true) => {
                let message =
                    "programs of a link were detached: attached again; somebody unknown did it";
                warn!(event = "repaired", "{message}");
                let about = ObjectRef::egress_node(&self.me);
                let (reason, now) = (EventReason::Repaired, self.clock.now());
                self.events.add(true, about, reason, message.to_owned(), now);
            }
            Err(error) => warn!(%error, "cannot attach programs that may be missing"),
        }
    }

    /// Asks for the routers behind a gateway's uplinks that no cloud names; nobody waits for the answers.
    pub(super) fn ask_routers(&mut self) {
        let carried = self.carried_on_link();
        let named = &self.memory.interfaces.named;
        let uplinks = self.kernel.uplinks().iter();
        let uplinks = uplinks.filter(|uplink| uplink.carrier && !named.contains_key(&uplink.mac));
        let questions = uplinks.flat_map(|uplink| router_watch::questions(uplink, &carried));
        let (questions, now) = (questions.collect(), Instant::now());
        let InterfaceMemory { routers, reaches, .. } = &mut self.memory.interfaces;
        let due = routers.due(questions, now);
        // Also of those that nobody asks for any more.
        if reaches.note_routers(routers, now) {
            self.tend_reaches();
            self.tend_interfaces();
        }
        let interfaces = &self.memory.interfaces;
        let (kept, judged) = (interfaces.routers.kept(now), interfaces.proofs.judged());
        if let Err(error) = self.snapshot_cache.write_links(kept, judged) {
            warn!(%error, "cannot keep for the next process what is known of links");
        }
        let Some(questions) = due else { return };
        let completions = self.completions.clone();
        tokio::task::spawn_blocking(move || {
            // The loop is gone only when the process is ending.
            let _ = completions.send(Completion::RoutersAsked(router_watch::ask(questions)));
        });
    }

    /// The addresses that live in a subnet of an uplink, on a gateway. Until the store has answered it is one if it
    /// asked routers before.
    fn carried_on_link(&self) -> Vec<IpAddr> {
        let (snapshot, recalled) = (self.memory.snapshot.as_ref(), self.memory.recalled.as_ref());
        let is_gateway = match snapshot {
            Some(snapshot) => snapshot
                .egress_nodes
                .get(&self.me)
                .is_some_and(|node| node.value.spec.roles.contains(&NodeRole::Gateway)),
            None => !self.memory.interfaces.routers.is_empty(),
        };
        let update = recalled.unwrap_or(&self.memory.update);
        if is_gateway { update.on_link() } else { Vec::new() }
    }

    pub(super) fn on_routers_asked(&mut self, answers: &[(LinkQuestion, bool)]) {
        self.memory.interfaces.routers.note(answers, Instant::now());
        // One in doubt is asked again at once.
        self.ask_routers();
    }

    pub(super) fn on_proved(&mut self, proofs: Proofs) {
        let mut changed = false;
        self.memory.interfaces.proofs.keep(self.kernel.uplinks());
        for (question, proof) in proofs {
            match proof {
                Ok(proofs) => {
                    for (protocol, proof) in proofs {
                        let known = &mut self.memory.interfaces.proofs;
                        changed |= known.note(question.link, protocol, proof);
                    }
                }
                Err(error) => {
                    warn!(%error, link = question.link, "cannot prove that the programs run");
                    self.memory.interfaces.proofs.note_unasked(question.link);
                    changed = true;
                }
            }
        }
        if self.memory.interfaces.proofs.asks_again() {
            // Where somebody has taken them away, no filter of another is to blame.
            self.put_programs_back();
            self.prove_programs();
        }
        let proofs = &self.memory.interfaces.proofs;
        let troubles: Vec<String> = self
            .kernel
            .uplinks()
            .iter()
            .filter_map(|uplink| proofs.trouble(uplink.index, &uplink.name))
            .collect();
        if changed {
            info!(event = "programs_proved", proofs = ?proofs, troubles = troubles.join("; "));
        }
        let result = if troubles.is_empty() {
            Ok(())
        } else {
            let operation = "run the programs on the uplinks";
            Err(PortError::new(ErrorClass::Invalid, operation, troubles.join("; ")))
        };
        self.record(AgentReason::ProgramsPassedBy, result);
        if changed {
            self.tend_reaches();
            self.tend_interfaces();
        }
    }
}
