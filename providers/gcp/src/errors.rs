//! What answers of Compute Engine mean: by HTTP status and reason, or by the code of an operation's
//! error. The texts beside them are for people only.
//!
//! Sources: <https://cloud.google.com/compute/docs/api/how-tos/api-requests-responses#handling_api_errors>,
//! <https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-api-errors>, the discovery document.

use egret_ports::error::ErrorClass;
use google_cloud_compute_v1::errors::OperationError;
use google_cloud_gax::error::{CredentialsError, Error};
use serde_json::Value;

use crate::refusal::GceRefusal;

const THROTTLED: ErrorClass = ErrorClass::Throttled { after: None };
const PERMISSION: &str = "give the controller's account the roles of terraform/gcp, with a Shared VPC the one \
                          in the host project too, and a node's account the scope cloud-platform";
const CREDENTIALS: &str = "check the controller's credentials: the projected token and the identity \
                           pool's provider, the node's account, or the key file";
const IN_USE: &str = "something that is none of this cluster's has the address: take it away there, or take \
                      the address out of the pool";
const LIMIT: &str = "have the quota raised, or use fewer addresses and gateways in the region";

/// A call that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{method}: {message}{}", hint(remedy))]
pub(crate) struct GceFailure {
    /// Such as `compute.instances.get`.
    pub method: &'static str,
    pub class: ErrorClass,
    /// Google's words.
    pub message: String,
    pub remedy: &'static str,
}

fn hint(remedy: &str) -> String {
    if remedy.is_empty() { String::new() } else { format!(" ({remedy})") }
}

impl GceFailure {
    /// Of an answer that is no success, or of none.
    pub fn of_call(method: &'static str, error: &Error) -> Self {
        if error.is_authentication() {
            let message = chain(error);
            let source = std::error::Error::source(error);
            let source = source.and_then(|it| it.downcast_ref::<CredentialsError>());
            if source.is_some_and(CredentialsError::is_transient) {
                return Self { method, class: ErrorClass::Transient, message, remedy: "" };
            }
            return Self { method, class: ErrorClass::Denied, message, remedy: CREDENTIALS };
        }
        let body: Option<Value> =
            error.http_payload().and_then(|body| serde_json::from_slice(body).ok());
        let body = body.as_ref().map(|body| &body["error"]);
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let reason = body.and_then(|body| text(&body["errors"][0]["reason"]));
        let words = body.and_then(|body| text(&body["message"]));
        let (class, remedy) = by_status(error.http_status_code(), reason.as_deref());
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let message = format!("{}{reason}", words.unwrap_or_else(|| chain(error)));
        Self { method, class, message, remedy }
    }

    /// Of an operation that has ended badly.
    pub fn of_operation(method: &'static str, error: &OperationError) -> Self {
        let OperationError::Generic(error) = error else {
            let (class, message) = (ErrorClass::Transient, error.to_string());
            return Self { method, class, message, remedy: "" };
        };
        let first = error.details.as_ref().and_then(|details| details.errors.first());
        let code = first.and_then(|first| first.code.as_deref());
        let words = first.and_then(|first| first.message.clone()).or_else(|| error.message.clone());
        let status = error.status_code.and_then(|status| u16::try_from(status).ok());
        let (class, remedy) = by_code(code).unwrap_or_else(|| by_status(status, None));
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        let message = format!("{}{code}", words.unwrap_or_else(|| "no words".to_owned()));
        Self { method, class, message, remedy }
    }

    /// Of something that could not be read and has to be known.
    pub fn unread(refusal: &GceRefusal) -> Self {
        let GceRefusal { class, message } = refusal.clone();
        Self { method: "compute", class, message, remedy: "" }
    }

    /// What keeps a whole project and region from being read, and no other: rights, or that it is not
    /// there.
    pub fn is_of_its_scope(&self) -> bool {
        matches!(self.class, ErrorClass::Denied | ErrorClass::NotFound | ErrorClass::Invalid)
    }

    /// Something else has the address.
    pub fn is_in_use(&self) -> bool {
        self.remedy == IN_USE
    }

    /// What was asked for cannot be: another change may.
    pub fn is_of_the_change(&self) -> bool {
        matches!(self.class, ErrorClass::Conflict | ErrorClass::Invalid | ErrorClass::Quota)
    }

    /// No answer in time.
    pub fn timeout(method: &'static str) -> Self {
        let message = "no answer in time".to_owned();
        Self { method, class: ErrorClass::Transient, message, remedy: "" }
    }

