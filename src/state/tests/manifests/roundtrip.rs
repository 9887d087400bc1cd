//! What Egret writes it reads back as the same values.

use egret_core::model::{
    AddressEnd, AddressPlan, AddressSpec, AddressStatus, Attachment, BlockGrant, ClaimRef,
    ClaimStatus, Cluster, ClusterRanges, Condition, EgressAddress, EgressNodeSpec,
    EgressNodeStatus, EndpointChoice, Epoch, Holding, LabelSelector, Millis, MovedOff, NodeName,
    NodeRole, PodRangeSource, PoolStatus, PortRange, ProviderKind, PublicKey, Reach, ReachAnswer,
    ReachQuestion, RebalanceMove, SelectedPods, Timestamp, Uid, Uplink, Voter, VoterSet,
};
use egret_state::convert;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn holding() -> Holding {
    Holding { node: "node-3".into(), epoch: Epoch { counter: 9, node: "node-3".into() } }
}

fn conditions() -> Vec<Condition> {
    vec![Condition {
        kind: "Ready".into(),
        status: false,
        reason: "NoGateway".to_owned(),
        message: "no node: label one \"egret.dev/gateway\"\nthen wait".to_owned(),
        observed_generation: 3,
        last_transition: Timestamp(1_700_000_000_123),
    }]
}

#[test]
fn addresses() {
    let plan = |end| AddressPlan {
        claim: ClaimRef { namespace: Some("payments".into()), name: "bank".to_owned() },
        claim_uid: Uid::new("u"),
        pool: "partners".into(),
        provider: ProviderKind::Aws,
        owner: Some("node-3".into()),
        standbys: vec!["node-5".into(), "node-1".into()],
        fence: u64::MAX,
        made_for: Some(holding()),
        lease: Millis(90_000),
        end,
        preferred_node: Some("node-1".into()),
        home: Some("node-2".into()),
        paused: true,
        rebalanced_at: Some(Timestamp(2)),
        moved_off: Some(MovedOff { node: "node-1".into(), at: Timestamp(3) }),
    };
    let status = AddressStatus {
        holding: Some(holding()),
        since: Some(Timestamp(1)),
        probed: true,
        attachment: Some(Attachment {
            node: "node-3".into(),
            wire: Some("10.0.0.9".parse().unwrap()),
            interface: Some("eni-1".to_owned()),
            mac: Some("02:00:5e:10:00:01".to_owned()),
            allocation: Some("eipalloc-1".to_owned()),
            next_hop: Some("10.0.0.1".parse().unwrap()),
            primary_address: Some("10.0.0.20/24".parse().unwrap()),
        }),
        prepared: vec![Attachment::at("node-1".into()), Attachment::at("node-3".into())],
        conditions: conditions(),
        accepted: Some(Attachment::at("node-5".into())),
        was_held: true,
        held_fence: Some(7),
    };
    let (since, until) = (Timestamp(5_000), Timestamp(6_001));
    for end in
        [None, Some(AddressEnd::Released { since, until }), Some(AddressEnd::Revoked { since })]
    {
        for address in ["203.0.113.17", "2001:db8:5::11"] {
            let address = address.parse().unwrap();
            let value =
                EgressAddress { address, plan: plan(end), status: status.clone(), deleting: false };
            let spec = written_and_read(&AddressSpec::new(value.address, value.plan.clone()));
            assert_eq!(spec.into_plan(), (value.address, value.plan));
            assert_eq!(written_and_read(&value.status), value.status);
        }
    }
}

fn written_and_read<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_value(value).unwrap_or_else(|error| panic!("{error}"));
    serde_json::from_value(text).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn node_specs() {
    let spec = EgressNodeSpec {
        blocks: vec![BlockGrant {
            address: "2001:db8:5::11".parse().unwrap(),
            ports: PortRange::new(2048, 3071).unwrap(),
            epoch: 4,
            ended: Some(5),
            quarantined_since: Some(Timestamp(99)),
        }],
        drain: true,
        roles: [NodeRole::Gateway, NodeRole::Voter].into(),
        pod_cidrs: ["10.244.3.0/24".parse().unwrap()].into(),
        leaving: Some("taint karpenter.sh/disrupted".to_owned()),
        tunnel_endpoint: Some(EndpointChoice::Within(vec![
            "10.1.0.0/16".parse().unwrap(),
            "fd00::5/128".parse().unwrap(),
        ])),
        tunnel_endpoint_default: Some(EndpointChoice::InternalIP),
        reach_question: Some(ReachQuestion { at: Timestamp(4), times: 2 }),
    };
    assert_eq!(written_and_read(&spec), spec);
}

