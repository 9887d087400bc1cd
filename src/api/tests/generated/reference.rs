//! docs/reference-api.md: every kind, field, condition and reason.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

const HEAD: &str = "# API reference

Generated from src/api, src/core/src/model and src/core/src/reason.rs by the tests of `egret-api`. Kubernetes 1.33 and
later. `kubectl explain egresspool.spec --recursive` shows the same.

An object that a person applies is checked at once: a refusal names the field, the value and the
remedy. What only other objects can show wrong is in its conditions. Where an object cannot be read at
all, an event NotUnderstood says why. A list in these tables is written `[]`, a map
`{}`; a field in **bold** must be there. The directory store takes the same objects, without the bounds on lengths.
";

pub fn text(crds: &[CustomResourceDefinition], reasons: &str) -> String {
    let mut text = HEAD.to_owned();
    for crd in crds {
        kind(&mut text, crd);
    }
    text.push_str("\n## Conditions and reasons\n");
    reasons_of(&mut text, reasons, "Reason");
    reasons_of(&mut text, reasons, "AgentReason");
    reasons_of(&mut text, reasons, "EventReason");
    text
}

fn kind(text: &mut String, crd: &CustomResourceDefinition) {
    let names = &crd.spec.names;
    let version = &crd.spec.versions[0];
    let schema = version.schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap();
    let _ = write!(text, "\n## {}\n\n", names.kind);
    let _ = writeln!(text, "{}\n", schema.description.as_ref().unwrap());
    let short: Vec<String> =
        names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect();
    let short = if short.is_empty() { "none".to_owned() } else { short.join(", ") };
    let columns = version.additional_printer_columns.iter().flatten();
    let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
    let _ = writeln!(
        text,
        "`{}/{}`, {}, short name: {short}. Columns: {}.\n",
        crd.spec.group,
        version.name,
        if crd.spec.scope == "Namespaced" { "in a namespace" } else { "cluster-wide" },
        columns.join(", ").to_uppercase(),
    );
    text.push_str("| field | type | default | |\n|---|---|---|---|\n");
    for part in ["spec", "status"] {
        if let Some(part_schema) = schema.properties.as_ref().unwrap().get(part) {
            fields(text, part, part_schema);
        }
    }
}

fn fields(text: &mut String, path: &str, schema: &JSONSchemaProps) {
    for (name, field) in schema.properties.iter().flatten() {
        let (suffix, inner) = inner(field);
        let path = format!("{path}.{name}{suffix}");
        let required = schema.required.iter().flatten().any(|required| required == name);
        let shown =
            if required && path.starts_with("spec") { format!("**{path}**") } else { path.clone() };
        let default = field.default.as_ref().map(|value| value.0.to_string()).unwrap_or_default();
        let description = field.description.as_deref().unwrap_or_default();
        let (kind, bounds) = (type_of(inner), bounds(field, inner));
        let _ = writeln!(text, "| {shown} | {kind} | {default} | {description}{bounds} |");
        fields(text, &path, inner);
    }
}

fn inner(field: &JSONSchemaProps) -> (&'static str, &JSONSchemaProps) {
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &field.items {
        return ("[]", items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &field.additional_properties {
        return ("{}", values);
    }
    ("", field)
}

fn type_of(schema: &JSONSchemaProps) -> String {
    let values: Vec<&str> =
        schema.enum_.iter().flatten().filter_map(|value| value.0.as_str()).collect();
    if !values.is_empty() {
        return values.join(", ");
    }
    let kind = schema.type_.as_deref().unwrap_or_default();
    if schema.format.as_deref() == Some("date-time") { "time".to_owned() } else { kind.to_owned() }
}

fn bounds(field: &JSONSchemaProps, inner: &JSONSchemaProps) -> String {
    let mut bounds = String::new();
    if let Some(most) = field.max_items.or(field.max_properties) {
        let _ = write!(bounds, " At most {most} entries.");
    }
    if let Some(most) = inner.maximum.filter(|most| *most < 1e6) {
        let _ = write!(bounds, " At most {most}.");
    }
    if let Some(pattern) = &inner.pattern {
        let _ = write!(bounds, " Matches `{pattern}`.");
    }
    bounds
}

/// The sections and variants of the reasons' source, with their comments.
fn reasons_of(text: &mut String, source: &str, name: &str) {
    let head = format!("pub enum {name} {{");
    let body = source.split_once(&head).unwrap().1.split_once("\n}").unwrap().0;
    let mut comment = String::new();
    for line in body.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix("// === ") {
            let section = section.trim_end_matches(" ===");
            let _ = write!(text, "\n### {section}\n\n| reason | |\n|---|---|\n");
        } else if let Some(words) = line.strip_prefix("///") {
            comment.push_str(words);
        } else if let Some(reason) = line.strip_suffix(',') {
            let _ = writeln!(text, "| {reason} | {} |", comment.trim());
            comment.clear();
        }
    }
}
