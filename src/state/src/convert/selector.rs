use egret_core::model::{LabelSelector, Operator};

use super::FieldErrors;

/// Notes what makes no sense in a selector.
pub(super) fn check_selector(faults: &mut FieldErrors, field: &str, selector: &LabelSelector) {
    for (key, value) in &selector.match_labels {
        check_value(faults, format!("{field}.matchLabels.{key}"), value);
    }
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let place = format!("{field}.matchExpressions[{index}]");
        let listing = matches!(requirement.operator, Operator::In | Operator::NotIn);
        if requirement.key.is_empty() {
            faults.add(format!("{place}.key"), "name the label's key");
        }
        if listing && requirement.values.is_empty() {
            faults.add(format!("{place}.values"), "In and NotIn need at least one value");
        }
        if !listing && !requirement.values.is_empty() {
            faults.add(format!("{place}.values"), "Exists and DoesNotExist take no values");
        }
        for (index, value) in requirement.values.iter().enumerate() {
            check_value(faults, format!("{place}.values[{index}]"), value);
        }
    }
}

/// A selector with a value that no object can have selects nothing, and nobody would learn why.
fn check_value(faults: &mut FieldErrors, field: String, value: &str) {
    if !is_label_value(value) {
        faults.tolerated(
            field,
            format!(
                "'{value}' is no value that a label can have: write at most 63 letters, digits, -, \
                 _ and ., with a letter or digit at both ends"
            ),
        );
    }
}

/// Whether an object may have this value of a label (`IsValidLabelValue` of Kubernetes' package
/// `validation`).
fn is_label_value(value: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = |end: Option<&u8>| end.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.len() <= 63
        && bytes.iter().all(|byte| inner(*byte))
        && ends(bytes.first())
        && ends(bytes.last())
}
