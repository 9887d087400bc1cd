//! What an older definition took, and the present one would refuse.

use std::process::Output;
use std::time::Duration;

use egret_kubernetes::ApiServer;
use egret_lab::wait_until;

use super::{Kind, install, server};

/// As the definition was before null was refused.
const OLDER: &str =
    r#"[{"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/not"}]"#;

fn create(server: &ApiServer, name: &str, changes: &str, more: &[&str]) -> Output {
    let arguments = [&["create", "-f", "-"], more].concat();
    server.kubectl().feed(&arguments, &Kind::Claim.manifest(name, changes)).unwrap()
}

/// Whether the definition in force takes null.
fn await_null(server: &ApiServer, taken: bool) {
    let same = || {
        let tried = create(server, "tried", "addresses: null", &["--dry-run=server"]);
        (tried.status.success() == taken).then_some(())
    };
    wait_until("the other definition", Duration::from_secs(30), same).unwrap();
}

/// Status, metadata and what is no null can be written: the API server refuses anew only what changes.
#[test]
fn a_stored_null_stands_in_the_way_of_no_status() {
    let server = server();
    let kubectl = server.kubectl();
    kubectl
        .ask(&["patch", "crd", "staticegressips.egret.dev", "--type=json", "-p", OLDER])
        .unwrap();
    await_null(&server, true);
    let created = create(&server, "bank", "addresses: null", &[]);
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    install(&server);
    await_null(&server, false);
    let stored = || kubectl.get(&["seip", "bank"]).unwrap();
    assert!(stored()["spec"].get("addresses").is_some_and(serde_json::Value::is_null));

    let patch = |more: &[&str], text: &str| {
        kubectl.output(&[&["patch", "seip", "bank", "--type=merge", "-p", text], more].concat())
    };
    let written = |more: &[&str], text: &str| {
        let output = patch(more, text).unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
    };
    written(&["--subresource=status"], r#"{"status": {"addresses": ["203.0.113.17"]}}"#);
    assert_eq!(stored()["status"]["addresses"][0], "203.0.113.17");
    written(&[], r#"{"metadata": {"labels": {"a": "b"}}}"#);
    let other = patch(&[], r#"{"spec": {"count": 2}}"#).unwrap();
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(
        !other.status.success() && said.contains("must not validate the schema (not)"),
        "{said}"
    );
    written(&[], r#"{"spec": {"addresses": ["203.0.113.17"]}}"#);
}
