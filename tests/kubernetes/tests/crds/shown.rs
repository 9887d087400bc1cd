//! What people see: defaults, columns, explanations.

use egret_kubernetes::{ApiServer, repository};

use super::{Kind, server, shared};

#[test]
fn defaults_are_filled_in() {
    let server = server();
    server.kubectl().apply(&Kind::Pool.manifest("partners", "")).unwrap();
    let pool = server.kubectl().get(&["egresspool", "partners"]).unwrap();
    let spec = &pool["spec"];
    assert_eq!(spec["ports"]["perNode"], 1024);
    assert_eq!(spec["failover"]["failback"], "Never");
    assert_eq!(spec["failover"]["releaseAfter"], "1h");
    assert_eq!(spec["failover"].get("lease"), None, "it depends on the number of gateways");
    assert_eq!(spec["paused"], false);
    assert_eq!(spec.get("aws"), None, "it says that addresses are found");
    server.kubectl().apply(&Kind::Claim.manifest("bank", "")).unwrap();
    let claim = server.kubectl().get(&["seip", "bank"]).unwrap();
    assert_eq!(claim["spec"]["whenUnavailable"], "Drop");
    assert_eq!(claim["spec"].get("count"), None, "it may not stand beside addresses");
}

#[test]
fn the_examples_are_accepted() {
    let server = server();
    for folder in ["deploy/examples", "deploy/examples/aws", "deploy/examples/gcp"] {
        server.kubectl().apply_path(&repository().join(folder)).unwrap();
    }
}

fn status(server: &ApiServer, object: [&str; 2], patch: &str) {
    let [kind, name] = object;
    let arguments = ["patch", kind, name, "--subresource=status", "--type=merge", "-p", patch];
    server.kubectl().ask(&arguments).unwrap();
}

fn row(server: &ApiServer, arguments: &[&str]) -> Vec<String> {
    let table = server.kubectl().ask(&[&["get"], arguments].concat()).unwrap();
    let line = table.lines().nth(1).unwrap_or_else(|| panic!("{arguments:?}: {table}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn columns_answer_the_questions() {
    let server = server();
    server.kubectl().apply(&Kind::Claim.manifest("bank", "")).unwrap();
    let ready = r#"[{"type": "Ready", "status": "True", "reason": "Ready", "message": "",
                     "lastTransitionTime": "2026-05-04T12:00:00Z"}]"#;
    let summary = r#""summary": {"addresses": "203.0.113.17", "gateways": "node-3"}"#;
    let patch = format!(r#"{{"status": {{{summary}, "conditions": {ready}}}}}"#);
    status(&server, ["seip", "bank"], &patch);
    assert_eq!(
        row(&server, &["seip"])[..5],
        ["bank", "partners", "203.0.113.17", "node-3", "True"]
    );
    let head = server.kubectl().ask(&["get", "seip"]).unwrap();
    let head: Vec<&str> = head.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["NAME", "POOL", "ADDRESSES", "GATEWAY", "READY", "AGE"]);

    let address = "
apiVersion: egret.dev/v1alpha1
kind: EgressAddress
metadata: {name: 203.0.113.17}
spec:
  address: 203.0.113.17
  claimRef: {namespace: payments, name: bank, uid: u}
  poolRef: {name: partners}
  owner: node-3
  standbys: [node-5, node-1]
  fence: 7
  lease: 450ms
  summary: {claim: payments/bank, standbys: 'node-5,node-1'}
";
    server.kubectl().apply(address).unwrap();
    let holding = r#""holding": {"node": "node-3", "epoch": {"counter": 1, "node": "node-3"}}"#;
    let since = r#""since": "2026-05-04T12:00:00Z""#;
    let patch = format!(r#"{{"status": {{{holding}, {since}, "conditions": {ready}}}}}"#);
    status(&server, ["egressaddress", "203.0.113.17"], &patch);
    let head = server.kubectl().ask(&["get", "egressaddresses"]).unwrap();
    let head: Vec<&str> = head.lines().next().unwrap().split_whitespace().collect();
    let wanted = ["NAME", "ADDRESS", "POOL", "CLAIM", "HOLDER", "STANDBYS", "SINCE", "READY"];
    assert_eq!(head, wanted);
    let found = row(&server, &["egressaddresses"]);
    assert_eq!(
        found[1..6],
        ["203.0.113.17", "partners", "payments/bank", "node-3", "node-5,node-1"]
    );
    assert_eq!(found[7], "True");
    let of_pool = ["egressaddresses", "--field-selector=spec.poolRef.name=partners"];
    assert_eq!(row(&server, &of_pool)[0], "203.0.113.17");
    let all = server.kubectl().ask(&["get", "egret", "-A", "-o", "name"]).unwrap();
    assert_eq!(all.lines().count(), 2, "the category holds every kind: {all}");
}

#[test]
fn every_kind_is_explained() {
    let server = shared();
    for (field, words) in [
        ("egresspool.spec.addresses", "203.0.113.40-203.0.113.47"),
        ("egresspool.spec.failover.releaseAfter", "serves its open connections"),
        ("egresspool.spec.aws.elasticIPTags", "that has all of these tags"),
        ("egresspool.status.addresses", "found by the tags"),
        ("egressaddress.status.prepared.wireAddress", "where it is not the address itself"),
        ("staticegressip.spec.podSelector", "{} selects all pods"),
        ("clusterstaticegressip.spec.namespaceSelector", "whose pods are meant"),
        ("egressaddress.spec.fence", "Grows when the address is revoked"),
        ("egressnode.status.publicKey", "X25519"),
        ("egresscluster.spec.set", "newest set of voters"),
    ] {
        let text = server.kubectl().ask(&["explain", field, "--api-version=egret.dev/v1alpha1"]);
        let text = text.unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(words), "{field}: {text}");
    }
}
