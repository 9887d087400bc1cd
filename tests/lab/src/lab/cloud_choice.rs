use std::path::Path;

use anyhow::Result;
use egret_netns::NetworkNamespace;

use crate::cloud::gce::{GceRegion, LabVpc};
use crate::cloud::{LabCloud, Region, Site};
use crate::network::LabNetwork;
use crate::node::LabNode;
use crate::role::LabNodeRole;

/// What the nodes will be plugged into.
#[derive(Clone, Debug, Default)]
pub(super) enum CloudChoice {
    #[default]
    Lan,
    Ec2(Region),
    Gce(GceRegion),
}

impl CloudChoice {
    /// Where the `number`-th (from 0) gateway or director is.
    pub(super) fn site(&self, role: LabNodeRole, number: usize) -> Site {
        match self {
            Self::Lan => Site::Lan,
            Self::Ec2(region) => Site::Ec2(region.zone(role, number)),
            Self::Gce(region) => Site::Gce(region.zone(role, number)),
        }
    }

    pub(super) fn plug(&self) -> LabNetwork {
        match self {
            Self::Lan => LabNetwork::plug(),
            Self::Ec2(region) => LabNetwork::plug_vpc(region.outside),
            Self::Gce(_) => LabNetwork::plug_google(),
        }
    }

    /// Makes the nodes instances of a cloud; they have the hardware addresses of their interfaces then.
    pub(super) fn start(
        &self,
        at: (&NetworkNamespace, &LabNetwork),
        nodes: &mut [LabNode],
        dir: &Path,
    ) -> Result<(Option<LabCloud>, Option<LabVpc>)> {
        match self {
            Self::Lan => Ok((None, None)),
            Self::Ec2(region) => {
                let hosts: Vec<_> = nodes.iter().filter_map(LabNode::host).collect();
                let cloud = LabCloud::start(region, at, &hosts, &dir.join("ec2.log"))?;
                for node in nodes {
                    let instance = cloud.instance(&node.name)?;
                    (node.mac, node.second) = (instance.mac, instance.second);
                }
                Ok((Some(cloud), None))
            }
            Self::Gce(region) => {
                let hosts: Vec<_> = nodes.iter().filter_map(LabNode::vpc_host).collect();
                let vpc = LabVpc::start(region, at, &hosts, &dir.join("gce.log"))?;
                for node in nodes {
                    node.mac = vpc.instance(&node.name)?.mac;
                }
                Ok((None, Some(vpc)))
            }
        }
    }
}
