//! `egret status` says of every object what the object itself says.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::run::Store;

const KINDS: [(&str, &str); 4] = [
    ("egresspools", "poolAnswers"),
    ("egressaddresses", "addresses"),
    ("staticegressips", "claims"),
    ("clusterstaticegressips", "claims"),
];

/// Whatever else stands in an object: its Ready and that condition's message are those of its row.
#[test]
fn status_says_what_the_conditions_say() {
    let store = Store::golden();
    let objects = own_objects(&store);
    assert!(objects.len() >= 8, "{:?}", objects.iter().map(|(path, _)| path).collect::<Vec<_>>());
    for kind in condition_types() {
        for other in ["True", "False"] {
            for ready in [Some("True"), Some("False"), None] {
                let mut conditions = vec![condition(&kind, other)];
                conditions.extend(ready.map(|ready| condition("Ready", ready)));
                for (path, object) in &objects {
                    let mut object = object.clone();
                    object["status"]["conditions"] = json!(conditions);
                    store.put(path, &object.to_string());
                }
                check(&store, &format!("{kind}={other}, Ready={ready:?}"), ready);
            }
        }
    }
}

fn check(store: &Store, case: &str, ready: Option<&str>) {
    let said = store.run("status -o json");
    let begin = said.find('{').unwrap();
    let end = said.rfind('}').unwrap();
    let said: Value = serde_json::from_str(&said[begin..=end]).unwrap();
    let ready = json!(ready.map(|ready| ready == "True"));
    let message = if ready == json!(false) { "about Ready" } else { "" };
    for (_, list) in KINDS {
        let rows = said[list].as_array().unwrap();
        assert!(!rows.is_empty(), "{case}: {list}");
        for row in rows {
            assert_eq!(
                (&row["ready"], &row["message"]),
                (&ready, &json!(message)),
                "{case}: {row}"
            );
        }
    }
}

fn condition(kind: &str, status: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": "Reason", "message": format!("about {kind}"),
        "observedGeneration": 1, "lastTransitionTime": "2026-05-04T12:00:00Z",
    })
}

fn own_objects(store: &Store) -> Vec<(String, Value)> {
    let files = store.files().into_iter();
    let own =
        files.filter(|(path, _)| KINDS.iter().any(|(kind, _)| path.contains(&format!("/{kind}/"))));
    own.map(|(path, text)| (path, serde_saphyr::from_str(&text).unwrap())).collect()
}

/// Every type but Ready that the API's own reference names.
fn condition_types() -> Vec<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference-api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, section) = page.split_once("## Conditions and reasons\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let heads = section.lines().filter_map(|line| line.strip_prefix("### "));
    let names = heads.filter(|head| !head.starts_with("Events ")).filter_map(|head| {
        let mut words = head.split([' ', ',']);
        words.find(|word| !word.starts_with("Egress"))
    });
    let types: BTreeSet<&str> = names.filter(|name| *name != "Ready").collect();
    assert!(types.len() >= 10, "{types:?}");
    types.into_iter().map(str::to_owned).collect()
}
