//! docs/reference-api.md: every kind, field, condition and reason.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};

const HEAD: &str = "# API reference

Generated from src/api and src/core/src/reason.rs by the tests of `egret-api`. Kubernetes 1.33 and
later. `kubectl explain egresspool.spec --recursive` shows the same.

Each object of a person is checked when it is applied, and a refusal names the field, the value and
the remedy; what needs other objects to be judged shows in its conditions, and of an object that
cannot be read at all an event NotUnderstood says why. A list in these tables is written `[]`, a map
`{}`; a field in **bold** must be there. The directory store takes the same objects, without the bounds on lengths.
";

/// Conditions and reasons that agents write.
pub const AGENT: [(&str, &str, &str); 11] = [
    ("EgressNode Ready", "Programmed", "True: the kernel holds what the store asks for."),
    (
        "EgressNode Ready",
        "RulesNotApplied",
        "The kernel refused rules or routes: the message has the command or the error.",
    ),
    ("EgressNode Ready", "BlocksNotApplied", "The kernel refused port blocks."),
    (
        "EgressNode Ready",
        "PodRangesUnknown",
        "A pod of this node has an address in no known range of pods, so \
         that what is outside the cluster cannot \
         be told: name the ranges (--pod-cidr, podCIDRs in Helm).",
    ),
    (
        "EgressNode Ready",
        "NoMajority",
        "Too few voters answer: what this node holds it keeps only where a majority renews it.",
    ),
    (
        "EgressNode Ready",
        "VoterSetConflict",
        "Two voter sets have the same number: one was written by hand.",
    ),
    ("EgressNode Ready", "DatapathBypassed", "See the condition of that name."),
    (
        "EgressNode DatapathBypassed",
        "EbpfHostRouting",
        "True: traffic of pods passes this host's netfilter by; the message says what to set.",
    ),
    ("EgressNode DatapathBypassed", "NotSeen", "False: none was seen."),
    (
        "EgressAddress Conflict",
        "ForeignHost",
        "True: another host answers for the address; the message has its MAC address.",
    ),
    ("EgressAddress Conflict", "NoForeignHost", "False: none does."),
];

pub fn text(crds: &[CustomResourceDefinition], reasons: &str) -> String {
    let mut text = HEAD.to_owned();
    for crd in crds {
        kind(&mut text, crd);
    }
    text.push_str("\n## Conditions and reasons\n");
    from_core(&mut text, reasons);
    from_agents(&mut text);
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
fn from_core(text: &mut String, source: &str) {
    let body = source.split_once("pub enum Reason {").unwrap().1.split_once("\n}").unwrap().0;
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

fn from_agents(text: &mut String) {
    let mut last = "";
    for (condition, reason, meaning) in AGENT {
        if condition != last {
            let _ = write!(text, "\n### {condition}\n\n| reason | |\n|---|---|\n");
            last = condition;
        }
        let _ = writeln!(text, "| {reason} | {meaning} |");
    }
}
