use std::io;
use std::path::PathBuf;

use egret_ports::error::{ErrorClass, PortError};
use rustix::io::Errno;

/// Why an access to the directory failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing is known of the store's objects now; nothing counts as deleted.
    #[error("the store {} is unreachable: {why}", path.display())]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// What could not be had.
        why: String,
    },
    /// The stored version is another.
    #[error("{what} is at version {stored}, not at {expected}: read it again and decide again")]
    Conflict {
        /// The object.
        what: String,
        /// Its version, or `none`.
        stored: String,
        /// The version named by the write, or `none`.
        expected: String,
    },
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
}

impl StoreError {
    pub(crate) fn io(file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |error| Self::Io { file, error }
    }

    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } => ErrorClass::Transient,
            Self::Conflict { .. } => ErrorClass::Conflict,
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::Invalid(_) => ErrorClass::Invalid,
            Self::Io { error, .. } => match Errno::from_io_error(error) {
                Some(Errno::NOSPC | Errno::DQUOT) => ErrorClass::Quota,
                Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => ErrorClass::Denied,
                _ => ErrorClass::Transient,
            },
        }
    }

    pub(crate) fn into_port(self, operation: impl Into<String>) -> PortError {
        PortError::new(self.class(), operation, self)
    }
}
