//! Invalid objects (S43): each is refused, or leads to a condition or an event; the controller
//! outlives all of them.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use egret_kubernetes::{ApiServer, repository};
use egret_lab::{Daemon, wait_until};
use egret_state::manifest::parse;
use serde_json::{Value, json};

use super::{server, shared};

/// The documents of a folder of tests/kubernetes/corpus.
fn documents(folder: &str) -> Vec<String> {
    let folder = repository().join("tests/kubernetes/corpus").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    texts
        .flat_map(|text| text.split("\n---\n").map(|text| format!("{text}\n")).collect::<Vec<_>>())
        .collect()
}

#[test]
fn what_is_wrong_in_itself_is_refused_by_both_stores() {
    let server = shared();
    let documents = documents("refused");
    assert!(documents.len() > 30);
    for document in documents {
        let parsed = parse(&document);
        assert!(parsed.objects.is_empty() && !parsed.faults.is_empty(), "{document}: {parsed:?}");
        for create in [
            &["create", "--dry-run=server", "-f", "-"][..],
            &["apply", "--server-side", "--dry-run=server", "-f", "-"],
        ] {
            let output = server.kubectl().feed(create, &document).unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && !said.is_empty(), "{create:?} accepts {document}");
        }
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Objects of a kind without the wanted condition, or with one that says nothing.
fn unsaid(server: &ApiServer, kind: &str, wanted: &str) -> Vec<String> {
    let list = server.kubectl().get(&[kind, "--all-namespaces"]).unwrap();
    let objects = list["items"].as_array().unwrap().iter();
    let said = |object: &Value| {
        condition(object, wanted).is_some_and(|condition| {
            let message = condition["message"].as_str().unwrap_or_default();
            condition["observedGeneration"] == object["metadata"]["generation"]
                && (condition["status"] == "True" || message.len() > 8)
        })
    };
    objects
        .filter(|object| !said(object))
        .map(|object| object["metadata"]["name"].as_str().unwrap_or_default().to_owned())
        .filter(|name| !name.starts_with("unreadable-"))
        .collect()
}

fn reason(server: &ApiServer, object: [&str; 2], kind: &str) -> String {
    let [resource, name] = object;
    let object = server.kubectl().get(&[resource, name]).unwrap();
    condition(&object, kind).map(|found| found["reason"].to_string()).unwrap_or_default()
}

#[test]
fn what_is_wrong_among_others_shows_in_conditions() {
    let server = server();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: egret-system}\n";
    server.kubectl().apply(namespace).unwrap();
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: node-1}\nspec: {podCIDRs: \
                [10.244.1.0/24]}\n";
    server.kubectl().apply(node).unwrap();
    for document in documents("accepted") {
        server.kubectl().apply(&document).unwrap();
    }
    let mut command = server.kubectl().command(&egret_lab::binary(None).unwrap());
    command.args(["controller", "--identity", "corpus"]);
    let controller = Daemon::start(command, &server.dir().join("controller.log")).unwrap();
    let log = || fs::read_to_string(controller.log()).unwrap();
    let said = wait_until("a condition of every object", Duration::from_secs(60), || {
        let pools = unsaid(&server, "egresspools", "Ready");
        let claims = unsaid(&server, "staticegressips.egret.dev", "Accepted");
        let cluster = unsaid(&server, "clusterstaticegressips", "Accepted");
        (pools.is_empty() && claims.is_empty() && cluster.is_empty()).then_some(())
    });
    if said.is_err() {
        let pools = unsaid(&server, "egresspools", "Ready");
        let claims = unsaid(&server, "staticegressips.egret.dev", "Accepted");
        panic!("no condition of {pools:?}, {claims:?}; the controller says:\n{}", log());
    }
    for (object, kind, wanted) in [
        (["egresspool", "b-overlaps"], "Ready", "OverlapsPool"),
        (["egresspool", "d-no-node"], "Ready", "NoGatewayNode"),
        (["egresspool", "f-contradicts-itself"], "Paused", "Paused"),
        (["seip", "no-such-pool"], "Accepted", "PoolNotFound"),
        (["seip", "outside"], "Accepted", "AddressOutsidePool"),
        (["seip", "broadcast"], "Accepted", "AddressReserved"),
        (["seip", "no-ipv6-there"], "Accepted", "FamilyNotInPool"),
        (["seip", "not-admitted"], "Accepted", "NamespaceNotAllowed"),
        (["seip", "too-many"], "Bound", "PoolExhausted"),
        (["seip", "all-of-them"], "Bound", "Bound"),
    ] {
        assert_eq!(reason(&server, object, kind), format!("\"{wanted}\""), "{object:?}");
    }
    // Two Services of one object share its claim; another object is refused.
    let accepted = |object: &str| {
        let rules = ["staticegressips.staticegressips.nirmata.io", object];
        let object_status = server.kubectl().get(&rules).unwrap()["status"].clone();
        let claims = object_status["claims"].as_object().unwrap().clone();
        let claim = &claims[&format!("{object}.nirmata-203.0.113.19")];
        assert_eq!(claims.len(), 1, "{claims:?}");
        let accepted = condition(&json!({"status": claim}), "Accepted").unwrap().clone();
        (accepted["reason"].to_string(), accepted["message"].to_string())
    };
    assert_eq!(accepted("eip").0, "\"Accepted\"");
    let (reason, message) = accepted("late");
    assert_eq!(reason, "\"AddressInUse\"");
    assert!(message.contains("in use by claim default/eip.nirmata-203.0.113.19"), "{message}");
    unreadable_objects_are_named(&server);
    let alive = std::path::Path::new(&format!("/proc/{}", controller.pid())).exists();
    assert!(alive && !log().contains("panicked"), "{}", log());
}

/// What cannot be read is skipped; `egret status` names it, and an event about it says why.
fn unreadable_objects_are_named(server: &ApiServer) {
    let mut command = server.kubectl().command(&egret_lab::binary(None).unwrap());
    let output = command.args(["status", "-o", "json"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let names = ["unreadable-order", "unreadable-overlap", "unreadable-poolless"];
    let missing: Vec<_> = names.iter().filter(|name| !said.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?} not in {said}");
    wait_until("an event about each of them", Duration::from_secs(30), || {
        let events = server.kubectl().get(&["events", "--all-namespaces"]).unwrap();
        let reported: BTreeSet<&str> =
            events["items"].as_array()?.iter().filter_map(about).collect();
        names.iter().all(|name| reported.contains(name)).then_some(())
    })
    .unwrap();
}

/// The object that an event says it cannot understand.
fn about(event: &Value) -> Option<&str> {
    (event["reason"] == "NotUnderstood").then(|| event["involvedObject"]["name"].as_str())?
}
