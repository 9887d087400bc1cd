//! Alias ranges of an interface are changed as a list: whoever changes one sends all.

use egret_ports::error::ErrorClass;
use google_cloud_compute_v1::model::{AliasIpRange, NetworkInterface};

use super::Compute;
use super::change::{Begun, id, part};
use crate::errors::GceFailure;
use crate::snapshot::{AliasRange, GceInstance, GceSnapshot};
use crate::step::AliasChange;

const METHOD: &str = "compute.instances.updateNetworkInterface";

impl Compute {
    /// Sends the fingerprint and the ranges, and nothing else: Google refuses more
    /// (<https://github.com/kubernetes/kubernetes/issues/59423>).
    pub(super) async fn change_aliases(&self, change: &AliasChange, view: &GceSnapshot) -> Begun {
        let path = &change.instance;
        let Some(at) = view.instances.get(path) else {
            let (class, message) = (ErrorClass::NotFound, format!("{path} is not there"));
            return Err(GceFailure { method: METHOD, class, message, remedy: "" });
        };
        let ranges = changed(at, change);
        if ranges.is_empty() {
            // The client leaves an empty list out, which changes nothing.
            let operation = self.raw.clear_aliases(METHOD, path, at).await?;
            return Ok((METHOD, operation));
        }
        let range = |alias: AliasRange| {
            let range = AliasIpRange::new().set_ip_cidr_range(alias.cidr);
            range.set_or_clear_subnetwork_range_name(alias.name)
        };
        let body = NetworkInterface::new()
            .set_fingerprint(at.fingerprint.clone())
            .set_alias_ip_ranges(ranges.into_iter().map(range));
        let update = self.instances.update_network_interface();
        let update = update.set_project(part(path, "projects")).set_zone(part(path, "zones"));
        let update = update.set_instance(path.name()).set_network_interface(&at.interface);
        let update = update.set_request_id(id()).set_body(body);
        Ok((METHOD, self.answer(METHOD, update.send()).await?))
    }
}

/// All ranges as they are to be: those that stay, in their order, and then the new ones.
fn changed(at: &GceInstance, change: &AliasChange) -> Vec<AliasRange> {
    let kept = at.aliases.iter().filter(|alias| !change.remove.contains(alias));
    let new = change.add.iter().filter(|new| !at.aliases.iter().any(|alias| alias.is_same(new)));
    kept.chain(new).cloned().collect()
}
