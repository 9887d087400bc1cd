//! How a command fails, and how that is said.

/// The mistake is in what the person wrote.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub(crate) String);

/// An error and what caused it. Many errors have their cause's text in their own, since a log line
/// shows one text: that cause is not said again.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match () {
        () if text.is_empty() => cause,
        () if text.ends_with(&cause) => text,
        () => format!("{text}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use egret_ports::error::{ErrorClass, PortError};

    use super::*;

    #[test]
    fn no_cause_is_said_twice() {
        let error = PortError::new(ErrorClass::Transient, "read the store", "no lock");
        let error = anyhow::Error::from(error).context("cannot drain");
        assert_eq!(with_causes(&error), "cannot drain: read the store: no lock");
    }
}
