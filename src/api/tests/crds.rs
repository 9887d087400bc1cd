//! The CRDs that the types make.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

fn crds() -> Vec<(Value, &'static str, Option<&'static str>)> {
    let crd = |crd: CustomResourceDefinition| serde_json::to_value(crd).unwrap();
    vec![
        (crd(egret_api::EgressPool::crd()), "Cluster", None),
        (crd(egret_api::StaticEgressIP::crd()), "Namespaced", Some("seip")),
        (crd(egret_api::ClusterStaticEgressIP::crd()), "Cluster", Some("cseip")),
        (crd(egret_api::EgressAddress::crd()), "Cluster", None),
        (crd(egret_api::EgressNode::crd()), "Cluster", None),
        (crd(egret_api::EgressCluster::crd()), "Cluster", None),
    ]
}

/// Calls `visit` with the path and the schema of every property.
fn properties(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, property);
        properties(&path, property, visit);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_object() {
            properties(path, &schema[inner], visit);
        }
    }
}

#[test]
fn every_field_has_a_description() {
    for (crd, _, _) in crds() {
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap().to_owned();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        let mut count = 0;
        properties(&kind, schema, &mut |path, property| {
            count += 1;
            if [".spec", ".status"].iter().any(|part| path == format!("{kind}{part}")) {
                return;
            }
            let text = property["description"].as_str().unwrap_or_default();
            assert!(text.ends_with(['.', ')']), "{path} has the description {text:?}");
        });
        assert!(count > 3, "{kind} has fields");
    }
}

#[test]
fn schemas_are_structural() {
    for (crd, _, _) in crds() {
        let kind = crd["spec"]["names"]["kind"].clone();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        properties("", schema, &mut |path, property| {
            // An API server refuses both together.
            let both =
                property["properties"].is_object() && !property["additionalProperties"].is_null();
            assert!(!both, "{kind}{path}");
            let typed = property["type"].is_string()
                || property["x-kubernetes-preserve-unknown-fields"] == true;
            assert!(typed, "{kind}{path} has no type: {property}");
        });
    }
}

#[test]
fn names_are_those_of_the_page() {
    for (crd, scope, short) in crds() {
        let spec = &crd["spec"];
        assert_eq!(spec["group"], "egret.dev");
        assert_eq!(spec["versions"][0]["name"], egret_api::VERSION);
        assert_eq!(spec["scope"], scope, "{}", spec["names"]["kind"]);
        let found = spec["names"]["shortNames"][0].as_str();
        assert_eq!(found, short, "{}", spec["names"]["kind"]);
    }
    let columns = |crd: &Value| -> Vec<String> {
        let columns = crd["spec"]["versions"][0]["additionalPrinterColumns"].as_array().unwrap();
        columns.iter().map(|column| column["name"].as_str().unwrap().to_owned()).collect()
    };
    let crds = crds();
    assert_eq!(columns(&crds[1].0), ["Pool", "Addresses", "Gateway", "Ready", "Age"]);
    let wanted = ["Address", "Pool", "Claim", "Holder", "Standbys", "Since", "Ready"];
    assert_eq!(columns(&crds[3].0), wanted);
}

/// A column that names no field stays empty for ever.
#[test]
fn columns_show_fields_that_exist() {
    for (crd, _, _) in crds() {
        let version = &crd["spec"]["versions"][0];
        for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
            let path = column["jsonPath"].as_str().unwrap();
            let (path, _) = path.split_once('[').unwrap_or((path, ""));
            let mut schema = &version["schema"]["openAPIV3Schema"];
            for part in path.split('.').filter(|part| !part.is_empty()) {
                if part == "metadata" {
                    break;
                }
                schema = &schema["properties"][part];
                assert!(schema.is_object(), "{path} of {}", crd["spec"]["names"]["kind"]);
            }
        }
    }
}
