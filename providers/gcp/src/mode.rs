//! What the modes of a pool have in common: the questions that each answers for itself.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName, ProviderKind};
use egret_ports::error::ErrorClass;
use egret_ports::provider::NodeCapacity;

use crate::inputs::GceInputs;
use crate::refusal::GceRefusal;
use crate::snapshot::{GceInstance, StaticAddress};
use crate::step::{GceStep, PreparedAddresses};

/// How Google's network delivers an address, and how it is told to.
///
/// Every decision is a pure function of what was read, and says one step. Whoever carries it out reads
/// again and asks again: so every prefix can be gone on from, by another process too.
pub(crate) trait DeliveryMode: fmt::Debug + Send + Sync {
    /// Whose pools these are.
    fn kind(&self) -> ProviderKind;

    /// What has to be read besides instances, static addresses and subnetworks.
    fn reads(&self) -> ReadKinds;

    /// Whether a static address is one that the mode can serve: of those that have a pool's labels.
    fn finds(&self, address: &StaticAddress) -> bool;

    /// Where Google delivers the address by its own settings.
    fn attachment(&self, inputs: &GceInputs<'_>, address: IpAddr) -> Option<Attachment>;

    /// Why the address cannot be at the node.
    fn refusal(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> Option<GceRefusal>;

    /// How many more addresses an instance can take; `u32::MAX` where nothing limits it.
    fn free(&self, at: &GceInstance) -> u32;

    /// What a node can serve; `None` where Google does not know it.
    fn capacity(
        &self,
        inputs: &GceInputs<'_>,
        node: &NodeName,
        asked: &BTreeSet<IpAddr>,
    ) -> Option<NodeCapacity> {
        let at = match inputs.target(node) {
            Ok((_, at)) => at,
            Err(refusal) => {
                let refused = Some(refusal.message);
                let known = refusal.class != ErrorClass::NotFound;
                return known.then(|| NodeCapacity { refused, ..NodeCapacity::default() });
            }
        };
        let why = |address| self.refusal(inputs, address, node).map(|refusal| refusal.message);
        Some(NodeCapacity::of(self.free(at), asked, why))
    }

    /// `node` ready for exactly `addresses`.
    fn prepare(
        &self,
        inputs: &GceInputs<'_>,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> GceStep<PreparedAddresses>;

    /// `address` at `node`.
    fn attach(
        &self,
        inputs: &GceInputs<'_>,
        address: IpAddr,
        node: &NodeName,
    ) -> GceStep<Attachment>;

    /// `address` not at `node`.
    fn detach(&self, inputs: &GceInputs<'_>, address: IpAddr, node: &NodeName) -> GceStep<()>;

    /// Nothing left of machines that were deleted.
    fn sweep(&self, inputs: &GceInputs<'_>) -> GceStep<()>;
}

/// Kinds of resources that a mode reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadKinds {
    pub services: bool,
    pub rules: bool,
    pub groups: bool,
    pub targets: bool,
    /// Instances that hold an address by its status and whose Node is gone.
    pub recorded_instances: bool,
}
