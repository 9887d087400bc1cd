//! The kinds that Egret writes: what may never change, and what no reader could read.

use super::{Kind, server};

const ADDRESS: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressAddress
metadata: {name: 203.0.113.17}
spec:
  address: 203.0.113.17
  claimRef: {namespace: payments, name: bank, uid: u}
  poolRef: {name: partners}
  fence: 7
  lease: 450ms
";

const NODE: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressNode
metadata: {name: node-1}
spec:
  roles: [Gateway]
  podCIDRs: [10.244.1.0/24]
  blocks: [{address: 203.0.113.17, ports: {first: 1024, last: 2047}, epoch: 1}]
";

const CLUSTER: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressCluster
metadata: {name: cluster}
spec:
  id: c
  tMax: 10s
  set:
    number: 3
    members:
    - node: node-1
      endpoints: [192.0.2.1]
      peerPort: 5481
      publicKey: '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff'
";

const POOL: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: inner}
spec:
  provider: GCP
  addresses: [10.0.0.64/27]
  gcp: {mode: AliasRange}
  gateways: {nodeSelector: {}}
";

/// A pool whose addresses are found.
const TAGGED: &str = "provider: AWS\n  addresses:\n  aws: {elasticIPTags: {a: b}}";

/// An object, a text in it, what stands there instead, and the words of the refusal.
const EDITS: &[[&str; 4]] = &[
    [
        ADDRESS,
        "  address: 203.0.113.17",
        "  address: 203.0.113.18",
        "an EgressAddress keeps its address",
    ],
    [ADDRESS, "fence: 7", "fence: 6", "spec.fence: Invalid value: 6: a fence never goes down"],
    [ADDRESS, "lease: 450ms", "lease: soon", "soon is not a duration"],
    [CLUSTER, "id: c", "id: d", "a cluster keeps its id"],
    [CLUSTER, "number: 3", "number: 2", "the number of a voter set never goes down"],
    [CLUSTER, "endpoints: [192.0.2.1]", "endpoints: [node-1]", "node-1 is not an IP address"],
    [CLUSTER, "publicKey: '00", "publicKey: '", "should match"],
    [CLUSTER, "tMax: 10s", "tMax: 10", "expected string"],
    [NODE, "address: 203.0.113.17", "address: 203.0.113.500", "203.0.113.500 is not an IP address"],
    [NODE, "last: 2047", "last: 1000", "spec.blocks[0].ports: Invalid value: last is below first"],
    [NODE, "last: 2047", "last: 65536", "should be less than or equal to 65535"],
    [
        NODE,
        "10.244.1.0/24",
        "10.244.1.0",
        "10.244.1.0 is an address, not a CIDR: write 10.244.1.0/32",
    ],
    [POOL, "mode: AliasRange", "mode: TargetInstance", "a pool keeps its mode: make another pool"],
    [POOL, "  gcp: {mode: AliasRange}\n", "", "a pool keeps its mode: make another pool"],
    [NODE, "[Gateway]", "[Witness]", "Unsupported value: \"Witness\""],
];

#[test]
fn edits_that_no_one_may_make_are_refused() {
    let server = server();
    for object in [ADDRESS, NODE, CLUSTER, POOL] {
        server.kubectl().apply(object).unwrap();
    }
    for [object, from, to, words] in EDITS {
        assert!(object.contains(from), "{from}");
        let error = server.kubectl().apply(&object.replace(from, to)).unwrap_err().to_string();
        assert!(error.contains(words), "{from} → {to}: {error}");
    }
    let set = CLUSTER.find("  set:").unwrap();
    let error = server.kubectl().apply(&CLUSTER[..set]).unwrap_err().to_string();
    assert!(error.contains("never removed"), "{error}");
    for (object, from, to) in [
        (ADDRESS, "  poolRef", "  owner: node-2\n  poolRef"),
        (ADDRESS, "fence: 7", "fence: 8"),
        (CLUSTER, "tMax: 10s", "tMax: 1s"),
        (CLUSTER, "number: 3", "number: 4"),
        (NODE, "last: 2047", "last: 1024"),
    ] {
        server.kubectl().apply(&object.replace(from, to)).unwrap();
    }
}

/// Two objects for one address would make two plans for it.
#[test]
fn names_are_those_of_the_addresses() {
    let server = server();
    let six = |name: &str, address: &str| {
        ADDRESS
            .replace("name: 203.0.113.17", &format!("name: {name}"))
            .replace("address: 203.0.113.17", &format!("address: {address}"))
    };
    let full = "2001-0db8-0005-0000-0000-0000-0000-0010";
    server.kubectl().apply(&six(full, "'2001:db8:5::10'")).unwrap();
    for (name, address) in [
        ("mine", "203.0.113.17"),
        ("203.0.113.18", "203.0.113.17"),
        ("2001-db8-5--10", "'2001:db8:5::10'"),
        ("2001-0db8-0005-0000-0000-0000-0000-0011", "'2001:db8:5::10'"),
        (full, "203.0.113.17"),
    ] {
        let error = server.kubectl().apply(&six(name, address)).unwrap_err().to_string();
        assert!(error.contains("an EgressAddress is named by its address"), "{name}: {error}");
    }
    let other = CLUSTER.replace("name: cluster", "name: other");
    let error = server.kubectl().apply(&other).unwrap_err().to_string();
    assert!(error.contains("there is one EgressCluster: name it cluster"), "{error}");
}

