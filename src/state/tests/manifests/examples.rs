//! The examples of deploy/examples, and those of the page that users read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use egret_core::model::{
    AddressRange, Failback, Family, Millis, PodSelection, Pool, PoolName, ProviderKind,
    WhenUnavailable,
};
use egret_state::manifest::{ManifestObject, ObjectKey, check, parse};

/// The objects of the manifests in a folder, without those of its folders.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
fn objects_of(folder: &Path) -> Vec<ManifestObject> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let text = std::fs::read_to_string(path).unwrap();
            found.extend(parse(&text).objects.into_iter().map(|(_, object)| object));
        }
    }
    found
}

/// The pools of the examples for a provider, each claimed by one of its claims.
fn pools_of(folder: &str, provider: ProviderKind) -> BTreeMap<PoolName, Box<Pool>> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples");
    let (mut pools, mut wanted) = (BTreeMap::new(), BTreeSet::new());
    let (mut namespaces, mut claimed) = (BTreeSet::new(), BTreeSet::new());
    let mut labels = egret_core::model::Labels::default();
    for object in objects_of(&examples.join(folder)) {
        match object {
            ManifestObject::Pool(_, pool) => {
                pools.insert(pool.name.clone(), pool);
            }
            ManifestObject::Claim(_, claim) => {
                wanted.insert(claim.pool.clone());
                claimed.extend(claim.reference.namespace.clone());
            }
            ManifestObject::Namespace(namespace) => {
                assert!(namespaces.insert(namespace.name.clone()), "{namespace:?}");
                labels = namespace.labels.clone();
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(namespaces, claimed, "{folder}: it brings the namespace of its claims");
    let admits =
        |pool: &Pool| pool.allowed_namespaces.as_ref().is_some_and(|its| its.matches(&labels));
    assert!(pools.values().all(|pool| admits(pool)), "{folder}");
    assert_eq!(pools.keys().cloned().collect::<BTreeSet<_>>(), wanted);
    assert!(pools.values().all(|pool| pool.provider == provider));
    pools
}

#[test]
fn the_examples_of_the_clouds_are_pools_of_their_addresses_and_claims_of_them() {
    let clouds = [
        ("aws", ProviderKind::Aws, "egret.dev/pool", Millis(2000)),
        ("gcp", ProviderKind::Gcp, "egret-pool", Millis(450)),
    ];
    for (folder, provider, key, lease) in clouds {
        let pools = pools_of(folder, provider);
        let public = &pools[&PoolName::new(format!("{folder}-public"))];
        assert_eq!(public.discovery_tags, [(key.into(), "public".into())].into(), "{folder}");
        assert!(public.ranges.is_empty(), "{folder}: they are found");
        assert_eq!(public.failover.lease, Some(lease), "{folder}: what would be so without it");
        let private = &pools[&PoolName::new(format!("{folder}-private"))];
        assert!(private.discovery_tags.is_empty() && private.ranges.len() == 1, "{folder}");
    }
}

/// A person who applies one after the other has both.
#[test]
fn no_example_changes_an_object_of_another_or_has_its_addresses() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples");
    let (mut seen, mut ranges) = (BTreeSet::new(), Vec::<AddressRange>::new());
    for folder in ["", "aws", "gcp"] {
        for object in objects_of(&examples.join(folder)) {
            assert!(seen.insert(object.key()), "{folder}: {:?}", object.key());
            let ManifestObject::Pool(_, pool) = object else { continue };
            for range in pool.ranges {
                let overlaps = |other: &AddressRange| {
                    other.contains(range.first()) || range.contains(other.first())
                };
                assert!(!ranges.iter().any(overlaps), "{folder}: {range:?}");
                ranges.push(range);
            }
        }
    }
}

#[test]
fn the_examples_are_well() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/examples");
    assert_eq!(check(&folder), [], "those of the clouds too");
    let found = objects_of(&folder);
    assert!(found.len() >= 3, "{found:?}");
    let pool = found.iter().find_map(|object| match object {
        ManifestObject::Pool(_, pool) => Some(pool),
        _ => None,
    });
    let pool = pool.expect("a pool");
    let ranges: Vec<(String, String)> = pool
        .ranges
        .iter()
        .map(|range| (range.first().to_string(), range.last().to_string()))
        .collect();
    let wanted = [
        ("203.0.113.16", "203.0.113.23"),
        ("203.0.113.40", "203.0.113.47"),
        ("2001:db8:5::10", "2001:db8:5::1f"),
    ];
    assert_eq!(ranges, wanted.map(|(first, last)| (first.to_owned(), last.to_owned())));
    let reserved = ["203.0.113.16", "203.0.113.23"].map(|address| address.parse().unwrap());
    assert_eq!(pool.reserved, reserved.into(), "only of what was written as an IPv4 CIDR");
    assert_eq!(pool.failover.lease, Some(Millis(450)));
    assert_eq!(pool.failover.failback, Failback::Never);
    assert_eq!(pool.failover.release_after, Millis::from_secs(3600));
    assert_eq!((pool.ports_per_node, pool.max_addresses_per_node), (1024, 50));
    assert!(pool.rebalances, "a planned move costs nothing there");
    let claim = found.iter().find_map(|object| match object {
        ManifestObject::Claim(_, claim) => Some(claim),
        _ => None,
    });
    let claim = claim.expect("a claim");
    assert_eq!(claim.families, Some([Family::IPv4, Family::IPv6].into()));
    assert_eq!(claim.destinations.as_ref().map(Vec::len), Some(2));
    assert!(matches!(&claim.pods, PodSelection::Labels(labels) if !labels.match_labels.is_empty()));
    let namespace = found.iter().find_map(|object| match object {
        ManifestObject::Namespace(namespace) => Some(namespace),
        _ => None,
    });
    let allowed = pool.allowed_namespaces.as_ref().expect("some are allowed");
    assert!(allowed.matches(&namespace.expect("a namespace").labels), "the claim may claim");
}

