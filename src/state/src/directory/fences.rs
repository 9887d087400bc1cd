//! The fence counter: a number that only grows, in a file of its own.

use super::store::Access;
use crate::error::StoreError;
use crate::manifest::OWN_FOLDER;

/// Holds the next number, from which fences of addresses and epochs of port blocks are drawn
/// (docs/leases.md rule 15).
pub const FILE: &str = "egret.dev/fences";

/// Draws `count` numbers and returns the first.
///
/// # Errors
/// Where the file is missing or holds no number: a counter that began anew would repeat numbers,
/// and a repeated fence gives a freed address two holders.
pub fn draw(access: &Access, count: u64) -> Result<u64, StoreError> {
    let bytes = access.read_if_there(FILE).map_err(StoreError::io(FILE))?;
    let text = bytes.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let next: Option<u64> = text.and_then(|text| text.trim().parse().ok());
    let Some(next) = next else {
        return Err(StoreError::Invalid(format!(
            "{FILE}, the fence counter, is missing or holds no number: write a number into it \
             that is higher than every one ever drawn"
        )));
    };
    let after = next.checked_add(count).ok_or_else(|| {
        StoreError::Invalid(format!("{FILE}: fewer than {count} numbers are left"))
    })?;
    access.replace(FILE, format!("{after}\n").as_bytes()).map_err(StoreError::io(FILE))?;
    // The new name must outlast a power loss as well, or the number is drawn again.
    access.sync_folder(OWN_FOLDER).map_err(StoreError::io(OWN_FOLDER))?;
    Ok(next)
}
