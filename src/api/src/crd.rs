//! The CustomResourceDefinitions: what the types derive, and what cannot be derived.
//!
//! State: none. Always: whatever `egret-state` refuses in one object of a person, and CEL can
//! express, the API server refuses too, with the same sentence.

mod cel;
mod claim;
mod edit;
mod own_objects;
mod pool;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps,
};
use kube::CustomResourceExt;
use serde_json::Value;

use crate::{
    ClusterStaticEgressIP, EgressAddress, EgressCluster, EgressNode, EgressPool, StaticEgressIP,
    nirmata,
};

/// The definitions of Egret's kinds, for Kubernetes 1.33 and later.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<EgressPool>(pool::edit),
        definition::<StaticEgressIP>(claim::edit),
        definition::<ClusterStaticEgressIP>(claim::edit_cluster),
        definition::<EgressAddress>(own_objects::egress_address),
        definition::<EgressNode>(own_objects::egress_node),
        definition::<EgressCluster>(own_objects::egress_cluster),
    ]
}

/// The definition of the original project's kind, which is installed only where its objects are
/// in use.
pub fn nirmata_crd() -> CustomResourceDefinition {
    definition::<nirmata::StaticEgressIP>(claim::edit_nirmata)
}

/// [`crds`] as YAML documents, as `kubectl apply -f -` takes them.
///
/// # Errors
/// Where a definition cannot be written as YAML.
pub fn crds_yaml() -> Result<String, YamlError> {
    let documents: Result<Vec<String>, YamlError> = crds().iter().map(to_yaml).collect();
    Ok(documents?.join("---\n"))
}

/// One definition as a YAML document, with sorted keys.
///
/// # Errors
/// Where it cannot be written as YAML.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, YamlError> {
    let mut value = serde_json::to_value(crd)?;
    whole_numbers(&mut value);
    let mut text = serde_saphyr::to_string(&value)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// A definition could not be written as YAML.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// It is no JSON value.
    #[error("the definition is no JSON value: {0}")]
    Json(#[from] serde_json::Error),
    /// It is no YAML document.
    #[error("the definition is no YAML document: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
}

/// `minimum` and `maximum` are floating-point numbers in the type: `0`, not `0.0`.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|_| number.is_f64()).map(|float| float as i64);
            if let Some(whole) = whole {
                *number = whole.into();
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| whole_numbers(field)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn definition<K: CustomResourceExt>(
    edit: impl Fn(&mut JSONSchemaProps),
) -> CustomResourceDefinition {
    let mut crd = K::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.get_or_insert_default();
        let schema = schema.open_api_v3_schema.get_or_insert_default();
        edit::walk(schema, &mut everywhere);
        edit(schema);
        for (part, text) in [("spec", "What is asked for."), ("status", "What is so.")] {
            if let Some(part) = schema.properties.get_or_insert_default().get_mut(part) {
                part.description.get_or_insert_with(|| text.to_owned());
            }
        }
    }
    crd
}

/// What holds of every schema, whatever its field.
fn everywhere(schema: &mut JSONSchemaProps) {
    schema.title = None;
    // Lines of a doc comment are wrapped for the source, not for whoever reads kubectl explain.
    if let Some(text) = &mut schema.description {
        *text = text.replace('\n', " ");
    }
    // Formats that Kubernetes knows; others it warns of.
    let (format, most) = match schema.format.as_deref() {
        Some("uint16") => (Some("int32"), Some(f64::from(u16::MAX))),
        Some("uint32") => (Some("int64"), Some(f64::from(u32::MAX))),
        Some("uint64") => (Some("int64"), None),
        Some("ip") => (None, None),
        other => (other, None),
    };
    schema.format = format.map(str::to_owned);
    if most.is_some() {
        schema.maximum = most;
    }
    let Some(fields) = &mut schema.properties else { return };
    if fields.contains_key("matchExpressions") {
        cel::selector(schema);
    } else if let Some(conditions) = fields.get_mut("conditions") {
        conditions.x_kubernetes_list_type = Some("map".to_owned());
        conditions.x_kubernetes_list_map_keys = Some(vec!["type".to_owned()]);
    }
}
