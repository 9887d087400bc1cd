//! The files that are made from the types: deploy/crds and docs/reference-api.md.
//!
//! `EGRET_UPDATE=1 cargo test -p egret-api` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

#[path = "generated/reference.rs"]
mod reference;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Compares a file with what it should hold, or writes it where `EGRET_UPDATE` says so.
fn generated(path: &Path, wanted: &str) {
    if std::env::var_os("EGRET_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.strip_prefix(repository()).unwrap_or(path).display();
    assert!(found == wanted, "{name} is stale: run EGRET_UPDATE=1 cargo test -p egret-api");
}

fn folder(name: &str, crds: &[CustomResourceDefinition]) {
    let folder = repository().join("deploy").join(name);
    let mut files = BTreeSet::new();
    for crd in crds {
        let file = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let text = egret_api::to_yaml(crd).unwrap();
        generated(&folder.join(&file), &format!("# Generated from src/api.\n{text}"));
        files.insert(file);
    }
    let there = std::fs::read_dir(&folder).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(there.collect::<BTreeSet<_>>(), files, "a file in deploy/{name} is of no kind");
}

#[test]
fn definitions_are_in_deploy() {
    folder("crds", &egret_api::crds());
    folder("crds-nirmata", &[egret_api::nirmata_crd()]);
}

#[test]
fn the_reference_is_in_docs() {
    let mut crds = egret_api::crds();
    crds.push(egret_api::nirmata_crd());
    let reasons = std::fs::read_to_string(repository().join("src/core/src/reason.rs")).unwrap();
    let text = reference::text(&crds, &reasons);
    generated(&repository().join("docs/reference-api.md"), &text);
}

/// One stream that `kubectl apply -f -` takes.
#[test]
fn the_stream_holds_every_kind() {
    let stream = egret_api::crds_yaml().unwrap();
    let kinds = stream.split("\n---\n").map(|document| {
        let kind = document.lines().find_map(|line| line.strip_prefix("    kind: "));
        kind.unwrap().to_owned()
    });
    let wanted: Vec<String> =
        egret_api::crds().into_iter().map(|crd| crd.spec.names.kind).collect();
    assert_eq!(kinds.collect::<Vec<_>>(), wanted);
}