    /// Something was read or changed by somebody else meanwhile: what to do is to be decided anew.
    pub fn is_stale(&self) -> bool {
        matches!(self.class, ErrorClass::Conflict | ErrorClass::NotFound)
    }
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// By the HTTP status, and the reason where one status has several meanings.
fn by_status(status: Option<u16>, reason: Option<&str>) -> (ErrorClass, &'static str) {
    let reason = reason.unwrap_or_default();
    match (status, reason) {
        (Some(403), "rateLimitExceeded" | "userRateLimitExceeded") => (THROTTLED, ""),
        (Some(403), "quotaExceeded" | "QUOTA_EXCEEDED" | "limitExceeded" | "LIMIT_EXCEEDED") => {
            (ErrorClass::Quota, LIMIT)
        }
        (Some(401), _) => (ErrorClass::Denied, CREDENTIALS),
        (Some(403), _) => (ErrorClass::Denied, PERMISSION),
        (Some(404), _) => (ErrorClass::NotFound, ""),
        (Some(409 | 412), _) => (ErrorClass::Conflict, ""),
        (Some(400), "resourceInUseByAnotherResource" | "resourceNotReady" | "conditionNotMet") => {
            (ErrorClass::Conflict, "")
        }
        (Some(429), _) => (THROTTLED, ""),
        (Some(400..=499), _) => (ErrorClass::Invalid, ""),
        _ => (ErrorClass::Transient, ""),
    }
}

fn by_code(code: Option<&str>) -> Option<(ErrorClass, &'static str)> {
    Some(match code? {
        "QUOTA_EXCEEDED" | "LIMIT_EXCEEDED" | "QUOTA_LIMIT_EXCEEDED" => (ErrorClass::Quota, LIMIT),
        "RESOURCE_NOT_FOUND" => (ErrorClass::NotFound, ""),
        "RESOURCE_ALREADY_EXISTS"
        | "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"
        | "RESOURCE_NOT_READY"
        | "RESOURCE_OPERATION_RATE_EXCEEDED"
        | "CONDITION_NOT_MET" => (ErrorClass::Conflict, ""),
        "IP_IN_USE_BY_ANOTHER_RESOURCE" => (ErrorClass::Conflict, IN_USE),
        "PERMISSIONS_ERROR" | "FORBIDDEN" => (ErrorClass::Denied, PERMISSION),
        "RATE_LIMIT_EXCEEDED" => (THROTTLED, ""),
        "INTERNAL_ERROR" | "SERVICE_UNAVAILABLE" | "TIMEOUT" => (ErrorClass::Transient, ""),
        "INVALID_FIELD_VALUE" | "INVALID_USAGE" | "INVALID_ARGUMENT" | "BAD_REQUEST" => {
            (ErrorClass::Invalid, "")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use google_cloud_compute_v1::model::{Operation, operation};

    use super::*;

    fn of_call(status: u16, reason: &str) -> GceFailure {
        let body = serde_json::json!({"error": {"code": status, "message": "Google's words",
            "errors": [{"message": "Google's words", "domain": "global", "reason": reason}]}});
        let payload = serde_json::to_vec(&body).unwrap();
        let error = Error::http(status, Default::default(), payload.into());
        GceFailure::of_call("compute.addresses.list", &error)
    }

    #[test]
    fn statuses_have_the_class_that_their_page_describes() {
        for (status, reason, class) in [
            (400, "invalid", ErrorClass::Invalid),
            (400, "resourceInUseByAnotherResource", ErrorClass::Conflict),
            (401, "authError", ErrorClass::Denied),
            (403, "forbidden", ErrorClass::Denied),
            (403, "quotaExceeded", ErrorClass::Quota),
            (403, "rateLimitExceeded", THROTTLED),
            (404, "notFound", ErrorClass::NotFound),
            (409, "alreadyExists", ErrorClass::Conflict),
            (412, "conditionNotMet", ErrorClass::Conflict),
            (429, "rateLimitExceeded", THROTTLED),
            (500, "backendError", ErrorClass::Transient),
            (503, "backendError", ErrorClass::Transient),
        ] {
            let failure = of_call(status, reason);
            assert_eq!(failure.class, class, "{status} {reason}");
            let text = failure.to_string();
            let parts = ["compute.addresses.list", "Google's words", reason, failure.remedy];
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            let waits = matches!(class, ErrorClass::Denied | ErrorClass::Quota);
            assert_eq!(waits, !failure.remedy.is_empty(), "{text}");
        }
    }

    #[test]
    fn an_operations_code_counts_more_than_its_status() {
        let failed = |code: &str, status: i32| {
            let error = operation::error::Errors::new().set_code(code).set_message("its words");
            let operation = Operation::new()
                .set_error(operation::Error::new().set_errors([error]))
                .set_http_error_status_code(status);
            GceFailure::of_operation(
                "compute.forwardingRules.insert",
                &operation.to_result().unwrap_err(),
            )
        };
        for (code, status, class) in [
            ("QUOTA_EXCEEDED", 403, ErrorClass::Quota),
            ("IP_IN_USE_BY_ANOTHER_RESOURCE", 400, ErrorClass::Conflict),
            ("RESOURCE_NOT_FOUND", 400, ErrorClass::NotFound),
            ("NOVELTY", 403, ErrorClass::Denied),
            ("NOVELTY", 400, ErrorClass::Invalid),
        ] {
            let failure = failed(code, status);
            assert_eq!(failure.class, class, "{code}");
            assert!(failure.to_string().contains("its words"), "{failure}");
        }
    }
}
