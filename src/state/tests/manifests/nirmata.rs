//! The original project's objects.

use egret_api::nirmata::StaticEgressIPStatus;
use egret_core::model::{
    ClaimStatus, Destination, NodeName, PodSelection, PoolName, Snapshot, Stored, Timestamp,
};
use egret_ports::contract::objects::bare_plan;
use egret_state::convert::nirmata::{
    choose_pools, claim_name, claim_status, drop_former_statuses, put_claim_status, rule_of,
};
use egret_state::manifest::{ManifestObject, parse};

const FIRST: &str = "eip.nirmata-203.0.113.17";
const SECOND: &str = "eip.nirmata-203.0.113.18";

/// As its documentation shows it.
const ORIGINAL: &str = "apiVersion: staticegressips.nirmata.io/v1alpha1
kind: StaticEgressIP
metadata:
  name: eip
spec:
  rules:
  - egressip: 100.137.146.100
    service-name: frontend
    cidr: 4.2.2.2/32
";

const RULES: &str = "apiVersion: staticegressips.nirmata.io/v1alpha1
kind: StaticEgressIP
metadata: {name: eip, namespace: shop}
spec:
  rules:
  - {egressip: 203.0.113.17, service-name: frontend, cidr: 4.2.2.2/32}
  - {egressip: 203.0.113.18, service-name: backend, cidr: 0.0.0.0/0}
  - {egressip: 203.0.113.17, service-name: frontend, cidr: 198.51.100.9/24}
  - {egressip: 203.0.113.17, service-name: frontend, cidr: 4.2.2.2/32}
";

fn claims(text: &str) -> Vec<egret_core::model::Claim> {
    let parsed = parse(text);
    assert_eq!(parsed.faults, []);
    let claim = |(line, object): (usize, ManifestObject)| match object {
        ManifestObject::Claim(_, claim) if line == 1 => *claim,
        other => panic!("{line}: {other:?}"),
    };
    parsed.objects.into_iter().map(claim).collect()
}

#[test]
fn the_original_example_is_a_claim() {
    let [claim] = &claims(ORIGINAL)[..] else { panic!("one claim") };
    assert_eq!(claim.reference.to_string(), "default/eip.nirmata-100.137.146.100");
    assert_eq!(claim.pods, PodSelection::Service("frontend".to_owned()));
    assert_eq!(claim.addresses, ["100.137.146.100".parse::<std::net::IpAddr>().unwrap()]);
    let cidr = "4.2.2.2/32".parse().unwrap();
    assert_eq!(claim.destinations, Some(vec![Destination { cidr, except: Vec::new() }]));
}

/// Each part as `Service → destinations`.
fn parts(claim: &egret_core::model::Claim) -> Vec<String> {
    let part = |(pods, destinations): (&PodSelection, Option<&[Destination]>)| {
        let PodSelection::Service(service) = pods else { panic!("{pods:?}") };
        let cidrs = destinations.into_iter().flatten().map(|to| to.cidr.to_string());
        format!("{service} → {}", cidrs.collect::<Vec<_>>().join(" "))
    };
    claim.parts().map(part).collect()
}

#[test]
fn rules_of_one_address_are_one_claim_with_a_part_for_each_service() {
    let more = "  - {egressip: 203.0.113.17, service-name: batch, cidr: 0.0.0.0/0}\n";
    let claims = claims(&format!("{RULES}{more}"));
    let names: Vec<&str> = claims.iter().map(|claim| claim.reference.name.as_str()).collect();
    assert_eq!(names, [FIRST, SECOND]);
    assert_eq!(parts(&claims[0]), ["frontend → 4.2.2.2/32 198.51.100.0/24", "batch → 0.0.0.0/0"]);
    assert_eq!(parts(&claims[1]), ["backend → 0.0.0.0/0"]);
}

