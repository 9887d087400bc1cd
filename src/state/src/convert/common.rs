use egret_api as api;
use egret_core::model::{
    Condition, Epoch, Family, Holding, LabelSelector, Millis, NodeName, Operator, PublicKey,
    Requirement, Timestamp,
};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::{Faults, parse_duration};

/// A time as text (RFC 3339, UTC).
pub fn timestamp_to_text(time: Timestamp) -> String {
    let bounded = time.0.clamp(
        jiff::Timestamp::MIN.as_millisecond() + 1,
        jiff::Timestamp::MAX.as_millisecond() - 1,
    );
    jiff::Timestamp::from_millisecond(bounded).unwrap_or_default().to_string()
}

/// Parses a time in RFC 3339, to the millisecond.
///
/// # Errors
/// A sentence where it is none.
pub fn timestamp_from_text(text: &str) -> Result<Timestamp, String> {
    text.parse::<jiff::Timestamp>()
        .map(|time| Timestamp(time.as_millisecond()))
        .map_err(|_| format!("{text} is not a time: write it like 2026-05-04T12:00:00Z"))
}

/// A duration that [`parse_duration`] reads back exactly.
pub(super) fn duration_to_text(length: Millis) -> String {
    length.to_string()
}

pub(super) fn duration(faults: &mut Faults, field: &str, text: &str) -> Option<Millis> {
    faults.take(field, parse_duration(text))
}

pub(super) fn optional_time(
    faults: &mut Faults,
    field: &str,
    text: Option<&String>,
) -> Option<Timestamp> {
    text.and_then(|text| faults.take(field, timestamp_from_text(text)))
}

pub(super) fn family(family: api::Family) -> Family {
    match family {
        api::Family::IPv4 => Family::IPv4,
        api::Family::IPv6 => Family::IPv6,
    }
}

pub(super) fn selector(
    faults: &mut Faults,
    field: &str,
    selector: &api::LabelSelector,
) -> LabelSelector {
    let mut requirements = Vec::new();
    for (index, requirement) in selector.match_expressions.iter().enumerate() {
        let place = format!("{field}.matchExpressions[{index}]");
        let operator = match requirement.operator {
            api::Operator::In => Operator::In,
            api::Operator::NotIn => Operator::NotIn,
            api::Operator::Exists => Operator::Exists,
            api::Operator::DoesNotExist => Operator::DoesNotExist,
        };
        let listing = matches!(operator, Operator::In | Operator::NotIn);
        if requirement.key.is_empty() {
            faults.add(format!("{place}.key"), "name the label's key");
        }
        if listing && requirement.values.is_empty() {
            faults.add(format!("{place}.values"), "In and NotIn need at least one value");
        }
        if !listing && !requirement.values.is_empty() {
            faults.add(format!("{place}.values"), "Exists and DoesNotExist take no values");
        }
        requirements.push(Requirement {
            key: requirement.key.clone(),
            operator,
            values: requirement.values.clone(),
        });
    }
    LabelSelector { match_labels: selector.match_labels.clone(), match_expressions: requirements }
}

pub(super) fn selector_to_api(selector: &LabelSelector) -> api::LabelSelector {
    let requirement = |requirement: &Requirement| api::Requirement {
        key: requirement.key.clone(),
        operator: match requirement.operator {
            Operator::In => api::Operator::In,
            Operator::NotIn => api::Operator::NotIn,
            Operator::Exists => api::Operator::Exists,
            Operator::DoesNotExist => api::Operator::DoesNotExist,
        },
        values: requirement.values.clone(),
    };
    api::LabelSelector {
        match_labels: selector.match_labels.clone(),
        match_expressions: selector.match_expressions.iter().map(requirement).collect(),
    }
}

pub(super) fn conditions_to_api(conditions: &[Condition]) -> Vec<api::Condition> {
    conditions
        .iter()
        .map(|condition| api::Condition {
            r#type: condition.kind.clone(),
            status: if condition.status {
                api::ConditionStatus::True
            } else {
                api::ConditionStatus::False
            },
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            observed_generation: condition.observed_generation,
            last_transition_time: timestamp_to_text(condition.last_transition),
        })
        .collect()
}

pub(super) fn conditions_from_api(
    faults: &mut Faults,
    conditions: &[api::Condition],
) -> Vec<Condition> {
    let mut values = Vec::new();
    for (index, condition) in conditions.iter().enumerate() {
        let field = format!("status.conditions[{index}].lastTransitionTime");
        let time = timestamp_from_text(&condition.last_transition_time);
        let Some(last_transition) = faults.take(&field, time) else { continue };
        values.push(Condition {
            kind: condition.r#type.clone(),
            status: condition.status == api::ConditionStatus::True,
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            observed_generation: condition.observed_generation,
            last_transition,
        });
    }
    values
}

pub(super) fn holding_to_api(holding: &Holding) -> api::Holding {
    api::Holding {
        node: holding.node.as_str().to_owned(),
        epoch: api::Epoch {
            counter: holding.epoch.counter,
            node: holding.epoch.node.as_str().to_owned(),
        },
    }
}

pub(super) fn holding_from_api(holding: &api::Holding) -> Holding {
    Holding {
        node: NodeName::new(&holding.node),
        epoch: Epoch { counter: holding.epoch.counter, node: NodeName::new(&holding.epoch.node) },
    }
}

pub(super) fn public_key(text: &str) -> Result<PublicKey, String> {
    let deserializer: StrDeserializer<'_, ValueError> = text.into_deserializer();
    PublicKey::deserialize(deserializer).map_err(|error| format!("{text}: {error}"))
}

pub(super) fn public_key_to_text(key: &PublicKey) -> String {
    key.0.iter().fold(String::with_capacity(64), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
        text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        text
    })
}
