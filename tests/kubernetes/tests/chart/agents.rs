use std::process::Output;

use egret_kubernetes::Kubectl;

use super::fixture::{ChartFixture, refused, said};

fn node(name: &str, labels: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion":"egret.dev/v1alpha1","kind":"EgressNode",
            "metadata":{{"name":"{name}"{labels}}},"spec":{{{spec}}}}}"#
    )
}

fn create_node(agent: &Kubectl, name: &str, labels: &str, spec: &str) -> Output {
    agent.feed(&["create", "-f", "-"], &node(name, labels, spec)).unwrap()
}

fn patch(agent: &Kubectl, what: &str, name: &str, body: &str) -> Output {
    agent.output(&["patch", what, name, "--type=merge", "-p", body]).unwrap()
}

fn patch_status(agent: &Kubectl, what: &str, name: &str, status: &str) -> Output {
    let body = format!(r#"{{"status":{status}}}"#);
    agent
        .output(&["patch", what, name, "--subresource=status", "--type=merge", "-p", &body])
        .unwrap()
}

/// Adds two nodes, and waits until the policies are in force.
pub(crate) fn ready(fixture: ChartFixture) -> ChartFixture {
    for name in ["node-1", "node-2"] {
        fixture.add_node(name);
    }
    let agent = fixture.agent("node-1");
    let other = node("node-2", "", "");
    let try_it = ["create", "--dry-run=server", "-f", "-"];
    fixture.await_policies(|| agent.feed(&try_it, &other).unwrap());
    fixture
}

#[test]
fn an_agent_makes_and_writes_its_own_node_only() {
    its_own_node_only(&ChartFixture::shared());
}

pub(crate) fn its_own_node_only(fixture: &ChartFixture) {
    let (one, two) = (fixture.agent("node-1"), fixture.agent("node-2"));
    let unbound = fixture.account("egret-agent", None);
    refused(&create_node(&unbound, "node-1", "", ""), "the agent's token names no node");
    refused(
        &create_node(&one, "node-2", "", ""),
        "the agent of node node-1 may write the EgressNode node-1 only",
    );
    refused(&create_node(&one, "node-1", "", r#""drain":true"#), "with an empty spec");
    let block =
        r#""blocks":[{"address":"203.0.113.17","ports":{"first":1024,"last":2047},"epoch":1}]"#;
    refused(&create_node(&one, "node-1", "", block), "with an empty spec");
    let label = r#","labels":{"egret.dev/role":"gateway"}"#;
    refused(&create_node(&one, "node-1", label, ""), "without labels of egret.dev");
    let finalizer = r#","finalizers":["egret.dev/blocks"]"#;
    refused(&create_node(&one, "node-1", finalizer, ""), "without finalizers");
    said(&create_node(&one, "node-1", "", ""));
    said(&create_node(&two, "node-2", r#","labels":{"team":"x"}"#, ""));

    said(&patch_status(&one, "egressnode", "node-1", r#"{"peerPort":5481}"#));
    let own = fixture.admin().get(&["egressnode", "node-1"]).unwrap();
    assert_eq!(own["status"]["peerPort"], 5481);
    refused(
        &patch_status(&one, "egressnode", "node-2", r#"{"peerPort":1}"#),
        "the agent of node node-1 may write the EgressNode node-1 only",
    );
    refused(
        &patch_status(&unbound, "egressnode", "node-1", r#"{"peerPort":1}"#),
        "the agent's token names no node",
    );
    // The status subresource takes nothing but the status.
    let all = r#"{"metadata":{"labels":{"egret.dev/role":"voter"}},"spec":{"drain":true}}"#;
    let through = ["patch", "egressnode", "node-1", "--subresource=status", "--type=merge"];
    said(&one.output(&[&through[..], &["-p", all]].concat()).unwrap());
    let own = fixture.admin().get(&["egressnode", "node-1"]).unwrap();
    assert_eq!(own["metadata"]["labels"]["egret.dev/role"], serde_json::Value::Null);
    assert_ne!(own["spec"]["drain"], true);
    refused(&patch(&one, "egressnode", "node-1", r#"{"spec":{"drain":true}}"#), "cannot patch");
    refused(&one.output(&["delete", "egressnode", "node-1"]).unwrap(), "cannot delete");
}

const ADDRESS: &str = "
apiVersion: egret.dev/v1alpha1
kind: EgressAddress
metadata: {name: 203.0.113.17}
spec:
  address: 203.0.113.17
  claimRef: {namespace: payments, name: bank, uid: 00000000-0000-0000-0000-000000000001}
  poolRef: {name: partners}
  owner: node-1
  standbys: [node-3]
  fence: 1
  lease: 450ms
";

fn holding(node: &str, counter: u32, more: &str) -> String {
    format!(
        r#"{{"holding":{{"node":"{node}","epoch":{{"counter":{counter},"node":"{node}"}}}}{more}}}"#
    )
}

#[test]
fn an_agent_says_only_that_it_holds_what_the_plan_gives_it() {
    what_the_plan_gives_it_only(&ChartFixture::shared());
}

pub(crate) fn what_the_plan_gives_it_only(fixture: &ChartFixture) {
    let (one, two) = (fixture.agent("node-1"), fixture.agent("node-2"));
    let unbound = fixture.account("egret-agent", None);
    fixture.admin().apply(ADDRESS).unwrap();
    let write = |agent: &Kubectl, status: &str| {
        patch_status(agent, "egressaddress", "203.0.113.17", status)
    };
    let planned = "node node-2 is neither owner nor standby of 203.0.113.17";
    let own = "the agent of node node-1 may name only its own node as the holder";
    let late = "a new holder has a greater epoch than the last one";

    refused(&write(&two, &holding("node-2", 5, "")), planned);
    refused(&write(&unbound, &holding("node-1", 5, "")), "the agent's token names no node");
    refused(&write(&one, r#"{"probed":true}"#), own);
    said(&write(&one, &holding("node-1", 5, "")));
    said(&write(&one, &holding("node-1", 5, r#","probed":true"#)));
    refused(&write(&one, &holding("node-1", 4, "")), late);
    said(&write(&one, &holding("node-1", 6, "")));
    refused(&write(&one, &holding("node-2", 7, "")), own);
    refused(&write(&one, r#"{"holding":null}"#), own);
    let cloud = "status.attachment, status.prepared and status.accepted are the controller's";
    let attached = r#","attachment":{"node":"node-1"}"#;
    refused(&write(&one, &holding("node-1", 7, attached)), cloud);
    let ready = r#","prepared":[{"node":"node-1","wireAddress":"10.0.0.9"}]"#;
    refused(&write(&one, &holding("node-1", 7, ready)), cloud);
    let accepted = r#","accepted":{"node":"node-1"}"#;
    refused(&write(&one, &holding("node-1", 7, accepted)), cloud);
    refused(
        &patch(&one, "egressaddress", "203.0.113.17", r#"{"spec":{"owner":"node-2"}}"#),
        "cannot patch",
    );
    refused(&one.output(&["delete", "egressaddress", "203.0.113.17"]).unwrap(), "cannot delete");

    // A standby takes over; what the old holder still had to say comes too late.
    let standby = r#"{"spec":{"standbys":["node-2"]}}"#;
    said(&patch(fixture.admin(), "egressaddress", "203.0.113.17", standby));
    said(&write(&two, &holding("node-2", 7, "")));
    refused(&write(&one, &holding("node-1", 6, "")), late);
    // Epochs are ordered by their counter, then by the node's name.
    refused(&write(&one, &holding("node-1", 7, "")), late);
    let attached = r#"{"attachment":{"node":"node-2"},"prepared":[{"node":"node-2"}],
        "accepted":{"node":"node-2"}}"#;
    said(&patch_status(fixture.admin(), "egressaddress", "203.0.113.17", attached));
    let other = r#","accepted":{"node":"node-2","wireAddress":"10.0.0.9"}"#;
    refused(&write(&two, &holding("node-2", 7, other)), cloud);
    said(&write(&two, &holding("node-2", 7, r#","probed":true"#)));
    for taken in [r#","attachment":null"#, r#","prepared":[]"#, r#","prepared":null"#] {
        refused(&write(&two, &holding("node-2", 7, taken)), cloud);
    }
    // Agents before this field leave it out of what they write.
    said(&write(&two, &holding("node-2", 7, r#","accepted":null"#)));
}

#[test]
fn an_agent_reads_what_it_needs_and_writes_nothing_else() {
    nothing_else(&ChartFixture::shared());
}

pub(crate) fn nothing_else(fixture: &ChartFixture) {
    let agent = fixture.agent("node-1");
    let may = |verb: &str, what: &str| {
        let asked = agent.output(&["auth", "can-i", verb, what, "-A"]).unwrap();
        String::from_utf8_lossy(&asked.stdout).trim() == "yes"
    };
    for kind in ["egresspools", "staticegressips", "egressaddresses", "egressnodes"] {
        assert!(may("watch", &format!("{kind}.egret.dev")), "an agent cannot watch {kind}");
    }
    assert!(may("watch", "pods"));
    for (verb, what) in [
        ("list", "nodes"),
        ("list", "secrets"),
        ("list", "services"),
        ("patch", "nodes"),
        ("create", "pods"),
        ("delete", "pods"),
        ("update", "egresspools.egret.dev"),
        ("update", "staticegressips.egret.dev"),
        ("update", "egressclusters.egret.dev"),
        ("create", "egressaddresses.egret.dev"),
        ("update", "egressaddresses.egret.dev"),
        ("update", "egressnodes.egret.dev"),
        ("delete", "egressnodes.egret.dev"),
        ("create", "leases.coordination.k8s.io"),
        ("update", "configmaps"),
        ("impersonate", "users"),
    ] {
        assert!(!may(verb, what), "an agent may {verb} {what}");
    }
}

fn event(reporter: &str, node: &str) -> String {
    format!(
        r#"{{"apiVersion":"events.k8s.io/v1","kind":"Event",
            "metadata":{{"name":"bank.{reporter}.{node}","namespace":"default"}},
            "eventTime":"2026-01-01T00:00:00.000000Z","type":"Normal","reason":"Held",
            "action":"Held","note":"x","reportingController":"egret.dev/{reporter}",
            "reportingInstance":"{node}",
            "regarding":{{"apiVersion":"egret.dev/v1alpha1","kind":"EgressAddress","name":"x"}}}}"#
    )
}

#[test]
fn an_agents_events_bear_its_nodes_name() {
    events_in_its_own_name(&ChartFixture::shared());
}

pub(crate) fn events_in_its_own_name(fixture: &ChartFixture) {
    let (one, two) = (fixture.agent("node-1"), fixture.agent("node-2"));
    let create = |agent: &Kubectl, object: &str| {
        agent.feed(&["create", "-f", "-", "--validate=false"], object).unwrap()
    };
    let own = "an agent writes events as egret.dev/agent of its own node";
    refused(&create(&one, &event("agent", "node-2")), own);
    refused(&create(&one, &event("controller", "node-1")), own);
    said(&create(&one, &event("agent", "node-1")));
    // `kubectl patch` reads first, which an agent may not do with events.
    let series = r#"{"apiVersion":"events.k8s.io/v1","kind":"Event",
        "metadata":{"name":"bank.agent.node-1","namespace":"default"},
        "series":{"count":2,"lastObservedTime":"2026-01-01T00:00:01.000000Z"}}"#;
    let apply = ["apply", "--server-side", "--validate=false", "-f", "-"];
    refused(&two.feed(&apply, series).unwrap(), own);
    said(&one.feed(&apply, series).unwrap());
}