#[test]
fn a_rule_put_before_another_leaves_its_claim_as_it_was() {
    let new = "  rules:\n  - {egressip: 203.0.113.19, service-name: new, cidr: 0.0.0.0/0}\n";
    let (before, after) = (claims(RULES), claims(&RULES.replace("  rules:\n", new)));
    assert_eq!(after.len(), before.len() + 1);
    assert!(before.iter().all(|claim| after.contains(claim)));
}

#[test]
fn faults_name_the_rule() {
    let cases = [
        (
            "203.0.113.18",
            "x",
            "spec.rules[1].egressip: x is not an IP address: write it like 203.0.113.17 or 2001:db8:5::11",
        ),
        (
            "0.0.0.0/0",
            "10.0.0.1",
            "spec.rules[1].cidr: 10.0.0.1 is an address, not a CIDR: write 10.0.0.1/32",
        ),
        ("backend", "''", "spec.rules[1].service-name: name the Service whose pods are meant"),
        (
            "service-name: backend",
            "service: backend",
            "spec.rules[1].service-name: is missing: write it",
        ),
        ("rules:", "rule:", "spec.rules: is missing: write it"),
    ];
    for (from, to, sentence) in cases {
        let parsed = parse(&RULES.replace(from, to));
        assert_eq!(parsed.faults[0].message, sentence, "{from} → {to}");
        assert!(parsed.objects.is_empty());
    }
}

#[test]
fn names_of_claims_tell_their_rule() {
    for address in ["203.0.113.17", "2001:db8::11", "::1"] {
        let address = address.parse().unwrap();
        assert_eq!(rule_of(&claim_name("eip", address)), Some(("eip", address)));
        let name = claim_name("a.nirmata-1", address);
        assert_eq!(rule_of(&name), Some(("a.nirmata-1", address)));
    }
    for other in ["eip", "eip-0", "eip.nirmata-", "eip.nirmata-0", "eip.nirmata-::1"] {
        assert_eq!(rule_of(other), None, "{other}");
    }
}

fn pool(name: &str, created: i64, range: &str) -> String {
    let text = format!(
        "apiVersion: egret.dev/v1alpha1\nkind: EgressPool\nmetadata: {{name: {name}}}\nspec:\n  \
         provider: L2\n  gateways: {{nodeSelector: {{}}}}\n  addresses: [{range}]\n"
    );
    assert!(created >= 0 && parse(&text).faults.is_empty());
    text
}

fn snapshot(pools: &[(&str, i64, &str)]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for (name, created, range) in pools {
        let parsed = parse(&pool(name, *created, range));
        let ManifestObject::Pool(_, value) = &parsed.objects[0].1 else { panic!("a pool") };
        let mut value = (**value).clone();
        value.created = Timestamp(*created);
        let stored = Stored { version: Default::default(), value: (value, Default::default()) };
        snapshot.pools.insert(PoolName::new(*name), stored);
    }
    for claim in claims(RULES) {
        let reference = claim.reference.clone();
        let stored = Stored { version: Default::default(), value: (claim, Default::default()) };
        snapshot.claims.insert(reference, stored);
    }
    snapshot
}

#[test]
fn the_pool_is_the_oldest_that_has_the_address() {
    let mut snapshot =
        snapshot(&[("a", 9, "203.0.113.16/30"), ("b", 3, "203.0.113.17"), ("c", 1, "192.0.2.1")]);
    choose_pools(&mut snapshot);
    let pools: Vec<(String, String)> = snapshot
        .claims
        .values()
        .map(|stored| &stored.value.0)
        .map(|claim| (claim.reference.name.clone(), claim.pool.to_string()))
        .collect();
    let wanted = [(FIRST, "b"), (SECOND, "a")];
    assert_eq!(pools, wanted.map(|(claim, pool)| (claim.to_owned(), pool.to_owned())));
    assert!(snapshot.invalid_objects.is_empty());
}

