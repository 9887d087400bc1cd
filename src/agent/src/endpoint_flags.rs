//! What the flags say of the end of the tunnel, and what of it goes before what the cluster says.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clap::ValueEnum;
use egret_core::model::{ENDPOINT_ANNOTATION, EndpointChoice, Family, NodeName, address_or_subnet};
use egret_core::tunnel_network::ToldEndpoint;
use ipnet::IpNet;

use crate::tunnel_endpoints::WantedEndpoints;

/// Where the tunnel ends as long as nobody names addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum EndpointSource {
    /// At the address of the default route.
    Uplink,
    /// At the addresses of `--node-address`.
    InternalIP,
    /// Where the controller says, which has all nodes move together: at the InternalIP once every agent can move.
    Cluster,
}

/// What the flags say.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointFlags {
    /// `--endpoint`.
    pub(crate) all: Vec<IpNet>,
    /// `--endpoint-of`, for this node.
    pub(crate) own: Vec<IpNet>,
    /// `--node-address`.
    pub(crate) known_by: Vec<IpAddr>,
    /// By which Kubernetes knows this node since, as [`Self::learn`] has it.
    pub(crate) learnt: BTreeSet<IpAddr>,
    /// `--endpoints-from`.
    pub(crate) from: Option<EndpointSource>,
}

impl EndpointFlags {
    /// Takes note of addresses that pods on the host's network have here, which are the node's: of a family that
    /// `--node-address` has none of, since Kubernetes knew none when this process began. True where one is new.
    pub(crate) fn learn(&mut self, of_host: impl Iterator<Item = IpAddr>) -> bool {
        let families: BTreeSet<Family> = self.known_by.iter().copied().map(Family::of).collect();
        let learnt: BTreeSet<IpAddr> =
            of_host.filter(|address| !families.contains(&Family::of(*address))).collect();
        if self.known_by.is_empty() || learnt == self.learnt {
            return false;
        }
        self.learnt = learnt;
        true
    }

    /// By which addresses Kubernetes knows this node.
    fn known_by(&self) -> Vec<IpAddr> {
        self.known_by.iter().chain(&self.learnt).copied().collect()
    }

    /// By which of its addresses the other nodes are to reach this one: the annotation of its Node first, then
    /// what a flag says of this node, then what flags say of all. `told`: `None` while nothing is known of that.
    pub(crate) fn wanted(&self, told: Option<&ToldEndpoint>) -> WantedEndpoints {
        if let Some(choice) = told.and_then(|told| told.annotated.as_ref()) {
            return self
                .chosen(choice, &format!("the annotation {ENDPOINT_ANNOTATION} of its Node"));
        }
        if !self.own.is_empty() {
            let by = "--endpoint-of (agent.nodeEndpoints)".to_owned();
            return WantedEndpoints::Asked { nets: self.own.clone(), by };
        }
        if self.all.iter().any(|net| net.prefix_len() < net.max_prefix_len()) {
            return WantedEndpoints::Within(self.all.clone());
        }
        if !self.all.is_empty() {
            return WantedEndpoints::Given(self.all.iter().map(IpNet::addr).collect());
        }
        match (self.from, told) {
            (Some(EndpointSource::Uplink), _) => WantedEndpoints::OfNode(Vec::new()),
            (Some(EndpointSource::Cluster), Some(told)) => {
                let uplink = EndpointChoice::Uplink;
                self.chosen(told.default.as_ref().unwrap_or(&uplink), "the cluster")
            }
            _ => WantedEndpoints::OfNode(self.known_by()),
        }
    }

    fn chosen(&self, choice: &EndpointChoice, by: &str) -> WantedEndpoints {
        match choice {
            EndpointChoice::Uplink => WantedEndpoints::OfNode(Vec::new()),
            EndpointChoice::InternalIP => WantedEndpoints::OfNode(self.known_by()),
            EndpointChoice::Within(nets) => {
                WantedEndpoints::Asked { nets: nets.clone(), by: by.to_owned() }
            }
        }
    }
}