#[test]
fn everything_has_the_defaults_that_the_page_names() {
    let text = "apiVersion: egret.dev/v1alpha1
kind: ClusterStaticEgressIP
metadata: {name: everywhere}
spec:
  poolRef: {name: partners}
  namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [a, b]}]}
  serviceName: settle
---
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: partners}
spec:
  provider: L2
  addresses: [203.0.113.16/31, 203.0.113.5, 2001:db8::/126]
  gateways: {nodeSelector: {}}
  ports: {}
  failover: {releaseAfter: 0s}
";
    let parsed = parse(text);
    assert_eq!(parsed.faults, []);
    let [(1, ManifestObject::ClusterClaim(_, claim)), (8, ManifestObject::Pool(_, pool))] =
        &parsed.objects[..]
    else {
        panic!("{parsed:?}");
    };
    assert_eq!((claim.count, claim.addresses.len()), (1, 0));
    assert_eq!((&claim.families, &claim.destinations), (&None, &None));
    assert_eq!(claim.when_unavailable, WhenUnavailable::Drop);
    assert_eq!(claim.pods, PodSelection::Service("settle".to_owned()));
    assert!(claim.namespaces.as_ref().is_some_and(|selector| selector.matches(&[].into())));
    assert!(pool.reserved.is_empty(), "a /31 has no broadcast address, and IPv6 has none");
    assert_eq!((pool.ports_per_node, pool.allowed_namespaces.as_ref()), (1024, None));
    assert_eq!(pool.failover.lease, None);
    assert_eq!(pool.failover.release_after, Millis(0));
    assert!(!pool.paused);
}

#[test]
fn a_node_has_the_name_that_its_cloud_gives_it() {
    let text = "apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {topology.kubernetes.io/zone: eu-central-1a}}
spec: {providerID: 'aws:///eu-central-1a/i-0a1b2c3d'}
---
apiVersion: v1
kind: Node
metadata: {name: node-2}
spec: {providerID: null}
";
    let parsed = parse(text);
    assert_eq!(parsed.faults, []);
    let nodes: Vec<_> = parsed
        .objects
        .iter()
        .map(|(_, object)| match object {
            ManifestObject::Node(node) => (&*node.provider_id, &*node.zone),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(nodes, [("aws:///eu-central-1a/i-0a1b2c3d", "eu-central-1a"), ("", "")]);
}

#[test]
fn json_is_read_and_a_missing_namespace_is_default() {
    let text = "{\"apiVersion\": \"egret.dev/v1alpha1\",\n\t\"kind\": \"StaticEgressIP\",\n\
                \t\"metadata\": {\"name\": \"bank\", \"creationTimestamp\": null, \"uid\": \"x\"},\n\
                \t\"spec\": {\"poolRef\": {\"name\": \"p\"}, \"podSelector\": {}},\n\
                \t\"status\": {\"anything\": 1}}";
    let parsed = parse(text);
    assert_eq!(parsed.faults, []);
    let ObjectKey::Claim(claim) = parsed.objects[0].1.key() else { panic!("{parsed:?}") };
    assert_eq!(claim.to_string(), "default/bank");
}

#[test]
fn durations() {
    use egret_state::convert::parse_duration;
    let good = [("450ms", 450), ("10s", 10_000), ("1h30m", 5_400_000), ("0", 0), ("0s", 0)];
    for (text, milliseconds) in good {
        assert_eq!(parse_duration(text), Ok(Millis(milliseconds)), "{text}");
        assert_eq!(parse_duration(&Millis(milliseconds).to_string()), Ok(Millis(milliseconds)));
    }
    for text in ["", "1", "1.5s", "-1s", "1d", "s", "1m1h", "1s1s", "99999999999999999999h", "1 s"]
    {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}
