use egret_kubernetes::Kubectl;
use serde_json::{Value, json};

use super::fixture::{ChartFixture, SYSTEM, refused, said};

/// `kind.group` or `kind.group:subresource`.
fn may(who: &Kubectl, verb: &str, what: &str, more: &[&str]) -> bool {
    let (kind, part) = what.split_once(':').unwrap_or((what, ""));
    let part = format!("--subresource={part}");
    let asked = who.output(&[&["auth", "can-i", verb, kind, &part], more].concat()).unwrap();
    String::from_utf8_lossy(&asked.stdout).trim() == "yes"
}

/// Nobody aggregates roles without a controller manager: each is bound by itself.
#[test]
fn roles_give_people_what_is_theirs() {
    let fixture = ChartFixture::shared();
    let admin = fixture.admin();
    admin.ask(&["create", "namespace", "payments"]).unwrap();
    let bind = |kind: &str, role: &str, user: &str, namespace: &[&str]| {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
        let name = user.trim_start_matches("--user=").to_owned();
        admin.ask(&[&["create", kind, &name, &role, &user], namespace].concat()).unwrap();
    };
    bind("rolebinding", "egret-edit", "team", &["-n", "payments"]);
    bind("rolebinding", "egret-view", "guest", &["-n", "payments"]);
    bind("clusterrolebinding", "egret-operator", "operator", &[]);
    let here = ["create", "rolebinding", "operator", "--role=egret-operator", "--user=operator"];
    admin.ask(&[&here[..], &["-n", SYSTEM]].concat()).unwrap();

    let may = |user: &str, verb: &str, what: &str, namespace: &str| {
        may(admin, verb, what, &["-n", namespace, &format!("--as={user}")])
    };
    assert!(may("team", "create", "staticegressips.egret.dev", "payments"));
    assert!(may("guest", "get", "staticegressips.egret.dev", "payments"));
    assert!(may("operator", "update", "egresspools.egret.dev", "payments"));
    assert!(may("operator", "update", "egressnodes.egret.dev", "payments"));
    assert!(may("operator", "update", "configmaps/egret-fences", SYSTEM));
    for (user, verb, what, namespace) in [
        ("team", "create", "staticegressips.egret.dev", "default"),
        ("team", "update", "staticegressips.egret.dev:status", "payments"),
        ("team", "create", "clusterstaticegressips.egret.dev", "payments"),
        ("team", "update", "egresspools.egret.dev", "payments"),
        ("team", "update", "egressaddresses.egret.dev", "payments"),
        ("guest", "create", "staticegressips.egret.dev", "payments"),
        ("operator", "delete", "egressclusters.egret.dev", "payments"),
        ("operator", "update", "egressaddresses.egret.dev:status", "payments"),
    ] {
        assert!(!may(user, verb, what, namespace), "{user} may {verb} {what}");
    }
    for (role, to) in [("egret-view", "view"), ("egret-edit", "edit"), ("egret-edit", "admin")] {
        let role = admin.get(&["clusterrole", role]).unwrap();
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{to}");
        assert_eq!(role["metadata"]["labels"][&label], "true", "{role}");
    }
}

#[test]
fn the_controller_may_do_what_it_does_and_no_more() {
    let fixture = ChartFixture::shared();
    let controller = fixture.account("egret-controller", None);
    let may = |verb: &str, what: &str, more: &[&str]| may(&controller, verb, what, more);
    for (verb, what, more) in [
        ("watch", "egresspools.egret.dev", &["-A"][..]),
        ("create", "egressaddresses.egret.dev", &[]),
        ("update", "egressnodes.egret.dev", &[]),
        ("patch", "staticegressips.egret.dev:status", &["-A"]),
        ("watch", "nodes", &[]),
        ("watch", "servicecidrs.networking.k8s.io", &[]),
        ("watch", "endpointslices.discovery.k8s.io/kubernetes", &["-n", "default"]),
        ("create", "leases.coordination.k8s.io", &["-n", SYSTEM]),
        ("update", "leases.coordination.k8s.io/egret-controller", &["-n", SYSTEM]),
        ("update", "configmaps/egret-fences", &["-n", SYSTEM]),
        ("create", "events.events.k8s.io", &["-A"]),
        // Of nodes without an agent.
        ("list", "pods", &["-A"]),
        ("watch", "pods", &["-A"]),
    ] {
        assert!(may(verb, what, more), "the controller may not {verb} {what}");
    }
    for (verb, what, more) in [
        ("list", "secrets", &["-A"][..]),
        ("delete", "pods", &["-A"]),
        ("patch", "nodes", &[]),
        ("update", "staticegressips.egret.dev", &["-A"]),
        ("update", "egresspools.egret.dev", &[]),
        ("watch", "endpointslices.discovery.k8s.io/other", &["-n", "default"]),
        ("update", "leases.coordination.k8s.io/other", &["-n", SYSTEM]),
        ("update", "configmaps/other", &["-n", SYSTEM]),
        ("create", "leases.coordination.k8s.io", &["-n", "default"]),
    ] {
        assert!(!may(verb, what, more), "the controller may {verb} {what}");
    }
}

