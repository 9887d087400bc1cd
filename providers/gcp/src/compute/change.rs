//! Changes. Each has an id of its own, so that a request that was sent twice is carried out once, and
//! ends when its operation has.

use google_cloud_compute_v1::model::backend_service_ha_policy::FastIpmove;
use google_cloud_compute_v1::model::{
    self, Backend, BackendService, BackendServiceHAPolicy, BackendServiceHAPolicyLeader,
    BackendServiceHAPolicyLeaderNetworkEndpoint, ForwardingRule, NetworkEndpoint,
    NetworkEndpointGroup, NetworkEndpointGroupsAttachEndpointsRequest,
    NetworkEndpointGroupsDetachEndpointsRequest, Operation, TargetInstance,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::Compute;
use crate::errors::GceFailure;
use crate::names::{self, ResourcePath};
use crate::snapshot::GceSnapshot;
use crate::step::{GceCall, NewRule, NewService, RuleTarget, ServiceSettings};

impl Compute {
    /// Makes a change, which rests on `view`, and waits until its operation has ended.
    ///
    /// # Errors
    /// Those of the call and of the operation. `Transient` where the operation takes too long; it goes
    /// on, and later reads show it.
    pub async fn change(&self, call: &GceCall, view: &GceSnapshot) -> Result<(), GceFailure> {
        let (method, begun) = match call {
            GceCall::InsertGroup { group, network, subnetwork } => {
                self.insert_group(group, network, subnetwork).await?
            }
            GceCall::DeleteGroup { group } => self.delete_group(group).await?,
            GceCall::AttachEndpoint { group, instance } => {
                self.attach_endpoint(group, instance).await?
            }
            GceCall::DetachEndpoint { group, instance } => {
                self.detach_endpoint(group, instance).await?
            }
            GceCall::InsertService(new) => self.insert_service(new).await?,
            GceCall::PatchService { service, settings, fingerprint } => {
                self.patch_service(service, settings, fingerprint).await?
            }
            GceCall::DeleteService { service } => self.delete_service(service).await?,
            GceCall::InsertTarget { target, instance } => {
                self.insert_target(target, instance).await?
            }
            GceCall::DeleteTarget { target } => self.delete_target(target).await?,
            GceCall::InsertRule(new) => self.insert_rule(new).await?,
            GceCall::SetTarget { rule, target } => self.set_target(rule, target).await?,
            GceCall::DeleteRule { rule } => self.delete_rule(rule).await?,
            GceCall::ChangeAliases(change) => self.change_aliases(change, view).await?,
        };
        self.follow(method, begun).await
    }

    async fn follow(&self, method: &'static str, begun: Operation) -> Result<(), GceFailure> {
        let (began, mut pause) = (Instant::now(), self.options.poll.0);
        let mut operation = begun;
        while operation.status != Some(model::operation::Status::Done) {
            if began.elapsed() > self.options.settle {
                return Err(GceFailure::timeout(method));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.options.poll.1);
            operation = self.look(&operation).await?;
        }
        match operation.to_result() {
            Ok(_) => Ok(()),
            Err(error) => Err(GceFailure::of_operation(method, &error)),
        }
    }

    async fn look(&self, operation: &Operation) -> Result<Operation, GceFailure> {
        let path = ResourcePath::new(operation.self_link.as_deref().unwrap_or_default());
        let part = |collection| path.part(collection).unwrap_or_default();
        if path.part("zones").is_some() {
            let get = self.zone_operations.get().set_project(part("projects"));
            let get = get.set_zone(part("zones")).set_operation(path.name());
            return self.answer("compute.zoneOperations.get", get.send()).await;
        }
        let get = self.region_operations.get().set_project(part("projects"));
        let get = get.set_region(part("regions")).set_operation(path.name());
        self.answer("compute.regionOperations.get", get.send()).await
    }

    async fn insert_group(
        &self,
        group: &ResourcePath,
        network: &ResourcePath,
        subnetwork: &ResourcePath,
    ) -> Begun {
        const METHOD: &str = "compute.networkEndpointGroups.insert";
        let body = NetworkEndpointGroup::new()
            .set_name(group.name())
            .set_description(names::description_of_group(subnetwork))
            .set_network_endpoint_type(model::network_endpoint_group::NetworkEndpointType::GceVmIp)
            .set_network(network.url())
            .set_subnetwork(subnetwork.url());
        let insert = self.groups.insert().set_project(part(group, "projects"));
        let insert = insert.set_zone(part(group, "zones")).set_request_id(id()).set_body(body);
        Ok((METHOD, self.answer(METHOD, insert.send()).await?))
    }

    async fn delete_group(&self, group: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.networkEndpointGroups.delete";
        let delete = self.groups.delete().set_project(part(group, "projects"));
        let delete = delete.set_zone(part(group, "zones")).set_request_id(id());
        let delete = delete.set_network_endpoint_group(group.name());
        Ok((METHOD, self.answer(METHOD, delete.send()).await?))
    }

    async fn attach_endpoint(&self, group: &ResourcePath, instance: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.networkEndpointGroups.attachNetworkEndpoints";
        let endpoint = NetworkEndpoint::new().set_instance(instance.url());
        let body = NetworkEndpointGroupsAttachEndpointsRequest::new();
        let attach = self.groups.attach_network_endpoints().set_project(part(group, "projects"));
        let attach = attach.set_zone(part(group, "zones")).set_request_id(id());
        let attach = attach.set_network_endpoint_group(group.name());
        let attach = attach.set_body(body.set_network_endpoints([endpoint]));
        Ok((METHOD, self.answer(METHOD, attach.send()).await?))
    }

    async fn detach_endpoint(&self, group: &ResourcePath, instance: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.networkEndpointGroups.detachNetworkEndpoints";
        let endpoint = NetworkEndpoint::new().set_instance(instance.url());
        let body = NetworkEndpointGroupsDetachEndpointsRequest::new();
        let detach = self.groups.detach_network_endpoints().set_project(part(group, "projects"));
        let detach = detach.set_zone(part(group, "zones")).set_request_id(id());
        let detach = detach.set_network_endpoint_group(group.name());
        let detach = detach.set_body(body.set_network_endpoints([endpoint]));
        Ok((METHOD, self.answer(METHOD, detach.send()).await?))
    }

    /// Names what a service with an HA policy must have, and nothing that it must not: no health check,
    /// affinity, connection tracking, draining or failover policy.
    async fn insert_service(&self, new: &NewService) -> Begun {
        use model::backend_service::{LoadBalancingScheme, Protocol};
        const METHOD: &str = "compute.regionBackendServices.insert";
        let scheme = match new.external {
            true => LoadBalancingScheme::External,
            false => LoadBalancingScheme::Internal,
        };
        let policy = policy(&new.settings).set_fast_ip_move(FastIpmove::GarpRa);
        let body = BackendService::new()
            .set_name(new.service.name())
            .set_description(names::description_of_address(new.address))
            .set_load_balancing_scheme(scheme)
            .set_protocol(Protocol::Unspecified)
            .set_network(new.network.url())
            .set_backends(backends(&new.settings))
            .set_ha_policy(policy);
        let insert = self.services.insert().set_project(part(&new.service, "projects"));
        let insert = insert.set_region(part(&new.service, "regions")).set_request_id(id());
        Ok((METHOD, self.answer(METHOD, insert.set_body(body).send()).await?))
    }

    async fn patch_service(
        &self,
        service: &ResourcePath,
        settings: &ServiceSettings,
        fingerprint: &[u8],
    ) -> Begun {
        const METHOD: &str = "compute.regionBackendServices.patch";
        let mut body = BackendService::new()
            .set_fingerprint(fingerprint.to_vec())
            .set_backends(backends(settings));
        if settings.leader.is_some() {
            body = body.set_ha_policy(policy(settings));
        }
        let patch = self.services.patch().set_project(part(service, "projects"));
        let patch = patch.set_region(part(service, "regions")).set_request_id(id());
        let patch = patch.set_backend_service(service.name()).set_body(body);
        Ok((METHOD, self.answer(METHOD, patch.send()).await?))
    }

    async fn delete_service(&self, service: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.regionBackendServices.delete";
        let delete = self.services.delete().set_project(part(service, "projects"));
        let delete = delete.set_region(part(service, "regions")).set_request_id(id());
        let delete = delete.set_backend_service(service.name());
        Ok((METHOD, self.answer(METHOD, delete.send()).await?))
    }

    async fn insert_rule(&self, new: &NewRule) -> Begun {
        use model::forwarding_rule::{IPProtocol, LoadBalancingScheme, NetworkTier};
        const METHOD: &str = "compute.forwardingRules.insert";
        let mut body = ForwardingRule::new()
            .set_name(new.rule.name())
            .set_description(names::description_of_address(new.address))
            .set_ip_address(new.reserved.url())
            .set_ip_protocol(IPProtocol::L3Default)
            .set_all_ports(true);
        body = match &new.deliver {
            RuleTarget::Service(service) => body.set_backend_service(service.url()),
            RuleTarget::Instance(target) => body.set_target(target.url()),
        };
        body = match &new.subnetwork {
            Some(subnetwork) => body
                .set_load_balancing_scheme(LoadBalancingScheme::Internal)
                .set_network(new.network.url())
                .set_subnetwork(subnetwork.url())
                .set_allow_global_access(true),
            None => body.set_load_balancing_scheme(LoadBalancingScheme::External),
        };
        if new.standard_tier {
            body = body.set_network_tier(NetworkTier::Standard);
        }
        if new.address.is_ipv6() {
            body = body.set_ip_version(model::forwarding_rule::IpVersion::Ipv6);
        }
        let insert = self.rules.insert().set_project(part(&new.rule, "projects"));
        let insert = insert.set_region(part(&new.rule, "regions")).set_request_id(id());
        Ok((METHOD, self.answer(METHOD, insert.set_body(body).send()).await?))
    }

    /// Without a network it delivers to the first interface.
    async fn insert_target(&self, target: &ResourcePath, instance: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.targetInstances.insert";
        let body = TargetInstance::new()
            .set_name(target.name())
            .set_description(names::description_of_target(instance))
            .set_instance(instance.url())
            .set_nat_policy(model::target_instance::NatPolicy::NoNat);
        let insert = self.targets.insert().set_project(part(target, "projects"));
        let insert = insert.set_zone(part(target, "zones")).set_request_id(id()).set_body(body);
        Ok((METHOD, self.answer(METHOD, insert.send()).await?))
    }

    async fn delete_target(&self, target: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.targetInstances.delete";
        let delete = self.targets.delete().set_project(part(target, "projects"));
        let delete = delete.set_zone(part(target, "zones")).set_request_id(id());
        let delete = delete.set_target_instance(target.name());
        Ok((METHOD, self.answer(METHOD, delete.send()).await?))
    }

    async fn set_target(&self, rule: &ResourcePath, target: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.forwardingRules.setTarget";
        let set = self.rules.set_target().set_project(part(rule, "projects"));
        let set = set.set_region(part(rule, "regions")).set_request_id(id());
        let set = set.set_forwarding_rule(rule.name());
        let set = set.set_body(model::TargetReference::new().set_target(target.url()));
        Ok((METHOD, self.answer(METHOD, set.send()).await?))
    }

    async fn delete_rule(&self, rule: &ResourcePath) -> Begun {
        const METHOD: &str = "compute.forwardingRules.delete";
        let delete = self.rules.delete().set_project(part(rule, "projects"));
        let delete = delete.set_region(part(rule, "regions")).set_request_id(id());
        let delete = delete.set_forwarding_rule(rule.name());
        Ok((METHOD, self.answer(METHOD, delete.send()).await?))
    }
}

/// A call that was accepted.
pub(super) type Begun = Result<(&'static str, Operation), GceFailure>;

pub(super) fn part<'a>(path: &'a ResourcePath, collection: &str) -> &'a str {
    path.part(collection).unwrap_or_default()
}

pub(super) fn id() -> String {
    Uuid::new_v4().to_string()
}

fn backends(settings: &ServiceSettings) -> Vec<Backend> {
    let backend = |group: &ResourcePath| {
        let mode = model::backend::BalancingMode::Connection;
        Backend::new().set_group(group.url()).set_balancing_mode(mode)
    };
    settings.groups.iter().map(backend).collect()
}

fn policy(settings: &ServiceSettings) -> BackendServiceHAPolicy {
    let policy = BackendServiceHAPolicy::new();
    let Some((group, instance)) = &settings.leader else { return policy };
    let endpoint = BackendServiceHAPolicyLeaderNetworkEndpoint::new().set_instance(instance.url());
    let leader = BackendServiceHAPolicyLeader::new();
    policy.set_leader(leader.set_backend_group(group.url()).set_network_endpoint(endpoint))
}