#[test]
fn a_claim_without_a_pool_is_reported() {
    let mut snapshot = snapshot(&[("a", 9, "203.0.113.17")]);
    choose_pools(&mut snapshot);
    assert_eq!(snapshot.claims.len(), 1);
    let [broken] = &snapshot.invalid_objects[..] else { panic!("{:?}", snapshot.invalid_objects) };
    assert_eq!(broken.place, "StaticEgressIP.staticegressips.nirmata.io shop/eip");
    assert_eq!(
        broken.message,
        "spec.rules: egressip 203.0.113.18 is in no EgressPool: add it to the addresses of one"
    );
}

#[test]
fn the_status_says_the_first_rules_gateway() {
    let mut status = StaticEgressIPStatus::default();
    let held = |node: &str| ClaimStatus {
        addresses: vec!["203.0.113.17".parse().unwrap()],
        gateways: vec![node.into()],
        ..ClaimStatus::default()
    };
    let address_of =
        |node: &NodeName| (node.as_str() == "node-3").then(|| "192.0.2.3".parse().unwrap());
    let first = Some("203.0.113.17".parse().unwrap());
    put_claim_status(&mut status, SECOND, first, &held("node-1"), address_of);
    assert_eq!((status.gateway_node.as_str(), status.gateway_ip.as_str()), ("", ""));
    put_claim_status(&mut status, FIRST, first, &held("node-3"), address_of);
    assert_eq!((status.gateway_node.as_str(), status.gateway_ip.as_str()), ("node-3", "192.0.2.3"));
    assert_eq!(claim_status(&status, SECOND), Ok(held("node-1")));
    assert_eq!(claim_status(&status, "eip.nirmata-203.0.113.19"), Ok(ClaimStatus::default()));
    let text = serde_json::to_value(&status).unwrap();
    assert_eq!(text["gateway-node"], "node-3");
    put_claim_status(&mut status, FIRST, first, &ClaimStatus::default(), address_of);
    assert_eq!((status.gateway_node.as_str(), status.gateway_ip.as_str()), ("", ""));
}

/// The directory store keeps the claims of such an object as it keeps others.
#[tokio::test]
async fn a_store_has_its_claims() {
    let folder = tempfile::tempdir().unwrap();
    egret_state::DirectoryState::create(folder.path()).unwrap();
    let more = "  - {egressip: 203.0.113.17, service-name: batch, cidr: 0.0.0.0/0}\n";
    std::fs::write(folder.path().join("eip.yaml"), format!("{RULES}{more}")).unwrap();
    std::fs::write(folder.path().join("pool.yaml"), pool("a", 0, "203.0.113.16/29")).unwrap();
    let read = || egret_state::read_once(folder.path()).unwrap();
    assert_eq!(read().claims.len(), 2);
    let state = egret_state::DirectoryState::open(folder.path()).unwrap();
    let snapshot = egret_ports::cluster_state::ClusterState::read_consistent(&state).await.unwrap();
    assert_eq!(snapshot.claims.len(), 2);
    for stored in snapshot.claims.values() {
        let claim = &stored.value.0;
        assert_eq!((claim.pool.as_str(), claim.generation), ("a", 1));
        assert!(!claim.uid.as_str().is_empty());
    }
    assert_eq!(
        snapshot.claims.values().map(|stored| parts(&stored.value.0).len()).sum::<usize>(),
        3
    );
    assert_eq!(snapshot.invalid_objects, []);
    // What was written of them is read back by the next process.
    assert_eq!(read().claims, snapshot.claims);
}

