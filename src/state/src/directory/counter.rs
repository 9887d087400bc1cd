use super::error::StoreError;
use super::store::Access;

/// A number that only grows, in a file of its own.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// The file.
    pub file: &'static str,
    /// What people call the number.
    pub what: &'static str,
}

/// Versions of objects.
pub const VERSIONS: Counter = Counter { file: "egret.dev/version", what: "version counter" };
/// Fences of addresses and epochs of port blocks (LEASES.md rule 15).
pub const FENCES: Counter = Counter { file: "egret.dev/fences", what: "fence counter" };

impl Counter {
    /// Draws `count` numbers and returns the first.
    ///
    /// # Errors
    /// Where the file is missing or holds no number: a counter that began anew would repeat
    /// numbers, and a repeated fence gives a freed address two holders.
    pub fn draw(self, access: &Access, count: u64) -> Result<u64, StoreError> {
        let bytes = access.read_if_there(self.file).map_err(StoreError::io(self.file))?;
        let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let next: Option<u64> = text.and_then(|text| text.trim().parse().ok());
        let Some(next) = next else {
            return Err(StoreError::Invalid(format!(
                "{}, the {}, is missing or holds no number: write a number into it that is higher \
                 than every one ever drawn",
                self.file, self.what
            )));
        };
        let after = next.checked_add(count).ok_or_else(|| {
            StoreError::Invalid(format!("{}: fewer than {count} numbers are left", self.file))
        })?;
        self.write(access, after)?;
        Ok(next)
    }

    /// Writes the next number.
    pub fn write(self, access: &Access, next: u64) -> Result<(), StoreError> {
        let text = format!("{next}\n");
        access.replace(self.file, text.as_bytes()).map_err(StoreError::io(self.file))
    }
}
