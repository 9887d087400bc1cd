use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use egret_core::model::ResourceVersion;
use egret_ports::error::{ErrorClass, PortError};
use rustix::io::Errno;

/// Why an access to a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing is known of the store's objects now; nothing counts as deleted.
    #[error(transparent)]
    Unreachable(#[from] Outage),
    /// The stored version is another.
    #[error(transparent)]
    Conflict(#[from] VersionConflict),
    /// There is no such object.
    #[error("{what} does not exist")]
    NotFound {
        /// The object.
        what: String,
    },
    /// The request makes no sense for the store as it is.
    #[error("{0}")]
    Invalid(String),
    /// The file system refused.
    #[error("{file}: {error}")]
    Io {
        /// The file, relative to the directory.
        file: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The API server answered with an error.
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
    /// The API server answered with something else than what was asked for.
    #[error("the API server's answer cannot be read: {0}")]
    Unreadable(#[source] serde_json::Error),
    /// What is configured cannot be used.
    #[error("cannot connect to a cluster: {0}")]
    Configuration(String),
    /// The store was closed meanwhile.
    #[error("the store has been closed")]
    Closed,
}

/// What there is instead of an answer of a store.
#[derive(Debug, thiserror::Error)]
pub enum Outage {
    /// The directory, or its marker, cannot be had.
    #[error("the store {} is unreachable: {why}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What could not be had.
        why: String,
    },
    /// Somebody else has kept the directory's lock: it may pass.
    #[error(
        "the store {} is unreachable: {} has kept its lock for {} s",
        path.display(),
        holder.as_deref().unwrap_or("another process"),
        waited.as_secs()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
        /// Who has it now, where that can be told.
        holder: Option<String>,
    },
    /// The connection to the API server was refused, broke or was never made.
    #[error("the API server cannot be reached: {}", deepest(&**.0))]
    Connection(#[source] Box<dyn Error + Send + Sync>),
    /// The API server has not answered in time.
    #[error("the API server has not answered within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// Errors of connections are nested three deep, and only the innermost says what is wrong.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The stored version is another than the one that a write names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is at version {stored}, not at {expected}: read it again and decide again")]
pub struct VersionConflict {
    /// The object.
    what: String,
    /// Its version, or `none`.
    stored: String,
    /// The version that the write named, or `none`.
    expected: String,
}

impl VersionConflict {
    /// Of `what`, which is stored at another version than the write expects.
    pub(crate) fn new(
        what: impl ToString,
        stored: Option<&ResourceVersion>,
        expected: Option<&ResourceVersion>,
    ) -> Self {
        let text = |version: Option<&ResourceVersion>| {
            version.map_or("none".to_owned(), ResourceVersion::to_string)
        };
        Self { what: what.to_string(), stored: text(stored), expected: text(expected) }
    }
}

impl StoreError {
    pub(crate) fn io(file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |error| Self::Io { file, error }
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable(_) | Self::Closed => ErrorClass::Transient,
            Self::Conflict(_) => ErrorClass::Conflict,
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Invalid(_) | Self::Unreadable(_) | Self::Configuration(_) => ErrorClass::Invalid,
            Self::Io { error, .. } => match Errno::from_io_error(error) {
                Some(Errno::NOSPC | Errno::DQUOT) => ErrorClass::Quota,
                Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => ErrorClass::Denied,
                _ => ErrorClass::Transient,
            },
            Self::Refused { code, retry_after, .. } => match code {
                401 | 403 => ErrorClass::Denied,
                404 => ErrorClass::NotFound,
                409 => ErrorClass::Conflict,
                429 => ErrorClass::Throttled { after: *retry_after },
                408 | 410 => ErrorClass::Transient,
                400..=499 => ErrorClass::Invalid,
                _ => ErrorClass::Transient,
            },
        }
    }

    pub(crate) fn into_port(self, operation: impl Into<String>) -> PortError {
        PortError::new(self.class(), operation, self)
    }

    /// Nobody answered.
    pub(crate) fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}

#[cfg(feature = "kubernetes")]
impl StoreError {
    /// The API server has not answered.
    pub(crate) fn connection(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Outage::Connection(error.into()).into()
    }

    /// The HTTP status, where there was an answer.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// There is no such object or kind.
    pub(crate) fn is_missing(&self) -> bool {
        self.class() == ErrorClass::NotFound
    }

    /// Another has written first, or the object exists already.
    pub(crate) fn is_conflict(&self) -> bool {
        self.class() == ErrorClass::Conflict
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_class_of_its_code() {
        let class = |code| {
            let (reason, message) = (String::new(), String::new());
            StoreError::Refused { code, reason, message, retry_after: None }.class()
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
