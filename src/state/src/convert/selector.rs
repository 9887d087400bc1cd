use egret_core::model::{LabelSelector, Operator};

use super::FieldErrors;

/// Notes what makes no sense in a selector.
pub(super) fn check_selector(faults: &mut FieldErrors, field: &str, selector: &LabelSelector) {
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
    }
}