const CLUSTER: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressCluster
metadata: {name: cluster}
spec: {id: 11111111-2222-3333-4444-555555555555, tMax: 10s}
";

#[test]
fn the_cluster_object_goes_only_when_that_is_meant() {
    deleted_when_meant(&ChartFixture::shared());
}

pub(crate) fn deleted_when_meant(fixture: &ChartFixture) {
    let admin = fixture.admin();
    admin.apply(CLUSTER).unwrap();
    let dry = ["delete", "egresscluster", "cluster", "--dry-run=server"];
    fixture.await_policies(|| admin.output(&dry).unwrap());
    let delete = ["delete", "egresscluster", "cluster"];
    refused(&admin.output(&delete).unwrap(), "To remove Egret use helm uninstall");
    let annotate = ["annotate", "egresscluster", "cluster"];
    admin.ask(&[&annotate[..], &["egret.dev/confirm-deletion=yes"]].concat()).unwrap();
    refused(&admin.output(&delete).unwrap(), "annotate it with egret.dev/confirm-deletion=cluster");
    let right = ["egret.dev/confirm-deletion=cluster", "--overwrite"];
    admin.ask(&[&annotate[..], &right].concat()).unwrap();
    admin.ask(&delete).unwrap();
    admin.apply(CLUSTER).unwrap();
    said(&fixture.account("egret-controller", None).output(&delete).unwrap());
}

const NODE: &str = r#"
apiVersion: v1
kind: Node
metadata: {name: node-1, labels: {zone: a}}
spec:
  taints:
  - {key: egret.dev/agent-not-ready, effect: NoSchedule}
  - {key: team, value: x, effect: NoSchedule}
"#;

/// For Helm: the controller may take the startup taint off nodes.
pub(crate) const TAINT: &[&str] = &["--set", "startupTaint.enabled=true"];

#[test]
fn the_controller_takes_one_taint_off_a_node_where_that_is_asked_for() {
    one_taint(&ChartFixture::new(TAINT));
}

pub(crate) fn one_taint(fixture: &ChartFixture) {
    let (admin, controller) = (fixture.admin(), fixture.account("egret-controller", None));
    admin.apply(NODE).unwrap();
    let patch = |body: &str| {
        controller.output(&["patch", "node", "node-1", "--type=merge", "-p", body]).unwrap()
    };
    let label = ["label", "node", "node-1", "zone=b", "--overwrite", "--dry-run=server"];
    fixture.await_policies(|| controller.output(&label).unwrap());
    let refusal = "takes the taint egret.dev/agent-not-ready off a Node and changes nothing else";
    refused(&patch(r#"{"spec":{"taints":[]}}"#), refusal);
    refused(&patch(r#"{"spec":{"unschedulable":true}}"#), refusal);
    // The API server has added one of its own: the Node is not ready.
    let node = admin.get(&["node", "node-1"]).unwrap();
    let mut taints = node["spec"]["taints"].as_array().unwrap().clone();
    taints.retain(|taint| taint["key"] != "egret.dev/agent-not-ready");
    let with = |taints: &[Value]| json!({"spec": {"taints": taints}}).to_string();
    let another = json!({"key": "other", "effect": "NoExecute"});
    refused(&patch(&with(&[&taints[..], &[another]].concat())), refusal);
    refused(&patch(&with(&taints[1..])), refusal);
    said(&patch(&with(&taints)));
    let node = admin.get(&["node", "node-1"]).unwrap();
    assert_eq!(node["spec"]["taints"], json!(taints));
    refused(&controller.output(&["delete", "node", "node-1"]).unwrap(), "cannot delete");
}
