//! The definitions of the custom resources without their descriptions: names, types, defaults,
//! rules and columns, which clients and stored objects rest on.
//!
//! A description may change with the code; nothing else of a definition may. So the golden file is
//! not written with `EGRET_UPDATE=1`, as the files in deploy/crds are, but with
//! `EGRET_UPDATE=golden cargo test -p egret-api --test golden`.

use std::path::Path;

use serde_json::Value;

/// Takes out what is there for people alone. A field that is named `description` stays: it has a
/// schema, and no text.
fn without_descriptions(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, field| name != "description" || !field.is_string());
            fields.values_mut().for_each(without_descriptions);
        }
        Value::Array(entries) => entries.iter_mut().for_each(without_descriptions),
        _ => {}
    }
}

#[test]
fn definitions_stay_as_they_are() {
    let mut found = String::new();
    for crd in egret_api::crds().into_iter().chain([egret_api::nirmata_crd()]) {
        let mut crd = serde_json::to_value(crd).unwrap();
        without_descriptions(&mut crd);
        let crd = serde_json::from_value(crd).unwrap();
        found.push_str("---\n");
        found.push_str(&egret_api::to_yaml(&crd).unwrap());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/definitions.yaml");
    if std::env::var("EGRET_UPDATE").is_ok_and(|what| what == "golden") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(wanted.lines()).position(|(found, wanted)| found != wanted);
    assert!(
        found == wanted,
        "tests/golden/definitions.yaml is not what the types make, from line {:?} on: {:?}",
        differs.map(|line| line + 1),
        differs.and_then(|line| found.lines().nth(line)),
    );
}
