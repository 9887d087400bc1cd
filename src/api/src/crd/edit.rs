use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use serde_json::Value;

/// The schema below `schema` at `path`: fields joined by dots, `[]` for a list's items, as in
/// `spec.destinations[].except[]`. One that is not there is made, without a type: the test for
/// structural schemas finds it.
pub(super) fn at<'a>(schema: &'a mut JSONSchemaProps, path: &str) -> &'a mut JSONSchemaProps {
    path.split('.').filter(|part| !part.is_empty()).fold(schema, |schema, part| {
        let name = part.trim_end_matches("[]");
        let mut schema = schema;
        if !name.is_empty() {
            schema = schema.properties.get_or_insert_default().entry(name.to_owned()).or_default();
        }
        if name == part { schema } else { items(schema) }
    })
}

fn items(schema: &mut JSONSchemaProps) -> &mut JSONSchemaProps {
    let none = || JSONSchemaPropsOrArray::Schema(Box::default());
    match schema.items.get_or_insert_with(none) {
        JSONSchemaPropsOrArray::Schema(items) => items,
        // Not structural: an API server refuses it.
        JSONSchemaPropsOrArray::Schemas(each) => {
            if each.is_empty() {
                each.push(JSONSchemaProps::default());
            }
            &mut each[0]
        }
    }
}

/// Calls `visit` with every schema below `schema`, and with `schema` itself.
pub(super) fn walk(schema: &mut JSONSchemaProps, visit: &mut impl FnMut(&mut JSONSchemaProps)) {
    visit(schema);
    for property in schema.properties.iter_mut().flatten() {
        walk(property.1, visit);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        walk(items, visit);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        walk(values, visit);
    }
}

/// A CEL rule with the sentence that a person reads where it does not hold.
pub(super) struct CelRule(ValidationRule);

impl CelRule {
    /// `rule` must be true; where it is not, the sentence is `sentence` as it stands.
    pub fn says(rule: impl Into<String>, sentence: &str) -> Self {
        let (rule, message) = (rule.into(), Some(sentence.to_owned()));
        Self(ValidationRule { rule, message, ..ValidationRule::default() })
    }

    /// `rule` must be true; where it is not, the CEL expression `sentence` makes the sentence.
    pub fn makes(rule: impl Into<String>, sentence: impl Into<String>) -> Self {
        let (rule, message_expression) = (rule.into(), Some(sentence.into()));
        Self(ValidationRule { rule, message_expression, ..ValidationRule::default() })
    }

    /// The field below that is reported, such as `.values`.
    pub fn field(mut self, path: &str) -> Self {
        self.0.field_path = Some(path.to_owned());
        self
    }
}

/// Adds rules to a schema.
pub(super) fn rules(schema: &mut JSONSchemaProps, rules: impl IntoIterator<Item = CelRule>) {
    let known = schema.x_kubernetes_validations.get_or_insert_default();
    known.extend(rules.into_iter().map(|rule| rule.0));
}

/// The API server writes `value` where the field is absent or null.
pub(super) fn defaults(schema: &mut JSONSchemaProps, value: Value) {
    schema.default = Some(JSON(value));
    schema.nullable = None;
}