#[test]
fn node_statuses() {
    let address = "203.0.113.17".parse().unwrap();
    let status = EgressNodeStatus {
        endpoints: vec!["192.0.2.3".parse().unwrap(), "2001:db8::3".parse().unwrap()],
        peer_port: 4789,
        public_key: Some(PublicKey(std::array::from_fn(|byte| byte as u8 * 8 + 7))),
        uplinks: vec![Uplink {
            name: "eth0".to_owned(),
            subnets: vec!["203.0.113.3/24".parse().unwrap(), "2001:db8:5::/64".parse().unwrap()],
            mac: Some("02:00:5e:10:00:01".to_owned()),
            next_hops: ["203.0.113.1".parse().unwrap()].into(),
        }],
        may_vote: Some("boot".to_owned()),
        acknowledged_set: 3,
        acknowledged_fences: [(address, 8)].into(),
        absent: [NodeName::new("node-1")].into(),
        block_needs: [(address, 2)].into(),
        overridden: [(
            ClaimRef { namespace: None, name: "all".to_owned() },
            [ClaimRef { namespace: Some("payments".into()), name: "bank".to_owned() }].into(),
        )]
        .into(),
        unprogrammed: [
            ClaimRef { namespace: Some("payments".into()), name: "bank".to_owned() },
            ClaimRef { namespace: None, name: "all".to_owned() },
        ]
        .into(),
        acknowledged_blocks: 17,
        idle_addresses: [address].into(),
        idle_releases: [(address, Timestamp(1_777_896_000_000))].into(),
        conditions: conditions(),
        cilium_chained: true,
        stopping: true,
        unusable_interfaces: [("02:00:5e:10:00:01".to_owned(), "it is down".to_owned())].into(),
        unusable_uplinks: [("eth0.5".to_owned(), "no carrier".to_owned())].into(),
        local_addresses: [(address, "kube-vip0".to_owned())].into(),
        shared_pod_addresses: [("10.244.3.7/32".parse().unwrap(), "payments/bank-0".to_owned())]
            .into(),
        answers_in_tunnel: true,
        follows_endpoint: true,
        unreached_holders: ["node-3".into()].into(),
        reach_answers: [(
            "node-3".into(),
            ReachAnswer {
                asked_at: Timestamp(4),
                holder: Reach::Unreached,
                used: [address].into(),
                standbys: ["node-2".into()].into(),
            },
        )]
        .into(),
    };
    assert_eq!(written_and_read(&status), status);
}

#[test]
fn the_cluster_and_statuses() {
    let cluster = Cluster {
        id: "c".to_owned(),
        set: Some(VoterSet {
            number: 7,
            members: vec![Voter {
                node: "node-1".into(),
                endpoints: vec!["192.0.2.1".parse().unwrap()],
                peer_port: 7,
                public_key: PublicKey([0xab; 32]),
            }],
        }),
        uninstalling: true,
        t_max: Millis(1_000),
        ranges: ClusterRanges {
            pods: ["10.244.0.0/16".parse().unwrap()].into(),
            pods_from: PodRangeSource::CalicoIPPools,
            services: ["10.96.0.0/12".parse().unwrap()].into(),
            nodes: ["192.0.2.1".parse().unwrap()].into(),
            unread: ["Node node-2".to_owned()].into(),
            kept: ["Node node-3".to_owned()].into(),
            api_servers: ["198.51.100.44".parse().unwrap()].into(),
        },
    };
    assert_eq!(written_and_read(&cluster), cluster);
    let pool = PoolStatus {
        observed_generation: 2,
        addresses: ["203.0.113.9".parse().unwrap()].into(),
        conditions: conditions(),
        taken_elsewhere: [(
            ClaimRef { namespace: Some("payments".into()), name: "bank".to_owned() },
            ["203.0.113.8".parse().unwrap()].into(),
        )]
        .into(),
        rebalance: Some(RebalanceMove {
            address: "203.0.113.17".parse().unwrap(),
            from: "node-3".into(),
            to: "node-5".into(),
            not_before: Timestamp(1_700_000_000_123),
        }),
    };
    assert_eq!(written_and_read(&pool), pool);
    let claim = ClaimStatus {
        observed_generation: 2,
        addresses: vec!["203.0.113.17".parse().unwrap(), "2001:db8:5::11".parse().unwrap()],
        gateways: vec!["node-3".into(), "node-5".into()],
        selected: vec![SelectedPods {
            service: Some("front".into()),
            namespaces: ["payments".into()].into(),
            pods: LabelSelector {
                match_labels: [("app".to_owned(), "settle".to_owned())].into(),
                match_expressions: Vec::new(),
            },
        }],
        conditions: conditions(),
    };
    let api = convert::claim_status_to_api(&claim);
    assert_eq!(api.summary.addresses, "203.0.113.17,2001:db8:5::11");
    assert_eq!(convert::claim_status_from_api(&api), Ok(claim));
}
