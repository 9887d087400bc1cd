use egret_core::model::InvalidObject;

/// What is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ManifestFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do, in one line.
    pub message: String,
}

impl ManifestFault {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        // A field's name may have line breaks of its own.
        let escaped = message.into().chars().fold(String::new(), |mut message, next| {
            match next.is_control() {
                true => message.extend(next.escape_default()),
                false => message.push(next),
            }
            message
        });
        Self { line, message: escaped }
    }

    /// The fault as it is reported for the file `name`.
    pub fn invalid_object(&self, name: &str) -> InvalidObject {
        InvalidObject { place: format!("{name}:{}", self.line), message: self.message.clone() }
    }
}
