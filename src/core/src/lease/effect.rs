//! What comes out of a [`Machine`](super::Machine), to be carried out in order.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{BootTime, Message, PersistedLease, Report};
use crate::model::{AnnouncementForm, NodeName};

/// What an address is on this node (docs/design.md decision 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AddressState {
    /// Nothing to the world; what comes from the tunnel is relayed once to the holder.
    Standby,
    /// Forwards from the tunnel until the deadline; answers no ARP or NDP.
    Coming,
    /// Forwards, answers, may announce, all until the deadline.
    Held,
    /// Nothing to the world, relays to the new holder, answers nothing.
    Leaving,
}

/// What a machine wants done, strictly in this order: a later effect may rest on an earlier one.
///
/// Whoever carries them out stops at the first [`Effect::Persist`] or [`Effect::Kernel`] that fails,
/// and does none of those behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep this where a restart of the process does not lose it and a reboot does, before any
    /// effect behind it. At most one per call, and the first.
    Persist(Box<PersistedLease>),
    /// Send a datagram: best effort, never waits.
    Send {
        /// To this node's agent.
        to: NodeName,
        /// At most 1,200 bytes in postcard.
        message: Message,
    },
    /// Write the map entry of an address.
    Kernel {
        /// The egress address.
        address: IpAddr,
        /// This node's part.
        state: AddressState,
        /// Whom directors steer to and gateways relay to; this node where it holds.
        holder: Option<NodeName>,
        /// The deadline; `None` where it is not armed. The past (0) where the state is not
        /// `Coming` or `Held`.
        valid_until: Option<BootTime>,
    },
    /// Remove the map entry: the address is in no plan any more.
    Forget {
        /// The egress address.
        address: IpAddr,
    },
    /// Send one announcement.
    Announce {
        /// The egress address.
        address: IpAddr,
        /// What the network takes as news.
        form: AnnouncementForm,
    },
    /// Begin to probe (RFC 5227); answered by [`Input::Probed`].
    Probe {
        /// The egress address.
        address: IpAddr,
    },
    /// Begin a consistent read of the store; answered by [`Input::ConsistentRead`]. Asked again
    /// every 2 s until answered: one that is under way need not be begun again, provided that it
    /// began after this effect was first seen; if in doubt begin anew.
    ReadConsistently,
    /// Tell people, metrics or the store.
    Report(Report),
}

/// Collects the effects of one call.
#[derive(Debug, Default)]
pub(super) struct Effects(pub Vec<Effect>);

impl Effects {
    pub(super) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    pub(super) fn send(&mut self, to: &NodeName, message: Message) {
        self.0.push(Effect::Send { to: to.clone(), message });
    }

    pub(super) fn report(&mut self, report: Report) {
        self.0.push(Effect::Report(report));
    }
}
