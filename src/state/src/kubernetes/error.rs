use std::error::Error;
use std::time::Duration;

use egret_ports::error::{ErrorClass, PortError};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer: the connection was refused, broke or was never made.
    #[error("the API server cannot be reached: {}", deepest(&**.0))]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// No answer in time.
    #[error("the API server has not answered within {} s", .0.as_secs())]
    Timeout(Duration),
    /// It answered with an error.
    #[error("{message} ({code} {reason})")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// `reason` of the Status object, such as `Conflict`.
        reason: String,
        /// Its sentence.
        message: String,
        /// How long to wait at least.
        retry_after: Option<Duration>,
    },
    /// It answered with something else than what was asked for.
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(#[source] serde_json::Error),
    /// The stored version is another.
    #[error("{what} is at version {stored}, not at {expected}: read it again and decide again")]
    Conflict {
        /// The object.
        what: String,
        /// Its version, or `none`.
        stored: String,
        /// The version that the write named, or `none`.
        expected: String,
    },
    /// The request makes no sense for the store as it is.
    #[error("{0}")]
    Invalid(String),
    /// Not connected: what is configured cannot be used.
    #[error("cannot connect to a cluster: {0}")]
    Configuration(String),
    /// The store was closed meanwhile.
    #[error("the store has been closed")]
    Closed,
}

/// Errors of connections are nested three deep, and only the innermost says what is wrong.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl ApiError {
    /// The HTTP status, where there was an answer.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// There is no such object or kind.
    pub(crate) fn is_missing(&self) -> bool {
        self.code() == Some(404)
    }

    /// Another has written first, or the object exists already.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code() == Some(409) || matches!(self, Self::Conflict { .. })
    }

    /// The history that a watch or a page needs is gone: list anew.
    pub(crate) fn is_gone(&self) -> bool {
        self.code() == Some(410)
    }

    /// How long the API server asks to wait at least.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Nobody answered.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Timeout(_))
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable(_) | Self::Timeout(_) | Self::Closed => ErrorClass::Transient,
            Self::Refused { code, retry_after, .. } => match code {
                401 | 403 => ErrorClass::Denied,
                404 => ErrorClass::NotFound,
                409 => ErrorClass::Conflict,
                429 => ErrorClass::Throttled { after: *retry_after },
                408 | 410 => ErrorClass::Transient,
                400..=499 => ErrorClass::Invalid,
                _ => ErrorClass::Transient,
            },
            Self::Conflict { .. } => ErrorClass::Conflict,
            Self::Unreadable(_) | Self::Invalid(_) | Self::Configuration(_) => ErrorClass::Invalid,
        }
    }

    pub(crate) fn into_port(self, operation: impl Into<String>) -> PortError {
        PortError::new(self.class(), operation, self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_class_of_its_code() {
        let class = |code| {
            let (reason, message) = (String::new(), String::new());
            ApiError::Refused { code, reason, message, retry_after: None }.class()
        };
        let expected = [
            (ErrorClass::Invalid, &[400, 405, 413, 415, 422][..]),
            (ErrorClass::Denied, &[401, 403]),
            (ErrorClass::NotFound, &[404]),
            (ErrorClass::Conflict, &[409]),
            (ErrorClass::Throttled { after: None }, &[429]),
            (ErrorClass::Transient, &[408, 410, 500, 502, 503, 504]),
        ];
        for (wanted, codes) in expected {
            for code in codes {
                assert_eq!(class(*code), wanted, "{code}");
            }
        }
    }
}
