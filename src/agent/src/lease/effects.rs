use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::model::NodeName;
use egret_core::quorum::{AddressState, Effect, Report};
use egret_peers::Endpoint;
use egret_ports::announcer::Announcer;
use egret_ports::error::ErrorClass;
use egret_ports::gateway::{AddressMap, UplinkLink};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{debug, info, warn};

use super::clocks::now;
use super::entry::{Word, entry};
use super::probe::Probes;
use super::{KeptFile, LeaseThread, Notice, Update};

/// The hands of the lease thread: they carry out what the machine says.
pub(crate) struct Hands<M, A> {
    me: NodeName,
    pub(crate) endpoint: Endpoint,
    pub(crate) probes: Probes,
    map: M,
    announcer: A,
    kept: KeptFile,
    update: Update,
    words: BTreeMap<IpAddr, Word>,
    notices: UnboundedSender<Notice>,
}

impl<M: AddressMap, A: Announcer> Hands<M, A> {
    pub(crate) fn new(parts: LeaseThread<M, A>, notices: UnboundedSender<Notice>) -> Self {
        Self {
            me: parts.me,
            endpoint: parts.endpoint,
            probes: Probes::default(),
            map: parts.map,
            announcer: parts.announcer,
            kept: parts.kept,
            update: Update::default(),
            words: BTreeMap::new(),
            notices,
        }
    }

    /// Takes note of peers, endpoints and links; entries that they change are written again.
    pub(crate) fn adopt(&mut self, update: Update) {
        if let Some(cluster) = &update.view.cluster {
            for refusal in self.endpoint.set_peers(&cluster.id, &update.peers) {
                warn!(?refusal, "a peer cannot be talked to");
            }
        }
        let before = std::mem::replace(&mut self.update, update);
        for (address, link) in &self.update.links {
            if let Some(uplink) = &link.uplink
                && before.links.get(address) != Some(link)
                && let Err(error) = self.announcer.listen(*address, uplink)
            {
                warn!(%error, %address, "cannot listen for conflicts and solicitations");
            }
        }
        if before.endpoints != self.update.endpoints || before.links != self.update.links {
            let words = std::mem::take(&mut self.words);
            for (address, word) in &words {
                if let Err(error) = self.put(*address, word) {
                    warn!(%error, %address, "cannot write the address map");
                }
            }
            self.words = words;
        }
    }

    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), String> {
        for effect in effects {
            match effect {
                Effect::Keep(kept) => self
                    .kept
                    .write(&kept)
                    .map_err(|error| format!("cannot keep lease state: {error}"))?,
                Effect::Send { to, message } => {
                    if let Err(error) = self.endpoint.send(&to, &message) {
                        debug!(%error, %to, "not sent");
                    }
                }
                Effect::Kernel { address, state, holder, valid_until } => {
                    let word = Word { state, holder, valid_until };
                    self.put(address, &word)
                        .map_err(|error| format!("cannot write the address map: {error}"))?;
                    self.tell_change(address, &word);
                    self.words.insert(address, word);
                }
                Effect::Forget { address } => self.forget(address),
                Effect::Announce { address } => self.announce(address),
                Effect::Probe { address } => self.probes.begin(address, now().boot),
                Effect::ReadConsistently => self.notify(Notice::ReadConsistently),
                Effect::Report(report) => self.report(report),
            }
        }
        Ok(())
    }

    pub(crate) fn send_probe(&mut self, address: IpAddr) {
        let Some(uplink) = self.uplink(address) else { return };
        if let Err(error) = self.announcer.probe(address, &uplink) {
            warn!(%error, %address, "cannot probe");
        }
    }

    pub(crate) fn notice_conflicts(&mut self) {
        let conflicts = match self.announcer.conflicts() {
            Ok(conflicts) => conflicts,
            Err(error) => return debug!(%error, "cannot listen for conflicts"),
        };
        for (address, mac) in conflicts {
            // The new holder's announcements look like this to the others: only a holder, or one
            // that is about to become it, has a conflict.
            let held = self.words.get(&address).is_some_and(|word| {
                matches!(word.state, AddressState::Held)
                    && word.valid_until.is_none_or(|until| until > now().boot)
            });
            if self.probes.conflict(address, now().boot) || held {
                self.notify(Notice::Conflict { address, mac });
            }
        }
    }

    fn put(&mut self, address: IpAddr, word: &Word) -> Result<(), egret_ports::error::PortError> {
        self.map.put(address, &entry(address, word, &self.me, &self.update))
    }

    fn forget(&mut self, address: IpAddr) {
        self.words.remove(&address);
        self.probes.forget(address);
        if let Err(error) = self.map.remove(address) {
            warn!(%error, %address, "cannot remove an address from the map");
        }
        if let Err(error) = self.announcer.forget(address) {
            debug!(%error, %address, "cannot stop listening");
        }
    }

    fn announce(&mut self, address: IpAddr) {
        let Some(uplink) = self.uplink(address) else { return };
        match self.announcer.announce(address, &uplink) {
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

    fn tell_change(&self, address: IpAddr, word: &Word) {
        if self.words.get(&address).is_none_or(|before| before.state != word.state) {
            let state = format!("{:?}", word.state).to_lowercase();
            info!(event = state, %address, "this node's part of the address has changed");
        }
    }

    fn report(&mut self, report: Report) {
        self.notify(Notice::Report(report));
    }

    fn notify(&self, notice: Notice) {
        // The receiver is gone only when the process is ending.
        let _ = self.notices.send(notice);
    }
}