/// What an agent says of itself, and what no reader could read.
#[test]
fn statuses_that_no_one_can_read_are_refused() {
    let server = server();
    server.kubectl().apply(NODE).unwrap();
    let patch = |status: &str| {
        let patch = format!("{{\"status\":{status}}}");
        let arguments =
            ["patch", "egressnode", "node-1", "--subresource=status", "--type=merge", "-p", &patch];
        server.kubectl().output(&arguments).unwrap()
    };
    for (status, words) in [
        (r#"{"endpoints": ["node-1"]}"#, "node-1 is not an IP address"),
        (r#"{"uplinks": [{"name": "eth0", "subnets": ["192.0.2.1"]}]}"#, "write 192.0.2.1/32"),
        (r#"{"publicKey": "secret"}"#, "should match"),
        (r#"{"acknowledgedFences": {"x": 1}}"#, "x is not an IP address"),
        (r#"{"blockNeeds": {"203.0.113.17": -1}}"#, "should be greater than or equal to 0"),
        (r#"{"peerPort": 70000}"#, "should be less than or equal to 65535"),
        (
            r#"{"conditions": [{"type": "Ready", "status": "True", "reason": "A", "message": "", "lastTransitionTime": "now"}]}"#,
            "date-time",
        ),
    ] {
        let output = patch(status);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{status}: {said}");
    }
    let good = r#"{"endpoints": ["192.0.2.1", "2001:db8::1"], "peerPort": 5481,
        "uplinks": [{"name": "eth0", "subnets": ["192.0.2.1/24"]}],
        "acknowledgedFences": {"203.0.113.17": 7, "2001:db8:5::10": 9007199254740993},
        "conditions": [{"type": "Ready", "status": "True", "reason": "A", "message": "",
                        "lastTransitionTime": "2026-05-04T12:00:00.5Z"}]}"#;
    let output = patch(good);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the controller says of a cloud.
#[test]
fn statuses_of_clouds_that_no_one_can_read_are_refused() {
    let server = server();
    server.kubectl().apply(ADDRESS).unwrap();
    server.kubectl().apply(&Kind::Pool.manifest("public", TAGGED)).unwrap();
    let address = server.kubectl().get(&["egressaddress", "203.0.113.17"]).unwrap();
    assert_eq!(address["spec"]["provider"], "L2", "of an older version's object");
    let patch = |object: [&str; 2], status: &str| {
        let [kind, name] = object;
        let patch = format!("{{\"status\":{status}}}");
        // Too long for an argument.
        let from = ["--subresource=status", "--type=merge", "--patch-file=/dev/stdin"];
        server.kubectl().feed(&[&["patch", kind, name], &from[..]].concat(), &patch).unwrap()
    };
    let (address, pool) = (["egressaddress", "203.0.113.17"], ["egresspool", "public"]);
    let many = |count: usize, text: &str| vec![text; count].join(", ");
    let full = |index: usize| format!("\"2001:0db8:0005:0000:0000:0000:0000:{index:04x}\"");
    let found = |count: usize| (0..count).map(full).collect::<Vec<_>>().join(", ");
    let at = r#"{"node": "n", "wireAddress": "2001:0db8:0005:0000:0000:0000:0000:0001",
        "interface": "eni-1", "macAddress": "02:00:5e:10:00:0A", "allocation": "eipalloc-1"}"#;
    for (object, status, words) in [
        (
            address,
            r#"{"attachment": {"node": "n", "wireAddress": "eni-1"}}"#.to_owned(),
            "eni-1 is not an IP address",
        ),
        (
            address,
            r#"{"prepared": [{"node": "n"}, {"node": "m", "wireAddress": "::ffff:10.0.0.9"}]}"#
                .to_owned(),
            "::ffff:10.0.0.9 is an IPv4 address in IPv6 form: write 10.0.0.9",
        ),
        (
            address,
            format!(r#"{{"attachment": {{"node": "n", "interface": "{}"}}}}"#, "e".repeat(257)),
            "Too long",
        ),
        (address, format!(r#"{{"prepared": [{}]}}"#, many(65, at)), "must have at most 64 items"),
        (
            pool,
            r#"{"addresses": ["203.0.113.0/29"]}"#.to_owned(),
            "203.0.113.0/29 is not an IP address",
        ),
        (pool, format!(r#"{{"addresses": [{}]}}"#, found(4097)), "must have at most 4096 items"),
    ] {
        let output = patch(object, &status);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{words}: {said}");
    }
    for (object, status) in [
        (address, format!(r#"{{"prepared": [{}], "attachment": {at}}}"#, many(64, at))),
        (pool, format!(r#"{{"addresses": [{}]}}"#, found(4096))),
    ] {
        let output = patch(object, &status);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
