use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_api as api;
use egret_core::model::{Cluster, ClusterRanges, NodeName, PodRangeSource, Voter, VoterSet};

use super::common::{duration, duration_to_text, public_key, public_key_to_text};
use super::{Faults, FieldError, parse_address, parse_cidr};

/// The cluster object as text.
pub fn cluster_to_api(cluster: &Cluster) -> api::EgressClusterSpec {
    let ranges = &cluster.ranges;
    api::EgressClusterSpec {
        id: cluster.id.clone(),
        set: cluster.set.as_ref().map(|set| api::VoterSet {
            number: set.number,
            members: set.members.iter().map(voter_to_api).collect(),
        }),
        t_max: duration_to_text(cluster.t_max),
        ranges: api::ClusterRanges {
            pods: ranges.pods.iter().map(ToString::to_string).collect(),
            pods_from: source_to_api(ranges.pods_from),
            services: ranges.services.iter().map(ToString::to_string).collect(),
            nodes: ranges.nodes.iter().map(IpAddr::to_string).collect(),
        },
        uninstalling: cluster.uninstalling,
    }
}

fn voter_to_api(voter: &Voter) -> api::Voter {
    api::Voter {
        node: voter.node.as_str().to_owned(),
        endpoints: voter.endpoints.iter().map(IpAddr::to_string).collect(),
        peer_port: voter.peer_port,
        public_key: public_key_to_text(&voter.public_key),
    }
}

/// The cluster object from text.
///
/// # Errors
/// Every fault of it.
pub fn cluster_from_api(spec: &api::EgressClusterSpec) -> Result<Cluster, Vec<FieldError>> {
    let mut faults = Faults::default();
    let t_max = duration(&mut faults, "spec.tMax", &spec.t_max);
    let set = spec.set.as_ref().map(|set| VoterSet {
        number: set.number,
        members: set
            .members
            .iter()
            .enumerate()
            .filter_map(|(index, voter)| voter_from_api(&mut faults, index, voter))
            .collect(),
    });
    let mut nets = |field: &str, texts: &BTreeSet<String>| {
        let parsed = texts.iter().filter_map(|text| {
            faults.take(&format!("spec.ranges.{field}"), parse_cidr(text)).map(|cidr| cidr.written)
        });
        parsed.collect::<BTreeSet<_>>()
    };
    let (pods, services) =
        (nets("pods", &spec.ranges.pods), nets("services", &spec.ranges.services));
    let nodes = spec
        .ranges
        .nodes
        .iter()
        .filter_map(|text| faults.take("spec.ranges.nodes", parse_address(text)))
        .collect();
    let cluster = t_max.map(|t_max| Cluster {
        id: spec.id.clone(),
        set,
        t_max,
        ranges: ClusterRanges {
            pods,
            pods_from: source_from_api(spec.ranges.pods_from),
            services,
            nodes,
        },
        uninstalling: spec.uninstalling,
    });
    faults.finish(cluster)
}

fn voter_from_api(faults: &mut Faults, index: usize, voter: &api::Voter) -> Option<Voter> {
    let place = format!("spec.set.members[{index}]");
    let endpoints = faults.list(&format!("{place}.endpoints"), &voter.endpoints, parse_address);
    let public_key = faults.take(&format!("{place}.publicKey"), public_key(&voter.public_key))?;
    Some(Voter {
        node: NodeName::new(&voter.node),
        endpoints,
        peer_port: voter.peer_port,
        public_key,
    })
}

fn source_to_api(source: PodRangeSource) -> api::PodRangeSource {
    match source {
        PodRangeSource::Flags => api::PodRangeSource::Flags,
        PodRangeSource::CalicoIPPools => api::PodRangeSource::CalicoIPPools,
        PodRangeSource::CiliumNodes => api::PodRangeSource::CiliumNodes,
        PodRangeSource::Nodes => api::PodRangeSource::Nodes,
    }
}

fn source_from_api(source: api::PodRangeSource) -> PodRangeSource {
    match source {
        api::PodRangeSource::Flags => PodRangeSource::Flags,
        api::PodRangeSource::CalicoIPPools => PodRangeSource::CalicoIPPools,
        api::PodRangeSource::CiliumNodes => PodRangeSource::CiliumNodes,
        api::PodRangeSource::Nodes => PodRangeSource::Nodes,
    }
}