/// `--endpoint-of`: a node, and addresses or subnets for it.
pub(crate) fn of_node(text: &str) -> Result<(NodeName, IpNet), String> {
    let (node, net) = text
        .split_once('=')
        .filter(|(node, _)| !node.is_empty())
        .ok_or("use NODE=ADDRESS or NODE=SUBNET, such as worker-7=10.9.0.0/24")?;
    Ok((NodeName::new(node), address_or_subnet(net)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        address_or_subnet(text).unwrap()
    }

    fn told(annotated: Option<EndpointChoice>, default: Option<EndpointChoice>) -> ToldEndpoint {
        ToldEndpoint { annotated, default }
    }

    #[test]
    fn the_annotation_goes_before_the_flag_of_a_node_and_that_before_the_flags_of_all() {
        let known: IpAddr = "10.2.0.5".parse().unwrap();
        let mut flags = EndpointFlags { known_by: vec![known], ..EndpointFlags::default() };
        let of_node = WantedEndpoints::OfNode(vec![known]);
        assert_eq!(flags.wanted(None), of_node);
        flags.all = vec![net("10.1.0.0/16")];
        assert_eq!(flags.wanted(None), WantedEndpoints::Within(vec![net("10.1.0.0/16")]));
        flags.own = vec![net("10.9.0.7")];
        let nets_of = |wanted: WantedEndpoints| match wanted {
            WantedEndpoints::Asked { nets, by } => (nets, by),
            other => panic!("{other:?}"),
        };
        assert_eq!(nets_of(flags.wanted(None)).0, vec![net("10.9.0.7")]);
        let annotated = told(Some(EndpointChoice::Within(vec![net("10.8.0.0/24")])), None);
        let (nets, by) = nets_of(flags.wanted(Some(&annotated)));
        assert_eq!(nets, vec![net("10.8.0.0/24")]);
        assert!(by.contains("egret.dev/tunnel-endpoint"), "{by}");
        let internal = told(Some(EndpointChoice::InternalIP), None);
        assert_eq!(flags.wanted(Some(&internal)), of_node);
    }

    /// The defaults of the chart, from the version before on.
    #[test]
    fn a_cluster_of_older_agents_stays_where_it_is_until_it_is_told() {
        let known: IpAddr = "10.2.0.5".parse().unwrap();
        let from = |from| EndpointFlags { known_by: vec![known], from, ..EndpointFlags::default() };
        let (of_node, uplink) =
            (WantedEndpoints::OfNode(vec![known]), WantedEndpoints::OfNode(Vec::new()));
        let older = told(None, None);
        let over = told(None, Some(EndpointChoice::InternalIP));
        let cluster = from(Some(EndpointSource::Cluster));
        assert_eq!(cluster.wanted(None), of_node, "nothing is known");
        assert_eq!(cluster.wanted(Some(&older)), uplink);
        assert_eq!(cluster.wanted(Some(&over)), of_node);
        for told in [None, Some(&older), Some(&over)] {
            assert_eq!(from(Some(EndpointSource::Uplink)).wanted(told), uplink);
            assert_eq!(from(Some(EndpointSource::InternalIP)).wanted(told), of_node);
            assert_eq!(from(None).wanted(told), of_node, "the chart of the version before");
        }
    }

    #[test]
    fn a_family_that_comes_later_is_learnt_and_no_other_address_of_one_that_is_known() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let (six, four) = (ip("2001:db8::5"), ip("10.2.0.5"));
        let mut flags = EndpointFlags { known_by: vec![six], ..EndpointFlags::default() };
        assert!(!flags.learn([six, ip("2001:db8::6")].into_iter()));
        assert!(flags.learn([six, four].into_iter()));
        assert!(!flags.learn([four, four].into_iter()), "nothing new");
        assert_eq!(flags.wanted(None), WantedEndpoints::OfNode(vec![six, four]));
        let internal = told(Some(EndpointChoice::InternalIP), None);
        assert_eq!(flags.wanted(Some(&internal)), WantedEndpoints::OfNode(vec![six, four]));
        let mut unknown = EndpointFlags::default();
        assert!(!unknown.learn([four].into_iter()), "nobody says by what it is known");
    }

    #[test]
    fn a_flag_of_a_node_has_its_name() {
        assert_eq!(of_node("worker-7=10.9.0.0/24"), Ok(("worker-7".into(), net("10.9.0.0/24"))));
        for text in ["10.9.0.7", "=10.9.0.7", "worker-7=", "worker-7=eth0", "worker-7=10.9.0.7/24"]
        {
            assert!(of_node(text).is_err(), "{text}");
        }
    }
}