/// The claims' names are longer than the object's.
#[tokio::test]
async fn a_name_that_leaves_no_room_for_the_address_is_refused_and_the_others_go_on() {
    use egret_ports::cluster_state::ClusterState;
    let name = |length: usize| {
        let part = "a".repeat(60);
        format!("{}.{}", [part.as_str(); 3].join("."), "b".repeat(length - 183))
    };
    let six = RULES.replace("203.0.113.18", "2001:db8::18");
    for (rules, most) in [(RULES, 232), (&six, 205)] {
        let named = |length| rules.replace("name: eip,", &format!("name: {},", name(length)));
        assert_eq!(claims(&named(most)).len(), 2);
        let parsed = parse(&named(most + 1));
        let [fault] = &parsed.faults[..] else { panic!("{parsed:?}") };
        assert_eq!((fault.line, parsed.objects.len()), (3, 0));
        let end = format!("use at most {most}");
        for part in ["metadata.name: is too long", ".nirmata-2", &end] {
            assert!(fault.message.contains(part), "{fault:?}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    egret_state::DirectoryState::create(folder.path()).unwrap();
    let long = RULES.replace("name: eip,", &format!("name: {},", name(233)));
    std::fs::write(folder.path().join("eip.yaml"), RULES).unwrap();
    std::fs::write(folder.path().join("long.yaml"), long).unwrap();
    std::fs::write(folder.path().join("pool.yaml"), pool("a", 0, "203.0.113.16/29")).unwrap();
    let state = egret_state::DirectoryState::open(folder.path()).unwrap();
    let snapshot = state.read_consistent().await.unwrap();
    assert_eq!((snapshot.claims.len(), snapshot.pools.len()), (2, 1));
    let [broken] = &snapshot.invalid_objects[..] else { panic!("{:?}", snapshot.invalid_objects) };
    assert_eq!(broken.place, "long.yaml:3");
}

fn plan_of(claim: egret_core::model::Claim) -> egret_core::model::AddressPlan {
    egret_core::model::AddressPlan {
        claim_uid: claim.uid,
        pool: "a".into(),
        provider: Default::default(),
        ..bare_plan(claim.reference, 7)
    }
}

/// A store of the version before: it named claims by the place of their first rule.
#[tokio::test]
async fn an_upgrade_adopts_claims_by_their_former_names() {
    use egret_core::model::{AddressPlan, Claim};
    use egret_ports::cluster_state::{ClusterState, Write};
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("egret.dev");
    egret_state::DirectoryState::create(folder.path()).unwrap();
    std::fs::write(folder.path().join("eip.yaml"), RULES).unwrap();
    std::fs::write(folder.path().join("pool.yaml"), pool("a", 0, "203.0.113.16/29")).unwrap();
    let open = || egret_state::DirectoryState::open(folder.path()).unwrap();
    let before = open().read_consistent().await.unwrap();
    let file = |name: &str| own.join(format!("staticegressips/shop/{name}.yaml"));
    for (place, name) in [(0, FIRST), (1, SECOND)] {
        let former = format!("eip.nirmata-{place}");
        let text = std::fs::read_to_string(file(name)).unwrap().replace(name, &former);
        std::fs::write(file(&former), text).unwrap();
        std::fs::remove_file(file(name)).unwrap();
    }
    let claims = || before.claims.values().map(|stored| stored.value.0.clone());
    let mut claim: Claim = claims().next().unwrap();
    claim.reference.name = "eip.nirmata-0".to_owned();
    let address = claim.addresses[0];
    let plan = plan_of(claim);
    let write = Write::AddressPlan { address, expect: None, plan: plan.clone() };
    open().write(write).await.unwrap();
    // A command that only reads knows both by their new names.
    let names: Vec<_> = before.claims.keys().cloned().collect();
    let read = egret_state::read_once(folder.path()).unwrap();
    assert_eq!(read.claims.keys().cloned().collect::<Vec<_>>(), names);
    assert_eq!(read.addresses[&address].value.plan.claim, names[0]);
    // Another rule comes before them in the same moment.
    let new = "  rules:\n  - {egressip: 203.0.113.19, service-name: new, cidr: 0.0.0.0/0}\n";
    std::fs::write(folder.path().join("eip.yaml"), RULES.replace("  rules:\n", new)).unwrap();
    let after = open().read_consistent().await.unwrap();
    let kept = after.claims.values().map(|stored| stored.value.0.clone());
    assert_eq!(
        kept.filter(|claim| names.contains(&claim.reference)).collect::<Vec<_>>(),
        claims().collect::<Vec<_>>()
    );
    assert_eq!(after.claims.len(), 3);
    let bound = &after.addresses[&address];
    assert_eq!(bound.value.plan, AddressPlan { claim: names[0].clone(), ..plan.clone() });
    // Agents of that version go on with it: the store keeps the name that they know.
    let moved = AddressPlan { owner: Some("node-1".into()), ..bound.value.plan.clone() };
    let expect = Some(bound.version.clone());
    open().write(Write::AddressPlan { address, expect, plan: moved.clone() }).await.unwrap();
    let text = std::fs::read_to_string(own.join("egressaddresses/203.0.113.17.yaml")).unwrap();
    assert!(
        text.contains("claim: shop/eip.nirmata-0\n") && text.contains("owner: node-1"),
        "{text}"
    );
    let again = open().read_consistent().await.unwrap();
    assert_eq!(again.addresses[&address].value.plan, moved);
}

/// An object of the version before has the claim's status under the place of its first rule.
#[test]
fn a_status_under_the_former_name_is_read_by_its_address() {
    let mut status = StaticEgressIPStatus::default();
    let of = |address: &str| ClaimStatus {
        addresses: vec![address.parse().unwrap()],
        observed_generation: 7,
        ..ClaimStatus::default()
    };
    let address_of = |_: &NodeName| None;
    for (place, address) in [(0, "203.0.113.18"), (1, "203.0.113.17")] {
        let name = format!("eip.nirmata-{place}");
        put_claim_status(&mut status, &name, None, &of(address), address_of);
    }
    assert_eq!(claim_status(&status, FIRST), Ok(of("203.0.113.17")));
    let new = ClaimStatus { observed_generation: 8, ..of("203.0.113.17") };
    put_claim_status(&mut status, FIRST, None, &new, address_of);
    assert_eq!(claim_status(&status, FIRST), Ok(new));
    assert_eq!(claim_status(&status, SECOND), Ok(of("203.0.113.18")));
}

/// Whatever rules an object had, its status has those of its rules.
#[test]
fn statuses_of_claims_that_the_rules_make_no_longer_go_and_former_names_once_they_are_read() {
    let mut status = StaticEgressIPStatus::default();
    let of = |address: &str| ClaimStatus {
        addresses: vec![address.parse().unwrap()],
        ..ClaimStatus::default()
    };
    let rules = ["203.0.113.17", "203.0.113.18"].map(|address| address.parse().unwrap());
    let names = |status: &StaticEgressIPStatus| status.claims.keys().cloned().collect::<Vec<_>>();
    let put = |status: &mut StaticEgressIPStatus, name: &str, address: &str| {
        put_claim_status(status, name, None, &of(address), |_| None);
    };
    for (name, address) in [
        (FIRST, "203.0.113.17"),
        ("eip.nirmata-203.0.113.19", "203.0.113.19"),
        ("eip.nirmata-0", "203.0.113.17"),
        ("eip.nirmata-1", "203.0.113.18"),
        ("eip.nirmata-2", "203.0.113.19"),
    ] {
        put(&mut status, name, address);
    }
    drop_former_statuses(&mut status, "eip", &rules);
    assert_eq!(names(&status), ["eip.nirmata-1", FIRST]);
    assert_eq!(claim_status(&status, SECOND), Ok(of("203.0.113.18")), "read by its former name");
    put(&mut status, SECOND, "203.0.113.18");
    drop_former_statuses(&mut status, "eip", &rules);
    assert_eq!(names(&status), [FIRST, SECOND]);
    drop_former_statuses(&mut status, "eip", &rules[1..]);
    assert_eq!(names(&status), [SECOND]);
}
