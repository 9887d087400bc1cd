//! The tool `nft`: one process per transaction or listing.

use std::error::Error as _;
use std::io;
use std::process::Output;
use std::time::Duration;

use egret_ports::error::{ErrorClass, PortError};
use serde_json::Value;

use crate::child;

/// A transaction of many pods takes a second or two; one that takes so long hangs.
const TRANSACTION: Duration = Duration::from_secs(30);
/// For a listing that others wait for.
pub(crate) const LISTING: Duration = Duration::from_secs(30);
/// For one that nobody waits for: other people's rule sets may be large.
pub(crate) const LONG_LISTING: Duration = Duration::from_secs(120);
/// For counters, which are a few lines: who scrapes them waits for 5 s in all.
pub(crate) const COUNTERS: Duration = Duration::from_secs(3);

/// Runs a script as one transaction: all of it holds afterwards, or nothing has changed.
pub(crate) fn run(script: &str, operation: &str) -> Result<(), PortError> {
    let input = Some(script.to_owned());
    let output = child::output("nft", &["-f", "-"], input, TRANSACTION)
        .map_err(|e| not_run(operation, e))?;
    if output.status.success() {
        return Ok(());
    }
    // nft has one exit code for a missing object, a bad script and a lost race alike.
    Err(PortError::new(ErrorClass::Transient, operation, error_text(&output)))
}

/// Lists as JSON; `Null` where the object does not exist.
pub(crate) fn list(
    arguments: &[&str],
    operation: &str,
    limit: Duration,
) -> Result<Value, PortError> {
    let mut all = vec!["-j"];
    all.extend(arguments);
    let output =
        child::output("nft", &all, None, limit).map_err(|error| not_run(operation, error))?;
    if !output.status.success() {
        return Err(PortError::new(ErrorClass::Transient, operation, error_text(&output)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|e| PortError::new(ErrorClass::Transient, operation, e))
}

fn error_text(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text: String = text.trim().chars().take(2_000).collect();
    format!("nft ended with {}: {text}", output.status)
}

/// Whether the tool was killed, since it had not ended in time.
pub(crate) fn has_hung(error: &PortError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

fn not_run(operation: &str, error: io::Error) -> PortError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let remedy = "the tool nft is missing: install nftables 1.0.2 or later";
            PortError::new(ErrorClass::NotFound, operation, remedy)
        }
        io::ErrorKind::PermissionDenied => PortError::new(ErrorClass::Denied, operation, error),
        _ => PortError::new(ErrorClass::Transient, operation, error),
    }
}
